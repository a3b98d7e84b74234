"""The one reading of days, money, identifiers and headings: what a cell's text means, whichever reader it came from.

Pure functions from text to value, null where a text is none: whatever is read is what was meant, and what could mean
two things is not read. A cell is read by itself alone: what becomes of a customer's rows may not depend on another's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import polars as pl

FROM_1900, FROM_1904 = date(1899, 12, 30), date(1904, 1, 1)  # day 0 of a spreadsheet's serial numbers
UNITS = {
    "亿元": Decimal(10**8),
    "百万元": Decimal(10**6),
    "万元": Decimal(10**4),
    "千元": Decimal(1000),
    "元": Decimal(1),
}
_CHINA = timedelta(hours=8)
_SIGNS = re.compile(r"[\s_\-()（）\[\]【】:：/、.]")
_SERIAL, _FIRST, _LAST = re.compile(r"\d{5}(\.\d+)?"), date(1990, 1, 1), date(2100, 1, 1)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_CLOCK = (
    r"(?:[\s,]*[(（]?(?:星期|周)[一二三四五六日天][)）]?)?"
    r"(?:[\sT]*(?P<half>上午|下午|[AP]M)?\s*(?P<hour>\d{1,2})(?P<colon>[:时点])(?:(?P<minute>\d{1,2})分?)?"
    r"(?::?(?P<second>\d{1,2})(?:[.,]\d+)?秒?)?\s*(?P<half_after>[AP]M)?" + _ZONE + ")?"
)
_BARE_CLOCK = (
    r"(?:[T\s]*(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})(?:[.,]?\d{3,6})?(?P<half>)(?P<half_after>)"
    + _ZONE
    + ")?"
)
_DAYS = tuple(
    re.compile(spelling + clock, re.IGNORECASE)
    for spelling, clocks in (
        (r"(?P<year>\d{1,4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})", (_CLOCK,)),
        (r"(?P<year>\d{1,4})\s*年\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号]?", (_CLOCK,)),
        (r"(?P<year>\d{4}) ?(?P<month>\d{2}) ?(?P<day>\d{2})", (_BARE_CLOCK, _CLOCK)),
        (r"(?P<day>\d{1,2})[- ](?P<name>[a-z]{3,9})\.?[-, ]+(?P<year>\d{4})", (_CLOCK,)),
        (r"(?P<name>[a-z]{3,9})\.? (?P<day>\d{1,2}), ?(?P<year>\d{4})", (_CLOCK,)),
    )
    for clock in clocks
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = re.compile(
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|"
    r"aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)"
)
# most cells are one of these, and are read all at once; what `day_of` and `amount_of` make of them is the same
_USUAL_DAYS, _USUAL_DAY = (
    ("%Y-%m-%d", "%Y/%m/%d", "%Y年%m月%d日", "%Y.%m.%d"),
    r"^\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?$",
)
_USUAL_TIME = r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?$"
_GROUPED = r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$"
_KEPT = 1 << 17  # texts whose reading is remembered: a column is read once for each of its rules
_ONES = {
    numeral: value
    for value, pair in enumerate(("〇零○", "一", "二", "三", "四", "五", "六", "七", "八", "九"))
    for numeral in pair
}
_WRITTEN = re.compile(
    r"([〇零○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,3})月([一二三四五六七八九十廿卅]{1,4})[日号]?"
)

_ABROAD = (
    r"(?i)(US\$|HK\$|NT\$|[$€£₩₽₹฿]|円|\b(USD|EUR|HKD|JPY|GBP|KRW|TWD|NTD|MOP|AUD|CAD|NZD|"
    r"SGD|CHF|THB|VND|RUB|INR|MYR|IDR|PHP|BRL|ZAR|AED|"
    r"SEK|NOK|DKK|TRY|MXN|SAR|KZT|USDT)(\b|\d)|\d(USD|EUR|HKD|JPY|GBP|KRW|TWD|MOP|AUD|CAD|SGD|CHF)\b|"
    r"美元|美金|欧元|港[币元幣]|日[元圆币]|英镑|韩[元币]|[新台]台?币|澳[元门]|加[元币]|加拿大元|澳大利亚元|新加坡元|新西兰元|瑞士法郎|泰铢|越南盾|卢布|卢比|外币)"
)
_YUAN = (
    r"(?i)^(CNY|RMB|CNH|人民币元?|人民币元?[(（](CNY|RMB|元|¥|本位币)[)）]|(CNY|RMB|156|001?)?[-_ "
    r"/]*(CNY|RMB|人民币元?)|元|¥|￥|156|本位币|记账本位币|本币|[-/—]*)$"
)
_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<before>[-+]?)(?:¥|￥|CNY|RMB|人民币)?(?P<inside>\()?(?P<after>[-+]?)"
    r"(?P<digits>\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?P<unit>亿|千万|百万|万|千)?(?:元整?|圆整?|CNY|RMB)?(?P<behind>-)?(?P<close>\))?",
    re.IGNORECASE,
)
_SCALES = {"亿": 10**8, "千万": 10**7, "百万": 10**6, "万": 10**4, "千": 1000}
_GROUP_BLANK, _TORN = re.compile(r"(?<=\d)[\s\u00a0](?=\d{3}(?!\d))"), re.compile(r"\d\s+\d")
_SHORTENED = (
    r"^\d(\.\d+)?[eE]\+?\d+$|^\d{15}0{3,}$|^\d{16,}\.0$"  # by a spreadsheet or a float, which keep fifteen digits
)


def days(texts: pl.Series, start: date = FROM_1900) -> pl.Series:
    """The day of each text; `start` is day 0 of serial numbers."""
    plain = texts.str.to_date("%Y-%m-%d", strict=False)
    if plain.null_count() == texts.null_count():
        return plain
    alone = texts.str.replace(_USUAL_TIME, "")
    usual = (alone.str.to_date(spelling, strict=False) for spelling in _USUAL_DAYS)
    plain = pl.select(pl.when(alone.str.contains(_USUAL_DAY)).then(pl.coalesce(plain, *usual))).to_series()
    return _others(texts, plain, lambda text: day_of(text, start))


@lru_cache(maxsize=_KEPT)
def day_of(text: str, start: date = FROM_1900) -> date | None:
    """A day in one of the known spellings, as it is in China: a time with a zone is converted, one without is the day
    that is written. 24:00 is the end of that day, not the next one."""
    if _SERIAL.fullmatch(text):
        found = start + timedelta(days=int(text.partition(".")[0]))
        return found if _FIRST <= found < _LAST else None
    numbered = _numbered(text)
    match = next((m for spelling in _DAYS if (m := spelling.fullmatch(numbered))), None)
    try:
        return _in_china(match.groupdict()) if match else None
    except (ValueError, OverflowError):
        return None


def _in_china(said: dict[str, str | None]) -> date:
    """ValueError if there is no such day or time."""
    month = _MONTHS.index(_month(said["name"] or "")) + 1 if "name" in said else int(said["month"] or 0)
    day = date(int(said["year"] or 0), month, int(said["day"] or 0))
    if said["hour"] is None:
        return day
    hour, minute, second = (int(said[unit] or 0) for unit in ("hour", "minute", "second"))
    half = (said["half"] or said["half_after"] or "").upper()
    if half:
        hour += 12 * (half in ("下午", "PM") and hour < 12) - 12 * (half in ("上午", "AM") and hour == 12)
    if (hour, minute, second) != (24, 0, 0) and not (hour < 24 and minute < 60 and second < 61):
        raise ValueError("no time of day")
    if said["zone"] is None:
        return day
    at = datetime(day.year, day.month, day.day) + timedelta(hours=hour, minutes=minute) - _offset(said["zone"])
    return (at + _CHINA).date()


def _month(name: str) -> str:
    if not _MONTH_NAME.fullmatch(name.lower()):
        raise ValueError("no month")
    return name[:3].lower()


def _offset(zone: str) -> timedelta:
    if zone[0] not in "+-":
        return timedelta()
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
    if ahead > timedelta(hours=14):
        raise ValueError("no zone")
    return ahead if zone[0] == "+" else -ahead


def _numbered(text: str) -> str:
    """二〇二五年三月五日 -> 2025年3月5日."""
    match = _WRITTEN.match(text)
    if not match:
        return text
    year = "".join(str(_ONES[numeral]) for numeral in match[1])
    return f"{year}年{_counted(match[2])}月{_counted(match[3])}日{text[match.end() :]}"


def _counted(numerals: str) -> int:
    """三十一 -> 31, 廿五 -> 25."""
    tens, ten, ones = numerals.replace("廿", "二十").replace("卅", "三十").rpartition("十")
    return 10 * (_ONES.get(tens or "一", 99) if ten else 0) + (_ONES.get(ones, 99) if ones else 0)


def amounts(texts: pl.Series) -> pl.Series:
    """The number of each text, in yuan where the cell names a unit of its own."""
    plain = texts.cast(pl.Float64, strict=False)
    if plain.null_count() > texts.null_count():
        grouped = pl.select(pl.when(texts.str.contains(_GROUPED)).then(texts.str.replace_all(",", ""))).to_series()
        plain = plain.fill_null(grouped.cast(pl.Float64, strict=False))
    return _others(texts, plain.set(~plain.is_finite(), None), amount_of)


@lru_cache(maxsize=_KEPT)
def amount_of(text: str) -> float | None:
    """Digits with separators between thousands, marks and units of yuan, and one sign: before, behind (1,000.00-), or
    parentheses. A comma elsewhere is no separator: 12,50 would become a hundredfold."""
    bare = _GROUP_BLANK.sub(",", text.replace("−", "-"))
    if _TORN.search(bare):
        return None
    match = _AMOUNT.fullmatch(re.sub(r"\s", "", bare).replace("，", ",").replace("（", "(").replace("）", ")"))
    if not match:
        return None
    said = match.groupdict()
    opened, signs = bool(said["open"]) + bool(said["inside"]), [said["before"], said["after"], said["behind"]]
    grouped = "," not in said["digits"] or re.match(r"\d{1,3},", said["digits"])
    if not grouped or opened != bool(said["close"]) or sum(map(bool, signs)) + opened > 1:
        return None
    value = float(said["digits"].replace(",", "")) * _SCALES.get(said["unit"] or "", 1)
    return -value if opened or "-" in signs else value


def names_a_unit(text: pl.Expr) -> pl.Expr:
    """Does an amount say its own unit, whatever that of its column?"""
    return text.str.contains("[元圆万亿]")


def is_abroad(text: pl.Expr) -> pl.Expr:
    """Does a text name a currency that is not the yuan?"""
    return text.str.contains(_ABROAD)


def is_yuan(text: pl.Expr) -> pl.Expr:
    """Does a cell of a currency column say yuan, or nothing?"""
    return text.is_null() | text.str.contains(_YUAN)


def identifiers(texts: pl.Series) -> pl.Series:
    """Codes as other files spell them: a whole number that passed through a float without its .0, without blanks
    but one between two letters."""
    if texts.str.contains(r"[\s\u3000]").any():
        closed = texts.str.replace_all(r"([^A-Za-z\s])[ \u00a0\u3000]+", "$1")
        closed = closed.str.replace_all(r"[ \u00a0\u3000]+([^A-Za-z\s])", "$1")
        texts = closed.str.replace_all(r"[ \u00a0\u3000]+", " ")
    return texts.str.replace(r"^(\d{1,15})\.0$", "$1") if texts.str.ends_with(".0").any() else texts


def is_shortened(text: pl.Expr) -> pl.Expr:
    """Has a code lost digits on its way through a spreadsheet or a float?"""
    return text.str.contains(_SHORTENED)


def is_called(text: str, *names: str) -> bool:
    """Is it one of these names, but for signs, units and case?"""
    return bool(text) and plain(text) in {plain(name) for name in names}


def plain(text: str) -> str:
    """A heading without signs, units and case."""
    bare = re.sub(rf"[(（]({'|'.join(UNITS)}|含税|不含税)[)）]", "", text)
    return _SIGNS.sub("", bare or text).lower()


def is_heading_abroad(heading: str) -> bool:
    """Does a heading name a currency that is not the yuan?"""
    return bool(pl.select(is_abroad(pl.lit(heading))).item())


def _others(texts: pl.Series, plain: pl.Series, read: Callable[[str], object]) -> pl.Series:
    """`plain`, and what `read` makes of each text, once, for which that is null."""
    left = texts.filter(plain.is_null() & texts.is_not_null() & (texts != "")).unique()
    if left.is_empty():
        return plain
    made = pl.Series([read(text) for text in left.to_list()], dtype=plain.dtype)
    return plain.fill_null(texts.replace_strict(left, made, default=None, return_dtype=plain.dtype))
