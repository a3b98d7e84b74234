"""Pages for the member's people: a page a task, complete without script, zh and en, with a strict content policy."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import polars as pl
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FunctionLoader, select_autoescape
from markupsafe import Markup

from client_node.serving.charts import Band, decimals, fan, number, reliability
from client_node.serving.predict import OFFERS, Ready
from client_node.serving.prepared import PreparedModels
from contracts.errors import TrustError
from contracts.wording import N_, Language, visible_lines
from engine.demand.windows import families, frequency, period_number, period_text
from engine.drift import Drift
from engine.ensemble import ResultLine
from shell.error_pages import Lines
from shell.language import translator

_FRESH = {"Cache-Control": "no-store"}
_LISTED, _HISTORY = 20, 36
_TEMPLATES = Environment(
    loader=FunctionLoader(lambda name: files("client_node.web").joinpath("templates", name).read_text("utf-8")),
    autoescape=select_autoescape(default=True),
    finalize=lambda value: visible_lines(value) if type(value) is str else value,
)
_TEMPLATES.filters["number"] = lambda value: "-" if value is None else number(value)


def pages(desk: PreparedModels) -> APIRouter:
    """Start page, a page a task, style sheet."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def start(request: Request, lang: str = "") -> Response:
        return _page("start.html", request, lang, tasks=desk.tasks)

    @router.get("/tasks/{task}")
    def of_task(request: Request, task: str, lang: str = "", id: str = "") -> Response:
        ready = desk.ready(task)
        told: dict[str, Any] = {"task": task, "tasks": desk.tasks, "ready": ready, "result": desk.own(task)}
        told["label"] = _labels(ready, _wanted(request, lang))
        translate = translator("client_node", _wanted(request, lang))
        if ready.voted.panel is None:
            return _page(
                "series.html",
                request,
                lang,
                **told,
                series=_series(ready, id, translate, told["label"]),
                moved=_moved(ready),
                offers=OFFERS[ready.voted.offers],
            )
        return _page("rows.html", request, lang, **told, **_rows(ready, id, translate))

    @router.get("/style.css")
    def style() -> Response:
        text = files("client_node.web").joinpath("templates", "style.css").read_text("utf-8")
        return Response(text, media_type="text/css")

    return router


def problem(request: Request, error: TrustError, status: int) -> Response:
    """What happened, why, what to do, as a page."""
    return error_page(request, status, lambda translate: [line for line in error.lines(translate) if line])


def error_page(request: Request, status: int, lines: Lines) -> Response:
    """The same of any error, by its lines."""
    language = _wanted(request, request.query_params.get("lang", ""))
    told = lines(translator("client_node", language))
    return _page("problem.html", request, language, status, lines=told, tasks=[])


def _page(name: str, request: Request, lang: str, status: int = 200, /, **values: Any) -> Response:
    language = _wanted(request, lang)
    words = {"_": translator("client_node", language), "lang": language, "path": request.url.path}
    return HTMLResponse(_TEMPLATES.get_template(name).render(**words, **values), status, headers=_FRESH)


def _wanted(request: Request, lang: str) -> Language:
    wanted = lang or request.headers.get("accept-language", "zh")
    return "en" if wanted.lower().startswith("en") else "zh"


def _labels(ready: Ready, language: Language) -> Any:
    """Column -> what it is called in this language: the schema's first alias is the Chinese one."""
    chinese = {c.name: c.aliases[0] for c in ready.schema.columns if c.aliases and language == "zh"}
    return lambda name: chinese.get(name, name.replace("_", " "))


def _moved(ready: Ready) -> list[Drift]:
    return [one for one in ready.drift() if one.has_moved]


def _rows(ready: Ready, name: str, _: Any) -> dict[str, Any]:
    """The riskiest rows, the diagram of reliability, drift, and one case with its reasons and what would change it."""
    lines, bins = ready.voted.lines, ready.voted.reliability
    chart = reliability(bins, _("what was told against what came"), _("Told"), _("Came")) if bins else None
    shown = ready.foremost(lines)[:_LISTED]
    is_self = ready.schema.unit == "member"
    asked = name or (shown[0].id if is_self and shown else "")  # of itself a member wants the newest month first
    chosen = _case(ready, asked) if asked else None
    return {
        "bins": bins,
        "chart": chart,
        "shown": shown,
        "moved": _moved(ready),
        "case": chosen,
        "line": ready.line(),
        "asked": asked,
        "who": _(N_("Month")) if is_self else _(N_("Customer")),
        "heading": _(N_("Month by month")) if is_self else _(N_("Highest probabilities")),
    }


@dataclass(frozen=True, slots=True)
class Case:
    """One row: its line, the values behind its reasons, and the smallest change that brings it below the line."""

    line: ResultLine
    values: dict[str, Any]
    change: Any
    is_above: bool


def _case(ready: Ready, name: str) -> Case:
    row, limit = ready.row(name), ready.line()
    line = next(one for one in ready.voted.lines if one.id == name)
    is_above = line.outcome["probability"] >= limit
    change = ready.panel.change(row, limit) if is_above else None
    return Case(line, row.to_dicts()[0], change, is_above)


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series (or a total): what was sold, what is to come by period, and the chart of both."""

    line: ResultLine
    title: str
    ahead: list[tuple[str, list[str]]]
    chart: Any


def _series(ready: Ready, name: str, _: Any, label: Any) -> SeriesView:
    """Of the line of this level and name (`series/P1`), or of the total."""
    line = next((one for one in ready.voted.all_lines() if f"{one.level}/{one.id}" == name), None) or ready.voted.total
    assert line is not None
    steps = range(1, len(ready.voted.ahead) + 1)
    outcome = line.outcome
    bands: list[Band] = [(outcome[f"low_{step}"], outcome[f"median_{step}"], outcome[f"high_{step}"]) for step in steps]
    chart = fan(
        _history(ready, line),
        list(zip(ready.voted.ahead, bands, strict=True)),
        _("sales so far, median and 80 % band to come"),
        label(ready.schema.one("number").name),
    )
    places = decimals(max(high for *_rest, high in bands))
    told = [[f"{value:,.{places}f}" for value in band] for band in bands]
    named = [_period(text, _) for text in ready.voted.ahead]
    title = _(N_("total")) if line.level == "member" else line.id
    return SeriesView(line, title, list(zip(named, told, strict=True)), chart)


def _period(text: str, _: Any) -> Markup:
    """A month or a week as people say it; a day is not torn at the end of a line."""
    kept = Markup("<time>{}</time>")
    if len(text) == 7:
        return kept.format(_(N_("{year}-{month:02d}")).format(year=text[:4], month=int(text[5:])))
    return Markup(_(N_("week from {day}"))).format(day=kept.format(text))


def _history(ready: Ready, line: ResultLine) -> list[tuple[str, float | None]]:
    """The newest periods of a line's series together, up to the first to come; None where nothing is known."""
    schema = ready.schema
    who, when, what = schema.one("id").name, schema.one("period").name, schema.one("number").name
    names, family = ready.table.names, families(ready.table.training, schema)
    frame = ready.table.training.drop_nulls(what)
    match line.level:
        case "series":
            frame = frame.filter(pl.col(who).replace(names) == line.id)
        case "family":
            frame = frame.filter(pl.col(who).is_in([name for name, held in family.items() if held == line.id]))
    summed = frame.group_by(pl.col(when).cast(pl.String)).agg(pl.col(what).cast(pl.Float64).sum())
    known = {period_number(text): value for text, value in summed.iter_rows()}
    end, kind = period_number(ready.voted.ahead[0]), frequency(schema)
    first = max(min(known, default=end), end - _HISTORY)
    return [(period_text(at, kind), known.get(at)) for at in range(first, end)]
