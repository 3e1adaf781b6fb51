"""`ktrdr ops`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.cli.tables import operations

app = new_app()
StatusOption = Annotated[
    str | None, typer.Option("--status", "-s", help="pending, running, completed, failed or cancelled.", metavar="STATUS")
]
TypeOption = Annotated[str | None, typer.Option("--type", "-t", help="Such as training or agent_research.", metavar="TYPE")]
Limit = Annotated[int, typer.Option("--limit", "-l", help="At most so many, newest first.", min=1, max=1000)]
Active = Annotated[bool, typer.Option("--active", "-a", help="Only those that have not ended.")]
Resumable = Annotated[bool, typer.Option("--resumable", "-r", help="Only those that can be resumed.")]


@app.command()
def ops(
    ctx: typer.Context, *, status: StatusOption = None, type: TypeOption = None, limit: Limit = 50, active: Active = False,
    resumable: Resumable = False,
) -> None:  # fmt: skip
    """List operations."""
    session: Session = ctx.obj
    page = session.get(
        "/operations",
        {"status": status, "operation_type": type, "limit": limit, "active_only": active or None, "resumable": resumable or None},
    )
    operations(session.output, page, "active " if active else "resumable " if resumable else "")
