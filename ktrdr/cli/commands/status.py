"""`ktrdr status`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import dashboard, results
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.operations.model import Happening, Operation

app = new_app()
History = Annotated[bool, typer.Option("--history", help="Show what has happened to the operation: attempts, checkpoints, warnings.")]
MaybeOperation = Annotated[str | None, typer.Argument(help="An operation's id; without one, the whole system.", metavar="[OPERATION]")]


@app.command()
def status(ctx: typer.Context, operation: MaybeOperation = None, history: History = False) -> None:
    """Show the whole system, or one operation."""
    session: Session = ctx.obj
    if history:
        if operation is None:
            raise UsageMistake("--history needs an operation", hint="ktrdr ops lists them")
        happened = session.get(f"/operations/{operation}/history")["data"]
        session.output.answer(happened, results.history([Happening.model_validate(one) for one in happened]))
        return
    if operation is None:
        seen = session.run(dashboard.look)
        session.output.answer(seen.as_dict(), seen.lines())
        return
    record = session.get(f"/operations/{operation}")["data"]
    session.output.answer(record, results.one_operation(Operation.model_validate(record)))
