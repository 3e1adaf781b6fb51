"""`ktrdr data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli import tables
from ktrdr.cli.operation_adapters import DataLoadOperationAdapter, given
from ktrdr.cli.options import End, ProviderOptions, Start, Symbol, TimeframeOption, named_values, new_app
from ktrdr.cli.session import Session

app = new_app()
Provider = Annotated[str | None, typer.Option(help="Where from; default: the one that has the symbol.", metavar="NAME")]
File = Annotated[str | None, typer.Option(help="The file to read, with --provider files.", metavar="PATH")]
Mode = Annotated[str | None, typer.Option("--mode", "-m", help="tail (newest), backfill (older) or full.", metavar="MODE")]
TradingHours = Annotated[bool, typer.Option("--trading-hours", help="Only bars within regular trading hours.")]
Extended = Annotated[bool, typer.Option("--include-extended", help="With --trading-hours: extended hours too.")]
Size = Annotated[str | None, typer.Argument(help="Bar size, such as 1h; default: the only one.", metavar="[TIMEFRAME]")]
Against = Annotated[str | None, typer.Option(help="A second provider whose bars to lay beside them.", metavar="NAME")]
Adjust = Annotated[str | None, typer.Option(help="raw, splits (default) or all: what to take out of prices.", metavar="WHAT")]
Rows = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the last ones.", min=1, max=1000)]


@app.callback()
def data() -> None:
    """Load bars, show them, say what range there is and what is odd."""


@app.command()
def load(
    ctx: typer.Context, symbol: Symbol, *, timeframe: TimeframeOption = None, mode: Mode = None, provider: Provider = None,
    file: File = None, option: ProviderOptions = None, start: Start = None, end: End = None, trading_hours: TradingHours = False,
    include_extended: Extended = False,
) -> None:  # fmt: skip
    """Load bars of a symbol, and watch it; Ctrl+C cancels.

    Without --start and --end everything the provider has is loaded, as far as --mode asks for it.
    """
    session: Session = ctx.obj
    options = given(
        timeframe=timeframe, mode=mode, provider=provider, file=str(Path(file).absolute()) if file else None, start_date=start,
        end_date=end, trading_hours=trading_hours or None, include_extended=include_extended or None, **named_values(option or []),
    )  # fmt: skip
    raise typer.Exit(following.start(session, DataLoadOperationAdapter(symbol, options), follow=True))


@app.command()
def show(
    ctx: typer.Context, symbol: Symbol, *, timeframe: TimeframeOption = None, rows: Rows = 10, start: Start = None, end: End = None,
    adjust: Adjust = None, trading_hours: TradingHours = False, include_extended: Extended = False,
) -> None:  # fmt: skip
    """Show the last bars of a symbol."""
    session: Session = ctx.obj
    wanted = given(
        start_date=start, end_date=end, adjust=adjust, trading_hours=trading_hours or None, include_extended=include_extended or None,
        limit=rows,
    )  # fmt: skip
    tables.show_bars(session, symbol, timeframe, wanted)


@app.command()
def check(
    ctx: typer.Context, symbol: Symbol, size: Size = None, *, timeframe: TimeframeOption = None, provider: Provider = None,
    against: Against = None, file: File = None, option: ProviderOptions = None, start: Start = None, end: End = None,
) -> None:  # fmt: skip
    """Say what looks odd in the bars of a symbol, or in a file before it is loaded.

    Nothing is mended: splits, other units, filled-in or repeated rows, gaps, a wrong clock are named, with how often and where first.
    """
    options = given(provider=provider, against=against, start_date=start, end_date=end, **named_values(option or []))
    tables.show_quality(ctx.obj, symbol, timeframe or size, options, file=str(Path(file).absolute()) if file else None)


@app.command("range")
def range_(ctx: typer.Context, symbol: Symbol, timeframe: TimeframeOption = None) -> None:
    """Say from when to when there are bars of a symbol."""
    tables.show_range(ctx.obj, symbol, timeframe)


@app.command()
def providers(ctx: typer.Context) -> None:
    """List where bars can come from: what each needs, allows, and whether it could be asked now."""
    session: Session = ctx.obj
    tables.providers(session.output, session.get("/providers")["data"])
