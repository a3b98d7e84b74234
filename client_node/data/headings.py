"""What a heading is called: names compared without signs, units and case."""

from __future__ import annotations

import re

import polars as pl

from client_node.data import reading
from client_node.data.reading import UNITS

_SIGNS = re.compile(r"[\s_\-()（）\[\]【】:：/、.]")


def is_called(text: str, *names: str) -> bool:
    """Is it one of these names, but for signs, units and case?"""
    return bool(text) and plain(text) in {plain(name) for name in names}


def plain(text: str) -> str:
    """A heading without signs, units and case."""
    bare = re.sub(rf"[(（]({'|'.join(UNITS)}|含税|不含税)[)）]", "", text)
    return _SIGNS.sub("", bare or text).lower()


def is_abroad(heading: str) -> bool:
    """Does a heading name a currency that is not the yuan?"""
    return bool(pl.select(reading.is_abroad(pl.lit(heading))).item())
