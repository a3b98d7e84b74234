"""Nothing may call home, also in tests; and torch must not fight for the two cores."""

import os

for name, value in (("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1"),
                    ("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1"), ("RAY_USAGE_STATS_ENABLED", "0"),
                    ("OMP_NUM_THREADS", "1")):
    os.environ.setdefault(name, value)
