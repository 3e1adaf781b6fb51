"""`ktrdr cancel`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli.options import OperationId, new_app
from ktrdr.cli.output import local_time
from ktrdr.cli.session import Session

app = new_app()
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Kept with the operation.", metavar="TEXT")]


@app.command()
def cancel(ctx: typer.Context, operation: OperationId, reason: Reason = None) -> None:
    """Stop an operation and its children."""
    session: Session = ctx.obj
    record = session.run(lambda client: client.cancel_operation(operation, reason))
    cancelled = record["status"] == "cancelled"
    lines = [f"Cancelled operation: {record['operation_id']}", f"  Cancelled at: {local_time(record['completed_at'])}"]
    late = [f"{record['operation_id']} had ended by itself: {record['status']}"]
    session.output.answer(record, lines + ([f"  Reason: {reason}"] if reason else []) if cancelled else late)
    raise typer.Exit(0 if cancelled else 1)
