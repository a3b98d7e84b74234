"""Write docs/reference/egress.md, the table of everything that ever leaves a node, from the gate's own list: `make docs`."""

from __future__ import annotations

from pathlib import Path

from client_node.egress import ALLOWED, STATEMENTS

PAGE = Path(__file__).resolve().parent / "reference" / "egress.md"
HEAD = """# Everything that ever leaves a node

Written by `make docs` from the list in `client_node/egress.py`; a test compares the two, and another one looks for
messages that are sent without being on the list. All of it goes to the one coordinator of the invite, over TLS that
trusts its CA alone, signed by the node's key. What is not on the list, or has another field, is refused, written down
and shown by `client-node status`.

The class says what protects the member: **noised** (inside epsilon, charged in the ledger), **exact under the secure
sum** (outside epsilon; needs a consent of its own and a cohort rule; no kind of message is in this class today), or
**no data** (nothing that depends on the member's rows). Messages of the first class, and every message marked *kept*,
stand with time, size and digest in what `client-node leaves` prints.

| message | request | fields | class | Spend, or why it is free | kept |
|---|---|---|---|---|---|
"""
FOOT = """
The vector of a contribution has the same number of bytes in every round of an order, whatever the rows: its length is
the plan's and a number takes eight bytes. Its noise is drawn while the node waits for the next round.

Statements that a node may put on the log: {statements}. Receipts of served results never leave.
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| {name} | {kind.method} `{kind.path}` | {', '.join(sorted(kind.fields)) or 'none'} | {kind.group} "
        f"| {kind.why} | {'kept' if kind.journalled else ''} |"
        for name, kind in ALLOWED.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + FOOT.format(statements=", ".join(sorted(STATEMENTS)))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
