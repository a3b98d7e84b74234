"""HTML for people: complete without JavaScript, strict CSP, zh and en."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FunctionLoader, select_autoescape

from contracts.errors import Refused, TrustError, Unavailable
from contracts.terms.reading import page
from contracts.wording import N_, Language, visible_lines
from coordinator.learning import model_cards
from coordinator.web.insiders import cookie_of, is_code, is_insider
from coordinator.web.overview import overview, public_overview
from shell.error_pages import Lines
from shell.language import translator

if TYPE_CHECKING:
    from coordinator.office import Office

_TEMPLATES = Environment(
    loader=FunctionLoader(lambda name: files("coordinator.web").joinpath("templates", name).read_text("utf-8")),
    autoescape=select_autoescape(default=True),
    finalize=lambda value: visible_lines(value) if type(value) is str else value,
)
PEOPLE = ("/agreement", "/models/")  # beginnings of addresses that people open and that can be asked in vain


def pages(office: Office, *, is_proxied: bool = False) -> APIRouter:
    """The status page, the agreement, a card a released model, and their style sheet."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse)
    def status(request: Request, lang: str = "", code: str = "") -> Response:
        if is_code(code, office.settings):
            opened = RedirectResponse(f"/?lang={_wanted(request, lang)}", 303)
            opened.set_cookie(cookie_of(office.settings), code, httponly=True, secure=True, samesite="strict")
            return opened
        words = translator("coordinator", _wanted(request, lang))
        is_office = is_insider(request, office.settings, is_proxied=is_proxied)
        seen = overview(office, words) if is_office else public_overview(office, words)
        page = _page("status.html", request, lang, is_office=is_office, **seen)
        page.headers["Cache-Control"] = "no-store"
        return page

    @router.get("/agreement", response_class=HTMLResponse)
    def agreement(request: Request, lang: str = "") -> HTMLResponse:
        state = office.log.state()
        if state.newest_agreement is None:
            raise Refused(N_("no agreement is published yet"), do=N_("coordinator agreement draft begins one"))
        terms, log = state.agreements[state.newest_agreement].terms, office.log
        wanted = _wanted(request, lang)
        words = translator("coordinator", wanted)
        html = page(terms, wanted, words, origin=log.key.name, fingerprint=log.fingerprint())
        return HTMLResponse(html)

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
    status = 503 if isinstance(error, Unavailable) else 404
    return error_page(request, status, lambda translate: [line for line in error.lines(translate) if line])


def error_page(request: Request, status: int, lines: Lines) -> HTMLResponse:
    """The same of any error: the first of its lines is the heading."""
    lang = request.query_params.get("lang", "")
    title, *told = lines(translator("coordinator", _wanted(request, lang)))
    return _page("sections.html", request, lang, status, title=title, sections=[("", told)])


def _page(name: str, request: Request, lang: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    language = _wanted(request, lang)
    told = {"_": translator("coordinator", language), "lang": language, "path": request.url.path} | values
    return HTMLResponse(_TEMPLATES.get_template(name).render(told), status)


def _wanted(request: Request, lang: str) -> Language:
    wanted = lang or request.headers.get("accept-language", "zh")
    return "en" if wanted.lower().startswith("en") else "zh"
