"""A sentence for a reader: written in English, marked here, put into the reader's language where it is shown."""

from __future__ import annotations

from typing import Literal

Language = Literal["zh", "en"]


def N_(message: str) -> str:
    """Mark a sentence for translation without translating it yet."""
    return message
