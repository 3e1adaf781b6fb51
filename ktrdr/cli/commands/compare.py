"""`ktrdr compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import comparison
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session

app = new_app()
Left = Annotated[str, typer.Argument(help="An operation's id, or a part of it that only one has.", metavar="OPERATION")]
Right = Annotated[str, typer.Argument(help="The one to hold against it.", metavar="OPERATION")]


@app.command()
def compare(ctx: typer.Context, left: Left, right: Right) -> None:
    """Hold two operations that have ended side by side.

    First what was set up differently (strategy, data, costs, seeds), then the figures of both.
    """
    session: Session = ctx.obj
    found = session.get("/compare", {"left": left, "right": right})["data"]
    session.output.answer(found, comparison.lines(found))
