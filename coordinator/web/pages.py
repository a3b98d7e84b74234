"""HTML for people: complete without JavaScript, strict CSP, zh and en."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FunctionLoader, select_autoescape
from sqlmodel import select

from contracts.errors import Refused, TrustError, Unavailable
from contracts.promise import MOST, promises
from contracts.statements.statements import PrivacyCheck
from contracts.terms.reading import page
from contracts.wording import N_, Language, visible_lines
from coordinator.learning import model_cards
from coordinator.learning.evaluation import Evaluation
from coordinator.learning.runs import ONLINE_S, malformed_replies
from coordinator.learning.schedules import listed as listed_runs
from coordinator.store.tables import LastSeen
from coordinator.trust import members
from privacy.accounting import epsilon
from shell.language import translator

if TYPE_CHECKING:
    from coordinator.office import Office

_CSP = {"Content-Security-Policy": "default-src 'none'; style-src 'self'", "X-Content-Type-Options": "nosniff"}
_TEMPLATES = Environment(
    loader=FunctionLoader(lambda name: files("coordinator.web").joinpath("templates", name).read_text("utf-8")),
    autoescape=select_autoescape(default=True),
    finalize=lambda value: visible_lines(value) if type(value) is str else value,
)
PEOPLE = ("/agreement", "/models/")  # beginnings of addresses that people open and that can be asked in vain


def pages(office: Office) -> APIRouter:
    """The status page, the agreement, a card a released model, and their style sheet."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse)
    def status(request: Request, lang: str = "") -> HTMLResponse:
        words = translator("coordinator", _wanted(request, lang))
        return _page("status.html", request, lang, **overview(office, words))

    @router.get("/agreement", response_class=HTMLResponse)
    def agreement(request: Request, lang: str = "") -> HTMLResponse:
        state = office.log.state()
        if state.newest_agreement is None:
            raise Refused(N_("no agreement is published yet"), do=N_("coordinator agreement draft begins one"))
        terms, log = state.agreements[state.newest_agreement].terms, office.log
        wanted = _wanted(request, lang)
        words = translator("coordinator", wanted)
        html = page(terms, wanted, words, origin=log.key.name, fingerprint=log.fingerprint())
        return HTMLResponse(html, headers=_CSP)

    @router.get("/models/{run}", response_class=HTMLResponse)
    def model_card(request: Request, run: str, lang: str = "") -> HTMLResponse:
        words = translator("coordinator", _wanted(request, lang))
        title = f"{words(model_cards.found(office, run).order.task)} · {words(N_('Model card'))}"
        told = model_cards.spoken(model_cards.card(office, run), words)
        return _page("sections.html", request, lang, title=title, sections=told)

    @router.get("/style.css")
    def style() -> HTMLResponse:
        return HTMLResponse(
            files("coordinator.web").joinpath("templates", "style.css").read_text("utf-8"), media_type="text/css"
        )

    return router


def problem(request: Request, error: TrustError) -> HTMLResponse:
    """What happened, why, what to do, for a person who opened an address."""
    lang = request.query_params.get("lang", "")
    title, *lines = error.lines(translator("coordinator", _wanted(request, lang)))
    told = [("", [line for line in lines if line])]
    status = 503 if isinstance(error, Unavailable) else 404
    return _page("sections.html", request, lang, status, title=title, sections=told)


def _page(name: str, request: Request, lang: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    language = _wanted(request, lang)
    told = {"_": translator("coordinator", language), "lang": language, "path": request.url.path} | values
    return HTMLResponse(_TEMPLATES.get_template(name).render(told), status, headers=_CSP)


def _wanted(request: Request, lang: str) -> Language:
    wanted = lang or request.headers.get("accept-language", "zh")
    return "en" if wanted.lower().startswith("en") else "zh"


def overview(office: Office, translate: Callable[[str], str] = str) -> dict[str, object]:
    """What the office sees: members, runs, log. No value of any member's data is here to be seen."""
    state, named = office.log.state(), members.names(office.database)
    with office.database.read() as session:
        heard = {row.member: row.at for row in session.exec(select(LastSeen))}
    agreement = state.active_agreement()
    listed = [
        {
            "name": named.get(m, m),
            "member": m,
            "online": time.time() - heard.get(m, 0) < ONLINE_S,
            "check": _check(state.privacy_checks.get(m)),
            "consent": _consent(state.consent(m, agreement) if agreement else None),
        }
        for m in state.members()
    ]
    broken = malformed_replies(office.database)
    judged = Evaluation(office.database, office.log, office.settings)
    runs = [
        {
            "run": r.run,
            "task": r.order.task,
            "rounds": sum(x.closed is not None for x in r.rounds),
            "of": r.order.plan.releases,
            "aborted": sum(x.closed is not None and x.closed.outcome == "aborted" for x in r.rounds),
            "malformed": [
                {"round": number, "name": named.get(m, m), "step": step}
                for number, m, step in (*broken.get(r.run, ()), *broken.get(r.evaluation or "", ()))
            ],
            "released": r.release is not None,
            "gate": r.gate and {"verdict": r.gate.verdict, "decision": r.gate.decision},
            "judged": judged.figures(state.runs[r.evaluation]) if r.evaluation else None,
            "index": r.index,
        }
        for r in state.runs_in_order()
        if r.order.evaluates is None
    ]
    cosigned = office.log.witnessed(0)
    missing = [m["name"] for m in listed if not m["online"]]
    return {
        "chamber": office.settings.name,
        "secure_sum": agreement is None or state.agreements[agreement].terms.secure_sum == "required",
        "members": listed,
        "runs": runs,
        "promises": [promise.sentences(translate) for promise in promises(state, str(datetime.now(UTC).year), epsilon)],
        "most": translate(MOST),
        "size": state.size,
        "missing": missing,
        "cosigned": cosigned.checkpoint.size if cosigned else None,
        "schedules": listed_runs(office, translate),
        "waiting": len(members.waiting(office.database)),
    }


def _check(known: tuple[int, PrivacyCheck] | None) -> dict[str, object] | None:
    """A member's newest check of its own release path: its log entry, whether it passed, the lower bound."""
    return known and {"index": known[0], "passed": not known[1].faults, "at_least": known[1].epsilon_at_least}


def _consent(event: object) -> str:
    kind = getattr(getattr(event, "consent", None), "event", None)
    return "none" if kind is None else "withdrawn" if kind in ("withdraw", "expire") else "live"
