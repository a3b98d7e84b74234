"""A kind of statement stands in one table: whoever adds one changes one file and the catalogue, and
nothing can be forgotten."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.fields import Digest
from contracts.rules.kinds import KINDS
from contracts.statements.statements import Predicate

ROOT = Path(__file__).resolve().parents[3]
TABLE = "contracts/rules/kinds.py"
CATALOGUE = "contracts/locale/zh_CN.po"

CLASS = '''
from dataclasses import replace
from typing import Literal

from contracts.fields import Digest
from contracts.rules.state import Matter
from contracts.statements.statements import MemberStatement


class Remark(MemberStatement):
    """What a member thinks of an agreement."""

    kind = "remark"
    agreement: Digest
    tone: Literal["praise", "complaint"]

    def subject(self):
        return "agreement", self.agreement


def check_remark(state, entry: Entry[Remark]):
    if entry.predicate.agreement not in state.agreements:
        yield entry.breaks("REMARK", "I99", "nobody knows the agreement of {member}", member=entry.predicate.member)


def record_remark(state, entry: Entry[Remark]):
    matter = Matter(entry.index, entry.predicate.issued_at)
    return replace(state, matters=state.matters.insert(entry.digest, matter))


'''
ROW = """    Kind(
        Remark,
        N_("{member} remarks on an agreement: {tone}"),
        signed=signers.by_member,
        check=check_remark,
        permit=record_remark,
    ),
"""
CHINESE = """
msgid "{member} remarks on an agreement: {tone}"
msgstr "{member} 对协议的意见：{tone}"
"""

STORY = """
import json, runpy
from auditor.evidence.sentences import sentence
from contracts.rules.fold import read
from contracts.rules.kinds import Remark
from shell.language import translator
from simulator import NOTHING, Trust

trust = Trust()
firm = trust.firms[0]


def remark(signer, agreement):
    said = Remark(**trust.stamp(), member=firm.member, agreement=agreement, tone="complaint")
    return [f.code for f in trust.say(said, signer)]


told = {
    "codes": [remark(trust.office, trust.agreement), remark(firm.node, NOTHING), remark(firm.node, trust.agreement)],
    "matters": [m.index for m in trust.state.matters.values()],
    "parsed": read(trust.entries[-1]).said.tone,
    "words": [
        sentence(read(trust.entries[-1]), lambda m: "ACME").text(translator("auditor", lang)) for lang in ("zh", "en")
    ],
    "fields": runpy.run_path("docs/write_fields.py")["page"]().partition("### remark")[2].partition("###")[0],
    "entries": len(trust.entries),
}
print(json.dumps(told))
"""


def changed(path, *parts):
    """Put text into a file before a line of it that stands there once."""
    text = path.read_text(encoding="utf-8")
    for line, added in parts:
        assert text.count(line) == 1, line
        text = text.replace(line, added + line)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """A copy of what reads and judges a log."""
    for name in ("privacy", "contracts", "shell", "auditor", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(tree, code):
    path = os.pathsep.join([str(tree), str(ROOT / "tests" / "support")])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=env, capture_output=True, encoding="utf-8", timeout=60
    )


def test_a_new_kind_is_one_file_and_its_chinese(tree):
    changed(tree / TABLE, ("_ROWS = (", CLASS), ("    _off_log(off_log.Contribution)", ROW))
    with (tree / CATALOGUE).open("a", encoding="utf-8") as file:
        file.write(CHINESE)
    assert run(tree, "import runpy; runpy.run_path('docs/write_catalogues.py', run_name='__main__')").returncode == 0
    done = run(tree, STORY)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["codes"] == [["BAD_SIGNATURE"], ["REMARK"], []]
    assert told["matters"] == [told["entries"] - 1], "a broken entry permits nothing"
    assert told["parsed"] == "complaint"
    assert told["words"] == ["ACME 对协议的意见：complaint", "ACME remarks on an agreement: complaint"]
    assert "What a member thinks of an agreement. Signed (I2) by the node key of the member" in told["fields"]
    assert "| `tone` | `praise` or `complaint` |" in told["fields"]


def test_a_kind_without_a_row_is_named_before_anything_runs(tree):
    changed(tree / TABLE, ("_ROWS = (", CLASS))
    done = run(tree, "import contracts.rules.fold")
    assert done.returncode != 0
    assert done.stderr.endswith("contracts/rules/kinds.py has no row for statements of kind remark\n")


def test_a_name_that_is_taken_is_refused_and_the_closed_list_stays_as_it_was():
    with pytest.raises(TypeError, match="two statements are of kind genesis"):

        class Again(Predicate):
            kind = "genesis"
            ca: Digest

    assert set(Predicate.closed_list.values()) == set(KINDS)
