"""How the commands of all parties speak: one language, marks that the output can write, errors in three lines.

Only the parties' `cli.py` use this. Exit codes: 0 ok, 1 findings or refused, 2 could not do it, 64 wrong use.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO

from contracts.errors import Malformed, Refused, TrustError, Unavailable
from contracts.wording import N_, Language, filled, visible, visible_lines
from shell.language import chosen_language, speak, symbols, translator
from shell.unix import PRIVATE

OK, FOUND, COULD_NOT, WRONG_USE = 0, 1, 2, 64
_PARTS = {"coordinator": "coordinator", "client_node": "node", "auditor": "auditor"}  # package -> extra of the wheel
_OURS = {"auditor", "client_node", "contracts", "coordinator", "engine", "privacy", "shell"}


def epsilon(text: str) -> str:
    """A privacy loss as it is typed, "" for none; Malformed unless it is a plain decimal from .001 up to 999."""
    if text and not (re.fullmatch(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,6})?", text) and float(text) >= 0.001):
        raise Malformed(
            N_("{text} is no epsilon"), why=N_("it is a decimal from 0.001 to 999, for example 0.5 or 1"), text=text
        )
    return text


def write_line(*parts: object, sep: str = " ", file: TextIO | None = None) -> None:
    """The one way to a terminal or a log file: `print`, but nobody else's text can move the cursor,
    colour or hide what stands there.

    New lines are kept: that a value cannot add any is for `filled`, through which all values come.
    """
    print(*(visible_lines(str(part)) for part in parts), sep=sep, file=file or sys.stdout)


def json_text(value: object) -> str:
    """JSON for programs that people may read too: what cannot be seen is escaped, which changes no value."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return "\n".join(
        line if line.isprintable() else "".join(c if visible(c) == c else json.dumps(c)[1:-1] for c in line)
        for line in text.split("\n")
    )


class Terminal:
    """Writes a party's sentences to its terminal or log file."""

    def __init__(self, package: str):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace", line_buffering=True)
        self._package = package
        self.lang: Language = chosen_language(sys.argv, os.environ)
        self.is_quiet, self._is_verbose = (flag in sys.argv for flag in ("--quiet", "--verbose"))
        speak(self.lang)
        self.translate = translator(package, self.lang)
        self.marks = symbols(sys.stdout.encoding)

    def say(self, text: str, **values: object) -> None:
        """One sentence, translated and filled in."""
        write_line(filled(self.translate(text), values))

    def ok(self, text: str, **values: object) -> None:
        """Something held."""
        if not self.is_quiet:
            write_line(self.marks.ok, filled(self.translate(text), values))

    def bad(self, text: str, **values: object) -> None:
        """Something did not hold."""
        write_line(self.marks.bad, filled(self.translate(text), values))

    def note(self, text: str, **values: object) -> None:
        """Something to know."""
        write_line(self.marks.note, filled(self.translate(text), values))

    def json(self, value: Any) -> None:
        """One JSON document on standard output."""
        print(json_text(value))

    def confirm(self, question: str, yes: bool, **values: object) -> None:
        """Ask, unless `yes` was said beforehand; Refused if the answer is no, so that nobody takes it for done."""
        import typer

        if not yes and not typer.confirm(filled(self.translate(question), values)):
            raise Refused(N_("the answer was no, so it was not done"), code="DECLINED")

    def choose(self, option: str, given: str, known: Mapping[str, str]) -> str:
        """What was given for an option, one of `known` with their meanings; wrong use, which
        names them all, otherwise."""
        import typer

        if given in known:
            return given
        meant = ", ".join(f"{name} ({self.translate(meaning)})" for name, meaning in known.items())
        told = {"option": option, "given": given, "known": meant}
        raise typer.BadParameter(
            filled(self.translate(N_("{option} cannot be “{given}”; it is one of: {known}")), told)
        )

    def fail(self, error: TrustError) -> NoReturn:
        """What, why, do this; then leave with 1 if a rule said no, else 2."""
        what, why, do = error.lines(self.translate)
        mark = symbols(sys.stderr.encoding).bad
        write_line(
            f"{mark} {what} [{error.code}]", *(f"  {line}" for line in (why, do) if line), sep="\n", file=sys.stderr
        )
        raise SystemExit(FOUND if isinstance(error, Refused) else COULD_NOT)

    def _fail_use(self, error: Any) -> NoReturn:
        """Three lines for what click refuses: what, how the command is used, where it is explained."""
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError" or context is None:
            write_line(error.format_message(), file=sys.stderr)
        else:
            lines = (context.get_usage(), f"{context.command_path} --help")
            mark = symbols(sys.stderr.encoding).bad
            write_line(
                f"{mark} {error.format_message()} [USAGE]", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr
            )
        raise SystemExit(WRONG_USE)

    def run(self, app: Callable[..., Any]) -> NoReturn:
        """Run a typer app; every failure becomes three lines, wrong use exits with 64, Ctrl-C leaves quietly."""
        os.umask(PRIVATE)  # whatever a command or a service writes is its owner's
        try:
            code = app(standalone_mode=False)
        except TrustError as error:
            self.fail(error)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except OSError as error:
            self.fail(
                TrustError(
                    N_("the system refused: {error}"),
                    do=N_("check path, permission and free space"),
                    code="SYSTEM",
                    error=error,
                )
            )
        except SystemExit:
            raise
        except BaseException as error:  # a panic of a library written in Rust is no Exception
            if type(error).__name__ == "Abort":  # click's word for a question that nobody answered
                self.fail(Refused(N_("nobody answered, nothing was done"), do=N_("answer the question, or say --yes")))
            if type(error).__name__ == "ValidationError":  # pydantic's, of something that was typed
                self.fail(_malformed(error))
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in _OURS:
                self.fail(_not_installed(error, _PARTS[self._package]))
            if not hasattr(error, "format_message"):
                if self._is_verbose:
                    traceback.print_exception(error)
                self.fail(_unforeseen(error))
            self._fail_use(error)
        raise SystemExit(code if isinstance(code, int) else OK)


def _unforeseen(error: BaseException) -> TrustError:
    """What nobody foresaw, and where: whoever mends it needs no more, and nobody takes it for an answer."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return TrustError(
        N_("this could not be done, for a reason that nobody foresaw"),
        why=N_("{error}, at line {line} of {file}"),
        do=N_("nothing was decided; report these lines, with the file that was read if it may be shown"),
        code="UNFORESEEN",
        error=f"{type(error).__name__}: {error}"[:200],
        line=last.lineno,
        file=Path(last.filename).name,
    )


def _not_installed(error: ModuleNotFoundError, part: str) -> Unavailable:
    """The wheel alone brings what an auditor needs; the other parties' libraries are parts that are asked for."""
    return Unavailable(
        N_("this command needs {module}, which is not installed"),
        why=N_("the wheel was installed without its part {part}"),
        do=N_("install it again with that part: pip install './mengbang-VERSION-py3-none-any.whl[{part}]'"),
        code="NOT_INSTALLED",
        module=error.name,
        part=part,
    )


def _malformed(error: Any) -> Malformed:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    given = str(first["input"])[:80]
    return Malformed(N_("{field} does not fit: {given}"), why="{rule}", field=field, given=given, rule=first["msg"])
