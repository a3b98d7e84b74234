"""Write docs/reference/egress.md, the table of everything that ever leaves a node, from the
gate's own list: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from client_node.link.egress import ALLOWED, SAID, STATEMENTS
from client_node.link.uplink import GRAIN
from client_node.rounds.send_delay import FIRST_S, STEADY_S
from contracts.statements.statements import Refusal

PAGE = Path(__file__).resolve().parent / "reference" / "egress.md"
HEAD = """# Everything that ever leaves a node

Written by `make docs` from the list in `client_node/link/egress.py`; a test compares the two, and another one looks for
messages that are sent without being on the list. All of it goes to the one coordinator of the invite, over TLS that
trusts its CA alone, signed by the node's key. What is not on the list, or has another field, is refused, written down
and shown by `client-node status`.

The class says what protects the member: **noised** (inside epsilon, charged in the ledger), **exact under the secure
sum** (outside epsilon; needs a consent of its own and a cohort rule; no kind of message is in this class today), or
**no data** (nothing that depends on the member's rows). One kind is **declared**: a word about the rows that a person
gives away by a command, exact and outside epsilon. Messages of the first class, and every message marked *kept*,
stand with time, size and digest in what `client-node leaves` prints.

| message | request | fields | class | Spend, or why it is free | kept |
|---|---|---|---|---|---|
"""
FOOT = """
Sizes: the vector of a contribution has the plan's length, and a number takes eight bytes, whatever the rows. In
the body of a request each field counts in whole {grain:,} bytes and blanks fill the rest, so that messages of one type have
one size; all that could still move a field across a multiple are numbers that the log shows to everybody (round, index,
cost so far).

Times: a contribution leaves {first:g} s after the first question of a run and {steady:g} s after each later one, whatever the
rows; what takes longer leaves after twice, four times ... as long, and the run keeps that slot (`client_node/rounds/send_delay.py`).
Its noise was drawn before the question came wherever there was time. Left as a side channel: the power of two in which a very
large table or a slow machine falls, and whatever a busy processor does to the times of other messages.

Whether a member joins is decided before a round opens, by its consent, its own limits and a person who runs the node;
the guard (`client_node/rounds/guard.py`) is not given a row. Once a round is open, rows with faults are left out, and a member
whose files cannot be read at all sends noise alone: a contribution leaves whatever the data look like. A refusal has
one of these reasons, none of which depends on the data: {reasons}.

What a contribution adds to a sum is exact as to how much the member's units come to: noise hides one unit, and the totals of a member are
hidden by groups or by a secret factor, whichever the agreement names; an agreement that names neither, which it may only without a
secure sum, does not hide them from the coordinator (docs/explanation/privacy.md).

Nothing is in the class *exact under the secure sum*: there is no kind of message for it, a test holds the list against
that, and whoever adds one has to add the consent and the cohort rule with it.

Two doors of a node answer and send nothing by themselves. `client-node serve` shows the member's own results on this machine's loopback
address to whoever has its token. `client-node run --witness HOST:PORT` hands out this witness's cosignatures and its newest checkpoint, to anyone; neither
is on the list above, and the second holds nothing but the log's own size and root.

Statements that a node may put on the log: {statements}; by a person's command alone: {declared}. Who tells only good words
tells by silence, too: a chamber should not count the silent as content, nor as harmed. Receipts of served results never leave.
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| {name} | {kind.method} `{kind.path}` | {', '.join(sorted(kind.fields)) or 'none'} | {kind.group} "
        f"| {kind.why} | {'kept' if kind.journalled else ''} |"
        for name, kind in ALLOWED.items()
    ]
    return (
        HEAD
        + "\n".join(rows)
        + "\n"
        + FOOT.format(
            statements=", ".join(sorted(STATEMENTS)),
            declared=", ".join(sorted(SAID["declaration"])),
            grain=GRAIN,
            first=FIRST_S,
            steady=STEADY_S,
            reasons=", ".join(get_args(Refusal.model_fields["reason"].annotation)),
        )
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
