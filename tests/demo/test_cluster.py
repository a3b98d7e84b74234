"""What the demo makes of an order whose gate kept the older model, and of one that failed."""

import os
import signal
import subprocess
import sys

import pytest

from demo.cluster import Cluster, StepFailed


class Failing(Cluster):
    """Every order ends with exit code 1; the office then shows `runs`."""

    runs = ()

    def command(self, *words, **_options):
        raise StepFailed(" ".join(map(str, words)))

    def json(self, *_words, **_options):
        return {"runs": list(self.runs)}


def test_a_model_that_the_gate_kept_back_is_told_apart_from_an_order_that_failed(tmp_path):
    cluster = Failing(tmp_path)
    for runs in ([], [{"task": "risk", "gate": None}], [{"task": "demand", "gate": {"decision": "keep"}}]):
        cluster.runs = runs
        with pytest.raises(StepFailed, match="order risk"):
            cluster.order("risk")
    cluster.runs = [{"task": "risk", "gate": {"decision": "keep"}}]
    assert cluster.order("risk") is False


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whoever_ends_the_demo_ends_all_that_it_started(tmp_path, how):
    code = (
        "import subprocess, sys, time; from pathlib import Path; from demo.cluster import Cluster; from "
        "demo.story import leave_whole\n"
        "leave_whole()\n"
        f"with Cluster(Path({str(tmp_path)!r})) as cluster:\n"
        "    cluster.processes['node'] = child = subprocess.Popen([sys.executable, '-c', 'import time; "
        "time.sleep(60)'])\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as demo:
        child = int(demo.stdout.readline())
        demo.send_signal(how)
        assert demo.wait(30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
