"""Ids replaced by keyed pseudonyms: what teaches and what is served knows no name of a customer or product."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import polars as pl


def pseudonym(key: bytes, value: str) -> str:
    """The same for the same id and key; without the key it tells nothing."""
    return hmac.new(key, b"pseudonym/" + value.encode(), hashlib.sha256).hexdigest()[:20]


def pseudonyms(key: bytes, ids: Sequence[str], frames: Sequence[pl.DataFrame]) -> dict[str, str]:
    """{id: pseudonym} of every value in the columns `ids` of the frames."""
    values = {value for name in ids for frame in frames for value in frame[name].unique().to_list()}
    return {value: pseudonym(key, value) for value in sorted(values)}


def swapped(frame: pl.DataFrame, ids: Sequence[str], known: Mapping[str, str]) -> pl.DataFrame:
    """The frame with the values of the columns `ids` replaced."""
    return frame.with_columns(pl.col(name).replace_strict(known, return_dtype=pl.String) for name in ids)
