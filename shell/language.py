"""How a sentence reaches a reader: language, catalogue, symbols their terminal can write."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from contracts.wording import Language


def chosen_language(argv: Sequence[str], environ: Mapping[str, str]) -> Language:
    """`--lang` wins, then MENGBANG_LANG, then the locale; anything that is not English reads Chinese."""
    for position, word in enumerate(argv):
        if word == "--lang" and position + 1 < len(argv):
            return _language(argv[position + 1])
        if word.startswith("--lang="):
            return _language(word.partition("=")[2])
    for name in ("MENGBANG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return _language(environ[name])
    return "zh"


def _language(name: str) -> Language:
    return "en" if name.lower().startswith("en") else "zh"


def speak(lang: Language) -> None:
    """From now on click, typer and Python's parser use this language: all three take their words from gettext."""
    gettext.bindtextdomain("shell", str(files("shell") / "locale"))
    gettext.textdomain("shell")
    os.environ["LANGUAGE"] = "zh_CN" if lang == "zh" else "en"


@cache
def translator(package: str, lang: Language) -> Callable[[str], str]:
    """Sentence in English -> sentence in `lang`, from the catalogues of `package` and of `contracts`."""
    if lang == "en":
        return str
    known = _catalogue(package)
    known.add_fallback(_catalogue("contracts"))
    return lambda sentence: known.gettext(sentence) if sentence else ""  # for "" a catalogue gives its own heading


def _catalogue(package: str) -> gettext.NullTranslations:
    return gettext.translation(package, str(files(package) / "locale"), languages=["zh_CN"])


@dataclass(frozen=True, slots=True)
class Symbols:
    """Marks at the start of a line; plain words where the output cannot write the signs."""

    ok: str
    bad: str
    note: str


def symbols(encoding: str | None) -> Symbols:
    """Signs if `encoding` can write them, words if not (GBK logs of a scheduled task, for example)."""
    signs = Symbols("✔", "✖", "▲")
    try:
        "✔✖▲".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Symbols("[ok]", "[x]", "[!]")
    return signs
