"""`ktrdr dummy`: the smallest command of a followed kind of work, to copy from."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.operation_adapters import DummyOperationAdapter
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
Duration = Annotated[float, typer.Option(help="Seconds it takes.", metavar="SECONDS")]
Iterations = Annotated[int, typer.Option(help="In how many parts.", metavar="NUMBER")]


@app.callback()
def dummy() -> None:
    """Run an operation that only counts, to try things out."""


@app.command()
def start(ctx: typer.Context, duration: Duration, iterations: Iterations) -> None:
    """Count, and watch it; Ctrl+C cancels between two iterations."""
    # What the user said becomes an adapter; starting, watching, cancelling and the exit code are the same for all kinds.
    session: Session = ctx.obj
    raise typer.Exit(following.start(session, DummyOperationAdapter(duration, iterations), follow=True))
