"""All members of a trust as one ClientApp, for Flower's own simulation: node `partition-id` = i is member i.

Ray runs the app in another process, so what a member is made of lies in a folder: its key, its numbers, the log.
"""

import json
from array import array
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from contracts.envelope import from_base64, to_base64
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY
from engine.rounds import KEYS, SHARES, SURVIVORS, UNMASK, client_app
from simulator import Firm
from sums import MemberSide


def write(folder, trust, values):
    """Put the members and their numbers into the folder."""
    held = [[firm.member, firm.node.private_bytes_raw().hex(), list(values[firm.member])] for firm in trust.firms]
    (folder / "members.json").write_text(json.dumps(held), encoding="ascii")
    write_log(folder, trust)


def write_log(folder, trust):
    """Put the log as it is now into the folder."""
    (folder / "log.json").write_text(json.dumps([to_base64(entry) for entry in trust.entries]), encoding="ascii")


class WrittenTrust:
    """The trust as a member's copy of the log says."""

    def __init__(self, folder):
        self._folder = folder
        held = json.loads((folder / "members.json").read_text("ascii"))
        self.firms = [Firm(member, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))) for member, key, _ in held]
        self.values = [array("q", numbers) for _, _, numbers in held]

    @property
    def state(self):
        """The fold of the log as it is written now."""
        state = EMPTY
        for index, text in enumerate(json.loads((self._folder / "log.json").read_text("ascii"))):
            state, _ = apply(state, from_base64(text), index)
        return state

    @property
    def run(self):
        """The run that was ordered last."""
        return self.state.runs_in_order()[-1]


class SimulatedSide(MemberSide):
    """See MemberSide; plain where no secure sum is agreed, and with new masks each round."""

    def contribute(self, asked, model):
        """See engine.rounds.Side."""
        self.published, agreed = None, self.trust.state.agreements[self.trust.run.order.agreement]
        return (self.values, b"") if agreed.terms.secure_sum == "none" else super().contribute(asked, model)


@cache
def member_app(folder, place):
    """The product's own app over one member; kept while the process lives, as its secrets are."""
    trust = WrittenTrust(Path(folder))
    return client_app(SimulatedSide(trust, trust.firms[place], Path(folder), trust.values[place]))


def fleet_app(folder):
    """The app of all nodes."""
    app, folder = ClientApp(), str(folder)

    def answer(message, context):
        return member_app(folder, int(context.node_config["partition-id"]))(message, context)

    def name(message, context):
        content = RecordDict({"config": ConfigRecord({"place": int(context.node_config["partition-id"])})})
        return Message(content, reply_to=message)

    app.train()(answer)
    for step in (KEYS, SHARES, SURVIVORS, UNMASK):
        app.query(step.partition(".")[2])(answer)
    app.query("name")(name)
    return app
