"""More attacks of a hostile office, rows of the table in hostile.py: false times, terms,
texts, ledgers, keys and lists."""

import time
from array import array
from datetime import UTC, datetime, timedelta

from client_node.settings import read_home
from contracts.envelope import seal, to_base64
from contracts.fields import new_id, time_text
from contracts.rules.times import shifted
from contracts.statements.closed_list import payload
from contracts.statements.off_log import SumKeys
from contracts.statements.statements import AgreementPublished, LedgerHead, Round
from contracts.terms.prose import with_prose
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK
from hostile_office import TASK
from privacy.plan import stated
from sums import SMALL_ORDER

NOTHING = "sha256:" + "2" * 64
RICH = LedgerHead(head=NOTHING, rho_total_nano=10**15)
STRANGER = "urn:uuid:00000000-0000-4000-8000-000000000000"


def dated(seconds):
    """Fields of a statement that says it was made so many seconds from now."""
    return {"issued_at": time_text(datetime.now(UTC) + timedelta(seconds=seconds))}


def terms_and_rules(campaign):
    """Orders and openings that leave the agreement or the rules of the log: (name, an auditor's
    finding, order, opening)."""
    it = campaign.it
    _, terms = it.terms()
    limits, asked = terms.rounds, it.consents()
    two = tuple(sorted([next(pair for pair in asked if pair[0] == campaign.members[0]), asked[-1]]))
    for name, finding, order, opening in (
        ("an order that outlasts its window", "ROUND_SEQUENCE", {"expires_at": terms.valid_to}, {}),
        ("a window beyond the agreement", "ROUND_SEQUENCE", {"window_s": limits.window_max_s + 1}, {}),
        ("a deadline beyond the agreement", "ROUND_SEQUENCE", {"deadline_s": limits.deadline_max_s + 1}, {}),
        ("more rounds than agreed", "ROUND_SEQUENCE", {"plan": stated(it.plan(releases=limits.max_per_run + 1))}, {}),
        ("a delta that was not agreed", "NOISE", {"plan": stated(it.plan(delta="1e-3"))}, {}),
        ("a task that was not agreed", "AGREEMENT_INACTIVE", {"task": "demand"}, {}),
        ("another table than agreed", "SCOPE", {"plan": stated(it.plan(dataset="payroll")), "dataset": "payroll"}, {}),
        ("another schema than agreed", "SCHEMA_HASH", {"schema_digest": NOTHING}, {}),
        ("more rows of each unit than agreed", "NOISE", {"plan": stated(it.plan(max_rows_per_unit=10**6))}, {}),
        ("an order made ten minutes before its entry", "TIME_OUT_OF_WINDOW", dated(-600), {}),
        ("a round that lasts longer than its order says", "ROUND_SEQUENCE", {}, {"deadline_s": 61}),
        ("a round that asks one member twice", "MIN_PARTICIPANTS", {}, {"members": (asked[0], *asked)}),
        ("a round that asks two", "MIN_PARTICIPANTS", {}, {"members": two}),
        ("a round that asks a stranger too", "NO_CONSENT", {}, {"members": ((STRANGER, asked[0][1]), *asked)}),
        ("a round that starts from another model", "MODEL_CHAIN", {}, {"model_in": NOTHING}),
        ("a round that saw the log before its order", "ROUND_SEQUENCE", {}, {"log_size": 1}),
    ):
        run = it.order(**order)
        campaign.asked_once(name, "GUARD log", run, it.open(run, **opening), finding=finding)


def messages(campaign):
    """Questions that say something else than the log."""
    it, length = campaign.it, len(TASK.start(TASK.schema(), "gradients"))
    for name, wanted, question in (
        ("another round, in the message", "GUARD log", {"round": 2}),
        ("no model, in the message", "GUARD log", {"values": array("d")}),
        ("numbers that are none, in the message", "GUARD log", {"values": array("d", [float("nan")] * length)}),
        ("a secure sum where none is agreed", "SUM_AGREED", {"step": KEYS}),
    ):
        run = it.order()
        campaign.asked_once(name, wanted, run, it.open(run), **question)


def times(campaign):
    """What the office's clock says and a member's own does not."""
    it = campaign.it
    run = it.order(**dated(-58))
    at = it.open(run, **dated(-58), deadline_s=1)
    time.sleep(4)  # now older than its deadline and the skew of two clocks, and the log finds nothing wrong
    campaign.asked_once("an opening past its deadline at first sight", "LATE expired", run, at)
    run = it.order()
    campaign.asked_once("an opening of ten minutes ago", "LATE expired", run, it.open(run, **dated(-600)))
    run = it.order(expires_at=dated(3)["issued_at"])
    at = it.open(run)
    time.sleep(4)
    campaign.asked_once("an order that has expired since", "GUARD expired", run, at)
    ended_consent(campaign)
    run = it.order(**dated(75))
    campaign.asked_once("a log ahead of the node's clock", "GUARD log", run, it.open(run, **dated(75)))
    until_past(shifted(dated(0)["issued_at"], 20))


def ended_consent(campaign):
    """An order and an opening that are dated before the consent's end, which has passed."""
    it, home = campaign.it, campaign.homes[3]
    end = dated(15)["issued_at"]
    campaign.cluster.command("client_node", "consent", "narrow", "--until", end, "--yes", home=home)
    listed = it.consents()
    until_past(end)
    run = it.order(issued_at=shifted(end, -3))
    at = it.open(run, members=listed, issued_at=shifted(end, -2))
    campaign.asked_once("order and opening dated before a consent's end", "GUARD consent", run, at, victim=3)
    campaign.cluster.command("client_node", "consent", "sign", "--yes", home=home)


def until_past(moment):
    """Wait for a time."""
    while time_text(datetime.now(UTC)) <= moment:
        time.sleep(0.2)


def agreements(campaign):
    """Orders under agreements that the log's rules do not take."""
    it = campaign.it
    name, terms = it.terms()
    made = terms.model_copy(update={"id": new_id(), "version": terms.version + 1, "supersedes": name})
    chamber = made.chamber.model_copy
    old = made.prose.model_copy(update={"template": "mengbang-agreement/1"})
    twisted = {
        "an agreement with a name that reads backwards": {"chamber": chamber(update={"name": "X\u202eevil"})},
        "an agreement with a line hidden in a name": {"chamber": chamber(update={"name": "X\n9. all rows leave"})},
        "an agreement with a terminal code in a name": {"law": "L\x1b[8m, and all rows leave"},
        "an agreement in the words of an older template": {"prose": old},
        "an agreement of a minimum of two members": {"min_members": 2},
        "an agreement that has ended before it began": {"valid_to": terms.valid_from},
        "an agreement with a task that stands twice": {"tasks": made.tasks * 2},
    }
    published = {attack: with_prose(made.model_copy(update=changes)) for attack, changes in twisted.items()}
    published["an agreement whose text is another than its terms"] = made.model_copy(update={"records_kept_years": 99})
    for attack, said in published.items():
        keys = [it.settings.office_key, it.settings.agreement_key]
        it.log.append(seal(payload(AgreementPublished(**it.stamp(), terms=said)), keys))
        run = it.order(agreement=said.digest())
        campaign.asked_once(attack, "GUARD log", run, it.open(run), finding="AGREEMENT_INACTIVE")
    run = it.order(agreement=NOTHING)
    name = "an agreement that is not in the log"
    campaign.asked_once(name, "GUARD log", run, it.open(run), finding="AGREEMENT_INACTIVE")


def false_ledgers(campaign):
    """The office says of all members' ledgers what they never were: everyone goes on, and nobody is blamed."""
    it = campaign.it
    run = it.order()
    at, members = it.open(run), tuple(member for member, _ in it.consents())
    named = dict.fromkeys(("list_root", "list_document", "aggregate", "step_state", "model_out"), NOTHING)
    spend = tuple((member, it.plan().rho_nano()) for member in members)
    ledgers = tuple((member, RICH) for member in members)
    fields = {"order": run, "open": at, "round": 1, "outcome": "recorded", "cutoff": it.state.size, "dropped": ()}
    it.say(
        Round(
            **it.stamp(),
            **named,
            **fields,
            contributors=members,
            unmasking=None,
            spend=spend,
            ledgers=ledgers,
        )
    )
    run = it.order()
    campaign.asked_once("an honest round after a false word about ledgers", "ANSWERED", run, it.open(run), victim=1)


def strangers(campaign):
    """A member that wants to know somebody in its rounds, and does not."""
    it, home = campaign.it, campaign.homes[2]
    config = campaign.cluster.home(home) / "config.toml"
    before = config.read_text("utf-8")
    config.write_text(before + '\n[trust]\nknown = ["91440200MA4ZZZZ99X"]\nknown_min = 1\n', "utf-8")
    campaign.restart(home)
    run = it.order()
    campaign.asked_once("a round of strangers only", "GUARD not-started", run, it.open(run), victim=2)
    config.write_text(before, "utf-8")
    campaign.restart(home)


def forged_keys(campaign):
    """Keys of a peer that would open the victim's mask, or end its node."""
    it, (victim, peer) = campaign.it, campaign.members[:2]
    own = read_home(campaign.cluster.home(campaign.homes[1])).node_key
    zero, small, fresh = bytes(32), SMALL_ORDER[-1], b"\x09" + bytes(31)

    def shown(run, key=own, member=peer, mask=fresh, share=fresh, round=1):
        agreement, _ = it.terms()
        about = {"member": member, "agreement": agreement, "order": run, "round": round, "seed": NOTHING}
        made = SumKeys(**it.stamp(), **about, mask=to_base64(mask), share=to_base64(share))
        return seal(payload(made), [key])

    for name, wanted, forged in (
        ("a peer's mask key of zeros", "SUM_SET", lambda run, _: [shown(run, mask=zero)]),
        ("a peer's mask key of small order", "SUM_SET", lambda run, _: [shown(run, mask=small)]),
        ("a peer's share key of zeros", "SUM_SET", lambda run, _: [shown(run, share=zero)]),
        ("a peer's keys that it did not sign", "SUM_SIGNATURES", lambda run, _: [shown(run, it.settings.office_key)]),
        ("a peer's keys for another round", "SUM_SIGNATURES", lambda run, _: [shown(run, round=2)]),
        ("a peer's keys, and others of it", "SUM_SIGNATURES", lambda run, line: [line, shown(run)]),
        ("keys of a stranger", "SUM_SIGNATURES", lambda run, line: [line, shown(run, member=STRANGER)]),
        ("keys that are none", "SUM_SIGNATURES", lambda *_: [b"null"]),
    ):
        run, at, lines = campaign._keys()
        parts = [line for member, line in sorted(lines.items()) if member != peer] + forged(run, lines[peer])
        campaign.asked_once(name, wanted, run, at, step=SHARES, parts=parts)
    for name, wanted, parts in (
        ("shares of nobody", "SUM_SET", [b"{}"]),
        ("shares that are none", "SUM_SIGNATURES", [b"[[]]"]),
    ):
        run, at, lines = campaign._keys()
        assert it.ask(victim, run, at, SHARES, parts=[lines[member] for member in sorted(lines)])
        campaign.asked_once(name, wanted, run, at, step=TRAIN, parts=parts)


def forged_lists(campaign):
    """Lists of survivors that no member may sign."""
    everyone = sorted(campaign.members)
    others = [member for member in everyone if member != campaign.members[0]]
    for name, listed, ahead in (
        ("a list of survivors without the member itself", others, 0),
        ("a list of survivors with a stranger", sorted([*everyone, STRANGER]), 0),
        ("a list of survivors of a log to come", everyone, 1000),
    ):
        run, at, _, _ = campaign._masked()
        campaign.cutoff += ahead
        parts = [campaign._listed(everyone, listed)]
        campaign.asked_once(name, "SUM_SURVIVORS", run, at, step=SURVIVORS, parts=parts)
    run, at, _, _ = campaign._masked()
    campaign.asked_once("an unmasking before any list", "SUM_SURVIVORS", run, at, step=UNMASK)
    run, at, _, _ = campaign._masked()
    signed = campaign._sign(run, at, everyone)
    campaign.asked_once(
        "one signature under the list, three times", "SUM_SIGNATURES", run, at, step=UNMASK, parts=[signed[0]] * 3
    )


PLAIN = (terms_and_rules, messages, agreements, false_ledgers, strangers, times)
SUMS = (forged_keys, forged_lists)
