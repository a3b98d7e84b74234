"""The demo with the network cut, in a namespace that has loopback and nothing else: `python
tests/trials/offline_demo.py --members 3`.

Where this machine has no such namespace to give, the demo runs with the network, and that is said.
"""

import shutil
import subprocess
import sys

CUT = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def can_cut():
    """Whether this machine lets us have a network of our own."""
    there = shutil.which("unshare") and shutil.which("ip")
    return bool(there) and subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0


if __name__ == "__main__":
    cut = CUT if can_cut() else ()
    done = subprocess.call([*cut, sys.executable, "-m", "demo", "--oneshot", *sys.argv[1:]])
    print("with the network cut" if cut else "not checked here: the demo with the network cut (needs unshare and ip)")
    sys.exit(done)
