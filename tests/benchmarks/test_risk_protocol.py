"""The splits of the public risk sets are those of their READMEs, down to the base rate's figures and the terciles."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.risk.protocol import TABLES, Table, against, score

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the checkout"),
]
COUNTS = {  # rows, positives, public rows, columns, smallest and largest member, test rows
    "UCI": (30_000, 6_636, 0, 25, ("C20", 37), ("C01", 5_034), 6_001),
    "Polish": (8_588, 398, 4_207, 65, ("P20", 40), ("P01", 973), 1_718),
    "SBA": (19_419, 5_444, 6_833, 89, ("L20", 59), ("L01", 7_376), 3_888),
    "SBA, 2006 on": (19_419, 5_444, 3_827, 89, ("L20", 59), ("L01", 7_376), 3_315),
}


def base_rates(table: Table) -> list[np.ndarray]:
    """The README's base rate: five rows of the pooled rate beside the member's own."""
    learn = [m.learn.y for m in table.members]
    pooled = np.concatenate(learn).mean()
    rates = [(y.sum() + 5 * pooled) / (len(y) + 5) for y in learn]
    return [np.full(len(m.test.y), rate) for m, rate in zip(table.members, rates, strict=True)]


@pytest.mark.parametrize("name", TABLES)
def test_a_set_has_the_counts_of_its_readme(name):
    table = TABLES[name](DATA, 0)
    y = np.concatenate([part.y for m in table.members for part in (m.train, m.validation, m.test)])
    ends = [(m.name, m.size) for m in (table.members[0], table.members[-1])]
    public = 0 if table.public is None else len(table.public.y)
    tested = sum(len(m.test.y) for m in table.members)
    columns = len(table.schema.of_kind("number"))
    assert (len(y), int(y.sum()), public, columns, *ends, tested) == COUNTS[name]
    assert np.bincount(table.thirds()).tolist() == [7, 7, 6]


@pytest.mark.parametrize(
    ("name", "auc", "brier"), [("UCI", 0.5590, 0.1708), ("SBA", 0.6052, 0.1943), ("SBA, 2006 on", 0.6181, None)]
)
def test_the_base_rate_scores_what_the_readme_says(name, auc, brier):
    found = [score(table, base_rates(table)) for table in (TABLES[name](DATA, seed) for seed in range(3))]
    assert np.mean([f.auc for f in found]) == pytest.approx(auc, abs=0.0015)
    if brier:
        assert np.mean([f.brier for f in found]) == pytest.approx(brier, abs=0.0003)


def test_parts_of_a_member_share_no_row_and_late_loans_are_only_tested():
    table = TABLES["SBA, 2006 on"](DATA, 0)
    for member in table.members:
        assert len(member.books) == len(member.train.y) + len(member.validation.y)
        assert len(member.books) == 0 or member.books["approval_fy"].max() < 2006


def test_a_method_ties_with_itself_and_loses_to_the_truth():
    tables = [TABLES["UCI"](DATA, seed) for seed in range(2)]
    base, truth = [base_rates(t) for t in tables], [[m.test.y for m in t.members] for t in tables]
    assert against(tables, base, base).tie == 20
    beside = against(tables, base, truth)
    assert beside.lose >= 18 and beside.small > 3 * beside.error > 0
