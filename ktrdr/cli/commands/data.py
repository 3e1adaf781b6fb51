"""`ktrdr data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli import bar_commands, tables
from ktrdr.cli import follow as following
from ktrdr.cli.operation_adapters import DataLoadOperationAdapter, given
from ktrdr.cli.options import End, Extended, File, Provider, ProviderOptions, Size, Start, Symbol, TradingHours, named_values, new_app
from ktrdr.cli.session import Session

app = new_app()
Mode = Annotated[str | None, typer.Option("--mode", "-m", help="tail (newer), backfill (older) or full (what is missing).", metavar="MODE")]
Refresh = Annotated[bool, typer.Option("--refresh", help="With --mode full: ask again for what is stored, and say what differs.")]
LoadSize = Annotated[str | None, typer.Option("--timeframe", "-t", help="Bar size, such as 1h; default: 1d.", metavar="TIMEFRAME")]
Source = Annotated[Path, typer.Argument(help="A CSV or Parquet file.", metavar="FILE")]


@app.callback()
def data() -> None:
    """Load bars, show them, say what is missing and what is odd."""


@app.command()
def load(
    ctx: typer.Context, symbol: Symbol, *, timeframe: LoadSize = None, mode: Mode = None, provider: Provider = None,
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
    ctx: typer.Context, file: Source, symbol: Symbol, size: Size = None, *, timeframe: LoadSize = None,
    option: ProviderOptions = None, start: Start = None, end: End = None, trading_hours: TradingHours = False,
    include_extended: Extended = False,
) -> None:  # fmt: skip
    """Load all of a CSV or Parquet file; where stored bars differ, those of the file are kept.

    How the file is written say --option zone=, columns=, time_format=, stamp=, price_factor=, separator=, header=.
    """
    options = given(
        timeframe=timeframe or size, mode="full", refresh=True, provider="files", file=str(file.absolute()), start_date=start, end_date=end,
        trading_hours=trading_hours or None, include_extended=include_extended or None, **named_values(option or []),
    )  # fmt: skip
    raise typer.Exit(following.start(ctx.obj, DataLoadOperationAdapter(symbol, options), follow=True))


app.registered_commands += bar_commands.app.registered_commands


@app.command()
def providers(ctx: typer.Context) -> None:
    """List where bars can come from: what each needs, allows, and whether it could be asked now."""
    session: Session = ctx.obj
    tables.providers(session.output, session.get("/providers")["data"])
