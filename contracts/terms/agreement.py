"""The terms of an agreement: closed fields that nodes enforce.

Signed bytes are stable: a field that came later is optional, and absent where it says nothing. A rule that came later
binds only under terms whose text is of a later template; see `Terms.edition`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.envelope import canonical, digest
from contracts.fields import Count, Decimal, Delta, Digest, Index, Name, RecordId, Strict, Time

Template = Literal["mengbang-agreement/1", "mengbang-agreement/2"]


def _is_absent(value: object) -> bool:
    return value is None


class Chamber(Strict):
    """Who offers the agreement; the company code only as a salted digest."""

    name: Name
    code_digest: Digest


class TaskTerms(Strict):
    """What may be learned from which table, and whose presence is hidden; `public_model` is of rows that belong to no
    member, absent where there is none; `row_meaning_zh` is what the Chinese text says, since edition 2."""

    task: Name
    dataset: Name
    schema_digest: Digest
    purpose: Literal["demand-forecast", "early-risk-warning", "research"]
    row_meaning: Name
    personal_data: bool
    unit: Literal["row", "counterparty", "series", "member"]
    max_units: Count
    max_rows_per_unit: Count
    public_model: Digest | None = Field(default=None, exclude_if=_is_absent)
    row_meaning_zh: Name | None = Field(default=None, exclude_if=_is_absent)


class PrivacyTerms(Strict):
    """Upper limits of the privacy loss of a member; rho in nano is what is enforced."""

    delta: Delta
    epsilon_run_max: Decimal
    epsilon_year_max: Decimal
    rho_run_max_nano: Count
    rho_year_max_nano: Count
    families: tuple[Literal["trees", "gradients", "moments", "histogram"], ...]
    noise: Literal["member"]
    neighbours: Literal["add-remove"]


class RoundTerms(Strict):
    """Pace and size of runs, in seconds; how often a member may be asked, and asked in vain, in a year."""

    max_per_run: Count
    orders_max: Count
    aborted_max: Count
    interval_min_s: Index
    window_max_s: Count
    deadline_max_s: Count


class Grouped(Strict):
    """Sums are opened by whole groups of at least `size` members, so that no combination of sums is of fewer.

    `size` counts three members and the `colluders` that are assumed to conspire with the chamber. A group that a member
    leaves goes on without it, at once or from the next year on.
    """

    rule: Literal["groups"]
    size: Count
    colluders: Index
    after_leaving: Literal["rest", "go-on"]


class Weighted(Strict):
    """Each node weighs its units by a secret factor of its own: the scale of a member's totals
    is hidden from everybody."""

    rule: Literal["weighted"]


class Prose(Strict):
    """Digests of the two texts that `prose` renders; the Chinese one prevails."""

    template: Template
    zh: Digest
    en: Digest


class Terms(Strict):
    """One immutable version of an agreement. A node evaluates these fields and nothing else.

    `totals` says how the totals of one member are hidden, `members_shown` whether members see who the others are.
    """

    format: Literal["mengbang-terms/1"]
    id: RecordId
    version: Count
    supersedes: Digest | None
    valid_from: Time
    valid_to: Time
    chamber: Chamber
    beneficiaries: Literal["members"]
    auditors: tuple[Digest, ...]
    rights_granted: tuple[Literal["processing-use", "product-operation"], ...]
    tasks: tuple[TaskTerms, ...]
    privacy: PrivacyTerms
    bundles: tuple[Digest, ...]
    start_models: tuple[Digest, ...]
    combining: Literal["fixed-point/1"]
    secure_sum: Literal["required", "none"]
    min_members: Count
    rounds: RoundTerms
    onward_use: Literal["none"]
    gate: Literal["required"] | None = Field(default=None, exclude_if=_is_absent)
    totals: Annotated[Grouped | Weighted, Field(discriminator="rule")] | None = Field(
        default=None, exclude_if=_is_absent
    )
    members_shown: Literal["register"] | None = Field(default=None, exclude_if=_is_absent)
    withdrawal: Literal["excluded-from-next-cut-off"]
    records_kept_years: Count
    contributions_kept_days: Count
    provenance: Literal["member-states-source"]
    impact_assessment: Digest | None
    law: Name
    dispute: Name
    prose: Prose

    def digest(self) -> str:
        """The agreement's name everywhere: digest of these fields."""
        return digest(canonical(self.model_dump(mode="json")))

    @property
    def edition(self) -> int:
        """Which rules bind under these terms: the number of the template of their text."""
        return int(self.prose.template.rpartition("/")[2])

    def for_task(self, task: str) -> TaskTerms | None:
        """The terms of one task, if the agreement covers it."""
        return next((t for t in self.tasks if t.task == task), None)
