"""Options and arguments that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ktrdr.cli.mistakes import UsageMistake

OperationId = Annotated[str, typer.Argument(help="The operation's id, or a part of it that only one has.", metavar="OPERATION")]
StrategyArgument = Annotated[str, typer.Argument(help="Name of a strategy, or path of its YAML file.", metavar="STRATEGY")]
Symbol = Annotated[str, typer.Argument(help="Symbol, such as EURUSD.", metavar="SYMBOL")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay until it ends; Ctrl+C cancels it.")]
Start = Annotated[str | None, typer.Option("--start", help="First day, UTC.", metavar="DATE")]
End = Annotated[str | None, typer.Option("--end", help="Day after the last, UTC.", metavar="DATE")]
ProviderOptions = Annotated[
    list[str] | None, typer.Option(help="An option of the provider, such as zone=UTC; may be repeated.", metavar="NAME=VALUE")
]
TimeframeOption = Annotated[str | None, typer.Option("--timeframe", "-t", help="Bar size, such as 1h.", metavar="TIMEFRAME")]
Size = Annotated[str | None, typer.Argument(help="Bar size, such as 1h; default: the only one.", metavar="[TIMEFRAME]")]
Provider = Annotated[str | None, typer.Option(help="Where from; default: the one that has the symbol.", metavar="NAME")]
File = Annotated[str | None, typer.Option(help="The file to read, with --provider files.", metavar="PATH")]
TradingHours = Annotated[bool, typer.Option("--trading-hours", help="Regular trading hours only, as of remote providers without a flag.")]
Extended = Annotated[bool, typer.Option("--include-extended", help="Bars before and after the regular hours too.")]


def new_app() -> typer.Typer:
    """A command whose help is plain text and whose errors go to `ktrdr` itself."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


def listed(text: str | None) -> list[str] | None:
    """The words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()] if text else None


def named_values(words: Iterable[str]) -> dict[str, Any]:
    """`name=value` words; a value that is JSON, such as a number, counts as that."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageMistake(f"{word!r} is not NAME=VALUE", hint="such as --option zone=UTC")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
