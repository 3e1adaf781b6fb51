"""`ktrdr check`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.operation_adapters import StrategyCheckOperationAdapter
from ktrdr.cli.options import End, Start, StrategyArgument, new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument

app = new_app()
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Default: the strategy's first.", metavar="SYMBOL")]
Cuts = Annotated[int | None, typer.Option(help="At how many bars to cut the future off; default: 24.", metavar="NUMBER")]
Seed = Annotated[int | None, typer.Option(help="Another seed cuts at other bars.", metavar="NUMBER")]


@app.command()
def check(
    ctx: typer.Context, strategy: StrategyArgument, *, start: Start = None, end: End = None, symbol: SymbolOption = None,
    cuts: Cuts = None, seed: Seed = None,
) -> None:  # fmt: skip
    """Check that nothing in a strategy knows the future.

    The bars after some bar are cut off, and nothing before it may change: no feature, decision or trade. Labels must not
    look from training into test, and what is scaled must come from training alone. Exit code 4 where something does; Ctrl+C
    cancels.
    """
    session: Session = ctx.obj
    adapter = StrategyCheckOperationAdapter(strategy_argument(strategy), start, end, symbol, cuts, seed)
    raise typer.Exit(following.start(session, adapter, follow=True))
