"""`ktrdr drain`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.places import drained
from ktrdr.cli.session import Session

app = new_app()
Node = Annotated[str | None, typer.Argument(help="A machine of the cluster; without one, all, or the backend's own.", metavar="[NODE]")]
Undo = Annotated[bool, typer.Option("--undo", help="Take operations again.")]


@app.command()
def drain(ctx: typer.Context, node: Node = None, undo: Undo = False) -> None:
    """Take nothing new, and let what runs go back to the queue.

    What runs goes on later from its last checkpoint, on another machine or after --undo; no attempt is held against it.
    """
    session: Session = ctx.obj
    found = session.post("/workers/undrain" if undo else "/workers/drain", {"node": node})["data"]
    session.output.answer(found, drained(found))
