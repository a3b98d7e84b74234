"""What the demo makes of an order whose gate kept the older model, and of one that failed."""

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
