"""Series of nobody: generated months and weeks from which the public start learns. No data of any member.

What is in them was chosen on synthetic series and on the validation origins of public sets (docs/explanation).
Each function gives `(series, periods)` with NaN where missing, and the number of each series' first period.
"""

from __future__ import annotations

import numpy as np

from engine.demand import calendar

_FAMILY = 8  # series that share a season
_YEARS = (1996, 2032)  # first years of generated series: the calendar is real


def monthly(random: np.random.Generator, series: int, periods: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Sums of money a month: trend, season, calendar, noise, shifts, openings, outages."""
    families = -(-series // _FAMILY)
    first = 12 * random.integers(*_YEARS, families) + random.integers(0, 12, families)
    level = _trend(random, families, periods, 0.003) + _season(random, families, periods)
    level += _calendar_effects(random, first, periods)
    logs = np.repeat(level, _FAMILY, 0)[:series]
    first = np.repeat(first, _FAMILY)[:series]
    logs += _trend(random, series, periods, 0.004) + _own_season(random, series, periods)
    logs += _noise(random, series, periods) + _shifts(random, series, periods) + _events(random, series, periods)
    opened, ramp = _openings(random, series, periods)
    values = np.exp(logs + ramp + _closing(random, series, periods)) * _outages(random, series, periods)
    values = _counts(random, values)
    values[np.arange(periods) < opened[:, None]] = np.nan
    values[random.random(values.shape) < np.where(random.random((series, 1)) < 0.1, 0.05, 0.0)] = np.nan
    return values, first


def weekly(random: np.random.Generator, series: int, periods: int = 104) -> tuple[np.ndarray, np.ndarray]:
    """Pieces a week: gamma-Poisson counts around a moving level, promotions, zeros, launches, holidays."""
    families = -(-series // _FAMILY)
    first = np.repeat(52 * random.integers(*_YEARS, families) * 365 // 364 + random.integers(0, 52, families), _FAMILY)
    first = first[:series]
    t = np.arange(periods)
    wave = np.repeat(_waves(random, families, periods), _FAMILY, 0)[:series] * random.lognormal(0, 0.4, (series, 1))
    logs = random.normal(1.8, 1.5, (series, 1)) + wave + _walk(random, series, periods)
    logs += _promotions(random, series, periods) + _holidays(random, first, periods)
    logs += _trend(random, series, periods, 0.004)
    launched = np.where(random.random(series) < 0.3, random.integers(0, periods - 8, series), 0)
    age = t - launched[:, None]
    fresh = (launched > 0)[:, None] & (age >= 0)
    ramp = random.normal(-0.3, 0.8, (series, 1)) * np.exp(-np.maximum(age, 0) / random.uniform(2, 12, (series, 1)))
    logs += np.where(fresh, ramp, 0.0)
    mean = np.exp(np.minimum(logs, 9.0)) * (age >= 0)
    shape = random.lognormal(np.log(2.0), 0.9, (series, 1))
    mean = mean * random.gamma(shape, 1 / shape, mean.shape)
    idle = np.where(random.random((series, 1)) < 0.2, random.beta(1.2, 4.0, (series, 1)), 0.0)
    mean *= random.random(mean.shape) >= idle
    return random.poisson(mean).astype(np.float64), first


def _tail(random: np.random.Generator, shape: tuple[int, ...], freedom: float = 4.0) -> np.ndarray:
    """Student noise of variance one."""
    noise: np.ndarray = random.standard_t(freedom, shape) / np.sqrt(freedom / (freedom - 2))
    return noise


def _scale(random: np.random.Generator, count: int, middle: float, spread: float) -> np.ndarray:
    return random.lognormal(np.log(middle), spread, (count, 1))


def _trend(random: np.random.Generator, count: int, periods: int, size: float) -> np.ndarray:
    """A slope that changes now and then."""
    bends = np.where(random.random((count, periods)) < 1 / 24, 1.0, 0.0)
    bends[:, 0] = 1.0
    slope = np.cumsum(bends * random.normal(0, size, (count, periods)), 1)
    return np.cumsum(slope, 1)


def _season(random: np.random.Generator, families: int, periods: int) -> np.ndarray:
    """Five harmonics and twelve free months, repeated."""
    months = np.arange(12)
    year = _scale(random, families, 0.04, 0.75) * _tail(random, (families, 12), 5.0)
    size = _scale(random, families, 0.08, 0.9)
    for k in range(1, 6):
        weights = random.normal(0, 1, (2, families, 1)) * size / k
        year += weights[0] * np.sin(2 * np.pi * k * months / 12) + weights[1] * np.cos(2 * np.pi * k * months / 12)
    return np.tile(year, (1, -(-periods // 12)))[:, :periods]


def _own_season(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    year = _scale(random, series, 0.025, 0.8) * _tail(random, (series, 12), 5.0)
    return np.tile(year, (1, -(-periods // 12)))[:, :periods]


def _calendar_effects(random: np.random.Generator, first: np.ndarray, periods: int) -> np.ndarray:
    """Weekends pay for many and cost some; the Spring Festival moves what two families of five sell."""
    begin = int(first.min())
    known = calendar.table(12, begin, int(first.max()) - begin + periods)
    grid = known[(first - begin)[:, None] + np.arange(periods)]
    count = len(first)
    weekends = np.where(
        random.random(count) < 0.7, random.normal(0.018, 0.012, count), random.normal(-0.006, 0.012, count)
    )
    festival = np.where(random.random(count) < 0.4, random.normal(-0.1, 0.25, count), 0.0)
    effect: np.ndarray = grid[:, :, 0] * weekends[:, None] + grid[:, :, 1] * festival[:, None]
    return effect


def _noise(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """Independent noise, and an autoregression of which a part is nearly a random walk."""
    near = random.random((series, 1)) < 0.4
    memory = np.where(near, random.uniform(0.92, 0.995, (series, 1)), random.uniform(0.2, 0.85, (series, 1)))
    steps = _scale(random, series, 0.04, 0.85) * _tail(random, (series, periods))
    noise: np.ndarray = _scale(random, series, 0.045, 0.85) * _tail(random, (series, periods)) + _autoregression(
        steps, memory
    )
    return noise


def _autoregression(steps: np.ndarray, memory: np.ndarray) -> np.ndarray:
    state, path = steps[:, :1] / np.sqrt(1 - memory**2), np.empty_like(steps)
    for t in range(steps.shape[1]):
        state = memory * state + steps[:, t : t + 1]
        path[:, t : t + 1] = state
    return path


def _shifts(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """The level jumps about every seven years."""
    return np.cumsum((random.random((series, periods)) < 0.012) * 0.25 * _tail(random, (series, periods)), 1)


def _events(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """Single months that nobody could foresee."""
    events: np.ndarray = (random.random((series, periods)) < 0.01) * 0.4 * _tail(random, (series, periods))
    return events


def _openings(random: np.random.Generator, series: int, periods: int) -> tuple[np.ndarray, np.ndarray]:
    """First month of each series, and the way from the opening to the usual level."""
    late = random.random(series) < 0.2
    opened = np.where(late, random.integers(0, periods - 6, series), -200)
    age = np.maximum(np.arange(periods) - opened[:, None], 0)
    start = random.normal(0.1, 0.45, (series, 1))
    ramp = start * np.exp(-age / random.uniform(1, 12, (series, 1)))
    ramp -= (age == 0) * random.uniform(0, 1.2, (series, 1))  # opened in the middle of a month
    return np.maximum(opened, 0), ramp


def _closing(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """Some decline towards their end."""
    end = np.where(random.random(series) < 0.04, random.integers(periods // 2, periods + 6, series), 10_000)
    left = np.maximum(end[:, None] - np.arange(periods), 0)
    return -random.uniform(0.2, 1.5, (series, 1)) * np.exp(-left / random.uniform(1, 6, (series, 1)))


def _outages(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """Now and then a month sells a part of the usual, or nothing."""
    out = random.random((series, periods)) < 0.006
    rest = np.where(random.random((series, periods)) < 0.3, 0.0, random.uniform(0, 0.8, (series, periods)))
    return np.where(out, rest, 1.0)


def _counts(random: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """One series in eight counts pieces, the others are sums of money."""
    mean = random.lognormal(2.5, 1.2, (len(values), 1))
    counted = random.poisson(np.minimum(values * mean, 1e6)).astype(np.float64)
    return np.where(random.random((len(values), 1)) < 0.12, counted, values * random.lognormal(9.0, 1.5, mean.shape))


def _waves(random: np.random.Generator, families: int, periods: int) -> np.ndarray:
    """A yearly wave with a high time."""
    t = np.arange(periods)
    size = _scale(random, families, 0.12, 0.8)
    phase = random.uniform(0, 2 * np.pi, (families, 2))
    wave = np.sin(2 * np.pi * t / 52.18 + phase[:, :1]) + 0.4 * np.sin(4 * np.pi * t / 52.18 + phase[:, 1:])
    high = np.exp(4 * (np.cos(2 * np.pi * (t - random.uniform(0, 52, (families, 1))) / 52.18) - 1))
    waves: np.ndarray = (
        size * wave + np.where(random.random((families, 1)) < 0.4, random.normal(0.3, 0.7, (families, 1)), 0) * high
    )
    return waves


def _walk(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """The level's own way, heavy tails."""
    memory = random.uniform(0.75, 0.99, (series, 1))
    return _autoregression(_scale(random, series, 0.1, 0.6) * _tail(random, (series, periods)), memory)


def _promotions(random: np.random.Generator, series: int, periods: int) -> np.ndarray:
    """A few weeks of more, then a week of less."""
    start = random.random((series, periods)) < 0.02
    lift = np.where(start, random.uniform(0.3, 1.6, (series, periods)), 0.0)
    long = random.random((series, 1)) < 0.5
    later = np.pad(lift, ((0, 0), (2, 0)))[:, :periods]
    lifted: np.ndarray = lift + np.pad(lift, ((0, 0), (1, 0)))[:, :periods] * long - 0.3 * later
    return lifted


def _holidays(random: np.random.Generator, first: np.ndarray, periods: int) -> np.ndarray:
    """The Spring Festival for two series of five; for some a week of the year in which all is closed."""
    begin = int(first.min())
    known = calendar.table(52, begin, int(first.max()) - begin + periods)[:, 0]
    grid = known[(first - begin)[:, None] + np.arange(periods)]
    count = len(first)
    effect = np.where(random.random(count) < 0.4, random.normal(-0.3, 0.6, count), 0.0)
    shut = np.where(random.random((count, 1)) < 0.2, random.integers(0, 52, (count, 1)), -1)
    closed = ((first[:, None] + np.arange(periods)) % 52 == shut) * -6.0
    effects: np.ndarray = grid * effect[:, None] + closed
    return effects
