"""The one gate: every kind of message that may leave this machine, why it may, and a record that it did.

`docs/reference/egress.md` is written from the list below by `make docs`, and a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from client_node.ledger.ledger import Budget
from contracts.envelope import digest, from_base64, strict_json
from contracts.errors import Refused, TrustError
from contracts.fields import time_text
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.signed import read_statement
from contracts.wording import N_
from privacy.secure_sum import SEALED, SHARE_DIGITS

# Inside epsilon, charged in the ledger · exact, outside epsilon, with a consent and a cohort rule of its own · nothing
# of the data · a word about the data that a person gives away, outside epsilon.
Group = Literal["noised", "exact under the secure sum", "no data", "declared"]


@dataclass(frozen=True, slots=True)
class MessageKind:
    """One kind of message: what it is spelled like, its class, and the Spend or the reason that lets it out."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    fields: frozenset[str]
    group: Group
    why: str
    journalled: bool = False


_NAME = r"[0-9a-f]{64}"
_MEMBER, _SHOWN = r"urn:uuid:[0-9a-f-]{36}", rf"[0-9a-f]{{{SHARE_DIGITS}}}"
ALLOWED: dict[str, MessageKind] = {
    "contribution": MessageKind(
        "PUT",
        rf"/v1/contributions/{_NAME}",
        frozenset({"line", "payload"}),
        "noised",
        "Spend of the order's ReleasePlan, reserved in the ledger before rows are summed and noise is put on them. "
        "Only bytes that the ledger has published pass; one vector of whole numbers whose length the plan fixes, "
        "under masks where the agreement requires a secure sum, and the signed line about it.",
        journalled=True,
    ),
    "sum-step": MessageKind(
        "PUT",
        rf"/v1/replies/{_NAME}",
        frozenset({"line", "payload"}),
        "no data",
        "A step of the secure sum: fresh random keys, sealed shares of them, a signed list of who is there, shares "
        "shown. Written down in the ledger before it leaves, and never said otherwise "
        "(client_node/rounds/masking.py). Only signed words about a sum, or one share of fixed size for each of some "
        "members, pass.",
        journalled=True,
    ),
    "join": MessageKind(
        "POST",
        "/v1/join",
        frozenset({"entries", "secret", "register"}),
        "no data",
        "The member's own words: its public keys, the name in the invite, the invite's secret.",
        journalled=True,
    ),
    "statement": MessageKind(
        "POST",
        "/v1/statements",
        frozenset({"entry"}),
        "no data",
        "The member's own words for the log: consents, refusals with a reason from a closed list without data causes, "
        "privacy checks on synthetic rows, keys. They show the ledger's head and total, which follow from public "
        "plans.",
        journalled=True,
    ),
    "declaration": MessageKind(
        "POST",
        "/v1/statements",
        frozenset({"entry"}),
        "declared",
        "Outside epsilon: one of three words (better, tie, worse) on a released model, once a model, exact from this "
        "member's held-out rows. Only a person's command sends it (client-node compare --declare); a running node "
        "never does.",
        journalled=True,
    ),
    "cosignature": MessageKind(
        "POST",
        "/v1/cosignatures",
        frozenset({"size", "line"}),
        "no data",
        "A signature under the log's own size and root.",
    ),
    "task": MessageKind(
        "POST",
        "/v1/task",
        frozenset({"wait", "done"}),
        "no data",
        "The question for work, asked again and again whatever the data; names of messages answered before.",
    ),
    "head": MessageKind(
        "GET", r"/v1/head\?after=\d+&wait=[\d.]+", frozenset(), "no data", "The size of the own copy of the log."
    ),
    "checkpoint": MessageKind("GET", "/checkpoint", frozenset(), "no data", "The name of a public file."),
    "tile": MessageKind("GET", r"/tile/[\w./]+", frozenset(), "no data", "The name of a public file of the log."),
    "document": MessageKind("GET", rf"/documents/{_NAME}", frozenset(), "no data", "A digest that stands in the log."),
}
# What a member says on the log. Not among them: receipts and anything else about predictions.
STATEMENTS = frozenset({"consent", "refusal", "privacy-check", "key", "key-state", "policy"})
SAID = {"statement": STATEMENTS, "declaration": frozenset({"comparison"})}


class Egress:
    """Lets listed messages through and nothing else."""

    def __init__(self, budget: Budget):
        self._budget = budget

    def check(self, kind: str, method: str, path: str, body: dict[str, Any] | None) -> None:
        """Raise Refused (EGRESS) unless the message is exactly of a listed kind; the refusal is written down."""
        try:
            self._check(kind, method, path, body)
        except Refused as error:
            self._budget.note_refused(time_text(datetime.now(UTC)), error)
            raise

    def _check(self, kind: str, method: str, path: str, body: dict[str, Any] | None) -> None:
        rule = ALLOWED.get(kind)
        if rule is None or method != rule.method or frozenset(body or ()) != rule.fields:
            raise _no(kind, N_("it is not on the list of what may"))
        if not re.fullmatch(rule.path, path):
            raise _no(kind, N_("its address is not the one of its kind"))
        if kind == "contribution" and not self._is_published(body or {}):
            raise _no(kind, N_("the ledger has not published these bytes"))
        if kind == "sum-step" and not _is_step(body or {}):
            raise _no(kind, N_("it is no step of a secure sum"))
        if kind == "task" and not _is_question(body or {}):
            raise _no(kind, N_("it asks for work in other words"))
        if kind in SAID and _kind_of(body or {}) not in SAID[kind]:
            raise _no(kind, N_("it is not a statement that a member makes on the log"))

    def _is_published(self, body: dict[str, Any]) -> bool:
        try:
            payload, line = from_base64(str(body["payload"])), from_base64(str(body["line"]))
        except TrustError:
            return False
        return self._budget.has_published(digest(payload), digest(line))

    def record(self, kind: str, data: bytes) -> None:
        """Write down what carries words or numbers of this member."""
        if ALLOWED[kind].journalled:
            self._budget.note_gone(time_text(datetime.now(UTC)), kind, data)


def _is_step(body: dict[str, Any]) -> bool:
    """Signed words about a sum alone; or, of some members, a sealed share each or a share
    shown each, alone; or nothing."""
    try:
        line, data = (from_base64(str(body[name])) for name in ("line", "payload"))
        if line:
            return not data and isinstance(read_statement(line).said, SumKeys | SumSurvivors)
        told = strict_json(data) if data else {}
        if not isinstance(told, dict) or not all(re.fullmatch(_MEMBER, name) for name in told):
            return False
        texts = [str(text) for text in told.values()]
        return all(re.fullmatch(_SHOWN, text) for text in texts) or {len(from_base64(text)) for text in texts} == {
            SEALED
        }
    except TrustError:
        return False


def _is_question(body: dict[str, Any]) -> bool:
    """How long to wait, and names of messages."""
    wait, done = body["wait"], body["done"]
    return type(wait) in (int, float) and type(done) is list and all(re.fullmatch(_NAME, str(name)) for name in done)


def _kind_of(body: dict[str, Any]) -> str:
    try:
        return read_statement(from_base64(str(body["entry"]))).said.kind
    except TrustError:
        return ""


def _no(kind: str, why: str) -> Refused:
    return Refused(
        N_("a message of kind {kind} may not leave this machine"),
        why=why,
        do=N_("report this: it is a fault or an attack"),
        code="EGRESS",
        kind=kind,
    )
