"""What comes in with a round and what the app gives back are data to be checked, before anything is spent or sent."""

from __future__ import annotations

from array import array
from typing import Annotated, Any

from pydantic import StringConstraints, ValidationError

from client_node.rounds.guard import Permit
from contracts.envelope import digest, from_base64
from contracts.errors import Malformed, Refused
from contracts.fields import Count, Digest, Index, Strict
from contracts.statements.artefact import model as model_artefact
from contracts.statements.off_log import Contribution
from contracts.statements.signed import read_statement
from contracts.wording import N_
from engine.rounds import STEPS, RoundRequest, read_values, unpack
from privacy.step import fits


class Question(Strict):
    """What the coordinator asks of this node: a step of a round, and how far the log had grown by then."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    run: Digest
    round: Count
    open: Index
    step: str
    size: Index
    message: str

    def content(self) -> bytes:
        """The round's message; Refused (GUARD, reason log) if this node knows no such step or cannot read it."""
        if self.step not in STEPS:
            raise _not_the_round(N_("the message asks for something that is no step of a round"))
        try:
            return from_base64(self.message)
        except Malformed as error:
            raise _not_the_round(N_("the message of this round cannot be read")) from error


def read_question(data: bytes) -> Question:
    """The question in a reply to `task`; Refused (QUESTION) unless it has exactly its fields."""
    try:
        return Question.model_validate_json(data)
    except ValidationError as error:
        raise Refused(
            N_("the coordinator asked something that cannot be read"),
            why=N_("a question has the fields of a round's step and no others"),
            do=N_("nothing was spent or sent; tell the chamber"),
            code="QUESTION",
        ) from error


def check_invitation(permit: Permit, message: bytes) -> tuple[RoundRequest, array[float]]:
    """What the message asks, and its model; Refused (GUARD, reason log) unless it names the permitted round and carries
    exactly the logged model.

    Nothing else can be in it: no code, no clip, no noise, no metric to be measured.
    """
    try:
        asked, model = unpack(message)
    except Malformed as error:
        raise _not_a_model() from error
    if model is None:
        raise _not_a_model()
    opened, order = permit.record.opened, permit.run.order
    if (asked.run, asked.round, asked.open_index) != (permit.run.run, opened.round, permit.record.open_index):
        raise _not_the_round(N_("the message is not for the round that was permitted"))
    if digest(model_artefact(order.task, model).to_bytes()) != opened.model_in:
        raise _not_the_round(N_("the model in the message is not the one in the log"))
    if not fits(order.plan, len(model)):
        raise _not_the_round(N_("the model in the message has another length than the plan"))
    return asked, model


def check_reply(permit: Permit, content: Any) -> tuple[array[int], bytes]:
    """(values, line) of what the app gave back; Refused (REPLY) unless that is all, and of
    the plan's type and length."""
    try:
        if set(content) != {"values", "config"} or set(content["config"]) != {"line"}:
            raise _not_a_release(N_("it carries more than one vector and one signed line"))
        values, line = read_values(content, "q"), content["config"]["line"]
        if len(values) != permit.run.order.plan.length():
            raise _not_a_release(N_("its vector has another length than the plan"))
        said = read_statement(line).said if isinstance(line, bytes) else None
    except Malformed as error:
        raise _not_a_release(N_("it is not one vector of whole numbers and one signed line")) from error
    if not isinstance(said, Contribution) or said.bundle != permit.run.order.bundle:
        raise _not_a_release(N_("its line is not about a contribution of the agreed code"))
    return values, line


def check_step_reply(content: Any) -> tuple[bytes, bytes]:
    """(payload, line) of what the app gave back for a step of the secure sum; Refused (REPLY) unless that is all."""
    if set(content) != {"config"} or set(content["config"]) != {"line", "payload"}:
        raise _not_a_release(N_("it carries more than the words and shares of a step of the secure sum"))
    payload, line = content["config"]["payload"], content["config"]["line"]
    if not isinstance(payload, bytes) or not isinstance(line, bytes):
        raise _not_a_release(N_("it carries more than the words and shares of a step of the secure sum"))
    return payload, line


def _not_the_round(what: str) -> Refused:
    return Refused(
        what,
        why=N_("the node checks every message against its own copy of the log"),
        do=N_("nothing was spent or sent; tell the chamber"),
        code="GUARD",
        reason="log",
    )


def _not_a_model() -> Refused:
    return _not_the_round(N_("the message of this round holds something else than a model"))


def _not_a_release(why: str) -> Refused:
    return Refused(
        N_("what the app gave back may not leave this machine"),
        why=why,
        do=N_("report this: it is a fault or an attack"),
        code="REPLY",
    )
