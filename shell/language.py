"""How a sentence reaches a reader: language, catalogue, symbols their terminal can write."""

from __future__ import annotations

import json
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


@cache
def translator(package: str, lang: Language) -> Callable[[str], str]:
    """Sentence in English -> sentence in `lang`, from the catalogues of `package` and of `contracts`."""
    if lang == "en":
        return str
    known = {**_catalogue("contracts"), **_catalogue(package)}
    return lambda sentence: known.get(sentence, sentence)


def _catalogue(package: str) -> dict[str, str]:
    """Sentences of a package's zh_CN.po. Reads what our own catalogues hold (no plurals, no contexts): 30 MB less to install."""
    found: dict[str, str] = {}
    held, field = {"msgid": "", "msgstr": ""}, ""
    text = files(package).joinpath("locale/zh_CN.po").read_text(encoding="utf-8")
    for line in [*text.splitlines(), 'msgid ""']:
        word, _, rest = line.partition(" ")
        if word == "msgid" and held["msgid"] and held["msgstr"]:
            found[held["msgid"]] = held["msgstr"]
        if word in held:
            field, line, held[word] = word, rest, ""
        if line.startswith('"'):
            held[field] += json.loads(line)
    return found


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
