"""Pages for the member's people: a page a task, complete without script, zh and en, with a strict content policy."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import polars as pl
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FunctionLoader, select_autoescape

from client_node.charts import fan, reliability
from client_node.desk import Desk
from client_node.predict import Ready
from contracts.errors import TrustError
from contracts.wording import N_, Language, translator
from engine.drift import Drift
from engine.task import Served

_CSP = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LISTED, _HISTORY = 20, 36
_TEMPLATES = Environment(
    loader=FunctionLoader(lambda name: files("client_node").joinpath("templates", name).read_text("utf-8")),
    autoescape=select_autoescape(default=True),
)


def pages(desk: Desk) -> APIRouter:
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
                "series.html", request, lang, **told, series=_series(ready, id, translate), moved=_moved(ready)
            )
        return _page("rows.html", request, lang, **told, **_rows(ready, id, translate))

    @router.get("/style.css")
    def style() -> Response:
        text = files("client_node").joinpath("templates", "style.css").read_text("utf-8")
        return Response(text, media_type="text/css")

    return router


def problem(request: Request, error: TrustError, status: int) -> Response:
    """What happened, why, what to do, as a page."""
    language = _wanted(request, request.query_params.get("lang", ""))
    lines = [line for line in error.lines(translator("client_node", language)) if line]
    return _page("problem.html", request, language, status, lines=lines, tasks=[])


def _page(name: str, request: Request, lang: str, status: int = 200, /, **values: Any) -> Response:
    language = _wanted(request, lang)
    words = {"_": translator("client_node", language), "lang": language, "path": request.url.path}
    return HTMLResponse(_TEMPLATES.get_template(name).render(**words, **values), status, headers=_CSP)


def _wanted(request: Request, lang: str) -> Language:
    wanted = lang or request.headers.get("accept-language", "zh")
    return "en" if wanted.lower().startswith("en") else "zh"


def _labels(ready: Ready, language: Language) -> Any:
    """Column -> what it is called in this language: the schema's first alias is the Chinese one."""
    chinese = {c.name: c.aliases[0] for c in ready.schema.columns if c.aliases and language == "zh"}
    return lambda name: chinese.get(name, name)


def _moved(ready: Ready) -> list[Drift]:
    return [one for one in ready.drift() if one.has_moved]


def _rows(ready: Ready, name: str, _: Any) -> dict[str, Any]:
    """The riskiest rows, the diagram of reliability, drift, and one case with its reasons and what would change it."""
    lines, bins = ready.voted.lines, ready.voted.reliability
    chart = reliability(bins, _("what was told against what came")) if bins else None
    shown = sorted(lines, key=lambda line: -line.outcome["probability"])[:_LISTED]
    chosen = _case(ready, name) if name else None
    return {
        "bins": bins,
        "chart": chart,
        "shown": shown,
        "moved": _moved(ready),
        "case": chosen,
        "line": ready.line(),
        "asked": name,
    }


@dataclass(frozen=True, slots=True)
class Case:
    """One row: its line, the values behind its reasons, and the smallest change that brings it below the line."""

    line: Served
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
class Shown:
    """One series (or the total): what was sold, what is to come by period, and the chart of both."""

    id: str
    ahead: list[tuple[str, tuple[float, float, float]]]
    chart: Any


def _series(ready: Ready, name: str, _: Any) -> Shown:
    line = next((one for one in ready.voted.lines if one.id == name), None) or ready.voted.total
    assert line is not None
    steps = range(1, len(ready.voted.ahead) + 1)
    ahead = [tuple(line.outcome[f"{word}_{step}"] for word in ("low", "median", "high")) for step in steps]
    label = _("sales so far, median and 80 % band to come")
    whole = line is ready.voted.total
    chart = fan(_history(ready, None if whole else line.id), ahead, label)  # type: ignore[arg-type]
    named = [_period(text, _) for text in ready.voted.ahead]
    return Shown(_(N_("total")) if whole else line.id, list(zip(named, ahead, strict=True)), chart)  # type: ignore[arg-type]


def _period(text: str, _: Any) -> str:
    """A month or a week as people say it."""
    if len(text) == 7:
        return str(_(N_("{year}-{month:02d}")).format(year=text[:4], month=int(text[5:])))
    return str(_(N_("week from {day}")).format(day=text))


def _history(ready: Ready, name: str | None) -> list[tuple[str, float]]:
    """The newest periods of a series, or of all together (None)."""
    schema = ready.schema
    who, when, what = schema.one("id").name, schema.one("period").name, schema.one("number").name
    pseudonyms = {own: pseudonym for pseudonym, own in ready.table.names.items()}
    frame = ready.table.training
    if name in pseudonyms:
        frame = frame.filter(pl.col(who) == pseudonyms[name])
    summed = frame.group_by(when).agg(pl.col(what).cast(pl.Float64).sum()).sort(when).tail(_HISTORY)
    return list(zip(summed[when].cast(pl.String).to_list(), summed[what].to_list(), strict=True))
