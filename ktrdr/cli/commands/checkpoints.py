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
    lines = block([
        ("Checkpoint", found["checkpoint_id"]), ("Operation", found["operation_id"]), ("Type", found["operation_type"]),
        ("Status", found["status"]), ("Position", found["position"]), ("Created", local_time(found["created_at"])),
        ("Size", size(found["size_bytes"])),
    ])  # fmt: skip
    session.output.answer(found, [*lines, "", f"  Go on from it: ktrdr resume {found['checkpoint_id']}"])


@app.command()
def delete(ctx: typer.Context, checkpoint: CheckpointId) -> None:
    """Delete a checkpoint; its operation can no longer be resumed from it."""
    session: Session = ctx.obj
    answer = session.delete(f"/checkpoints/{checkpoint}")
    session.output.answer(answer, [f"Deleted checkpoint: {checkpoint}"])
