"""`ktrdr workers`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import places
from ktrdr.cli.bars import listing
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
Form = Annotated[str | None, typer.Option("--format", "-f", help="table, json or csv.", metavar="FORMAT")]


@app.command()
def workers(ctx: typer.Context, form: Form = None) -> None:
    """Show where operations run.

    On a cluster by machine: whether it takes anything, what of it is free, what runs there.
    """
    session: Session = ctx.obj
    found = session.get("/workers")["data"]
    headings, rows = places.table(found)
    silent = None if found["dispatcher"] == "ok" else f"Dispatcher: {found['dispatcher']}"
    listing(session, form, found["workers"], headings, rows, empty="No workers registered", closing=silent)
