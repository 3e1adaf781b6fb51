"""`ktrdr serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ktrdr.cli import backend
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
Host = Annotated[str | None, typer.Option(help="Address to listen at; default: this machine alone.", metavar="HOST")]


@app.command()
def serve(ctx: typer.Context, host: Host = None) -> None:
    """Run a backend in this terminal.

    Its log goes to stderr; Ctrl+C stops it. `--port` picks its port.
    """
    session: Session = ctx.obj
    words = backend.serve_command(host, session.port)
    os.execv(words[0], words)  # noqa: S606  (it takes this process's place, so signals reach it and nothing is left over)
