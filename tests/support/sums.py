"""Members of a secure sum in one process: the node's own `Masking` over LocalGrid, with drop-outs, copies, disorder."""

import random
from array import array

from client_node.ledger.ledger import Budget
from client_node.rounds.masking import Masking, sum_round
from contracts.envelope import seal
from contracts.errors import Unavailable
from contracts.statements.closed_list import payload
from contracts.statements.signed import read_statement
from coordinator.learning.secure_sums import RoundOpened, SecureSum
from engine.rounds import STEPS, TRAIN, LocalGrid, RoundRequest, client_app
from simulator import Trust

# the points of Curve25519 on which every private key agrees with zero, in all spellings (RFC 7748, section 6.1)
_P = 2**255 - 19
_U = (
    0,
    1,
    _P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
SMALL_ORDER = tuple(
    (number | top << 255).to_bytes(32, "little")
    for u in _U
    for number in (u, u + _P)
    if number < 2**255
    for top in (0, 1)
)

# sound points in another spelling: X25519 reads them, but no private key leads to these bytes
RESPELLED = tuple(number.to_bytes(32, "little") for number in (9 + (1 << 255), _P + 9, _P + 2 + (1 << 255), 2**256 - 1))


class MemberSide:
    """See engine.rounds.Side: fixed numbers instead of rows."""

    def __init__(self, trust, firm, folder, values, silent=()):
        self.trust, self.firm, self.values, self.silent = trust, firm, values, set(silent)
        self.published = None  # as the ledger keeps the bytes that were sent
        self.path = folder / f"{trust.firms.index(firm)}.db"
        self.start()

    def start(self):
        """A new process over the same disk."""
        self.budget = Budget(self.path)
        self.masking = Masking(self.firm.member, self.firm.node, self.budget)

    def about(self):
        return sum_round(self.trust.state, self.trust.run, self.trust.run.open_round())

    def hear(self, step):
        if step in self.silent:
            raise Unavailable("gone")

    def contribute(self, asked, model):
        self.hear(TRAIN)
        self.masking.take_step(self.about(), TRAIN, asked.parts)
        if self.published is None:
            self.published = self.masking.mask(self.about(), self.values)
        return self.published, b"line"

    def take_step(self, step, asked):
        self.hear(step)
        return self.masking.take_step(self.about(), step, asked.parts)


def with_keys(line, key, change):
    """A member's signed keys with some changed, signed again."""
    said = read_statement(line).said.model_copy(update=change)
    return seal(payload(said), [key])


class Weather(LocalGrid):
    """Every message comes twice, in any order, and so do the replies. Keeps what passed, as the coordinator saw it."""

    def __init__(self, apps, seed):
        super().__init__(apps)
        self.draw, self.passed = random.Random(seed), []

    def push_messages(self, messages):
        messages = list(messages)
        self.draw.shuffle(messages)
        names = []
        for message in messages:
            [name] = super().push_messages([message])
            first = self._replies[name]
            super().push_messages([message])
            if not first.has_error():
                assert first.content == self._replies[name].content, "the same question has the same answer"
                self.passed.append((message.metadata.message_type, first.content))
            names.append(name)
        return names

    def pull_messages(self, names):
        found = list(super().pull_messages(names))
        self.draw.shuffle(found)
        return found


class Sum:
    """One open round of `n` members; `gone` = {step: how many members are silent from that step on}."""

    def __init__(self, folder, n, gone=None, seed=1, **terms):
        self.trust = Trust(members=n, secure_sum="required", **terms)
        for firm in self.trust.firms:
            self.trust.consent(firm)
        self.trust.order(deadline_s=20)
        self.trust.open(deadline_s=20)
        assert self.trust.findings == []
        self.draw = random.Random(seed)
        self.firms = {firm.member: firm for firm in self.trust.firms}
        self.names = tuple(sorted(self.firms))
        length = self.trust.run.order.plan.length()
        order, left = self.draw.sample(self.names, n), dict.fromkeys(self.names, ())
        for step, count in (gone or {}).items():
            for _ in range(count):
                left[order.pop()] = STEPS[STEPS.index(step) :]
        self.sides = {
            name: MemberSide(self.trust, firm, folder, self.numbers(length), left[name])
            for name, firm in self.firms.items()
        }
        self.stayed = [name for name in self.names if TRAIN not in left[name]]
        self.withdrawn, self.broken = set(), []

    def numbers(self, length):
        return array("q", (self.draw.randrange(-(2**29), 2**29) for _ in range(length)))

    def opened(self):
        record = self.trust.run.open_round()
        return RoundOpened(record.opened.round, record.open_index, self.names, tuple(range(len(self.names))))

    def grid(self, seed=1):
        return Weather({place: client_app(self.sides[name]) for place, name in enumerate(self.names)}, seed)

    def accepted(self, opened, replies):
        """See coordinator.learning.secure_sums.Cut."""
        replies = [reply for reply in replies if reply.member not in self.withdrawn]
        return sorted(replies, key=lambda reply: reply.member), len(self.trust.entries)

    def malformed(self, opened, step, member):
        self.broken.append((step, member))

    def node_keys(self, opened):
        return dict(self.sides[self.names[0]].about().node_keys)

    def combine(self, grid=None):
        run = self.trust.run
        return SecureSum(run.run, run.order, self).combine(grid or self.grid(), self.opened(), array("d", [0.0]))

    def plain(self, names):
        return array("q", map(sum, zip(*(self.sides[name].values for name in names), strict=True)))

    def asked(self, *parts):
        opened = self.opened()
        return RoundRequest(self.trust.run.run, opened.round, opened.index, parts)
