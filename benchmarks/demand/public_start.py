"""The public start, zero-shot and as a vote, beside what members can do alone. No member's data made it.

    python -m benchmarks.demand.public_start --data ../shared/data

Reads the public demand sets by the splits of their READMEs (`benchmarks.demand.protocol`); each member
calibrates on its own validation origins, the test origins score. The generator was tuned on validation origins
(Texas 23-25, retail 22-24).
"""

from __future__ import annotations

import argparse
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demand.methods import Forecasts, calibrated, home_votes, kind_of, network, series_of, three, voted
from benchmarks.demand.protocol import Score, Setting, gains, retail, score, texas
from benchmarks.tables import publish
from engine.demand import pretrain, start
from engine.demand.task import zero_shot
from engine.demand.windows import MONTHLY, WEEKLY, Frequency

BARS = {"Texas, chain": (0.068, 0.0637), "Retail, peak": (0.483, 0.478)}  # WQL alone, and as a vote


def row(setting: Setting, method: str, made: np.ndarray, base: Score | None) -> tuple[dict[str, Any], Score]:
    """One line of the table, on the test origins."""
    found = score(setting, made[:, len(setting.validation) :], setting.test)
    line = {
        "method": method,
        "WAPE": f"{found.wape:.4f}",
        "MASE": f"{found.mase:.3f}",
        "WQL": f"{found.wql:.4f}",
        "cover 80": f"{found.coverage:.2f}",
        "small / mid / large": " ".join(f"{third:.4f}" for third in found.thirds),
        "better than three": "–"
        if base is None
        else f"{int((found.by_member < base.by_member).sum())} of {len(base.by_member)}",
        "gain / tie / lose (1 %)": "–" if base is None else " / ".join(map(str, gains(found, base))),
    }
    return line, found


def table(setting: Setting) -> tuple[list[dict[str, Any]], dict[str, Score]]:
    """All methods of one setting."""
    votes: Forecasts = home_votes(setting)
    zero = network(setting, start.head(kind_of(setting)))
    methods = dict(votes) | {"average of three": three(setting, votes)}
    lines, scores = [], {}
    for name, made in methods.items():
        line, scores[name] = row(setting, name, made, None)
        lines.append(line)
    base = scores["average of three"]
    more = {
        "three, calibrated at home (no start)": voted(setting, votes, None)[0],
        "start alone, as shipped": zero,
        "start alone, calibrated at home": calibrated(setting, zero),
        "three + start, plain 1 of 4": (3 * methods["average of three"] + zero) / 4,
        "three + start, as a node serves it": voted(setting, votes, zero)[0],
    }
    for name, made in more.items():
        line, scores[name] = row(setting, name, made, base)
        lines.append(line)
    return lines, scores


def verdicts(setting: Setting, scores: dict[str, Score]) -> list[str]:
    """The bars of this setting, met or missed."""
    if setting.name not in BARS:
        return []
    alone, vote = BARS[setting.name]
    a, v, three_alone = (
        scores[n] for n in ("start alone, as shipped", "three + start, as a node serves it", "average of three")
    )
    better = int((v.by_member < three_alone.by_member).sum())
    checks = {
        f"start alone WQL {a.wql:.4f} <= {alone}": a.wql <= alone,
        f"as a vote WQL {v.wql:.4f} <= {vote}": v.wql <= vote,
    }
    if setting.season == 12:
        checks |= {
            f"start alone MASE {a.mase:.3f} <= 1.00": a.mase <= 1.0,
            f"vote better by {1 - v.wql / three_alone.wql:.1%} WQL (>= 1.4 %)": v.wql <= 0.986 * three_alone.wql,
            f"vote better by {1 - v.mase / three_alone.mase:.1%} MASE (>= 3 %)": v.mase <= 0.97 * three_alone.mase,
            f"{better} of {len(v.by_member)} members gain (>= 70 %)": better >= 0.7 * len(v.by_member),
        }
    else:
        checks |= {
            f"vote better by {1 - v.wql / three_alone.wql:.1%} WQL (>= 2 %)": v.wql <= 0.98 * three_alone.wql,
            f"{better} of {len(v.by_member)} members gain (>= 85 %)": better >= 0.85 * len(v.by_member),
        }
    return [f"{setting.name}: {text} {'MET' if met else 'MISSED'}" for text, met in checks.items()]


def cost(kind: Frequency, setting: Setting) -> dict[str, Any]:
    """Size of the artefact, what it was made from, and how long one forecast takes."""
    series = series_of(setting.only(np.arange(1)))
    zero_shot(series, setting.test[0], kind, start.head(kind))
    times = []
    for _ in range(50):
        began = time.perf_counter()
        zero_shot(series, setting.test[0], kind, start.head(kind))
        times.append(time.perf_counter() - began)
    size = len(files("engine.demand").joinpath(f"start-{kind.name}.bin").read_bytes())
    return {
        "start": kind.name,
        "MB": f"{size / 1e6:.2f}",
        "numbers in the head": start.head_length(kind),
        "generated series": pretrain.SERIES * pretrain.EPOCHS[kind.name],
        "ms a forecast of one series (median)": f"{np.median(times) * 1000:.2f}",
        "digest": start.DIGEST[kind.name][:19],
    }


def main() -> None:
    """Print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    chosen = parser.parse_args()
    parts: dict[str, Any] = {}
    bars: list[str] = []
    settings = [
        texas(chosen.data, "chain"),
        texas(chosen.data, "county"),
        retail(chosen.data, "normal"),
        retail(chosen.data, "peak"),
    ]
    for setting in settings:
        parts[setting.name], scores = table(setting)
        bars += verdicts(setting, scores)
    parts["The start itself"] = [cost(MONTHLY, settings[0]), cost(WEEKLY, settings[3])]
    notes = [
        "Test origins of the READMEs; WQL and MASE: lower is better. Each member's forecasts use its own data only.",
        "The generator was tuned on validation origins (Texas 23-25, retail normal 22-24), never on a test origin.",
        "Bars:\n\n" + "\n".join(f"- {bar}" for bar in bars),
    ]
    publish("public_start", "The public start for demand", parts, notes)


if __name__ == "__main__":
    main()
