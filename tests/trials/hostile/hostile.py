"""A hostile coordinator over real HTTPS: the office's own keys and log, real node processes, every attack we know.

`make hostile` (python tests/trials/hostile/hostile.py) runs all and prints, for each attack: bytes of data that left a
node from then on (as the coordinator received them), the typed refusal, whether the node's signed refusal stands in the
log, and whether its own status shows it. Then it repeats a few against nodes whose rules are patched out: those must
leak, or this script could not tell. Ends with 1 if any cell is wrong.
"""

import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# ruff: noqa: E402 (a script that must find the project first)

import hostile_words
from client_node.ledger.ledger import Budget
from contracts.envelope import canonical, digest, strict_json
from contracts.statements.artefact import model
from demo.world import write
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK
from hostile_office import RELEASES, TASK, Coordinator, until
from privacy.plan import stated
from warm import WarmCluster, command

OTHER = "sha256:" + "1" * 64
ABORTED_MAX = 12
GROUPS = {"rule": "groups", "size": 3, "colluders": 0, "after_leaving": "go-on"}


@dataclasses.dataclass
class Row:
    """One line of the table."""

    attack: str
    wanted: str
    data: int
    refused: list
    logged: list
    ended: int
    found: set  # what an honest auditor finds in what the office has logged for this attack
    finding: str = ""  # and must find
    broken: str = ""

    def is_right(self):
        if self.ended or (self.finding and self.finding not in self.found):
            return False
        if self.broken:
            return self.data > 0  # a node without this rule must leak, or the other rows would prove nothing
        code, _, reason = self.wanted.partition(" ")
        if code == "ANSWERED":
            return self.data > 0 and not self.logged
        said = {"BURNT": {"restarted"}, "LATE": set()}.get(code, {reason or "secure-sum"})
        return self.data == 0 and self.wanted in self.refused and set(self.logged) == said

    def text(self):
        shown = ", ".join(self.refused) or "-"
        logged = ", ".join(sorted(set(self.logged))) or "no"
        verdict = "" if self.is_right() else f"   WRONG: wanted {self.wanted} {self.finding}, {self.ended} nodes ended"
        if self.broken:
            verdict = f"   rules of {self.broken} patched out: " + (
                "leaks" if self.is_right() else "WRONG: does not leak"
            )
        return f"{self.attack:<52} {self.data:>6}  {shown:<20} {logged:<12}{verdict}"


HEAD = f"{'attack':<52} {'bytes':>6}  {'on the node: status':<20} {'in the log':<12}"


class Campaign:
    """Attacks one after another on the nodes of one trust."""

    def __init__(self, coordinator, homes):
        self.it, self.cluster, self.homes = coordinator, coordinator.cluster, homes
        self.members = [self._status(home)["member"] for home in homes]
        self.rows, self.broken, self.refused = [], "", dict.fromkeys(homes, 0)

    def _status(self, home):
        return self.cluster.json("client_node", "status", home=home)

    def _shown(self, home):
        """What this node's ledger says that it refused."""
        return [
            f"{code} {reason}".strip() for _, code, reason, _ in Budget(self.cluster.home(home) / "ledger.db").refused()
        ]

    def status_agrees(self):
        """Whether each node's own status shows its member just that."""
        shown = {
            home: [f"{r['code']} {r['reason']}".strip() for r in self._status(home)["refused"]] for home in self.homes
        }
        return shown == {home: self._shown(home) for home in self.homes}

    def journals_agree(self, homes):
        """What each of these nodes' own journal of leaves shows is exactly what the coordinator received from it."""
        for home in homes:
            rows = self.cluster.json("client_node", "leaves", home=home)
            own = sorted(row["digest"] for row in rows if row["kind"] in ("contribution", "sum-step"))
            key = self.it.node_key(self.members[self.homes.index(home)])
            if own != sorted(digest(body) for who, _, body in self.it.wire.got if who == key):
                return False
        return True

    @contextlib.contextmanager
    def attack(self, name, wanted, run, victim=0, finding=""):
        """Measure what happens inside: bytes on the wire, refusals typed, logged and shown."""
        home, member = self.homes[victim], self.members[victim]
        mark, entries = len(self.it.wire.bodies), self.it.state.size
        yield
        all_shown = self._shown(home)
        shown, self.refused[home] = all_shown[self.refused[home] :], len(all_shown)
        logged = [said.reason for said in self.it.refusals(member, run, entries)]
        ended = sum(self.cluster.processes[one].poll() is not None for one in self.homes)
        found = {code for _, codes in self.it.judged()[self.it.ordered :] for code in codes}
        self.rows.append(Row(name, wanted, self.it.wire.data(mark), shown, logged, ended, found, finding, self.broken))
        print(self.rows[-1].text(), flush=True)

    def asked_once(self, name, wanted, run, open_index, victim=0, finding="", **question):
        """An attack that is one question to one node."""
        with self.attack(name, wanted, run, victim, finding):
            self.it.ask(self.members[victim], run, open_index, late=wanted.startswith("LATE"), **question)

    def agree(self, secure_sum, **changes):
        """Another agreement, to which everybody consents."""
        agree(self.cluster, secure_sum, **changes)
        self.it.publish()
        for home in self.homes:
            self.cluster.command("client_node", "consent", "sign", "--yes", home=home)

    # What is asked for -------------------------------------------------------------------------------------------

    def orders(self):
        """Orders and messages that want more, or other things, than was agreed."""
        it, plan = self.it, self.it.plan()
        wide = dataclasses.replace(plan.shape, layers=tuple((i + 1, o) for i, o in plan.shape.layers))
        longer = TASK.start(TASK.schema(), "gradients") * 2
        for name, changes in {
            "smaller sigma at the same price": {"plan": it.plan(sigma_steps=plan.sigma_steps // 10)},
            "smaller sigma at its price, beyond the agreement": {"plan": stated(it.plan(sigma_steps=2**20))},
            "longer vector in the plan": {"plan": stated(dataclasses.replace(plan, shape=wide))},
            "longer start model": {"model_start": digest(model("risk", longer).to_bytes())},
            "another bundle digest, not agreed": {"bundle": "sha256:" + "2" * 64},
            "a sum of one member, by the order": {"min_members": 1},
            "no release gate, though one is agreed": {"gate": None},
        }.items():
            run = it.order(**changes)
            self.asked_once(name, "GUARD " + ("plan" if "in the plan" in name else "log"), run, it.open(run))
        run = it.order(bundle=OTHER)
        self.asked_once("another bundle digest, agreed, not installed", "GUARD bundle", run, it.open(run))
        logged = it.order()
        run = it.order(logged=False)
        self.asked_once("an order that is not in the log", "GUARD log", run, it.open(logged))
        for name, question in {
            "wider clip, in the message": {"header": b'"clip":"30"'},
            "smaller sigma, in the message": {"header": b'"sigma_steps":1'},
            "extra metric, in the message": {"header": b'"metrics":["loss"]'},
            "extra metric, as a step of its own": {"step": "evaluate"},
            "rows, as a query": {"step": "query.rows"},
            "longer vector, in the message": {"values": longer},
        }.items():
            run = it.order()
            self.asked_once(name, "GUARD log", run, it.open(run), **question)

    def guarded(self):
        """What the guard alone stands between."""
        it = self.it
        run = it.order()
        self.asked_once("a round out of order", "GUARD log", run, it.open(run, 3), round=3)
        run = it.order()
        stale = tuple((m, at - 1) for m, at in it.consents())
        self.asked_once("a consent named by another entry", "GUARD log", run, it.open(run, members=stale))

    def rounds(self):
        """Rounds that were there before, or not yet; consents that are not live."""
        it, victim = self.it, self.members[0]
        run = it.order()
        assert it.ask(victim, run, it.open(run)), "an honest round is answered"
        self.asked_once("the same round twice", "GUARD log", run, it.open(run))
        self.guarded()
        run, listed = it.order(), it.consents()
        self.cluster.command("client_node", "consent", "withdraw", home=self.homes[3])
        at = it.open(run, members=listed)
        with self.attack("a consent that was withdrawn", "GUARD consent", run, victim=3):
            it.ask(self.members[3], run, at)
        self.cluster.command("client_node", "consent", "sign", "--yes", home=self.homes[3])

    def aborted(self, rounds):
        """Rounds by the hundred that end without a sum: after the consented number nothing more is answered."""
        it, spent = self.it, 0
        while spent < rounds:
            run = it.order()
            for round in range(1, min(RELEASES, rounds - spent) + 1):
                index, _ = it.say(it.opening(run, round))
                it.abort(run, index, round)
            spent += round
        run = it.order()
        name = f"{rounds} aborted rounds, and one more"
        self.asked_once(name, "GUARD budget", run, it.open(run), victim=1)

    # The secure sum ----------------------------------------------------------------------------------------------

    def sums(self):
        """Everything that could open one member's contribution."""
        it, members = self.it, self.members
        run, at, lines = self._keys()
        with self.attack("a secure sum of one member", "SUM_SET", run):
            it.ask(members[0], run, at, SHARES, parts=[lines[members[0]]])
        run, at, lines, sealed = self._masked()
        with self.attack("a second set of members for a masked release", "SUM_TWICE", run):
            it.ask(members[0], run, at, parts=[incoming(sealed, members[0], self._without_one())])
        self.remembered()
        run, at = self._revealed()
        with self.attack("both secrets of a peer", "SUM_TWICE", run):
            self._ask_for_the_other(run, at)

    def remembered(self):
        """The first node signs one list of survivors; is there another?"""
        run, at, _, _ = self._masked()
        self._sign(run, at, sorted(self.members))
        with self.attack("a changed list of survivors", "SUM_TWICE", run):
            other = self._listed(self.members, self._without_one())
            self.it.ask(self.members[0], run, at, SURVIVORS, parts=[other])

    def groups(self):
        """Sums with and without one member, of which the difference would be its totals."""
        run, at, _, _ = self._masked()
        with self.attack("a list of survivors that splits a group", "SUM_SURVIVORS", run):
            self.it.ask(self.members[0], run, at, SURVIVORS, parts=[self._listed(self.members, self._without_one())])
        self.second_order()

    def second_order(self):
        """The first one had everybody."""
        it, victim = self.it, self.members[3]
        run = it.order()
        without = it.open(run, members=tuple(pair for pair in it.consents() if pair[0] != victim))
        self.asked_once("a second order without one member of a group", "GUARD log", run, without, step=KEYS)

    def sums_across_restarts(self):
        """Both secrets of a peer from a node that was killed, or brought back from a copy of its folder."""
        home = self.homes[0]
        run, at = self._revealed()
        with self.attack("both secrets of a peer, after SIGKILL", "BURNT", run):
            self.restart(home)
            self._ask_for_the_other(run, at)
        copied = self.cluster.folder / "copy"
        run, at = self._revealed(lambda: shutil.copytree(self.cluster.home(home), copied))
        with self.attack("both secrets of a peer, after a restored backup", "BURNT", run):
            self.restart(home, from_copy=copied)
            self._ask_for_the_other(run, at)
        older = self.cluster.folder / "older"
        shutil.copytree(self.cluster.home(home), older)
        self._masked()
        run = self.it.order()
        self.it.ask(self.members[0], run, self.it.open(run), "evaluate")  # its refusal shows its ledger on the log
        self.restart(home, from_copy=older)
        self.refused[home] = len(self._shown(home))
        run = self.it.order()
        self.asked_once("a ledger from before what the log has seen", "GUARD ledger", run, self.it.open(run), step=KEYS)

    def restart(self, home, from_copy=None):
        self.cluster.stop(home, kill=True)
        if from_copy:
            shutil.rmtree(self.cluster.home(home))
            shutil.copytree(from_copy, self.cluster.home(home))
        self.cluster.run_node(home)
        self.wait_for(home)

    def wait_for(self, home):
        """Until a node that was started again has read the log and asks for work: rounds opened before are burnt."""
        key = self.it.node_key(self.members[self.homes.index(home)])
        self.it.wire.asking.discard(key)
        until(lambda: key in self.it.wire.asking, f"{home} is back", 180)

    def _ask_for_the_other(self, run, at):
        """First the list without a peer, then what it would open, in this order."""
        it, names = self.it, sorted(self.members)
        asked = self._listed(names, self._without_one())
        signed = it.ask(self.members[0], run, at, SURVIVORS, parts=[asked])
        if signed:
            others = [it.ask(m, run, at, SURVIVORS, parts=[asked]) for m in self.members[1:3]]
            it.ask(self.members[0], run, at, UNMASK, parts=[s[0] for s in (signed, *others) if s])

    def _without_one(self):
        return sorted(self.members[:3])

    def _listed(self, masked, survivors):
        return canonical({"cutoff": self.cutoff, "masked": sorted(masked), "survivors": sorted(survivors)})

    def _keys(self):
        it = self.it
        run = it.order()
        at = it.open(run)
        self.cutoff = it.state.size
        return run, at, {m: line for m, (line, _) in self._all(run, at, KEYS, lambda _: ()).items()}

    def _masked(self):
        """A round in which all members have sent their masked contributions."""
        names = sorted(self.members)
        run, at, lines = self._keys()
        shown = [lines[m] for m in names]
        sealed = {m: strict_json(told) for m, (_, told) in self._all(run, at, SHARES, lambda _: shown).items()}
        assert all(self._all(run, at, TRAIN, lambda member: [incoming(sealed, member, names)]).values())
        return run, at, lines, sealed

    def _all(self, run, at, step, parts):
        """What all members answer, asked at once: {member: (line, payload)}."""
        with ThreadPoolExecutor(len(self.members)) as pool:
            asked = {m: pool.submit(self.it.ask, m, run, at, step, parts=parts(m)) for m in sorted(self.members)}
            return {member: answer.result() for member, answer in asked.items()}

    def _sign(self, run, at, survivors):
        asked = self._listed(self.members, survivors)
        return [self.it.ask(m, run, at, SURVIVORS, parts=[asked])[0] for m in survivors]

    def _revealed(self, before=lambda: None):
        """A round that is over, every node having shown one share of each peer's one secret."""
        run, at, _, _ = self._masked()
        before()
        signed = self._sign(run, at, sorted(self.members))
        told = strict_json(self.it.ask(self.members[0], run, at, UNMASK, parts=signed)[1])
        assert set(told) == set(self.members), "one share of each"
        return run, at


def incoming(sealed, member, senders):
    return canonical({peer: sealed[peer][member] for peer in sorted(set(senders)) if peer != member})


# Nodes that do not keep their rules --------------------------------------------------------------------------------


def believe_everything():
    """A node without its guard: whatever is asked is permitted."""
    import client_node.rounds.node
    from client_node.ledger.chain import Caps
    from client_node.rounds.guard import Permit

    def authorise(state, member, *, run, open_index, now, **_ignored):
        ordered = state.runs[run]
        return Permit(ordered, ordered.rounds[-1], Caps(10**12, 10**12, 10**12, now[:4], now))

    client_node.rounds.node.authorise = authorise


def forget_everything():
    """A node whose secure sum has no memory: it says another thing each time it is asked."""
    from client_node.ledger.ledger import Budget
    from client_node.rounds.masking import Masking

    Budget.pledge = lambda self, run, round, said: None
    Masking._once = lambda self, held, step, asked, answer: answer(held.secrets)


BROKEN = {"the guard": believe_everything, "the secure sum": forget_everything}


@contextlib.contextmanager
def broken(campaign, rules):
    """The first node as a process whose `rules` are patched out."""
    cluster, home = campaign.cluster, campaign.homes[0]
    cluster.stop(home, kill=True)
    cluster.start_work(home, run_broken_node, (rules, str(cluster.home(home))))
    campaign.wait_for(home)
    campaign.broken = rules
    yield
    campaign.broken = ""
    campaign.restart(home)


def run_broken_node(rules, home):
    """A node whose rules are patched out; what a process of its own does."""
    BROKEN[rules]()
    command("client_node", "run", "--home", home)


# The whole story ---------------------------------------------------------------------------------------------------


def agree(cluster, secure_sum, **changes):
    """Publish the next agreement: generous in numbers of orders, so that every attack can have a run of its own."""
    draft = cluster.folder / "agreement.json"
    cluster.command("coordinator", "agreement", "draft", "--task", "risk", "--out", draft, home="chamber")
    terms = json.loads(draft.read_text(encoding="utf-8"))
    terms |= {"secure_sum": secure_sum, "bundles": [*terms["bundles"], OTHER]} | changes
    terms["rounds"] |= {"orders_max": 1000, "aborted_max": ABORTED_MAX, "interval_min_s": 0}
    draft.write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
    cluster.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")


@contextlib.contextmanager
def trust(folder):
    """Four member nodes, and a coordinator in the wrong hands."""
    with WarmCluster(folder, "en") as cluster:
        cluster.command(
            "coordinator", "init", "--name", "X", "--domain", "localhost", "--url", cluster.url, home="chamber"
        )
        agree(cluster, "none")
        with Coordinator(cluster) as coordinator:
            members = write(folder / "world", 4, "tiny")
            homes = [cluster.join(number, name, data) for number, (name, data) in enumerate(members, 1)]
            for home in homes:
                cluster.run_node(home)
            yield Campaign(coordinator, homes)
            cluster.close()


def wage(campaign, aborted=100):
    """All attacks, on nodes as they are and on nodes without their rules; the rows of the table.
    No honest member is blamed."""
    campaign.orders()
    campaign.rounds()
    for attacks in hostile_words.PLAIN:
        attacks(campaign)
    with broken(campaign, "the guard"):
        campaign.guarded()
    campaign.agree("required")
    campaign.sums()
    for attacks in hostile_words.SUMS:
        attacks(campaign)
    with broken(campaign, "the secure sum"):
        campaign.remembered()
    campaign.agree("required", totals=GROUPS)
    campaign.groups()
    with broken(campaign, "the guard"):
        campaign.second_order()
    assert campaign.it.blamed() == []  # before we cheat with members' own disks
    campaign.sums_across_restarts()
    campaign.aborted(aborted)
    assert campaign.status_agrees()
    return campaign.rows


if __name__ == "__main__":
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as place, trust(Path(place)) as campaign:
        rows = wage(campaign)
        journals = campaign.journals_agree(campaign.homes[1:])  # the first one was brought back from a copy
    wrong = [row.attack for row in rows if not row.is_right()]
    print(f"{len(rows)} attacks, {len(wrong)} wrong; what leaves show is what arrived: {'yes' if journals else 'NO'}")
    sys.exit(1 if wrong or not journals else 0)
