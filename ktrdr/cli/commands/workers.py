"""`ktrdr workers`."""

from __future__ import annotations

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()


@app.command()
def workers(ctx: typer.Context) -> None:
    """Show where operations run."""
    session: Session = ctx.obj
    found = session.get("/workers")["data"]["workers"]
    session.output.listing(found, "No workers registered")
