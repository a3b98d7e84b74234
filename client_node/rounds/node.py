"""The long-lived process: follows and cosigns the log in one thread, takes part in rounds in the other."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from client_node.ledger.ledger import Budget
from client_node.link.authorities import certificate_ends
from client_node.link.mirror import Mirror, fetch_needed
from client_node.link.uplink import WAIT_S, CoordinatorRefused, Untrusted, Uplink
from client_node.membership import consents, keys, others, receipts, refusals
from client_node.rounds import privacy_check
from client_node.rounds.flower_app import NodeSide
from client_node.rounds.guard import Limits, Permit, authorise, awaited
from client_node.rounds.masking import sum_round
from client_node.rounds.messages import Question, read_question
from client_node.rounds.own_word import OwnWord
from client_node.rounds.send_delay import SendSlots
from client_node.rounds.training_data import UNFORESEEN, OwnRows, unforeseen
from client_node.settings import Settings, read_home
from contracts.envelope import key_id, to_base64
from contracts.errors import Refused, TrustError, Unavailable
from contracts.fields import time_text
from contracts.statements.statements import PrivacyCheck
from contracts.wording import N_
from engine.bundle import bundle_digest
from engine.rounds import TRAIN
from privacy.accounting import rho_cap
from privacy.mechanisms import self_test
from shell.certificate_warnings import Warned
from shell.log_lines import log_event

_REASONS = {"OVER_BUDGET": "budget", "REPLY": "bundle", "EGRESS": "bundle"}  # else the guard's own
RECEIPTS_EVERY_S = 5.0
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
DONE_KEPT = 1000  # questions that this node is done with: nobody asks those of older rounds again
TRIES = 12  # of what nobody has foreseen, within about a minute


class Node:
    """One member's node at work."""

    def __init__(self, settings: Settings, uplink: Uplink, mirror: Mirror, budget: Budget):
        self._settings, self._uplink, self._mirror, self._budget = settings, uplink, mirror, budget
        self._rows = OwnRows(settings, uplink, mirror, budget)
        self._side = NodeSide(settings.member, settings.node_key, budget, self._rows)
        self._limits, self._pace = limits_of(settings), SendSlots()
        self._own_word = OwnWord(settings, uplink, budget)
        self._since: int | None = None
        self._stop, self._cosigned = threading.Event(), 0
        self._stands_still = (
            threading.Event()
        )  # the log shows less than it did: nothing is contributed until it is back
        self._done = deque[str](maxlen=DONE_KEPT)
        self._check: PrivacyCheck | None = None
        self._receipted, self._receipts_due = 0, 0.0
        self._warned = Warned("ask the chamber to run: coordinator certificate renew")
        self._fault: TrustError | None = None  # what ended this node, in whichever thread

    def run(self) -> None:
        """Work until `stop`; a lost connection is tried again, and so is one to whoever does not show to be the
        chamber. An altered log ends everything, and so does what nobody has foreseen, if it does not pass: a node that
        neither follows nor contributes must not look as if it did."""
        _test_noise()
        self._check = privacy_check.check(self._settings)
        if self._check.faults:
            self._tell_check()
            privacy_check.refuse_if_broken(self._check)
        self._loop(self._catch_up, until=lambda: self._since is not None)
        head = threading.Thread(target=self._loop, args=(self._follow_log,), name="witness", daemon=True)
        head.start()
        self._loop(self._take_task)
        head.join(timeout=1)
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Let both threads end after what they are doing."""
        self._stop.set()

    def _loop(self, work: Callable[[], None], until: Callable[[], bool] = lambda: False) -> None:
        away = failed = 0
        while not self._stop.is_set() and not until():
            try:
                work()
                away = failed = 0
            except (Unavailable, Untrusted) as error:
                log_event.warning("coordinator away", code=error.code, what=str(error))
                self._stop.wait(RETRY_S[min(away, len(RETRY_S) - 1)])
                away += 1
            except Refused as error:
                self._budget.note_refused(time_text(datetime.now(UTC)), error)
                log_event.warning("refused", code=error.code, what=str(error))
                self._stop.wait(1.0)
            except TrustError as error:
                self._end(error)
            except (
                UNFORESEEN
            ) as failure:  # a full disk, a fault of a database, or a fault of ours: the first two may pass
                log_event.exception("unforeseen", work=work.__name__)
                failed += 1
                if failed > TRIES:
                    self._end(_cannot_go_on(failure))
                self._stop.wait(RETRY_S[min(failed, len(RETRY_S)) - 1])

    def _end(self, error: TrustError) -> None:
        log_event.error("stopped", code=error.code, what=str(error))
        self._fault = self._fault or error
        self._stop.set()

    def _catch_up(self) -> None:
        """Know the whole log before the first round: what was open then is only sent again, never begun."""
        self._follow_to_the_end()
        self._since = self._mirror.state.size

    def _follow_to_the_end(self) -> None:
        while self._mirror.follow(self._uplink, 0) is not None:
            pass

    def _follow_log(self) -> None:
        self._mirror.follow(self._uplink, WAIT_S)
        if consents.is_withdrawn(self._settings):
            consents.send_withdrawals(self._settings, self._mirror, self._uplink)
        self._draw_ahead()
        self._replace_witness()
        fetch_needed(self._settings, self._uplink, self._mirror.state)
        others.shown(self._settings, self._uplink, self._mirror.state)
        self._tell_check()
        refusals.send_kept(self._settings, self._mirror, self._uplink)
        self._keep_receipts()
        self._warned.look(certificate_ends(self._settings.home), datetime.now(UTC))

    def _keep_receipts(self) -> None:
        """What this member consented to, contributed and was promised, as files of its own, a few seconds behind."""
        if self._receipted < self._mirror.state.size and time.monotonic() >= self._receipts_due:
            self._receipts_due = time.monotonic() + RECEIPTS_EVERY_S
            self._receipted = receipts.keep_up(self._settings, self._mirror, self._uplink, self._receipted)

    def _replace_witness(self) -> None:
        """A witness that does not know what it signed gives its place to a new key, which has signed nothing."""
        mirror = self._mirror
        held = mirror.state.live_key(self._settings.member, "witness")
        if held is None or mirror.witness.has_memory():
            return
        if held[0] == key_id(self._settings.witness_key.public_key()):
            log_event.warning("witness replaced", why="its memory is lost or older than what it signed", key=held[0])
        keys.rotate(self._settings, mirror, self._uplink, "witness", self._follow_to_the_end)
        mirror.use_witness(read_home(self._settings.home).witness_key)

    def _draw_ahead(self) -> None:
        """Noise for the first round of every run that is ordered and not yet open: its size is known from the order."""
        now = time_text(datetime.now(UTC))
        for run in awaited(self._mirror.state, self._settings.member, self._limits, now):
            self._side.draw_ahead(run)

    def _tell_check(self) -> None:
        """Put what the check at start found into the log, once."""
        if self._check and privacy_check.is_news(self._mirror.state, self._check):
            consents.send(self._settings, self._mirror, self._uplink, self._check)
        self._check = None

    def _take_task(self) -> None:
        answer = self._uplink.ask("task", "POST", "/v1/task", {"wait": WAIT_S, "done": list(self._done)})
        if answer.status_code == 204:
            return
        question = read_question(answer.content)
        try:
            self._answer(question)
            return
        except CoordinatorRefused as error:
            if error.code != "LATE":
                raise
            log_event.warning("too late", round=question.round, what=str(error))
        except Refused as error:
            self._budget.note_refused(time_text(datetime.now(UTC)), error)
            if error.code in ("GUARD", "OVER_BUDGET", "REPLY", "EGRESS"):
                self._refuse(question, _REASONS.get(error.code) or str(error.values["reason"]))
            elif error.code.startswith("SUM_"):
                self._refuse(question, "secure-sum")
            elif error.code == "BURNT":
                self._refuse(question, "restarted")
            elif error.code != "LATE":  # which is no fault of the run: this round goes on without the node
                raise
            log_event.warning("round refused", round=question.round, code=error.code, what=str(error))
        except TrustError:
            raise
        except UNFORESEEN as failure:  # whatever a message was made to do: the run goes on without it, the node goes on
            log_event.exception("unforeseen", round=question.round, step=question.step)
            self._budget.note_refused(time_text(datetime.now(UTC)), unforeseen(failure))
            self._refuse(question, "plan" if question.step == TRAIN else "secure-sum")
        self._done.append(question.id)

    def _answer(self, question: Question) -> None:
        started, step, message = time.monotonic(), question.step, question.content()
        permit = self._permit(question)
        if step == TRAIN:
            self._rows.ready(permit.run.order)
        state = self._mirror.state
        masked = state.agreements[permit.run.order.agreement].terms.secure_sum == "required"
        payload, line = self._side.take_part(
            permit,
            self._mirror.seen(),
            message,
            step=step,
            about=sum_round(state, permit.run, permit.record) if masked else None,
        )
        body = {"line": to_base64(line), "payload": to_base64(payload)}
        if step == TRAIN:
            self._side.draw_ahead(permit.run)  # before it is sent: the steps of the sum that follow wait for nothing
            self._stop.wait(self._pace.left(question.run, time.monotonic() - started))
            self._permit(question)  # what was allowed when the work began must be allowed when its bytes leave
            self._uplink.ask("contribution", "PUT", f"/v1/contributions/{question.id}", body)
        else:
            self._uplink.ask("sum-step", "PUT", f"/v1/replies/{question.id}", body)
        log_event.info("answered", round=question.round, step=step, seconds=round(time.monotonic() - started, 3))

    def _permit(self, question: Question) -> Permit:
        # whoever withdrew before the office asked must be known here too, so the wait is for all that the log held then
        self._wait_for_entry(max(question.open, question.size - 1))
        if self._cosigned <= question.open:
            note = self._mirror.witnessed(self._uplink)
            self._cosigned = note.checkpoint.size if note else 0
        self._own_word.check(self._mirror.state)
        return authorise(
            self._mirror.state,
            self._settings.member,
            run=question.run,
            open_index=question.open,
            witnessed=self._cosigned,
            since=self._since or 0,
            bundle=bundle_digest(),
            budget=self._budget,
            limits=replace(self._limits, known=self._known(question)) if self._limits.known_min else self._limits,
            withdrawn=consents.is_withdrawn(self._settings),
            now=time_text(datetime.now(UTC)),
        )

    def _known(self, question: Question) -> frozenset[str]:
        """The others in a round whom this member knows, by register documents that the log
        names: one for each company."""
        state, run = self._mirror.state, self._mirror.state.runs.get(question.run)
        waiting = run.open_round() if run else None
        if run is None or waiting is None or state.agreements[run.order.agreement].terms.members_shown is None:
            return frozenset()
        asked = others.companies(self._settings, self._uplink, state, dict(waiting.opened.members))
        return frozenset({one.code or one.key: one.member for one in asked if one.known}.values())

    def _wait_for_entry(self, index: int) -> None:
        """The witness thread brings the round's opening; it was published before anyone was asked."""
        end = time.monotonic() + 10
        while self._mirror.state.size <= index and time.monotonic() < end and not self._stop.is_set():
            time.sleep(0.01)

    def _refuse(self, question: Question, reason: str) -> None:
        """Say no on the log: to this round if the node was restarted in it or does not begin, else to the whole run."""
        opened = question.open if reason in ("restarted", "not-started") else None
        refusals.say(self._settings, self._mirror, self._uplink, order=question.run, reason=reason, open=opened)


def _test_noise() -> None:
    try:
        self_test()
    except RuntimeError as error:
        raise Unavailable(
            N_("the noise sampler of this machine is broken"),
            why=N_("what it draws does not look like Gaussian noise"),
            do=N_("nothing was sent; install the released wheel again, or use another machine"),
            code="NOISE",
        ) from error


def _cannot_go_on(failure: BaseException) -> Unavailable:
    return Unavailable(
        N_("this node cannot go on: {kind}"),
        why=N_("the same failure came {n} times; the log file shows where"),
        do=N_("mend it and start the node again: nothing is lost"),
        kind=type(failure).__name__,
        n=TRIES + 1,
    )


def limits_of(settings: Settings) -> Limits:
    """The member's own caps in nano-rho."""
    run, account, ceiling = (
        rho_cap(epsilon, settings.delta)
        for epsilon in (settings.epsilon_run_max, settings.epsilon_year_max, settings.epsilon_ceiling)
    )
    return Limits(run, account, ceiling, settings.delta, settings.known_min)
