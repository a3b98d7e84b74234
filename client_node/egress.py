"""The one gate: every kind of message that may leave this machine, why it may, and a record that it did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from client_node.budget import Budget
from contracts.errors import Refused
from contracts.fields import time_text
from contracts.wording import N_

# kind -> (method, path, fields of its body, class)
ALLOWED: dict[str, tuple[str, str, frozenset[str], str]] = {
    "join": ("POST", "/v1/join", frozenset({"entries", "secret", "register"}), "own statement"),
    "head": ("GET", "/v1/head", frozenset(), "no data"),
    "tile": ("GET", "/tile/", frozenset(), "no data"),
    "checkpoint": ("GET", "/checkpoint", frozenset(), "no data"),
    "cosignature": ("POST", "/v1/cosignatures", frozenset({"size", "line"}), "no data"),
    "statement": ("POST", "/v1/statements", frozenset({"entry"}), "own statement"),
    "task": ("POST", "/v1/task", frozenset({"wait", "done"}), "no data"),
    "document": ("GET", "/documents/", frozenset(), "no data"),
    "contribution": ("PUT", "/v1/contributions/", frozenset({"line", "payload"}), "noised, inside epsilon"),
}
_JOURNALLED = {"join", "statement", "contribution"}


class Egress:
    """Lets listed messages through and nothing else."""

    def __init__(self, budget: Budget):
        self._budget = budget

    def check(self, kind: str, method: str, path: str, body: dict[str, Any] | None) -> None:
        """Raise Refused unless the message is exactly of a listed kind."""
        rule = ALLOWED.get(kind)
        if rule is None or method != rule[0] or not path.startswith(rule[1]) or frozenset(body or ()) != rule[2]:
            raise Refused(
                N_("a message of kind {kind} may not leave this machine"),
                why=N_("it is not on the list of what may"),
                do=N_("report this: it is a fault or an attack"),
                code="EGRESS",
                kind=kind,
            )

    def record(self, kind: str, data: bytes) -> None:
        """Write down what carries words or numbers of this member."""
        if kind in _JOURNALLED:
            self._budget.note_gone(time_text(datetime.now(UTC)), kind, data)
