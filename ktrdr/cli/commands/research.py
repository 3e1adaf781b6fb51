"""`ktrdr research`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.campaigns import Parallel
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.operation_adapters import ResearchOperationAdapter, given
from ktrdr.cli.options import Follow, new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument
from ktrdr.operations.model import MOST_CHILDREN

app = new_app()
Goal = Annotated[str | None, typer.Argument(help="What to look for, in plain words.", metavar="[GOAL]")]
Strategy = Annotated[
    str | None, typer.Option("--strategy", "-s", help="Examine this one, by name or path; nothing is designed.", metavar="STRATEGY")
]
Designer = Annotated[str | None, typer.Option(help="offline, scripted or claude; default: claude where a key is set.", metavar="NAME")]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="opus, sonnet, haiku, or a model's id.", metavar="MODEL")]
Seed = Annotated[int | None, typer.Option(help="The same seed and bars give the same strategy.", metavar="NUMBER")]
Tries = Annotated[int | None, typer.Option(help="How many strategies a search may try.", metavar="NUMBER")]
Candidates = Annotated[
    int | None,
    typer.Option(help="So many cycles of the goal, each with a strategy of its own.", min=1, max=MOST_CHILDREN, metavar="NUMBER"),
]


@app.command()
def research(
    ctx: typer.Context, goal: Goal = None, *, strategy: Strategy = None, designer: Designer = None, model: ModelOption = None,
    seed: Seed = None, tries: Tries = None, candidates: Candidates = None, parallel: Parallel = None, follow: Follow = False,
) -> None:  # fmt: skip
    """Research a goal in plain words: design, train, backtest, judge.

    With --follow the exit code is 0 for a strategy that passed every gate and 4 where a gate said no.

    `ktrdr research "find a momentum edge" --candidates 8 --parallel 2 --follow` researches the goal in eight cycles, two at
    once, each with a seed of its own, and ranks what they have come to.
    """
    session: Session = ctx.obj
    if (goal is None) == (strategy is None):
        raise UsageMistake("research takes a goal or --strategy, one of the two", hint='ktrdr research "find a momentum edge in EURUSD"')
    known = strategy_argument(strategy) if strategy else {}
    options = given(
        strategy_text=known.get("strategy"), designer=designer, seed=seed, tries=tries, candidates=candidates, parallel=parallel
    )
    adapter = ResearchOperationAdapter(goal, strategy, model, options)
    raise typer.Exit(following.start_research(session, adapter, follow=follow))
