"""The command lines of all parties: what every command takes, in the reader's language, help and wrong use included."""

from __future__ import annotations

import gettext
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import click
import typer
from typer import core
from typer._completion_shared import install

from shell.terminal import write_line

core.HAS_RICH = False  # with it typer escapes brackets in help, for HTML that nobody asks for

Body = TypeVar("Body", bound=Callable[..., Any])  # of a command
_METAVARS = {"TEXT": "TEXT", "INTEGER": "INTEGER", "FLOAT": "NUMBER", "PATH": "PATH"}


class _Command(core.TyperCommand):
    """A command of a party."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See TyperCommand."""
        return _placed(super().parse_args, ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own, what every command takes, and help at the end."""
        return _with_common(super().get_params(ctx))


class _Group(core.TyperGroup):
    """A group of commands of a party."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See TyperGroup."""
        return _placed(super().parse_args, ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """See TyperGroup; what is near to a name that there is not is said in the reader's language."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = ", ".join(get_close_matches(args[0], self.list_commands(ctx)))
            if near:
                error.message = error.message.rstrip(".") + gettext.gettext("; near to it: {near}").format(near=near)
            raise

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """See _Command."""
        return _with_common(super().get_params(ctx))


def _placed(parse: Callable[..., list[str]], ctx: click.Context, args: list[str]) -> list[str]:
    """What a command was given. Wrong use says of which command it is: click leaves that out
    where a value is missing."""
    try:
        return parse(ctx, args)
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def _with_common(params: list[click.Parameter]) -> list[click.Parameter]:
    *own, show_help = params
    for param in own:
        known = _METAVARS.get(param.type.name.upper())
        if isinstance(param, click.Option) and (param.name or "").endswith("_completion") and param.help:
            param.help = gettext.gettext(param.help)  # typer's own
            param.callback = _install_completion if param.name == "install_completion" else param.callback
        if param.metavar is None and known and isinstance(param, click.Option) and not param.is_flag:
            param.metavar = gettext.gettext(known)
    return [*own, *_common(), show_help]


def _install_completion(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        name, path = install()
        told = gettext.gettext("completion of {shell} is in {path}; it works in every new terminal")
        write_line(told.format(shell=name, path=path))
        raise SystemExit(0)


def _common() -> list[click.Parameter]:
    return [
        core.TyperOption(
            param_decls=["--lang"],
            type=click.Choice(["zh", "en"]),
            metavar="zh|en",
            expose_value=False,
            help=gettext.gettext("language"),
        ),
        core.TyperOption(
            param_decls=["--quiet"],
            is_flag=True,
            expose_value=False,
            help=gettext.gettext("print only what was asked for"),
        ),
        core.TyperOption(
            param_decls=["--verbose"],
            is_flag=True,
            expose_value=False,
            help=gettext.gettext("print where a failure happened"),
        ),
    ]


class Commands(typer.Typer):
    """See typer.Typer: with what every command of a party takes, plain help, `-h`, and no words of its own."""

    def __init__(self, *, help: str | None = None, is_root: bool = False):
        super().__init__(
            cls=_Group,
            help=help,
            no_args_is_help=True,
            add_completion=is_root,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            suggest_commands=False,
            subcommand_metavar=gettext.gettext("COMMAND [ARGS]..."),
            options_metavar=gettext.gettext("[OPTIONS]"),
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        if is_root:
            self.callback()(_root_options())

    def command(self, name: str | None = None, **named: Any) -> Callable[[Body], Body]:
        """See typer.Typer."""
        return super().command(
            name,
            cls=_Command,
            options_metavar=gettext.gettext("[OPTIONS]"),
            context_settings={"help_option_names": ["-h", "--help"]},
            **named,
        )


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        try:
            write_line(version("mengbang"))
        except PackageNotFoundError:
            write_line(gettext.gettext("not installed"))
        raise SystemExit(0)


def _root_options() -> Callable[..., None]:
    told = typer.Option(
        False, "--version", is_eager=True, callback=_tell_version, help=gettext.gettext("show the version")
    )

    def root(show_version: bool = told) -> None:
        """What a party's command takes before the name of one of its commands."""

    return root
