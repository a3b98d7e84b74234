"""`python -m demo`: set up if needed, then play the whole chain on this machine.

python3 -m demo                  six members, stays up until Ctrl-C
python3 -m demo --oneshot        ends by itself; exit code 0 only if every step held
MEMBERS=12 ONESHOT=1 make demo   the same by environment variables
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from demo import environment


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--members", type=int, default=int(os.environ.get("MEMBERS", "6")), help="member companies, 3 to 12"
    )
    parser.add_argument(
        "--oneshot", action="store_true", default=os.environ.get("ONESHOT") == "1", help="end after the summary"
    )
    parser.add_argument(
        "--lang", choices=("zh", "en"), default="en" if os.environ.get("LANG", "").startswith("en") else "zh"
    )
    parser.add_argument(
        "--folder", type=Path, default=environment.ROOT / ".demo", help="where everything is written (replaced)"
    )
    parser.add_argument("--preset", choices=("tiny", "demo"), default="demo")
    chosen = parser.parse_args()
    if not 3 <= chosen.members <= 12:
        parser.error("a trust needs 3 members; the demo has names for 12")
    return chosen


def main() -> int:
    """Re-runs itself in the local environment if it is not there yet."""
    chosen = _arguments()
    os.umask(0o077)  # keys, ledgers and logs of the demo are as private as real ones
    environment.ensure()
    if Path(sys.prefix).resolve() != environment.HOME.resolve():
        return environment.become(["-m", "demo", *sys.argv[1:]])
    from demo.story import main as tell

    return tell(chosen.members, chosen.oneshot, chosen.lang, chosen.folder, chosen.preset)


if __name__ == "__main__":
    sys.exit(main())
