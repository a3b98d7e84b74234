"""The head of the public start, tuned by a setting's members over the round protocol in one process."""

from __future__ import annotations

from array import array

import numpy as np
import polars as pl

from benchmarks.demand.methods import kind_of, series_of
from benchmarks.demand.protocol import Setting
from benchmarks.rounds.local_rounds import federated
from engine.demand.task import TASK, WindowRows, rows_of
from engine.demand.windows import period_text, windows
from engine.table import TableSchema
from engine.task import plan_for
from privacy.accounting import rho_cap

NO_NOISE = "8"  # epsilon of the plan whose noise is left out


def schema_of(setting: Setting) -> TableSchema:
    """The task's schema with the setting's season and horizon."""
    options = {"horizon": setting.horizon, "season": setting.season}
    return TASK.schema().model_copy(update={"options": options})


def largest(setting: Setting, members: int) -> Setting:
    """Only the members with most series."""
    names, counts = np.unique(setting.member, return_counts=True)
    most = names[np.argsort(-counts, kind="stable")[:members]]
    return setting.only(np.flatnonzero(np.isin(setting.member, most)))


def books(setting: Setting) -> dict[str, pl.DataFrame]:
    """The table that each member would bring: what had been sold when the targets of the training origins end."""
    known, made = max(setting.training) + setting.horizon, {}
    for name in setting.members():
        own = setting.only(np.flatnonzero(setting.member == name))
        row, at = np.nonzero(np.isfinite(own.values[:, :known]))
        made[name] = pl.DataFrame(
            {
                "series": own.series[row].astype(str),
                "period": [period_text(own.first + int(t), kind_of(own)) for t in at],
                "sales": own.values[row, at],
            }
        )
    return made


def training_rows(setting: Setting) -> dict[str, WindowRows]:
    """Each member's windows at the training origins."""
    found = {}
    for name in setting.members():
        own = setting.only(np.flatnonzero(setting.member == name))
        kind, series = kind_of(own), series_of(own)
        known = series.values[:, : max(setting.training) + setting.horizon]
        series = type(series)(known, series.first, series.names)
        found[name] = rows_of(kind, series, windows(series, setting.training, kind))
    return found


def tune(setting: Setting, rows: dict[str, WindowRows], epsilon: str | None, *, once: bool = False) -> array[float]:
    """The released head. None: the same rounds without noise. `once`: one member adds noise for all (research only)."""
    schema = schema_of(setting)
    plan = plan_for(
        TASK,
        schema,
        family="gradients",
        releases=0,
        rho_nano=rho_cap(epsilon or NO_NOISE, "1e-6"),
        delta="1e-6",
        members=len(rows),
    )
    start = TASK.start(schema, "gradients")
    return federated(TASK, plan, list(rows.values()), start, noisy=epsilon is not None, once=once).values
