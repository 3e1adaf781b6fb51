"""`ktrdr follow`."""

from __future__ import annotations

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.options import OperationId, new_app
from ktrdr.cli.session import Session

app = new_app()


@app.command()
def follow(ctx: typer.Context, operation: OperationId) -> None:
    """Watch an operation until it ends.

    Ctrl+C leaves it running. The exit code tells how it ended.
    """
    session: Session = ctx.obj
    raise typer.Exit(session.run(lambda client: following.attached(client, session.output, operation)))
