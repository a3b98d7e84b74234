"""Known vulnerabilities of the tested set: `make vulnerabilities` asks OSV about every line of constraints.txt.

Exit code 1 only if one is known. Where the service cannot be reached that is said, and nothing has been checked: a
build without a network does not fail for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "constraints.txt"
AUDIT = ("-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip", "--vulnerability-service", "osv")
QUIET = ("--format", "json", "--progress-spinner", "off")


def ask() -> tuple[str, str]:
    """What pip-audit answers, and what it complains of."""
    done = subprocess.run([sys.executable, *AUDIT, *QUIET], capture_output=True, encoding="utf-8")
    return done.stdout, done.stderr


def main(answer: Callable[[], tuple[str, str]] = ask) -> int:
    """Print what is known."""
    out, complaint = answer()
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        why = (complaint.strip().splitlines() or ["no answer"])[-1][:200]
        print(
            f"known vulnerabilities were NOT checked\n  {why}\n  -> run it again where https://api.osv.dev can "
            f"be reached"
        )
        return 0
    for one in packages:
        if "skip_reason" in one:
            print(f"{one['name']}: not checked, {one['skip_reason']}")
        for known in one.get("vulns", ()):
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            print(f"{one['name']} {one['version']}: {known['id']}, mended in {fixed}")
    found = sum(len(one.get("vulns", ())) for one in packages)
    print(
        f"{sum('vulns' in one for one in packages)} of {len(packages)} packages checked, {found} known vulnerabilities"
    )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
