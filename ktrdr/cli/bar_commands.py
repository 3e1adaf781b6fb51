"""The commands of `ktrdr data` that show, write out and delete bars."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli import bars
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.operation_adapters import given
from ktrdr.cli.options import (
    End,
    Extended,
    File,
    Provider,
    ProviderOptions,
    Size,
    Start,
    Symbol,
    TimeframeOption,
    TradingHours,
    named_values,
    new_app,
)
from ktrdr.cli.session import Session

app = new_app()
NamedSize = Annotated[str, typer.Argument(help="Bar size, such as 1h.", metavar="TIMEFRAME")]
Rows = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the last ones.", min=1, max=1000)]
Longest = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the longest ones.", min=1, max=10_000)]
Form = Annotated[str | None, typer.Option("--format", "-f", help="table, json or csv.", metavar="FORMAT")]
Everything = Annotated[bool, typer.Option("--all", help="List also what the market's hours and days explain.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file; default: CSV on the screen.", metavar="PATH")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
Adjust = Annotated[str | None, typer.Option(help="raw, splits (default) or all: what to take out of prices.", metavar="WHAT")]
Against = Annotated[str | None, typer.Option(help="A second provider whose bars to lay beside them.", metavar="NAME")]
Hours = Annotated[
    str | None, typer.Option(help="all, regular or extended, where several are stored; default: the first of these.", metavar="HOURS")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_(ctx: typer.Context, form: Form = None) -> None:
    """List every series on this machine: from when to when, how many bars, where from."""
    bars.show_series(ctx.obj, form)


@app.command()
def show(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, rows: Rows = 10, provider: Provider = None,
    start: Start = None, end: End = None, adjust: Adjust = None, trading_hours: TradingHours = False, include_extended: Extended = False,
    form: Form = None,
) -> None:  # fmt: skip
    """Show the last bars of a symbol."""
    wanted = given(
        start_date=start, end_date=end, provider=provider, adjust=adjust, trading_hours=trading_hours or None,
        include_extended=include_extended or None, limit=rows,
    )  # fmt: skip
    bars.show_bars(ctx.obj, symbol, timeframe or size, wanted, form)


@app.command("range")
def range_(ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, provider: Provider = None,
           form: Form = None) -> None:  # fmt: skip
    """Say from when to when there are bars of a symbol."""
    bars.show_range(ctx.obj, symbol, timeframe or size, provider, form)


@app.command()
def gaps(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, provider: Provider = None,
    hours: Hours = None, start: Start = None, end: End = None, rows: Longest = 20, all: Everything = False, form: Form = None,
) -> None:  # fmt: skip
    """Say which bars are missing, and why: holidays, holes of the provider, what was never asked for."""
    wanted = given(provider=provider, hours=hours, start_date=start, end_date=end, all=all or None)
    bars.show_gaps(ctx.obj, symbol, timeframe or size, wanted, most=rows, form=form)


@app.command()
def check(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, provider: Provider = None,
    against: Against = None, file: File = None, option: ProviderOptions = None, start: Start = None, end: End = None, form: Form = None,
) -> None:  # fmt: skip
    """Say what looks odd in the bars of a symbol, or in a file before it is loaded.

    Nothing is mended: splits, other units, filled-in or repeated rows, gaps, a wrong clock are named, with how often and where first.
    """
    options = given(provider=provider, against=against, start_date=start, end_date=end, **named_values(option or []))
    bars.show_quality(ctx.obj, symbol, timeframe or size, options, file=str(Path(file).absolute()) if file else None, form=form)


@app.command()
def export(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, output: Output = None,
    provider: Provider = None, hours: Hours = None, start: Start = None, end: End = None, force: Force = False,
) -> None:  # fmt: skip
    """Write bars, as they were traded, to a CSV or Parquet file that can be imported again."""
    wanted = given(provider=provider, hours=hours, start_date=start, end_date=end)
    bars.export(ctx.obj, symbol, timeframe or size, wanted, output, force=force)


@app.command()
def delete(
    ctx: typer.Context, symbol: Symbol, size: NamedSize, *, provider: Provider = None, hours: Hours = None, yes: Yes = False
) -> None:  # fmt: skip
    """Delete a series that was loaded; what comes with the product stays."""
    session: Session = ctx.obj
    if not yes:
        if session.output.json or not sys.stdin.isatty():
            raise UsageMistake("deleting bars wants a yes", hint=f"ktrdr data delete {symbol} {size} --yes")
        typer.confirm(f"Delete all loaded bars of {symbol} {size}?", abort=True)
    bars.delete(session, symbol, size, {"provider": provider, "hours": hours})
