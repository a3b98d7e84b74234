"""Terms are checked by one function: a draft that nobody could keep is neither written, published nor signed."""

import json

import pytest


def test_a_draft_that_nobody_could_keep_is_not_written_and_a_changed_one_not_published(tmp_path, run_command):
    def office(*words):
        done = run_command("coordinator", *words, "--lang", "en", COORDINATOR_HOME=str(tmp_path / "home"))
        return done.returncode, done.stdout + done.stderr

    office("init", "--name", "商会", "--domain", "localhost", "--url", "https://localhost")
    out = tmp_path / "agreement.json"
    for words, said in (
        (("--days", "-5"), "needs a period"),
        (("--days", "0"), "needs a period"),
        (("--epsilon-run", "5"), "larger than that of a year"),
    ):
        code, told = office("agreement", "draft", "--task", "risk", "--out", str(out), *words)
        assert (code, out.exists()) == (1, False) and said in told and "mend the draft" in told
    assert office("agreement", "draft", "--task", "risk", "--out", str(out))[0] == 0
    fields = json.loads(out.read_text(encoding="utf-8"))
    fields["rounds"] |= {"deadline_max_s": 10 * fields["rounds"]["window_max_s"]}
    out.write_text(json.dumps(fields), encoding="utf-8")
    code, told = office("agreement", "publish", str(out), "--yes")
    assert code == 1 and "longer than its whole run" in told


@pytest.mark.parametrize("days", ["36000", "99999999", "1000000000000"])
def test_a_period_without_end_is_refused_in_words(tmp_path, run_command, days):
    home = {"COORDINATOR_HOME": str(tmp_path / "home")}
    run_command("coordinator", "init", "--name", "商会", "--domain", "localhost", "--lang", "en", **home)
    out = tmp_path / "agreement.json"
    done = run_command("coordinator", "agreement", "draft", "--out", str(out), "--days", days, "--lang", "en", **home)
    assert done.returncode in (2, 64) and "Traceback" not in done.stderr and done.stderr.strip()
