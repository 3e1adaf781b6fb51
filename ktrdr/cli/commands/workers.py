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
    names = ["worker", "profile", "status", *(["gpu"] if any(row.get("gpu") for row in found) else []), "operation_id"]
    columns = [name.removesuffix("_id").upper() for name in names]
    session.output.table(found, columns, [[row.get(name) for name in names] for row in found], "No workers registered")
