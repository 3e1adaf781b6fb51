"""`ktrdr ib`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import tables
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
MaybeSymbol = Annotated[str | None, typer.Argument(help="A symbol to ask for, such as EURUSD.", metavar="[SYMBOL]")]


@app.callback()
def ib() -> None:
    """See how Interactive Brokers can be reached, and test it."""


@app.command()
def status(ctx: typer.Context) -> None:
    """Show where TWS or Gateway is looked for, and how many requests count."""
    session: Session = ctx.obj
    found = session.get("/ib")["data"]
    session.output.answer(found, tables.ib_status(found))


@app.command("test")
def probe(ctx: typer.Context, symbol: MaybeSymbol = None) -> None:
    """Ask TWS or Gateway who it is, and where bars of a symbol begin; exit 1 if that fails."""
    session: Session = ctx.obj
    found = session.post("/ib/test", {"symbol": symbol} if symbol else {})["data"]
    session.output.answer(found, tables.ib_test(found))
    raise typer.Exit(0 if found["ok"] else 1)
