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
    rows = [[row.get(name) for name in ("worker", "profile", "status", "operation_id")] for row in found]
    session.output.table(found, ["WORKER", "PROFILE", "STATUS", "OPERATION"], rows, "No workers registered")
