"""An auditor decides a gate again from the sum that its evaluation logged, and says where that cannot be done."""

from array import array

import pytest

from auditor.evidence.documents import Documents
from auditor.findings import AuditStep
from auditor.steps.step8_gates import check_gates
from contracts.envelope import digest
from contracts.statements.artefact import of_round
from contracts.statements.gate import judge, verdict_of
from contracts.statements.statements import Evaluates, Gate, GateTerms
from privacy.plan import Histogram, Tally
from simulator import Trust, plan

STEP = 2**20
EVALUATION = {"partition": "holdout", "step": Tally("tally"), "releases": 1, "sigma_steps": 8 * STEP}


def judged(worse, better, **forged):
    """(state, documents) of a trust whose one run was evaluated to these counts; `forged` changes the gate."""
    trust = Trust(4)
    for firm in trust.firms:
        trust.consent(firm)
    trust.order(gate=GateTerms(rho_nano=24_000_000, untold="release"))
    for _ in range(3):
        trust.open(), trust.close()
    run, shape = trust.run, Histogram("histogram", 2, 2, 4)
    asked = plan(shape=shape, **EVALUATION)
    trust.order(model_start=run.model, plan=asked, evaluates=Evaluates(run=run.run, incumbent=None))
    total = array("q", [0] * 8 + [worse * STEP, better * STEP])
    data = of_round("aggregate", trust.run.run, 1, total).to_bytes()
    trust.open(), trust.close(model_out=run.model, aggregate=digest(data))
    compared = judge(asked, total, 4, [run.order.model_start])
    verdict = verdict_of(compared)
    said = {"compared": compared, "verdict": verdict, "decision": "keep" if verdict == "worse" else "release"} | forged
    gate = Gate(**trust.stamp(), order=run.run, evaluation=trust.run.run, model=run.model, **said)
    assert trust.say(gate, trust.office) == () == tuple(trust.findings)
    return trust.state, {"documents/" + digest(data).removeprefix("sha256:"): data}


class Held(dict):
    """Evidence that lies in memory."""

    def read(self, path):
        return self.get(path)


def checked(state, documents):
    step = AuditStep(8, "gates")
    check_gates(state, Documents(state, Held(documents), step), step)
    return [finding.code for finding in step.findings], len(step.not_checked)


@pytest.mark.parametrize("counts", [(5000, 5000), (5300, 4700), (30, 40)])
def test_an_honest_gate_follows_from_its_sum(counts):
    assert checked(*judged(*counts)) == ([], 0)


def test_a_gate_that_calls_a_harmful_model_harmless_is_found_though_its_form_is_right():
    better, _ = judged(5000, 5000)
    pretended = next(r.gate for r in better.runs_in_order() if r.gate)
    forged = tuple(one for one in pretended.compared)
    state, documents = judged(5300, 4700, compared=forged, verdict="not-worse", decision="release")
    assert checked(state, documents) == (["GATE"], 0)


def test_a_sum_that_is_not_at_hand_is_said_to_be_unchecked():
    state, documents = judged(5000, 5000)
    assert checked(state, {}) == ([], 1)
    assert checked(state, {name: data[:-1] + b"x" for name, data in documents.items()}) == ([], 1)
