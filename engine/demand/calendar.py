"""The calendar as numbers: weekend days of a month, and where the Spring Festival lies. Public constants."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

# First day of the lunar year, month and day, from 1995 on (GB/T 33661-2017 gives the rule by which it is computed).
_FIRST_YEAR = 1995
_NEW_YEAR = (
    "0131 0219 0207 0128 0216 0205 0124 0212 0201 0122 0209 0129 0218 0207 0126 0214 0203 0123 0210 0131 0219 0208 "
    "0128 0216 0205 0125 0212 0201 0122 0210 0129 0217 0206 0126 0213 0203 0123 0211 0131 0219 0208 0128 0215 0204 "
    "0124 0212"
)


def spring_festival(year: int) -> date:
    """First day of the lunar year; of years outside the table, the middle of its range."""
    at = 5 * (year - _FIRST_YEAR)
    month_day = _NEW_YEAR[at : at + 4] if 0 <= at < len(_NEW_YEAR) else "0205"
    return date(year, int(month_day[:2]), int(month_day[2:]))


def weekend_days(month: int) -> float:
    """Fridays, Saturdays and Sundays of a month (months since year 0), less their mean of 13.04."""
    first, last = _month(month), _month(month + 1)
    days = [first + timedelta(n) for n in range((last - first).days)]
    return sum(day.weekday() >= 4 for day in days) - 13.04


def festival_share(month: int) -> float:
    """Share of the festival's 15 days (from one week before to one week after) that fall into a month."""
    first, last, middle = _month(month), _month(month + 1), spring_festival(month // 12)
    return sum(first <= middle + timedelta(n) < last for n in range(-7, 8)) / 15


def festival_week(week: int) -> float:
    """1 in the week of the festival, falling to 0 two weeks away (weeks since day 1)."""
    start = week * 7
    days = spring_festival(date.fromordinal(start + 3).year).toordinal() - start
    return max(0.0, 1.0 - max(0, -days, days - 6) / 14)


def table(seasons: int, first: int, count: int) -> np.ndarray:
    """`(count, 2)` for months (weekend days, festival share), `(count, 1)` for weeks, from period number `first`."""
    periods = range(first, first + count)
    if seasons == 12:
        return np.array([(weekend_days(m), festival_share(m)) for m in periods])
    return np.array([(festival_week(w),) for w in periods])


def _month(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)
