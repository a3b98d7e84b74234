"""A document that is absent: erased by a statement, never given out, or lost."""

import json

import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import from_base64, open_entry, strict_json
from contracts.log.pins import Pins
from editor import Editor, Mirror


class Copy:
    """An auditor's whole copy of the golden log, with more statements if wanted."""

    def __init__(self, folder, *erased):
        editor = Editor()
        self.list = editor.find("round", 0).said["list_document"]
        for part in erased:
            named = [{"document": self.list, "part": part}]
            editor.add("erasure", {"documents": named, "ground": "authority"}, "office")
        self.folder, mirror = folder, Mirror(editor.build(), editor.keys)
        self.pins = Pins.model_validate(mirror.write(folder, documents=True))

    def remove(self, *names):
        for name in names:
            (self.folder / "documents" / name.removeprefix("sha256:")).unlink()

    def contributions(self):
        listed = (self.folder / "documents" / self.list.removeprefix("sha256:")).read_bytes()
        return [json.loads(open_entry(from_base64(t)).payload)["predicate"]["payload"] for t in strict_json(listed)]

    def checked(self):
        """(codes with their files, what was told, what was not checked) of step 8."""
        verdict = verify(Folder(self.folder), self.pins)
        assert [f for step in verdict.steps[:-1] for f in step.findings] == []
        step = verdict.steps[-1]
        return [(f.code, f.file) for f in step.findings], step.said, step.not_checked


def test_a_whole_copy_lacks_nothing(tmp_path):
    found, told, unchecked = Copy(tmp_path).checked()
    assert found == [] and told == [] and not any("not at hand" in text for text, _ in unchecked)


@pytest.mark.parametrize("erased", [False, True])
def test_absent_contributions_are_told_if_a_statement_erased_them_and_found_if_not(tmp_path, erased):
    copy = Copy(tmp_path, *(["contributions"] if erased else []))
    gone = copy.contributions()
    copy.remove(*gone)
    found, told, unchecked = copy.checked()
    assert found == ([] if erased else [("ERASURE", f"documents/{name[7:]}") for name in gone])
    assert [values for text, values in told if "were erased" in text] == ([{"n": 3}] if erased else [])
    assert [values for text, values in unchecked if "their sums" in text] == [{"n": 1}], (
        "the sum can no more be checked"
    )


def test_an_erased_list_is_told(tmp_path):
    copy = Copy(tmp_path, "document")
    copy.remove(copy.list)
    found, told, unchecked = copy.checked()
    assert found == [] and [values for text, values in told if "were erased" in text] == [{"n": 1}]
    assert any("contribution lists" in text for text, _ in unchecked)


def test_who_was_given_no_contributions_cannot_tell_what_was_lost(tmp_path):
    """A copy made without an auditor's key: absence says nothing, and is said."""
    copy = Copy(tmp_path)
    documents = [path for path in (tmp_path / "documents").iterdir()]
    for path in documents:
        path.unlink()
    found, told, unchecked = copy.checked()
    assert found == [] and told == []
    assert {"n": 2} in [values for text, values in unchecked if "contribution lists" in text]
    assert any("documents are not at hand" in text for text, _ in unchecked)
