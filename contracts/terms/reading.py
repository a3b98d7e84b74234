"""An agreement for readers: as a page of HTML, and in words how one version differs from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from contracts.fields import Strict
from contracts.terms.agreement import Terms
from contracts.terms.prose import prose
from contracts.wording import N_, Language, filled, visible

# Printed below the text, not part of it: whoever holds the paper compares it with what `client-node pins`
# and `auditor verify` print.
FINGERPRINT = N_("This agreement stands in the log {origin}, fingerprint {print}.")

# field of the terms -> its name for people; fields that differ in every version have none
TERMS = {
    "valid_from": N_("first day"),
    "valid_to": N_("last day"),
    "chamber.name": N_("chamber"),
    "chamber.code_digest": N_("company code of the chamber (digest)"),
    "beneficiaries": N_("who may use the results"),
    "auditors": N_("named auditors"),
    "rights_granted": N_("rights granted"),
    "privacy.delta": N_("delta"),
    "privacy.epsilon_run_max": N_("epsilon of one run, at most"),
    "privacy.epsilon_year_max": N_("epsilon of one year, at most"),
    "privacy.rho_run_max_nano": N_("nano-rho of one run, at most"),
    "privacy.rho_year_max_nano": N_("nano-rho of one year, at most"),
    "privacy.families": N_("families of models"),
    "privacy.noise": N_("who adds the noise"),
    "privacy.neighbours": N_("neighbouring tables"),
    "bundles": N_("code that may run (digests)"),
    "start_models": N_("models to start from (digests)"),
    "combining": N_("how contributions are combined"),
    "secure_sum": N_("secure sum"),
    "min_members": N_("members a round, at least"),
    "rounds.max_per_run": N_("rounds a run, at most"),
    "rounds.orders_max": N_("runs a year, at most"),
    "rounds.aborted_max": N_("aborted rounds a year, at most"),
    "rounds.interval_min_s": N_("seconds between rounds, at least"),
    "rounds.window_max_s": N_("seconds for a run, at most"),
    "rounds.deadline_max_s": N_("seconds for a round, at most"),
    "onward_use": N_("use by others"),
    "gate": N_("release gate"),
    "totals.rule": N_("how the totals of one member are hidden"),
    "totals.size": N_("members a group, at least"),
    "totals.colluders": N_("members that are assumed to conspire, at most"),
    "totals.after_leaving": N_("a group that a member leaves"),
    "members_shown": N_("who is in a round, for its members"),
    "withdrawal": N_("effect of a withdrawal"),
    "records_kept_years": N_("years that records are kept"),
    "contributions_kept_days": N_("days that contributions are kept"),
    "provenance": N_("source of the data"),
    "impact_assessment": N_("impact assessment (digest)"),
    "law": N_("law"),
    "dispute": N_("court"),
}
TASK_TERMS = {
    "dataset": N_("task {task}: table"),
    "schema_digest": N_("task {task}: columns (digest)"),
    "public_model": N_("task {task}: public model (digest)"),
    "purpose": N_("task {task}: purpose"),
    "row_meaning": N_("task {task}: what a row is"),
    "row_meaning_zh": N_("task {task}: what a row is, in Chinese"),
    "personal_data": N_("task {task}: personal data"),
    "unit": N_("task {task}: protected unit"),
    "max_units": N_("task {task}: units, at most"),
    "max_rows_per_unit": N_("task {task}: rows a unit, at most"),
}
_TASK = N_("task {task}")


@dataclass(frozen=True, slots=True)
class Difference:
    """One term that differs: its name (with fields from `values`), and both values as text; "-" where absent."""

    term: str
    values: dict[str, object]
    before: str
    after: str


def differences(old: Terms, new: Terms) -> list[Difference]:
    """Every term of `new` that is not as in `old`, in the order of the fields."""
    before, after = (_flat(terms.model_dump(mode="json")) for terms in (old, new))
    found = [
        Difference(name, {}, _text(before.get(field)), _text(after.get(field)))
        for field, name in TERMS.items()
        if before.get(field) != after.get(field)
    ]
    earlier, later = ({t.task: t.model_dump(mode="json") for t in terms.tasks} for terms in (old, new))
    for task in dict.fromkeys([*earlier, *later]):
        values: dict[str, object] = {"task": task}
        if task not in earlier or task not in later:
            found.append(Difference(_TASK, values, *(task if task in held else "-" for held in (earlier, later))))
            continue
        found += [
            Difference(name, values, _text(earlier[task].get(field)), _text(later[task].get(field)))
            for field, name in TASK_TERMS.items()
            if earlier[task].get(field) != later[task].get(field)
        ]
    return found


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    nested = {f"{name}.{key}": v for name, held in fields.items() if isinstance(held, dict) for key, v in held.items()}
    return fields | nested


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def readable(terms: Terms, lang: Language) -> str:
    """The prose for a reader's eyes: that of the terms, unless a field holds what cannot be seen; then it stands there
    as its number, and cannot pass for a clause. What is signed is `prose`."""
    return prose(Terms.model_construct(**_visible(dict(terms))), lang)


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, tuple):
        return tuple(map(_visible, value))
    if isinstance(value, dict):
        return {name: _visible(one) for name, one in value.items()}
    return type(value).model_construct(**_visible(dict(value))) if isinstance(value, Strict) else value


def page(terms: Terms, lang: Language, translate: Callable[[str], str], *, origin: str, fingerprint: str) -> str:
    """The prose as one page of HTML, and which log it stands in: no script, no style that is
    needed, every text escaped."""
    text = readable(terms, lang)
    title = text.partition("\n")[0].removeprefix("# ")
    body = "\n".join(_block(kind, list(lines)) for kind, lines in groupby(text.splitlines(), _kind))
    stands = filled(translate(FINGERPRINT), {"origin": origin, "print": fingerprint})
    language = "zh-CN" if lang == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/style.css"></head>\n'
        f"<body><main>\n{body}\n<p>{escape(stands)}</p>\n<p><small>{escape(terms.digest())}</small></p>\n</main></body></html>\n"
    )


def _kind(line: str) -> str:
    if line.startswith("# "):
        return "title"
    if line.startswith("   - "):
        return "item"
    return "text" if line.strip() else ""


def _block(kind: str, lines: list[str]) -> str:
    match kind:
        case "title":
            return f"<h1>{escape(lines[0][2:])}</h1>"
        case "item":
            return "<ul>" + "".join(f"<li>{escape(line[5:])}</li>" for line in lines) + "</ul>"
        case "text":
            return "".join(f"<p>{escape(line)}</p>" for line in lines)
    return ""
