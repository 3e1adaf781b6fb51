"""`ktrdr show`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ktrdr.cli import bars, tables
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.cli.verdict import show_campaign

app = new_app()
What = Annotated[str, typer.Argument(help="A symbol, or the word features, schema or campaign.", metavar="SYMBOL|features|schema|campaign")]
Which = Annotated[
    str | None, typer.Argument(help="Bar size of the symbol, strategy of the features, or symbol or id of the campaign.", metavar="[WHICH]")
]
Rows = Annotated[int, typer.Option("--rows", "-r", help="At most so many, the last ones.", min=1, max=1000)]


@app.command()
def show(ctx: typer.Context, what: What, which: Which = None, rows: Rows = 10) -> None:
    """Show bars, a strategy's features, the schema, or what was tried.

    `ktrdr show EURUSD 1h` shows the last bars, `ktrdr show features momentum` what the network of a strategy sees, `ktrdr show
    campaign EURUSD` how much was tried on a symbol and what luck alone makes of it, `ktrdr show campaign ID` one campaign with
    its children, and `ktrdr show schema >
    strategy.schema.json` writes the JSON Schema with which editors check strategies.
    """
    session: Session = ctx.obj
    if what == "schema":
        schema = session.get("/schemas/strategy")["data"]
        session.output.answer(schema, json.dumps(schema, indent=1).splitlines())
    elif what == "campaign":
        show_campaign(session, which)
    elif what != "features":
        bars.show_bars(session, what, which, {"limit": rows})
    elif which is None:
        raise UsageMistake("show features takes the name of a strategy", hint="ktrdr show features momentum")
    else:
        tables.show_features(session, which)
