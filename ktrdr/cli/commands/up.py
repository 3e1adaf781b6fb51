"""`ktrdr up`."""

from __future__ import annotations

import typer

from ktrdr.cli import backend
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.settings import Settings

app = new_app()


@app.command()
def up(ctx: typer.Context) -> None:
    """Start the local backend.

    Commands start it by themselves when they need it. `--port` picks its port; otherwise it is 8000 if free, else any.
    """
    session: Session = ctx.obj
    here = Settings.read()
    found = backend.running(here.home) or backend.start(here, session.output.note, session.port)
    session.output.answer(
        {"status": "running", "url": found.url, "pid": found.pid, "version": found.version, "home": str(here.home)},
        [f"The backend is running: {found.url} (process {found.pid})", f"  API:  {found.url}/api/v1/docs", f"  Home: {here.home}"],
    )
