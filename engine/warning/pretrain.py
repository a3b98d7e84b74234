"""`python -m engine.warning.pretrain`: make the prior anew from simulated firms. No data of any firm.

Weights have four places, so that every machine makes the same bytes; their digest stands in `engine.warning.start`.
"""

from __future__ import annotations

import argparse
from array import array
from pathlib import Path

import numpy as np

from contracts.envelope import digest
from contracts.statements.artefact import Artefact
from engine.binary.models import LabelledRows
from engine.binary.own import fit_own
from engine.task import Model
from engine.warning.firms import simulate
from engine.warning.task import TASK

SEED, FIRMS, MONTHS, PLACES = 20260101, 4000, 72, 4


def together(members: list[LabelledRows]) -> LabelledRows:
    """The rows of all of them."""
    columns, x, y = (np.concatenate([getattr(one, part) for one in members]) for part in ("columns", "x", "y"))
    return LabelledRows(columns, x, y, tuple(name for one in members for name in one.unit), members[0].cuts)


def fitted(rows: LabelledRows) -> array[float]:
    """The logistic of these months, a month a row."""
    model = fit_own("logistic", rows)
    assert isinstance(model, Model)
    return model.values


def as_artefact(firms: int = FIRMS) -> Artefact:
    """The prior of so many simulated firms."""
    tables = simulate(firms, MONTHS, SEED).tables(MONTHS)
    weights = fitted(together([TASK.prepare(table, TASK.schema()) for table in tables]))
    values = array("d", (round(weight, PLACES) for weight in weights))
    return Artefact("model", {"task": "warning", "part": "start", "made_from": "simulated firms"}, values)


def main() -> None:
    """Write the artefact and print its digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the artefact")
    data = as_artefact().to_bytes()
    (parser.parse_args().out / "start.bin").write_bytes(data)
    print(f"start.bin {len(data)} bytes {digest(data)}")


if __name__ == "__main__":
    main()
