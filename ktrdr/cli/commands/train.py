"""`ktrdr train`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli import results
from ktrdr.cli.campaigns import Parallel
from ktrdr.cli.operation_adapters import TrainingOperationAdapter
from ktrdr.cli.options import End, Follow, Start, StrategyArgument, listed, new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument
from ktrdr.operations.model import MOST_CHILDREN

app = new_app()
Listed = Annotated[str | None, typer.Option(help="Instead of the strategy's own, between commas.", metavar="LIST")]
Split = Annotated[float | None, typer.Option(help="Share of the rows that are held out for validation.", metavar="SHARE")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would be trained.")]
Seeds = Annotated[
    int | None,
    typer.Option(
        help="Train so often, each with a seed of its own, and show how far the scores spread.", min=1, max=MOST_CHILDREN, metavar="NUMBER"
    ),
]
Detailed = Annotated[bool, typer.Option("--detailed-analytics", help="Keep the figures of every epoch and class in the result.")]


@app.command()
def train(
    ctx: typer.Context, strategy: StrategyArgument, *, start: Start = None, end: End = None, symbols: Listed = None,
    timeframes: Listed = None, validation_split: Split = None, seeds: Seeds = None, parallel: Parallel = None, dry_run: DryRun = False,
    detailed_analytics: Detailed = False, follow: Follow = False,
) -> None:  # fmt: skip
    """Train a strategy's model.

    Dates, symbols, timeframes and epochs are the strategy's own unless given here. Dates are UTC; the last is not included.

    `ktrdr train momentum --seeds 8 --parallel 4 --follow` trains it eight times, four at once: with the strategy's own seed,
    and then each one higher.
    """
    session: Session = ctx.obj
    adapter = TrainingOperationAdapter(
        strategy_argument(strategy), listed(symbols), listed(timeframes), start, end, validation_split, detailed_analytics or None,
        seeds, parallel,
    )  # fmt: skip
    if dry_run:
        settled = session.post("/trainings/check", adapter.get_start_payload())["data"]
        session.output.answer({"dry_run": True, **settled}, results.dry_run(settled))
        raise typer.Exit(0)
    raise typer.Exit(following.start(session, adapter, follow=follow))
