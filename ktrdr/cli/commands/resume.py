"""`ktrdr resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli import results
from ktrdr.cli.operation_adapters import ResumedOperationAdapter
from ktrdr.cli.options import Follow, new_app
from ktrdr.cli.session import Session

app = new_app()
CheckpointOrOperation = Annotated[
    str, typer.Argument(help="A checkpoint's id (chk_...) or the id of the operation that ended early.", metavar="ID")
]


@app.command()
def resume(ctx: typer.Context, ident: CheckpointOrOperation, follow: Follow = False) -> None:
    """Go on from a checkpoint of an operation that ended early.

    The work goes on as a new operation of the same type, which names the one it came from.
    """
    session: Session = ctx.obj
    raise typer.Exit(following.begin(session, ResumedOperationAdapter(ident), follow=follow, heading=results.resumed))
