"""A sentence for a reader: written in English, marked here, put into the reader's language
and filled where it is shown.

What somebody else wrote cannot hide in it: see `visible` for what is shown, `is_plain` for what may be signed.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

Language = Literal["zh", "en"]
SPACES = " \u3000"
FILLERS = frozenset(
    "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
)  # letters and signs by category, and nothing to be seen
_OTHER = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_IDEOGRAPHS = (  # assigned since Unicode 3.2, up to 15.0
    (0x4DB6, 0x4DBF), (0x9FA6, 0x9FFF), (0x2A6D7, 0x2A6DF), (0x2A700, 0x2B739), (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1),
    (0x2CEB0, 0x2EBE0), (0x30000, 0x3134A), (0x31350, 0x323AF),
)  # fmt: skip


def N_(message: str) -> str:
    """Mark a sentence for translation without translating it yet."""
    return message


class Lines(str):
    """A value whose new lines are its own, such as a signed note; those of any other are shown as what they are."""


def is_plain(text: str) -> bool:
    """True if everyone reads the same in it: NFC, spaces one at a time and inside, and no character that is not seen.

    Refused are the categories Cc, Zl, Zp (new lines, control and terminal codes), Cf (bidi controls, zero-width, tags),
    Cs, Co, Cn (what no two systems show alike), Zs but for U+0020 and U+3000, what RFC 3454 B.1 maps to nothing
    (variation selectors, joiners), and fillers. Categories are those of Unicode 3.2, as in RFC 3454: a verdict must not
    change with the reader's tables; ideographs that came later are taken.
    """
    spaced = any(one in SPACES and next_ in SPACES for one, next_ in pairwise(text))
    return (
        bool(text)
        and not any(map(_is_hidden, text))
        and not spaced
        and text == text.strip(SPACES)
        and unicodedata.is_normalized("NFC", text)
    )


def _is_hidden(character: str) -> bool:
    if any(low <= ord(character) <= high for low, high in _IDEOGRAPHS):
        return False
    other = unicodedata.ucd_3_2_0.category(character) in _OTHER and character not in SPACES
    return other or stringprep.in_table_b1(character) or character in FILLERS


def visible(text: str) -> str:
    """The text as it may be shown: a character that begins a line, moves the cursor, turns the direction or cannot be
    seen stands there as its number."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_seen(c) else f"[U+{ord(c):04X}]" for c in text)


def visible_lines(text: str) -> str:
    """The same of a text whose new lines are meant."""
    return "\n".join(map(visible, text.split("\n")))


def _is_seen(character: str) -> bool:
    printable = character.isprintable() or unicodedata.category(character) == "Zs"
    return printable and character not in FILLERS and not stringprep.in_table_b1(character)


def some_of(names: Iterable[object], most: int = 12) -> str:
    """What there is instead of what was asked for, in its order; no more than people read, "-" for nothing."""
    known = [str(name) for name in names]
    return ", ".join([*known[:most], *(["..."] if len(known) > most else [])]) or "-"


def filled(sentence: str, values: Mapping[str, object]) -> str:
    """The sentence with its fields filled: no value, whoever wrote it, can add a line or a code to what we say."""
    return sentence.format_map({name: _shown(value) for name, value in values.items()})


def _shown(value: object) -> object:
    if isinstance(value, Lines):
        return visible_lines(value)
    if isinstance(value, str):
        return visible(value)
    return value if value is None or isinstance(value, int | float | Decimal | Fraction) else visible(str(value))
