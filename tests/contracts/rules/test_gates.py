"""A model is released only after it was judged on units that nobody trained on; and it can be taken back."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from contracts.envelope import canonical, digest, loose_json, open_entry
from contracts.errors import Malformed
from contracts.statements.closed_list import parse, payload
from contracts.statements.gate import MARGIN, SPREAD, judge, verdict_of
from contracts.statements.statements import Compared, Evaluates, Gate, GateTerms, Rollback
from privacy.plan import Histogram, Tally
from simulator import NOTHING, START, Trust, plan

STEP = 2**20
TERMS = GateTerms(rho_nano=24_000_000, untold="keep")


def histogram(models, **changes):
    """The plan of an evaluation whose noise is eight units a count."""
    shape = Histogram("histogram", models, 2, 4)
    return plan(partition="holdout", shape=shape, step=Tally("tally"), releases=1, sigma_steps=8 * STEP, **changes)


def trained(**order):
    """A trust whose run is complete and waits for its evaluation."""
    trust = Trust(4)
    for firm in trust.firms:
        trust.consent(firm)
    train(trust, **order)
    return trust


def train(trust, **order):
    assert trust.order(gate=TERMS, **order) == ()
    for _ in range(3):
        assert trust.open() + trust.close() == ()


def evaluate(trust, models=2, **changes):
    run = trust.run
    fields = {
        "model_start": run.model,
        "plan": histogram(models),
        "evaluates": Evaluates(run=run.run, incumbent=trust.state.released_runs.get("risk")),
    } | changes
    return [finding.code for finding in trust.order(**fields)]


def close_evaluation(trust):
    return trust.open() + trust.close(model_out=trust.run.model)


def pass_gate(trust, verdict="not-worse", decision="release", **changes):
    evaluation = trust.run
    judged = trust.state.runs[evaluation.order.evaluates.run]
    incumbent = evaluation.order.evaluates.incumbent
    models = [judged.order.model_start, *([trust.state.runs[incumbent].model] if incumbent else [])]
    fields = {
        **trust.stamp(),
        "order": judged.run,
        "evaluation": evaluation.run,
        "model": judged.model,
        "compared": tuple(Compared(model=m, verdict=verdict, difference="0", band="0.001") for m in models),
        "verdict": verdict,
        "decision": decision,
    } | changes
    return [finding.code for finding in trust.say(Gate(**fields), trust.office)]


def release(trust, run, **changes):
    fields = {"order": run.run, "model": run.model, "rounds": len(run.rounds), "participants": 4} | changes
    return [finding.code for finding in trust.release(**fields)]


def test_a_model_is_released_after_its_gate_and_not_before():
    trust = trained()
    run = trust.run
    assert release(trust, run) == ["GATE"]
    assert evaluate(trust) == [] and close_evaluation(trust) == ()
    assert release(trust, run) == ["GATE"]
    assert pass_gate(trust) == []
    assert release(trust, run) == [] and trust.state.released("risk").run == run.run


def test_what_is_worse_is_kept_back_and_nobody_can_release_it():
    trust = trained()
    run = trust.run
    evaluate(trust), close_evaluation(trust)
    assert pass_gate(trust, "worse", "release") == ["GATE"], "the decision follows from the verdict"
    assert pass_gate(trust, "worse", "keep") == []
    assert release(trust, run) == ["GATE"]


def test_too_few_to_tell_follows_what_the_order_said_beforehand():
    trust = trained()
    evaluate(trust), close_evaluation(trust)
    assert pass_gate(trust, "too-few", "release") == ["GATE"], "this order said: keep"
    assert pass_gate(trust, "too-few", "keep") == []
    assert pass_gate(trust, "too-few", "keep") == ["GATE"], "a gate is passed once"


def test_an_evaluation_judges_one_complete_run_once_within_what_its_order_allows():
    trust = trained()
    other = Evaluates(run=NOTHING, incumbent=None)
    assert evaluate(trust, evaluates=other) == ["EVALUATION"]
    assert evaluate(trust, model_start=START) == ["EVALUATION"]
    assert evaluate(trust, evaluates=None) == ["EVALUATION", "MODEL_CHAIN"], "a holdout is for judging only"
    dear = histogram(2)
    dear = plan(**{f: getattr(dear, f) for f in ("partition", "shape", "step", "releases")}, sigma_steps=4 * STEP)
    assert evaluate(trust, plan=dear) == ["EVALUATION", "OVER_BUDGET"]
    assert evaluate(trust, models=3) == ["EVALUATION"], "a third model that nobody named"
    assert evaluate(trust) == []
    trusted = trust.run
    assert evaluate(trust, evaluates=trusted.order.evaluates) == ["EVALUATION"], "a second look is refused"


@pytest.mark.parametrize("absurd", [{"sigma_steps": 0}, {"sigma_steps": -1}, {"grid_bits": 2**52}, {"releases": 2**52}])
def test_an_evaluation_whose_cost_cannot_be_computed_is_found_and_stops_nobody(absurd):
    trust = trained()
    assert "NOISE" in evaluate(trust, plan=replace(histogram(2), **absurd))


def test_an_evaluation_is_charged_to_the_holdout_and_never_released_itself():
    trust = trained()
    before = trust.state.charges
    evaluate(trust), close_evaluation(trust)
    member = trust.firms[0].member
    year = trust.run.rounds[0].opened.issued_at[:4]
    assert trust.state.spent(member, "receivables", "row", "holdout", year) == histogram(2).rho_nano()
    assert (
        trust.state.spent(member, "receivables", "row", "train", year)
        == before[(member, "receivables", "row", "train", year)]
    )
    assert release(trust, trust.run) == ["RELEASE_ROUNDS"]


def test_the_model_that_serves_is_always_compared_with():
    trust = trained()
    evaluate(trust), close_evaluation(trust), pass_gate(trust)
    first = trust.state.runs_in_order()[0]
    assert release(trust, first) == []
    train(trust)
    assert evaluate(trust, evaluates=Evaluates(run=trust.run.run, incumbent=None)) == ["EVALUATION"]
    assert evaluate(trust, models=3) == [] and close_evaluation(trust) == ()
    start_only = (Compared(model=START, verdict="not-worse", difference="0", band="0"),)
    assert pass_gate(trust, compared=start_only) == ["GATE"]
    assert pass_gate(trust) == []


def test_a_gate_without_a_recorded_evaluation_can_tell_nothing():
    trust = trained()
    evaluate(trust)
    aborted = {"outcome": "aborted", "contributors": (), "list_root": None, "list_document": None}
    aborted |= {"aggregate": None, "step_state": None, "model_out": trust.run.model, "ledgers": ()}
    trust.open()
    asked = [member for member, _ in trust.run.open_round().opened.members]
    assert pass_gate(trust, "too-few", "keep", compared=()) == ["GATE"], "it has not ended"
    assert trust.close(**aborted, dropped=tuple((m, "no-reply") for m in asked)) == ()
    assert pass_gate(trust, "not-worse", "release") == ["GATE"]
    assert pass_gate(trust, "too-few", "keep", compared=()) == []


def test_a_model_is_taken_back_in_one_statement_and_only_to_one_that_was_released():
    trust = trained()
    evaluate(trust), close_evaluation(trust), pass_gate(trust)
    first = trust.state.runs_in_order()[0]
    release(trust, first)
    train(trust)
    second = trust.run
    evaluate(trust, models=3), close_evaluation(trust), pass_gate(trust)
    release(trust, second)

    def back(**fields):
        said = {"task": "risk", "gone": second.run, "order": first.run, "reason": "harm"} | fields
        return [f.code for f in trust.say(Rollback(**trust.stamp(), **said), trust.office)]

    assert back(order=trust.run.run) == ["ROLLBACK"], "an evaluation is not a model"
    assert back(gone=first.run) == ["ROLLBACK"], "it does not serve"
    assert back() == [] and trust.state.released("risk").run == first.run
    assert back(gone=first.run, order=None) == [] and trust.state.released("risk") is None


def total(worse, better, scores=0):
    return [scores] * 8 + [round(STEP * worse), round(STEP * better)]


@pytest.mark.parametrize(
    ("worse", "better", "verdict"),
    [
        (5000, 5000, "not-worse"),
        (5200, 4800, "worse"),
        (4800, 5200, "not-worse"),
        (50, 50, "too-few"),
        (5, -5, "too-few"),
        (-900, -800, "too-few"),
    ],
)
def test_verdicts_follow_from_the_sum_its_noise_and_the_margin(worse, better, verdict):
    (one,) = judge(histogram(2), total(worse, better), 4, [START])
    assert (one.model, one.verdict) == (START, verdict)


def test_the_band_is_two_standard_errors_of_the_noise_and_the_difference_is_a_loss_a_unit():
    (one,) = judge(histogram(2), total(5200, 4800), 4, [START])
    sd = 8 * np.sqrt(2 * 4)
    assert float(one.difference) == pytest.approx(float(SPREAD) * 400 / 10_000, abs=1e-6)
    assert float(one.band) == pytest.approx(2 * float(SPREAD) * sd / 10_000, abs=1e-6)


def test_a_harmless_model_is_called_worse_about_as_rarely_as_two_standard_errors_say():
    rng, plan2, seen = np.random.default_rng(3), histogram(2), []
    for _ in range(1000):
        noise = np.rint(rng.normal(0, 8 * STEP * 2, 2)).astype(int)
        vector = total(5000, 5000)
        vector[8:] = [int(v) + int(n) for v, n in zip(vector[8:], noise, strict=True)]
        seen.append(judge(plan2, vector, 4, [START])[0].verdict)
    assert 5 <= seen.count("worse") <= 45
    harmful = Fraction(MARGIN) * 10_000 / SPREAD
    assert judge(plan2, total(5000 + int(harmful), 5000 - int(harmful)), 4, [START])[0].verdict == "worse"


def test_one_worse_comparison_outweighs_all_others():
    def verdicts(*names):
        return verdict_of([Compared(model=START, verdict=n, difference="0", band="0") for n in names])

    assert verdicts("not-worse", "worse") == verdicts("too-few", "worse") == "worse"
    assert verdicts("not-worse", "too-few") == verdicts() == "too-few"
    assert verdicts("not-worse", "not-worse") == "not-worse"


def test_a_sum_of_another_shape_is_not_judged():
    with pytest.raises(ValueError, match="not the histogram"):
        judge(histogram(2), total(1, 1)[:-1], 4, [START])
    with pytest.raises(ValueError, match="not the histogram"):
        judge(histogram(2), total(1, 1), 4, [START, digest(b"more")])


def test_an_agreement_that_demands_a_gate_voids_an_order_without_one():
    trust = Trust(4, gate="required")
    for firm in trust.firms:
        trust.consent(firm)
    assert [finding.code for finding in trust.order()] == ["GATE"]
    assert len(trust.state.runs) == 0, "so nobody is asked, charged or told anything by it"
    train(trust)
    run = trust.run
    assert release(trust, run) == ["GATE"]
    assert evaluate(trust) == [] and close_evaluation(trust) == (), "the evaluation itself needs none"
    assert pass_gate(trust) == [] and release(trust, run) == []


def test_terms_that_demand_no_gate_are_spelled_as_before_there_was_one():
    trust = Trust()
    said = next(
        said for said in (parse(open_entry(entry).payload) for entry in trust.entries) if said.kind == "agreement"
    )
    assert "gate" not in said.terms.model_dump(mode="json")
    spelled = loose_json(payload(said))
    spelled["predicate"]["terms"]["gate"] = None
    with pytest.raises(Malformed):
        parse(canonical(spelled))
