"""`ktrdr agent`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli import results
from ktrdr.cli.answers import ApiError
from ktrdr.cli.operation_adapters import ResearchOperationAdapter
from ktrdr.cli.options import Follow, new_app
from ktrdr.cli.session import Session
from ktrdr.errors import KtrdrError

app = new_app()
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="opus, sonnet, haiku, or a model's id.", metavar="MODEL")]
MaybeCycle = Annotated[str | None, typer.Argument(help="A cycle's id; default: the one that runs.", metavar="[OPERATION]")]


@app.callback()
def agent() -> None:
    """Start, watch and cancel research cycles; the budget."""


@app.command()
def trigger(ctx: typer.Context, model: ModelOption = None, follow: Follow = False) -> None:
    """Start a research cycle with a default goal."""
    session: Session = ctx.obj
    raise typer.Exit(following.start_research(session, ResearchOperationAdapter(model=model), follow=follow))


@app.command()
def status(ctx: typer.Context) -> None:
    """Show the cycle that runs, or the last one."""
    session: Session = ctx.obj
    answer = session.get("/agent/status")
    session.output.answer(answer, results.agent_status(answer))


@app.command()
def cancel(ctx: typer.Context, operation: MaybeCycle = None) -> None:
    """Cancel the research cycle that runs, and its child."""
    session: Session = ctx.obj
    try:
        answer = session.delete(f"/agent/cancel/{operation}" if operation else "/agent/cancel")
    except ApiError as error:
        if error.status != 404:
            raise
        raise KtrdrError(f"Could not cancel: {error.error_code}\n{error.message.rstrip('.')}.", code=error.error_code) from None
    session.output.answer(answer, results.agent_cancelled(answer))


@app.command()
def budget(ctx: typer.Context) -> None:
    """Show what language models may cost today, and have cost."""
    session: Session = ctx.obj
    answer = session.get("/agent/budget")
    session.output.answer(answer, results.agent_budget(answer))
