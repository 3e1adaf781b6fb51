"""`ktrdr checkpoints`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.output import block, local_time, size
from ktrdr.cli.session import Session

app = new_app()
CheckpointId = Annotated[str, typer.Argument(help="A checkpoint's id (chk_...); ktrdr list checkpoints names them.", metavar="CHECKPOINT")]


@app.callback()
def checkpoints() -> None:
    """Show or delete a checkpoint."""


@app.command()
def show(ctx: typer.Context, checkpoint: CheckpointId) -> None:
    """Show where a checkpoint stands and how to go on from it."""
    session: Session = ctx.obj
    found = session.get(f"/checkpoints/{checkpoint}")["data"]
    shown = {**found, "created_at": local_time(found.get("created_at")), "size_bytes": size(found.get("size_bytes"))}
    lines = block((name.replace("_", " "), value) for name, value in shown.items() if not isinstance(value, dict | list))
    session.output.answer(found, [*lines, "", f"  Go on from it: ktrdr resume {found['checkpoint_id']}"])


@app.command()
def delete(ctx: typer.Context, checkpoint: CheckpointId) -> None:
    """Delete a checkpoint; its operation can no longer be resumed from it."""
    session: Session = ctx.obj
    answer = session.delete(f"/checkpoints/{checkpoint}")
    session.output.answer(answer, [f"Deleted checkpoint: {checkpoint}"])
