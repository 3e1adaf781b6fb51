"""`ktrdr show`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import bars, tables
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
What = Annotated[str, typer.Argument(help="A symbol, or the word features.", metavar="SYMBOL|features")]
Which = Annotated[str | None, typer.Argument(help="Bar size of the symbol, or name of the strategy.", metavar="[TIMEFRAME|STRATEGY]")]
Rows = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the last ones.", min=1, max=1000)]


@app.command()
def show(ctx: typer.Context, what: What, which: Which = None, rows: Rows = 10) -> None:
    """Show a symbol's bars, or a strategy's features.

    `ktrdr show EURUSD 1h` shows the last bars, `ktrdr show features momentum` what the network of a strategy sees.
    """
    session: Session = ctx.obj
    if what != "features":
        bars.show_bars(session, what, which, {"limit": rows})
    elif which is None:
        raise UsageMistake("show features takes the name of a strategy", hint="ktrdr show features momentum")
    else:
        tables.show_features(session, which)
