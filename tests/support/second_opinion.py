"""The rulebook answered a second time, by brute force, from docs/reference/log-format.md alone.

Nothing of contracts.rules is imported, no state is kept but the history itself: each question is answered by looking
through all that was said before. Slow and plain on purpose; where it and the fold differ, one of them is wrong.
Takes entries whose bytes are well formed (the format's spelling rules have tests of their own), and no evaluations.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stringprep
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

AT_ONCE = {"agreement", "agreement-state", "run-order", "round-open", "round", "release", "erasure", "incident"}
AT_ONCE |= {"gate", "rollback", "authority"}
NEXT = {
    "active": {"suspended", "revoked", "expired"},
    "suspended": {"active", "revoked", "expired"},
    "superseded": {"closed"},
    "revoked": {"closed"},
    "expired": {"closed"},
    "closed": set(),
}
FINER = {"member": ("counterparty", "series", "row"), "counterparty": ("row",), "series": ("row",), "row": ()}
FAULTY = {"agreement", "bundle", "schema", "ledger", "plan", "log"}
OF_ONE_ROUND = {"not-started", "restarted"}
BLANK = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
LATER = (  # ideographs since Unicode 3.2
    "\u4db6-\u4dbf\u9fa6-\u9fff\U0002a6d7-\U0002a6df\U0002a700-\U0002b739\U0002b740-\U0002b81d\U0002b820-\U0002cea1"
    "\U0002ceb0-\U0002ebe0\U00030000-\U0003134a\U00031350-\U000323af"
)
SHOWING = ("consent", "refusal", "privacy-check", "comparison")


@dataclass
class Said:
    """One entry of the history; `good` if no rule was broken, `counts` if its words may use something up."""

    index: int
    digest: str
    kind: str
    p: dict[str, Any]
    signers: set[str]
    good: bool = False
    counts: bool = False


@dataclass
class Opinion:
    """Reads entries one by one; `read` gives the codes of the rules that each breaks."""

    history: list[Said] = field(default_factory=list)

    def read(self, entry: bytes) -> list[str]:
        """Sorted codes of what is wrong with the next entry."""
        envelope = json.loads(entry)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        kind = statement["predicateType"].split(":")[3]
        said = Said(len(self.history), digest(entry), kind, statement["predicate"], set())
        codes = self._signed(said, envelope)
        if not codes:
            codes = self._place(said) + self._signers(said)
            if not codes:
                said.counts = True
                codes = self._time(said) or getattr(self, "_" + kind.replace("-", "_"))(said)
                said.good = not codes
        self.history.append(said)
        return sorted(codes)

    # looking things up

    def good(self, *kinds: str) -> list[Said]:
        return [s for s in self.history if s.good and s.kind in kinds]

    def keys(self) -> dict[str, dict[str, Any]]:
        """KeyId -> member, role, whether it has ended."""
        found: dict[str, dict[str, Any]] = {}
        for s in self.good("genesis", "key", "key-state"):
            if s.kind == "genesis":
                log = base64.b64encode(base64.b64decode(s.p["log_vkey"].split("+", 2)[2])[1:]).decode()
                for role, public in (("office", s.p["office"]), ("agreement", s.p["agreement"]), ("log", log)):
                    found[key_id(public)] = {"member": None, "role": role, "public": public, "ended": False}
            elif s.kind == "key":
                if s.p["replaces"]:
                    found[s.p["replaces"]]["ended"] = True
                found[key_id(s.p["public"])] = {**s.p, "ended": False}
            else:
                found[s.p["key"]]["ended"] = True
        return found

    def seat(self, member: str | None, role: str) -> str | None:
        """The last key of a member in a role, ended or not."""
        held = [k for k, v in self.keys().items() if (v["member"], v["role"]) == (member, role)]
        return held[-1] if held else None

    def live(self, member: str | None, role: str) -> set[str]:
        held = self.seat(member, role)
        return {held} if held and not self.keys()[held]["ended"] else set()

    def auditors(self) -> set[str]:
        return {k for k, v in self.keys().items() if v["role"] == "auditor" and not v["ended"]}

    def members(self) -> set[str]:
        return {v["member"] for v in self.keys().values() if v["role"] == "node" and not v["ended"]}

    def terms(self, agreement: str) -> dict[str, Any] | None:
        return next((s.p["terms"] for s in self.good("agreement") if terms_id(s.p["terms"]) == agreement), None)

    def phase(self, agreement: str) -> tuple[str | None, str | None]:
        """(state of an agreement, when it ceased to be active for good)."""
        state, ended = None, None
        for s in self.good("agreement", "agreement-state"):
            if s.kind == "agreement" and terms_id(s.p["terms"]) == agreement:
                state = "active"
            elif s.kind == "agreement" and s.p["terms"]["supersedes"] == agreement and state in ("active", "suspended"):
                state, ended = "superseded", s.p["issued_at"]
            elif s.kind == "agreement-state" and s.p["agreement"] == agreement:
                state = s.p["state"]
                ended = s.p["issued_at"] if state in ("revoked", "expired") else ended
        return state, ended

    def consent(self, member: str, agreement: str, below: int | None = None) -> Said | None:
        mine = [s for s in self.good("consent") if (s.p["member"], s.p["agreement"]) == (member, agreement)]
        return next((s for s in reversed(mine) if below is None or s.index < below), None)

    def order(self, run: str) -> Said | None:
        return next((s for s in self.good("run-order") if s.digest == run), None)

    def rounds(self, run: str) -> list[tuple[Said, Said | None]]:
        """(round-open, the round that ended it) of a run, broken or not."""
        found: list[tuple[Said, Said | None]] = []
        for s in (s for s in self.history if s.counts and s.p.get("order") == run):
            if s.kind == "round-open" and self.order_before(run, s):
                found.append((s, None))
            elif s.kind == "round" and found and found[-1][1] is None:
                found[-1] = (found[-1][0], s)
        return found

    def order_before(self, run: str, s: Said) -> bool:
        order = self.order(run)
        return order is not None and order.index < s.index

    def model(self, run: str) -> str:
        order = self.order(run)
        assert order
        ended = [closed.p["model_out"] for _, closed in self.rounds(run) if closed]
        return str(ended[-1] if ended else order.p["model_start"])

    def idle(self, opened: Said) -> set[str]:
        """Members that said they did not start a round."""
        return {
            s.p["member"]
            for s in self.good("refusal")
            if s.p["reason"] == "not-started" and (s.p["order"], s.p["open"]) == (opened.p["order"], opened.index)
        }

    def refused(self, run: str) -> set[str]:
        order = self.order(run)
        return {
            s.p["member"]
            for s in self.good("refusal")
            if order and s.p["order"] == run and s.index > order.index and s.p["reason"] not in OF_ONE_ROUND
        }

    def spent(self, member: str, plan: dict[str, Any], year: str) -> int:
        """Of the account of `plan`: what was released by its unit, and four times what was by a coarser one."""
        total = 0
        for order in self.good("run-order"):
            o = order.p["plan"]
            if [o["dataset"], o["partition"]] != [plan["dataset"], plan["partition"]]:
                continue
            times = 1 if o["unit"] == plan["unit"] else 4 * (plan["unit"] in FINER[o["unit"]])
            for opened, _ in self.rounds(order.digest):
                if opened.p["issued_at"][:4] == year:
                    listed = {m for m, _ in opened.p["members"]} - self.idle(opened)
                    total += times * cost(o) * (member in listed)
        return total

    def asked(self, member: str, dataset: str, year: str) -> tuple[int, int]:
        """(runs that asked a member, rounds that asked it and ended without a sum) in a year."""
        runs = aborted = 0
        for order in (o for o in self.good("run-order") if o.p["dataset"] == dataset):
            asking = [(o, c) for o, c in self.rounds(order.digest) if member in dict(map(tuple, o.p["members"]))]
            runs += bool(asking) and asking[0][0].p["issued_at"][:4] == year
            ended = [o for o, c in asking if c and c.p["outcome"] == "aborted"]
            aborted += sum(o.p["issued_at"][:4] == year for o in ended)
        return runs, aborted

    def edition_of(self, agreement: str) -> int:
        terms = self.terms(agreement)
        return edition(terms) if terms else 1

    def ledger(self, member: str, agreement: str) -> int:
        """The highest total that counts for a statement under an agreement: since edition 2 what the member itself has
        signed, before also what rounds of edition 1 repeat."""
        mine = [s.p for s in self.good(*SHOWING) if s.p["member"] == member]
        shown = [p["ledger"] for p in mine if p.get("event") != "expire"]
        old = self.edition_of(agreement) == 1
        shown += [
            ledger
            for s in self.history
            if old and s.counts and s.kind == "round" and self.ended_something(s) and self.takes_its_word(s)
            for who, ledger in s.p["ledgers"]
            if who == member
        ]
        return max((ledger["rho_total_nano"] for ledger in shown if ledger), default=-1)

    def takes_its_word(self, s: Said) -> bool:
        order = self.order(s.p["order"])
        return order is not None and self.edition_of(order.p["agreement"]) == 1

    def ended_something(self, s: Said) -> bool:
        return any(closed is s for _, closed in self.rounds(s.p["order"]))

    def not_before(self) -> str:
        times = [s.p["issued_at"] for s in self.history if s.good and s.kind in AT_ONCE]
        return later(max(times), seconds=-60) if times else ""

    def matters(self) -> dict[str, bool]:
        """Digest of what must be answered -> whether it was."""
        found: dict[str, bool] = {}
        for s in self.good("refusal", "key-state", "audit-report", "incident"):
            match s.kind:
                case "refusal":
                    if s.p["reason"] in FAULTY and self.order_before(s.p["order"], s):
                        found[s.digest] = False
                case "key-state":
                    if s.p["state"] == "compromised":
                        found[s.digest] = False
                case "audit-report":
                    if s.p["verdict"] != "clean":
                        found[s.digest] = False
                case "incident":
                    if s.p["about"]:
                        found[s.p["about"]] = True
                    found[s.digest] = s.p["state"] != "open"
        return found

    # what each kind must keep to

    def _signed(self, said: Said, envelope: dict[str, Any]) -> list[str]:
        keys, payload = self.keys(), base64.b64decode(envelope["payload"])
        brought = {key_id(public): public for public in self.brought(said)}
        if any(keys.get(s["keyid"], {}).get("ended") for s in envelope["signatures"]):
            return ["REVOKED_KEY"]
        if any(is_weak(public) for public in brought.values()):
            return ["WEAK_KEY"]
        for signature in envelope["signatures"]:
            name = signature["keyid"]
            public = brought.get(name) or (keys[name]["public"] if name in keys else None)
            if public is None:
                return ["UNKNOWN_KEY"]
            if not verifies(public, base64.b64decode(signature["sig"]), payload):
                return ["BAD_SIGNATURE"]
            said.signers.add(name)
        return []

    def brought(self, said: Said) -> list[str]:
        if said.kind == "genesis":
            log = base64.b64encode(base64.b64decode(said.p["log_vkey"].split("+", 2)[2])[1:]).decode()
            return [said.p["office"], said.p["agreement"], log]
        return [said.p["public"]] if said.kind == "key" else []

    def _place(self, said: Said) -> list[str]:
        codes = ["GENESIS"] if (said.kind == "genesis") != (said.index == 0) else []
        if any(s.counts and s.p["record_id"] == said.p["record_id"] for s in self.history):
            codes.append("DUPLICATE_ENTRY")
        seen = said.p.get("seen")
        if seen and seen["size"] > said.index and said.p.get("event") != "withdraw":
            codes.append("EQUIVOCATION")
        return codes

    def _signers(self, said: Said) -> list[str]:
        office, by, p = self.live(None, "office"), said.signers, said.p
        match said.kind:
            case "genesis":
                fits = by == {key_id(public) for public in self.brought(said)}
            case "key":
                fits = self._admitted(said)
            case "key-state":
                fits = by == {p["key"]} or by == office != set()
            case "agreement":
                fits = bool(office) and by == office | self.live(None, "agreement")
            case "consent" if p["event"] == "expire":
                fits = len(by) == 1
            case "consent" | "refusal" | "privacy-check" | "comparison":
                fits = by == self.live(p["member"], "node") != set()
            case "audit-report":
                fits = len(by) == 1 and by <= self.auditors()
            case "policy":
                fits = bool(office) and office <= by and self._both_groups(by - office)
            case _:
                fits = by == office != set()
        names = {"consent": "CONSENT_NOT_BY_PRINCIPAL", "policy": "POLICY", "agreement": "AGREEMENT_SIGNATURE"}
        if said.kind == "key" and p["replaces"]:
            names["key"] = "KEY_ROTATION"
        return [] if fits else [names.get(said.kind, "BAD_SIGNATURE")]

    def _admitted(self, said: Said) -> bool:
        p, by, keys = said.p, said.signers, self.keys()
        needed = {key_id(p["public"])}
        if p["role"] != "office":
            if not self.live(None, "office"):
                return False
            needed |= self.live(None, "office")
        old = keys.get(p["replaces"]) if p["replaces"] else None
        if old is None:
            return p["role"] not in ("office", "agreement") and by == needed
        if not old["ended"]:
            return by == needed | {p["replaces"]}
        rest = by - needed
        return needed <= by and rest <= self.auditors() and 2 * len(rest) > len(self.auditors()) > 0

    def _both_groups(self, by: set[str]) -> bool:
        keys, auditors, n = self.keys(), self.auditors(), len(self.members())
        nodes = {k for k in by - auditors if keys[k]["role"] == "node"}
        rule = ([s.p["quorum"] for s in self.good("genesis", "policy")])[-1]
        wanted = {"members n//2+1": n // 2 + 1, "members 2n//3+1": 2 * n // 3 + 1, "members n": n}[rule.split(",")[0]]
        return len(nodes) >= max(1, wanted) and by <= nodes | auditors and (not auditors or bool(by & auditors))

    def _time(self, said: Said) -> list[str]:
        codes, floor = [], self.not_before()
        if said.kind in AT_ONCE and said.p["issued_at"] < floor:
            codes.append("TIME_OUT_OF_WINDOW")
        if said.kind == "consent" and said.p["scope"] and said.p["effective_from"] < max(said.p["issued_at"], floor):
            codes.append("BACKDATED_CONSENT")
        return codes

    def _genesis(self, said: Said) -> list[str]:
        return []

    def _key(self, said: Said) -> list[str]:
        p, codes = said.p, []
        if (p["member"] is None) == (p["role"] in ("node", "witness")):
            codes.append("PARTICIPANT")
        if p["role"] == "witness" and p["member"] is not None and self.seat(p["member"], "node") is None:
            codes.append("PARTICIPANT")
        if key_id(p["public"]) in self.keys():
            return [*codes, "PARTICIPANT"]
        seat = self.seat(p["member"], p["role"]) if p["role"] != "auditor" else None
        if seat and not self.keys()[seat]["ended"] and p["replaces"] is None:
            codes.append("SECOND_NODE")
        elif p["role"] == "auditor" and p["replaces"] is not None:
            if self.keys().get(p["replaces"], {}).get("role") != "auditor":
                codes.append("KEY_ROTATION")
        elif p["replaces"] != seat:
            codes.append("KEY_ROTATION")
        return codes

    def _key_state(self, said: Said) -> list[str]:
        key = self.keys().get(said.p["key"])
        return [] if key and not key["ended"] else ["UNKNOWN_KEY"]

    def _policy(self, said: Said) -> list[str]:
        rule = ([s.p["quorum"] for s in self.good("genesis", "policy")])[-1]
        return [] if said.p["prev"] == rule != said.p["quorum"] else ["POLICY"]

    def _privacy_check(self, said: Said) -> list[str]:
        return []

    def _audit_report(self, said: Said) -> list[str]:
        newest = ([s.p["terms"] for s in self.good("agreement")])[-1:]
        hidden = any(edition(terms) > 1 for terms in newest) and not all(map(is_plain, said.p["codes"]))
        return ["AUDIT_REPORT"] * (said.p["size"] > said.index) + ["AUDIT_REPORT"] * hidden

    def _agreement(self, said: Said) -> list[str]:
        terms, codes = said.p["terms"], []
        earlier = [s.p["terms"] for s in self.good("agreement")]
        if terms["valid_from"] >= terms["valid_to"] or terms["min_members"] < 3 or not terms["tasks"]:
            codes.append("AGREEMENT_TERMS")
        codes += ["AGREEMENT_TERMS"] * contradictions(terms)
        if not terms.get("totals") and any(groups_of(one) for one in earlier):
            codes.append("AGREEMENT_TERMS")
        expected = (terms_id(earlier[-1]), earlier[-1]["version"] + 1) if earlier else (None, 1)
        if (terms["supersedes"], terms["version"]) != expected or terms_id(terms) in map(terms_id, earlier):
            codes.append("AGREEMENT_CHAIN")
        return codes

    def _agreement_state(self, said: Said) -> list[str]:
        p = said.p
        terms, (state, ended) = self.terms(p["agreement"]), self.phase(p["agreement"])
        if terms is None or state is None or p["prev_state"] != state or p["state"] not in NEXT[state]:
            return ["AGREEMENT_STATE"]
        if p["state"] == "expired" and p["issued_at"] < terms["valid_to"]:
            return ["AGREEMENT_STATE"]
        if p["state"] == "closed" and p["issued_at"] < kept_until(terms, ended):
            return ["AGREEMENT_STATE"]
        return []

    def _consent(self, said: Said) -> list[str]:
        p, codes = said.p, []
        if p["event"] == "withdraw":
            return []
        last = self.consent(p["member"], p["agreement"])
        over = last is not None and last.p["event"] in ("withdraw", "expire")
        if p["ledger"] and p["ledger"]["rho_total_nano"] < self.ledger(p["member"], p["agreement"]):
            codes.append("BUDGET_RESET")
        chained = (p["seq"], p["prev"]) == ((last.p["seq"] + 1, last.digest) if last else (1, None))
        if p["event"] != "grant":
            timely = bool(last) and not over and ((last.p["expires_at"] <= p["issued_at"]) == (p["event"] == "expire"))
            chained = chained and timely
        if not chained:
            codes.append("CONSENT_CHAIN")
        if p["event"] == "expire":
            return codes
        terms, state = self.terms(p["agreement"]), self.phase(p["agreement"])[0]
        if terms is None or state != "active":
            return [*codes, "AGREEMENT_INACTIVE"]
        if not self._offered(p, terms):
            return [*codes, "SCOPE"]
        if last and not over and p["event"] == "amend":
            if p["expires_at"] > last.p["expires_at"]:
                codes.append("CONSENT_EXPIRED")
            elif not narrower(p["scope"], last.p["scope"]):
                codes.append("SCOPE")
        if last and not over and p["event"] == "renew":
            if p["scope"] != last.p["scope"]:
                codes.append("SCOPE")
            elif p["expires_at"] <= last.p["expires_at"]:
                codes.append("CONSENT_CHAIN")
        return codes

    def _offered(self, p: dict[str, Any], terms: dict[str, Any]) -> bool:
        scope, limits, rounds = p["scope"], terms["privacy"], terms["rounds"]
        if not scope or not p["expires_at"] or not p["notice"]:
            return False
        if p["notice"]["digest"] not in (terms["prose"]["zh"], terms["prose"]["en"]):
            return False
        if not terms["valid_from"] <= p["effective_from"] < p["expires_at"] <= terms["valid_to"]:
            return False
        tables = [[t["dataset"], t["unit"]] for t in terms["tasks"] if t["task"] in scope["tasks"]]
        return (
            bool(scope["tasks"])
            and all(task in [t["task"] for t in terms["tasks"]] for task in scope["tasks"])
            and all([d["id"], d["unit"]] in tables for d in scope["datasets"])
            and scope["delta"] == limits["delta"]
            and scope["rho_run_max_nano"] <= limits["rho_run_max_nano"]
            and scope["rho_year_max_nano"] <= limits["rho_year_max_nano"]
            and scope["rounds_max"] <= rounds["max_per_run"]
            and scope["orders_max"] <= rounds["orders_max"]
            and scope["aborted_max"] <= rounds["aborted_max"]
        )

    def _run_order(self, said: Said) -> list[str]:
        p, plan = said.p, said.p["plan"]
        terms = self.terms(p["agreement"])
        task = next((t for t in terms["tasks"] if t["task"] == p["task"]), None) if terms else None
        if terms is None or task is None or self.phase(p["agreement"])[0] != "active":
            return ["AGREEMENT_INACTIVE"]
        if not terms["valid_from"] <= p["issued_at"] < p["expires_at"] <= terms["valid_to"]:
            return ["AGREEMENT_INACTIVE"]
        codes, limits, rounds = [], terms["privacy"], terms["rounds"]
        if plan["delta"] not in [f"1e-{n}" for n in range(5, 13)] or plan["rho_total_nano"] != total(plan):
            return ["NOISE"]
        codes += ["CODE_HASH"] * (p["bundle"] not in terms["bundles"])
        codes += ["SCHEMA_HASH"] * (p["schema_digest"] != task["schema_digest"])
        codes += ["MODEL_CHAIN"] * (p["model_start"] not in terms["start_models"])
        same = (plan["task"], plan["dataset"], task["dataset"], plan["unit"])
        codes += ["SCOPE"] * (same != (p["task"], p["dataset"], plan["dataset"], task["unit"]))
        sizes = (plan["max_units"], plan["max_rows_per_unit"])
        codes += ["NOISE"] * (sizes != (task["max_units"], task["max_rows_per_unit"]))
        codes += ["NOISE"] * (plan["delta"] != limits["delta"] or plan["shape"]["family"] not in limits["families"])
        codes += ["OVER_BUDGET"] * (total(plan) > limits["rho_run_max_nano"])
        codes += ["MIN_PARTICIPANTS"] * (p["min_members"] < terms["min_members"])
        codes += ["GATE"] * ("gate" in terms and p["gate"] is None and p["evaluates"] is None)
        slow = p["window_s"] > rounds["window_max_s"] or p["deadline_s"] > rounds["deadline_max_s"]
        slow = slow or (edition(terms) >= 2 and p["expires_at"] > later(p["issued_at"], seconds=p["window_s"]))
        codes += ["ROUND_SEQUENCE"] * (plan["releases"] > rounds["max_per_run"] or slow)
        return codes

    def _round_open(self, said: Said) -> list[str]:
        p, order = said.p, self.order(said.p["order"])
        if order is None:
            return ["ROUND_SEQUENCE"]
        codes, rounds, terms = [], self.rounds(p["order"]), self.terms(order.p["agreement"])
        assert terms
        waiting = bool(rounds) and rounds[-1][1] is None
        soon = bool(rounds) and p["issued_at"] < later(
            rounds[-1][0].p["issued_at"], seconds=terms["rounds"]["interval_min_s"]
        )
        released = any(s.p["order"] == p["order"] for s in self.good("release"))
        late = p["issued_at"] >= order.p["expires_at"] or p["deadline_s"] > order.p["deadline_s"]
        number = p["round"] != len(rounds) + 1 or p["round"] > order.p["plan"]["releases"]
        if waiting or soon or released or late or number or not order.index < p["log_size"] <= said.index:
            codes.append("ROUND_SEQUENCE")
        names = [member for member, _ in p["members"]]
        if names != sorted(set(names)) or len(names) < order.p["min_members"]:
            codes.append("MIN_PARTICIPANTS")
        if p["model_in"] != self.model(p["order"]):
            codes.append("MODEL_CHAIN")
        if self.phase(order.p["agreement"])[0] != "active":
            codes.append("AGREEMENT_INACTIVE")
        codes += [code for member, at in p["members"] if (code := self._may_ask(said, order, member, at))]
        rule, asked = groups_of(terms), set(names)
        if rule:
            for group in self.standing(rule, order, p["issued_at"]):
                if group <= asked:
                    asked -= group
        return codes + ["PARTIAL_GROUP"] * bool(rule and asked)

    # groups of members that are summed together or not at all

    def consenting(self, order: Said, now: str) -> dict[str, Said]:
        """Members whose consent names the dataset of an order."""
        found = {}
        for member in self.members():
            last = self.consent(member, order.p["agreement"])
            if last is None or not last.p["scope"] or not last.p["effective_from"] <= now < last.p["expires_at"]:
                continue
            if order.p["dataset"] in [d["id"] for d in last.p["scope"]["datasets"]]:
                found[member] = last
        return found

    def last_word(self, member: str) -> dict[str, Any]:
        """A member's last consent entry of all agreements."""
        said = [s.p for s in self.good("consent") if s.p["member"] == member]
        return said[-1] if said else {"event": None}

    def gone(self, member: str) -> bool:
        return not self.live(member, "node") or self.last_word(member)["event"] == "expire"

    def formed(self, dataset: str) -> list[set[str]]:
        """The groups of a dataset that clean round-opens kept: each question is put to the history as it stood then."""
        groups: list[set[str]] = []
        for place, s in enumerate(self.history):
            order = self.order(s.p["order"]) if s.good and s.kind == "round-open" else None
            if order is None or order.p["dataset"] != dataset:
                continue
            terms = self.terms(order.p["agreement"])
            rule = groups_of(terms or {})
            if rule:
                then = Opinion(self.history[:place])
                groups = then.forming(rule, order, s.p["issued_at"], groups)
        return groups

    def forming(self, rule: dict[str, Any], order: Said, now: str, groups: list[set[str]]) -> list[set[str]]:
        """These groups, and those that form beside them."""
        here = self.consenting(order, now)
        known = set().union(*groups)
        new = {m: s.digest for m, s in here.items() if m not in known}
        if len(new) < rule["size"]:
            return groups
        seed = digest(compact(sorted(new.values())))
        line = sorted(new, key=lambda member: digest(compact([seed, member])))
        for member in sorted(here.keys() & known):
            mine = [g for g in in_force(groups) if member in g]
            if not any(self.remains(rule, g, groups, now) and not any(map(self.gone, g)) for g in mine):
                line.append(member)
        n = len(new) // (rule["size"] + 1) if len(new) >= 3 * (rule["size"] + 1) else 1
        made: list[set[str]] = [set() for _ in range(n)]
        for i, member in enumerate(line):
            made[i % n].add(member)
        return groups + sorted(made, key=sorted)

    def remains(self, rule: dict[str, Any], group: set[str], groups: list[set[str]], now: str) -> set[str]:
        words = {member: self.last_word(member) for member in group}
        left = {member for member, said in words.items() if said["event"] == "withdraw"}
        fresh = group - set().union(*groups[: groups.index(group)])
        if rule["after_leaving"] == "rest" and any(words[m]["issued_at"][:4] >= now[:4] for m in left):
            return set()
        return group - left if left <= fresh and len(fresh - left) >= rule["size"] else set()

    def standing(self, rule: dict[str, Any], order: Said, now: str) -> list[set[str]]:
        """What a round may ask for."""
        groups = self.forming(rule, order, now, self.formed(order.p["dataset"]))
        found = [self.remains(rule, g, groups, now) for g in in_force(groups)]
        return [g for g in found if g]

    def asked_groups(self, opened: Said) -> list[set[str]]:
        """Groups that a clean round-open asked."""
        order = self.order(opened.p["order"])
        assert order
        rule = groups_of(self.terms(order.p["agreement"]) or {})
        if not rule or not opened.good:
            return []
        then = Opinion(self.history[: opened.index])
        asked = {m for m, _ in opened.p["members"]}
        return [g for g in then.standing(rule, order, opened.p["issued_at"]) if g <= asked]

    def _may_ask(self, said: Said, order: Said, member: str, at: int) -> str | None:
        event, now = self.consent(member, order.p["agreement"]), said.p["issued_at"]
        plan, dataset = order.p["plan"], order.p["dataset"]
        if event is None or not self.live(member, "node"):
            return "NO_CONSENT"
        if event.p["event"] == "withdraw":
            return "TRAINED_AFTER_WITHDRAWAL"
        if event.p["event"] == "expire" or not event.p["effective_from"] <= now < event.p["expires_at"]:
            return "CONSENT_EXPIRED"
        scope = event.p["scope"]
        if (
            order.p["task"] not in scope["tasks"]
            or [dataset, plan["unit"]] not in [[d["id"], d["unit"]] for d in scope["datasets"]]
            or total(plan) > scope["rho_run_max_nano"]
            or plan["releases"] > scope["rounds_max"]
            or plan["delta"] != scope["delta"]
        ):
            return "SCOPE"
        if event.p["issued_at"][:4] < now[:4]:
            return "NOT_RENEWED"
        checks = [s.p for s in self.good("privacy-check") if s.p["member"] == member]
        if checks and checks[-1]["faults"] and checks[-1]["bundle"] == order.p["bundle"]:
            return "PRIVACY_CHECK"
        runs, aborted = self.asked(member, dataset, now[:4])
        known = any(member in [m for m, _ in o.p["members"]] for o, _ in self.rounds(order.digest))
        if aborted >= scope["aborted_max"] or (not known and runs >= scope["orders_max"]):
            return "ASKED_TOO_OFTEN"
        if self.spent(member, plan, now[:4]) + cost(plan) > scope["rho_year_max_nano"]:
            return "OVER_BUDGET"
        for unit in FINER[plan["unit"]]:
            scopes = [s.p["scope"] for s in self.good("consent") if s.p["member"] == member and s.p["scope"]]
            caps = [
                s["rho_year_max_nano"]
                for s in scopes
                if [dataset, unit] in [[d["id"], d["unit"]] for d in s["datasets"]]
            ]
            if caps and self.spent(member, plan | {"unit": unit}, now[:4]) + 4 * cost(plan) > max(caps):
                return "OVER_BUDGET"
        if member in self.refused(order.digest):
            return "PARTICIPANT"
        return "NO_CONSENT" if event.index != at else None

    def _round(self, said: Said) -> list[str]:
        p, order, rounds = said.p, self.order(said.p["order"]), self.rounds(said.p["order"])
        if order is None or not rounds or rounds[-1][1] is not None:
            return ["ROUND_SEQUENCE"]
        opened, codes = rounds[-1][0], []
        if (opened.index, opened.p["round"]) != (p["open"], p["round"]):
            return ["ROUND_SEQUENCE"]
        listed, idle, used = [m for m, _ in opened.p["members"]], self.idle(opened), p["contributors"]
        codes += ["PARTICIPANT"] * (sorted([*used, *(m for m, _ in p["dropped"])]) != listed)
        charged = [[m, cost(order.p["plan"])] for m in listed if m not in idle]
        codes += ["BUDGET_REPORT"] * (p["spend"] != charged)
        codes += ["BUDGET_REPORT"] * ([m for m, _ in p["ledgers"]] != used)
        agreement = order.p["agreement"]
        codes += [
            "BUDGET_RESET"
            for m, book in p["ledgers"]
            if self.edition_of(agreement) == 1 and book["rho_total_nano"] < self.ledger(m, agreement)
        ]
        codes += ["CUTOFF"] * (not opened.index < p["cutoff"] <= said.index)
        phase = self.phase(order.p["agreement"])[0]
        codes += ["AGREEMENT_INACTIVE"] * (p["outcome"] == "recorded" and phase not in ("active", "superseded"))
        codes += ["PARTICIPANT" for m in used if m in idle]
        for member in used:
            event = self.consent(member, order.p["agreement"], p["cutoff"])
            codes += ["TRAINED_AFTER_WITHDRAWAL"] * (event is not None and event.p["event"] in ("withdraw", "expire"))
        groups = self.asked_groups(opened)
        codes += ["PARTIAL_GROUP"] * any(g & set(used) and not g <= set(used) for g in groups)
        out = {m for m, why in p["dropped"] if why == "group"}
        codes += ["PARTIAL_GROUP"] * bool(out - set().union(*groups))
        results = [p[name] for name in ("list_root", "list_document", "aggregate", "step_state")]
        if p["outcome"] == "aborted":
            changes = used or any(results) or p["unmasking"] or p["model_out"] != opened.p["model_in"]
            return codes + ["MODEL_CHAIN"] * bool(changes)
        terms = self.terms(order.p["agreement"])
        assert terms
        ends = min(later(opened.p["issued_at"], seconds=opened.p["deadline_s"]), order.p["expires_at"])
        codes += ["ROUND_SEQUENCE"] * (edition(terms) >= 2 and p["issued_at"] > later(ends, seconds=60))
        codes += ["MIN_PARTICIPANTS"] * (len(used) < order.p["min_members"])
        masked = terms["secure_sum"] == "required"
        return codes + ["AGGREGATE"] * (not all(results) or masked != (p["unmasking"] is not None))

    def _release(self, said: Said) -> list[str]:
        p, order, rounds = said.p, self.order(said.p["order"]), self.rounds(said.p["order"])
        done = order is not None and len(rounds) >= order.p["plan"]["releases"] and rounds[-1][1] is not None
        if order is None or not done or any(s.p["order"] == p["order"] for s in self.good("release")):
            return ["RELEASE_ROUNDS"]
        recorded = [len(c.p["contributors"]) for _, c in rounds if c and c.p["outcome"] == "recorded"]
        least, codes, terms = min(recorded, default=0), [], self.terms(order.p["agreement"])
        assert terms
        told = (p["model"], p["task"], p["rounds"])
        codes += ["RELEASE_MODEL"] * (told != (self.model(order.digest), order.p["task"], len(rounds)))
        fits = order.p["min_members"] <= p["min_members"] <= p["participants"] == least
        codes += ["RELEASE_FLOOR"] * (not fits)
        codes += ["GATE"] * (order.p["gate"] is not None)
        lasts = self.phase(order.p["agreement"])[0] in ("active", "superseded") and p["issued_at"] < terms["valid_to"]
        codes += ["RELEASE_EXPIRED"] * (not lasts)
        return codes + ["RELEASE_BENEFICIARY"] * (p["beneficiaries"] != terms["beneficiaries"])

    def _rollback(self, said: Said) -> list[str]:
        p, serving = said.p, None
        for s in self.good("release", "rollback"):
            if s.p["task"] == p["task"]:
                serving = s.p["order"]
        released = [s for s in self.good("release") if s.p["order"] == p["order"]]
        known = p["order"] is None or any(self.order(s.p["order"]).p["task"] == p["task"] for s in released)  # type: ignore[union-attr]
        return [] if serving == p["gone"] != p["order"] and known else ["ROLLBACK"]

    def _refusal(self, said: Said) -> list[str]:
        p, rounds = said.p, self.rounds(said.p["order"])
        if (p["reason"] in OF_ONE_ROUND) != (p["open"] is not None):
            return ["PARTICIPANT"]
        if p["reason"] != "not-started":
            return []
        waiting = rounds[-1][0] if rounds and rounds[-1][1] is None else None
        asked = (
            waiting is not None and p["open"] == waiting.index and p["member"] in [m for m, _ in waiting.p["members"]]
        )
        return [] if asked and p["member"] not in self.idle(waiting) else ["PARTICIPANT"]  # type: ignore[arg-type]

    def _comparison(self, said: Said) -> list[str]:
        mine = (said.p["order"], said.p["member"])
        twice = any((s.p["order"], s.p["member"]) == mine for s in self.good("comparison"))
        released = any(s.p["order"] == mine[0] for s in self.good("release"))
        return ["COMPARISON"] * (twice or not released)

    def _authority(self, said: Said) -> list[str]:
        [genesis], p = self.good("genesis"), said.p
        names = [genesis.p["ca"], *(certificate_id(s.p["certificate"]) for s in self.good("authority"))]
        return ["AUTHORITY"] * (p["replaces"] != names[-1] or certificate_id(p["certificate"]) in names)

    def _incident(self, said: Said) -> list[str]:
        about = said.p["about"]
        fits = about in self.matters() if about else said.p["state"] == "open"
        return [] if fits else ["FOLLOW_UP"]

    def _erasure(self, said: Said) -> list[str]:
        return ["ERASURE" for e in said.p["documents"] if not self._may_go(said, e["document"], e["part"])]

    def _may_go(self, said: Said, document: str, part: str) -> bool:
        gone = [(e["document"], e["part"]) for s in self.good("erasure") for e in s.p["documents"]]
        named = self.naming(document)
        if named is None or (document, part) in gone:
            return False
        kind, agreement, at, member = named
        if part == "contributions" and kind != "list":
            return False
        if said.p["ground"] == "authority":
            return True
        now = said.p["issued_at"]
        if kind == "register":
            return not self.live(member, "node")
        if agreement is None:
            return now >= later(at, days=3 * 366)
        terms, (_, ended) = self.terms(agreement), self.phase(agreement)
        assert terms
        if part == "contributions":
            return now >= later(at, days=terms["contributions_kept_days"])
        return now >= kept_until(terms, ended)

    def naming(self, document: str) -> tuple[str, str | None, str, str | None] | None:
        """(kind, agreement, when, member) of the document, by the statement that counts for it."""
        found: tuple[str, str | None, str, str | None] | None = None
        for s in self.history:
            p = s.p
            if s.good and s.kind == "key" and p["register_document"] == document:
                found = ("register", None, p["issued_at"], p["member"])
            elif s.good and s.kind == "consent" and p["given_by"]["delegation"] == document:
                found = ("delegation", p["agreement"], p["issued_at"], None)
            elif s.good and s.kind == "incident" and p["document"] == document:
                found = ("incident", None, p["issued_at"], None)
            elif s.good and s.kind == "audit-report" and p["report"] == document:
                found = ("report", None, p["issued_at"], None)
            elif found is None and s.good and s.kind == "run-order" and p["model_start"] == document:
                found = ("model", p["agreement"], p["issued_at"], None)
            elif found is None and s.counts and s.kind == "round" and self.ended_something(s):
                order = self.order(p["order"])
                assert order
                for kind, name in (
                    ("model", "model_out"),
                    ("list", "list_document"),
                    ("aggregate", "aggregate"),
                    ("unmasking", "unmasking"),
                    ("step-state", "step_state"),
                ):
                    if found is None and p[name] == document:
                        found = (kind, order.p["agreement"], p["issued_at"], None)
        return found


def digest(data: bytes) -> str:
    """sha256:<hex>."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def key_id(public: str) -> str:
    """Name of a public key."""
    return digest(base64.b64decode(public))


def certificate_id(text: str) -> str:
    """Name of a certificate authority."""
    return digest(base64.b64decode(text))


def terms_id(terms: dict[str, Any]) -> str:
    """Name of an agreement: its fields have ASCII names and integers only, so this spelling is the canonical one."""
    return digest(json.dumps(terms, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def compact(value: Any) -> bytes:
    """JCS of lists of ASCII text."""
    return json.dumps(value, separators=(",", ":")).encode()


def groups_of(terms: dict[str, Any]) -> dict[str, Any] | None:
    """The rule by which terms group members, if they do."""
    totals = terms.get("totals")
    return totals if totals and totals["rule"] == "groups" else None


def in_force(groups: list[set[str]]) -> list[set[str]]:
    """Groups of which no later one names a member."""
    return [g for i, g in enumerate(groups) if not any(g & later_one for later_one in groups[i + 1 :])]


def contradictions(terms: dict[str, Any]) -> int:
    """How often the terms contradict their edition or themselves."""
    totals, privacy, rounds = terms.get("totals"), terms["privacy"], terms["rounds"]
    if terms["prose"]["template"] == "mengbang-agreement/1":
        return int(bool(totals or terms.get("members_shown") or any(t.get("row_meaning_zh") for t in terms["tasks"])))
    epsilon = float(privacy["epsilon_run_max"]) > float(privacy["epsilon_year_max"])
    masked, names = terms["secure_sum"] == "required", [t["task"] for t in terms["tasks"]]
    found = [
        epsilon or privacy["rho_run_max_nano"] > privacy["rho_year_max_nano"],
        rounds["deadline_max_s"] > rounds["window_max_s"],
        masked and not totals,
        len(set(names)) < len(names),
    ]
    found += [not is_plain(text) for text in texts(terms)]
    if rule := groups_of(terms):
        found += [not masked, rule["size"] < 3 + rule["colluders"]]
    return sum(found)


def texts(value: Any) -> list[str]:
    """Every text in the fields."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts(one)]


def is_plain(text: str) -> bool:
    """Everyone who reads it sees all of it, and the same."""
    words = re.split("[ \u3000]", text)
    return "" not in words and unicodedata.normalize("NFC", text) == text and not any(map(is_hidden, "".join(words)))


def is_hidden(character: str) -> bool:
    """No reader sees it, or not each the same."""
    if re.match(f"[{LATER}]", character):
        return False
    category = unicodedata.ucd_3_2_0.category(character)
    return category[0] == "Z" or category[0] == "C" or stringprep.in_table_b1(character) or character in BLANK


def edition(terms: dict[str, Any]) -> int:
    """Which rules bind under these terms."""
    return int(terms["prose"]["template"].split("/")[1])


def is_weak(public: str) -> bool:
    """A point of small order or in a second spelling."""
    y, prime = int.from_bytes(base64.b64decode(public), "little") & (2**255 - 1), 2**255 - 19
    if y >= prime:
        return True
    x2 = (y * y - 1) * pow(-121665 * pow(121666, -1, prime) * y * y + 1, -1, prime) % prime
    # order divides 8: doubling three times gives the neutral element; y of twice a point follows from y alone
    for _ in range(3):
        d = -121665 * pow(121666, -1, prime) % prime
        bottom = (2 - (y * y - x2)) % prime
        if bottom == 0:
            return True
        y = (y * y + x2) * pow(bottom, -1, prime) % prime
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
    return y == 1


def verifies(public: str, sig: bytes, payload: bytes) -> bool:
    """The DSSE signature holds."""
    kind = b"application/vnd.in-toto+json"
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(sig, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def later(time: str, **span: int) -> str:
    """A time some days or seconds later."""
    return (datetime.fromisoformat(time) + timedelta(**span)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kept_until(terms: dict[str, Any], ended: str | None) -> str:
    """Last moment that records of an agreement must be kept."""
    end = ended or terms["valid_to"]
    return f"{int(end[:4]) + terms['records_kept_years']}{end[4:]}"


def narrower(scope: dict[str, Any], than: dict[str, Any]) -> bool:
    """Nothing in `scope` goes beyond `than`."""
    caps = ("rho_run_max_nano", "rho_year_max_nano", "rounds_max", "orders_max", "aborted_max")
    return (
        all(task in than["tasks"] for task in scope["tasks"])
        and all(dataset in than["datasets"] for dataset in scope["datasets"])
        and scope["delta"] == than["delta"]
        and all(scope[cap] <= than[cap] for cap in caps)
    )


def cost(plan: dict[str, Any]) -> int:
    """Nano-rho of one release of gradients: sensitivity squared over twice sigma squared, rounded up."""
    length = sum((inputs + 1) * outputs for inputs, outputs in plan["shape"]["layers"])
    clip, n = 2 ** plan["grid_bits"], plan["max_units"]
    root = next(k for k in range(length + 1) if k * k >= length)
    slack = -(-(n * n * clip * 2) // 2**53) + 1 + clip // 2**40
    sensitivity = clip + root + slack
    return -(-(10**9 * sensitivity**2) // (2 * plan["sigma_steps"] ** 2))


def total(plan: dict[str, Any]) -> int:
    """Nano-rho of all releases."""
    return int(plan["releases"]) * cost(plan)
