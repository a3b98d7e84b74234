"""The office's way with an agreement, by its own commands: draft, read, compare, publish, end, export."""

import json

import pytest


@pytest.fixture(scope="module")
def chamber(tmp_path_factory):
    return tmp_path_factory.mktemp("chamber")


@pytest.mark.slow
def test_an_agreement_is_drafted_changed_published_compared_and_retired(chamber, run_command):
    def office(*words, code=0):
        done = run_command("coordinator", *words, "--lang", "en", COORDINATOR_HOME=str(chamber / "home"))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    office("init", "--name", "商会", "--domain", "localhost", "--url", "https://localhost")
    draft = chamber / "agreement.json"
    office("agreement", "draft", "--task", "risk", "--out", str(draft))
    assert "version 1" in office("agreement", "publish", str(draft), "--yes")

    fields = json.loads(draft.read_text(encoding="utf-8"))
    fields["privacy"]["epsilon_year_max"] = "2"
    fields["rounds"]["max_per_run"] = 40
    assert fields["gate"] == "required", "every table of the draft has ids"
    fields["gate"] = None
    draft.write_text(json.dumps(fields), encoding="utf-8")
    told = office("agreement", "diff", str(draft))
    assert "epsilon of one year, at most: 4 → 2" in told and "rounds a run, at most: 100 → 40" in told
    assert "release gate: required → -" in told
    assert "version 2" in office("agreement", "publish", str(draft), "--yes")
    assert "epsilon of one year, at most: 4 → 2" in office("agreement", "diff", "2")

    page = chamber / "agreement.html"
    office("agreement", "show", "1", "--html", str(page))
    assert "epsilon 4 a year" in page.read_text(encoding="utf-8")
    shown = office("agreement", "show")
    assert "version 1: superseded" in shown and "version 2: active" in shown

    office("agreement", "retire", "suspend", "--reason", "incident", "--yes")
    assert "cannot become" in office("agreement", "retire", "suspend", "--yes", code=1)
    office("agreement", "retire", "resume", "--yes")
    offer = chamber / "offer.json"
    office("agreement", "export", "--dsp", "--out", str(offer))
    assert json.loads(offer.read_text(encoding="utf-8"))["@type"] == "Offer"

    fields["onward_sale"] = "yes"
    draft.write_text(json.dumps(fields), encoding="utf-8")
    assert "onward_sale" in office("agreement", "publish", str(draft), "--yes", code=2)
    draft.write_text("[]", encoding="utf-8")
    assert "is not a draft" in office("agreement", "diff", str(draft), code=2)
