"""A process that spends one nano-rho after another from a ledger until a cap, and says what it sends.

python tests/trials/racer.py LEDGER SENT RUN CAP: a byte is added to the file SENT for each release that was published.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def spent(budget, dataset, unit, partition, year):
    """Nano-rho that a ledger holds of one account in a calendar year: the node only ever asks whether there is room."""
    with budget._write() as connection:
        return budget._read(connection).accounts.get((dataset, unit, partition, year), 0)


def race(ledger, sent, run, cap):
    """Reserve, publish, say so, again."""
    from client_node.ledger.chain import Caps
    from client_node.ledger.ledger import Budget
    from contracts.errors import Refused
    from contracts.fields import time_text
    from privacy.spend import Spend, Unit

    budget, now = Budget(Path(ledger)), time_text(datetime.now(UTC))
    caps = Caps(10**9, int(cap), 10**9, now[:4], now)
    with Path(sent).open("a") as file:
        for number in range(10_000):
            try:
                held = budget.reserve(Spend("receivables", Unit.COUNTERPARTY, "train", 1, run, number), caps)
            except Refused:
                return
            if held is None:
                budget.publish(run, number, b"p", b"l")
                file.write("x")
                file.flush()


def start(ledger, run, cap=10**9):
    """The process; it writes to the file `sent` beside the ledger."""
    words = (str(ledger), str(ledger.parent / "sent"), run, str(cap))
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    race(*sys.argv[1:])
