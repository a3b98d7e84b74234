"""`make bench`: every claim again, with the public data where they lie beside the checkout."""

import subprocess
import sys
from pathlib import Path

DATA = Path("../shared/data")
for name in ("rounds.round_time", "privacy.secure_sum", "privacy.clipping", "privacy.release"):
    subprocess.check_call([sys.executable, "-m", f"benchmarks.{name}"])
if DATA.is_dir():
    subprocess.check_call([sys.executable, "-m", "benchmarks.first_run", "--data", str(DATA), "--nodes"])
    subprocess.check_call([sys.executable, "-m", "benchmarks.privacy.utility", "--data", str(DATA)])
else:
    print("first_run was not run: ../shared/data is not here")
