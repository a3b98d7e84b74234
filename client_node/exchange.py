"""What comes in with a round and what the app gives back are data to be checked, before anything is spent or sent."""

from __future__ import annotations

from array import array
from typing import Any

from client_node.guard import Permit
from contracts.artefact import model as model_artefact
from contracts.closed_list import parse
from contracts.envelope import digest, open_entry
from contracts.errors import Malformed, Refused
from contracts.off_log import Contribution
from contracts.wording import N_
from engine.rounds import read_values, unpack


def check_invitation(permit: Permit, message: bytes) -> None:
    """Refused (GUARD, reason log) unless the message names the permitted round and carries exactly the logged model.

    Nothing else can be in it: no code, no clip, no noise, no metric to be measured.
    """
    try:
        content = unpack(message)
        model = read_values(content, "d")
    except Malformed as error:
        raise _not_the_round(N_("the message of this round holds something else than a model")) from error
    config, opened, order = content["config"], permit.record.opened, permit.run.order
    if (config["run"], config["round"], config["open"]) != (permit.run.run, opened.round, permit.record.open_index):
        raise _not_the_round(N_("the message is not for the round that was permitted"))
    if digest(model_artefact(order.task, model).to_bytes()) != opened.model_in:
        raise _not_the_round(N_("the model in the message is not the one in the log"))


def check_reply(permit: Permit, content: Any) -> tuple[array[int], bytes]:
    """(values, line) of what the app gave back; Refused (REPLY) unless that is all, and of the plan's type and length."""
    try:
        if set(content) != {"values", "config"} or set(content["config"]) != {"line"}:
            raise _not_a_release(N_("it carries more than one vector and one signed line"))
        values, line = read_values(content, "q"), content["config"]["line"]
        if len(values) != permit.run.order.plan.length():
            raise _not_a_release(N_("its vector has another length than the plan"))
        said = parse(open_entry(line).payload) if isinstance(line, bytes) else None
    except Malformed as error:
        raise _not_a_release(N_("it is not one vector of whole numbers and one signed line")) from error
    if not isinstance(said, Contribution) or said.bundle != permit.run.order.bundle:
        raise _not_a_release(N_("its line is not about a contribution of the agreed code"))
    return values, line


def _not_the_round(what: str) -> Refused:
    return Refused(
        what,
        why=N_("the node checks every message against its own copy of the log"),
        do=N_("nothing was spent or sent; tell the chamber"),
        code="GUARD",
        reason="log",
    )


def _not_a_release(why: str) -> Refused:
    return Refused(
        N_("what the app gave back may not leave this machine"),
        why=why,
        do=N_("report this: it is a fault or an attack"),
        code="REPLY",
    )
