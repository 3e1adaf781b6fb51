"""`ktrdr validate`."""

from __future__ import annotations

import typer

from ktrdr.cli import results
from ktrdr.cli.options import StrategyArgument, new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument

app = new_app()


@app.command()
def validate(ctx: typer.Context, strategy: StrategyArgument) -> None:
    """Check a strategy and explain every mistake."""
    session: Session = ctx.obj
    check = session.post("/strategies/validate", strategy_argument(strategy))["data"]
    session.output.answer(check, results.validation(check))
    raise typer.Exit(0 if check["valid"] else 1)
