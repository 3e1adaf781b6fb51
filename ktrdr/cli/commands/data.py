"""`ktrdr data`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli import bars, tables
from ktrdr.cli import follow as following
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.operation_adapters import DataLoadOperationAdapter, given
from ktrdr.cli.options import End, ProviderOptions, Start, Symbol, TimeframeOption, named_values, new_app
from ktrdr.cli.session import Session

app = new_app()
Provider = Annotated[str | None, typer.Option(help="Where from; default: the one that has the symbol.", metavar="NAME")]
File = Annotated[str | None, typer.Option(help="The file to read, with --provider files.", metavar="PATH")]
Mode = Annotated[
    str | None, typer.Option("--mode", "-m", help="tail (newest), backfill (older) or full (what is missing).", metavar="MODE")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="With --mode full: ask again for what is stored, and say what differs.")]
TradingHours = Annotated[bool, typer.Option("--trading-hours", help="Regular trading hours only, as for stocks without a flag.")]
Extended = Annotated[bool, typer.Option("--include-extended", help="Bars before and after the regular hours too.")]
Size = Annotated[str | None, typer.Argument(help="Bar size, such as 1h; default: the only one.", metavar="[TIMEFRAME]")]
NamedSize = Annotated[str, typer.Argument(help="Bar size, such as 1h.", metavar="TIMEFRAME")]
Rows = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the last ones.", min=1, max=1000)]
Longest = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the longest ones.", min=1, max=10_000)]
Form = Annotated[str | None, typer.Option("--format", "-f", help="table, json or csv.", metavar="FORMAT")]
Everything = Annotated[bool, typer.Option("--all", help="List also what the market's hours and days explain.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file; default: CSV on the screen.", metavar="PATH")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Source = Annotated[Path, typer.Argument(help="A CSV or Parquet file.", metavar="FILE")]


@app.callback()
def data() -> None:
    """Load bars, show them, say what is missing and what is odd."""


@app.command()
def load(
    ctx: typer.Context, symbol: Symbol, *, timeframe: TimeframeOption = "1d", mode: Mode = None, provider: Provider = None,
    file: File = None, option: ProviderOptions = None, start: Start = None, end: End = None, trading_hours: TradingHours = False,
    include_extended: Extended = False, refresh: Refresh = False,
) -> None:  # fmt: skip
    """Load bars of a symbol, and watch it; Ctrl+C cancels, and the same command goes on from there.

    Without --start and --end: what is newer than the stored bars, or for a first load all of a file, and of a remote provider
    30 days of 1m, 90 of 5m, a year of 15m to 2h, 3 years of 4h, 10 years of 1d.
    """
    session: Session = ctx.obj
    options = given(
        timeframe=timeframe, mode=mode, provider=provider, file=str(Path(file).absolute()) if file else None, start_date=start,
        end_date=end, trading_hours=trading_hours or None, include_extended=include_extended or None, refresh=refresh or None,
        **named_values(option or []),
    )  # fmt: skip
    raise typer.Exit(following.start(session, DataLoadOperationAdapter(symbol, options), follow=True))


@app.command("import")
def import_(
    ctx: typer.Context, file: Source, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = "1d",
    option: ProviderOptions = None, start: Start = None, end: End = None, trading_hours: TradingHours = False,
    include_extended: Extended = False,
) -> None:  # fmt: skip
    """Load all of a CSV or Parquet file; where stored bars differ, those of the file are kept.

    How the file is written say --option zone=, columns=, time_format=, stamp=, price_factor=, separator=, header=.
    """
    options = given(
        timeframe=size or timeframe, mode="full", refresh=True, provider="files", file=str(file.absolute()), start_date=start, end_date=end,
        trading_hours=trading_hours or None, include_extended=include_extended or None, **named_values(option or []),
    )  # fmt: skip
    raise typer.Exit(following.start(ctx.obj, DataLoadOperationAdapter(symbol, options), follow=True))


@app.command("list")
def list_(ctx: typer.Context, form: Form = None) -> None:
    """List every series on this machine: from when to when, how many bars, where from."""
    bars.show_series(ctx.obj, form)


@app.command()
def show(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, rows: Rows = 10, provider: Provider = None,
    start: Start = None, end: End = None, trading_hours: TradingHours = False, include_extended: Extended = False, form: Form = None,
) -> None:  # fmt: skip
    """Show the last bars of a symbol."""
    wanted = given(
        start_date=start, end_date=end, provider=provider, trading_hours=trading_hours or None, include_extended=include_extended or None,
        limit=rows,
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
    start: Start = None, end: End = None, rows: Longest = 20, all: Everything = False, form: Form = None,
) -> None:  # fmt: skip
    """Say which bars are missing, and why: holidays, holes of the provider, what was never asked for."""
    wanted = given(provider=provider, start_date=start, end_date=end, all=all or None)
    bars.show_gaps(ctx.obj, symbol, timeframe or size, wanted, most=rows, form=form)


@app.command()
def check(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, provider: Provider = None,
    file: File = None, option: ProviderOptions = None, start: Start = None, end: End = None, form: Form = None,
) -> None:  # fmt: skip
    """Say what looks odd in the bars of a symbol, or in a file before it is loaded.

    Nothing is mended: splits, other units, filled-in or repeated rows, gaps, a wrong clock are named, with how often and where first.
    """
    options = given(provider=provider, start_date=start, end_date=end, **named_values(option or []))
    bars.show_quality(ctx.obj, symbol, timeframe or size, options, file=str(Path(file).absolute()) if file else None, form=form)


@app.command()
def export(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, output: Output = None,
    provider: Provider = None, start: Start = None, end: End = None, force: Force = False,
) -> None:  # fmt: skip
    """Write bars to a CSV or Parquet file that can be imported again."""
    wanted = given(provider=provider, start_date=start, end_date=end)
    bars.export(ctx.obj, symbol, timeframe or size, wanted, output, force=force)


@app.command()
def delete(ctx: typer.Context, symbol: Symbol, size: NamedSize, *, provider: Provider = None, yes: Yes = False) -> None:
    """Delete a series that was loaded; what comes with the product stays."""
    session: Session = ctx.obj
    if not yes:
        if session.output.json or not sys.stdin.isatty():
            raise UsageMistake("deleting bars wants a yes", hint=f"ktrdr data delete {symbol} {size} --yes")
        typer.confirm(f"Delete all loaded bars of {symbol} {size}?", abort=True)
    bars.delete(session, symbol, size, provider)


@app.command()
def providers(ctx: typer.Context) -> None:
    """List where bars can come from: what each needs, allows, and whether it could be asked now."""
    session: Session = ctx.obj
    tables.providers(session.output, session.get("/providers")["data"])
