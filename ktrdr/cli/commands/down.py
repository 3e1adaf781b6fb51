"""`ktrdr down`."""

from __future__ import annotations

import typer

from ktrdr.cli import backend
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.settings import Settings

app = new_app()


@app.command()
def down(ctx: typer.Context) -> None:
    """Stop the local backend.

    Operations that run are taken up again, from their last checkpoint, when it is started the next time.
    """
    session: Session = ctx.obj
    stopped = backend.stop(Settings.read())
    session.output.answer(
        {"status": "stopped" if stopped else "not_running", "pid": stopped.pid if stopped else None},
        [f"The backend has stopped (process {stopped.pid})" if stopped else "No local backend is running"],
    )
