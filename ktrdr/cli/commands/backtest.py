"""`ktrdr backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.operation_adapters import BacktestingOperationAdapter
from ktrdr.cli.options import End, Follow, Start, StrategyArgument, TimeframeOption, new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument

app = new_app()
Capital = Annotated[float | None, typer.Option("--capital", "-c", help="Money at the start.", metavar="MONEY")]
Commission = Annotated[float | None, typer.Option(help="Share of the traded value, each way; default: by asset class.", metavar="SHARE")]
Slippage = Annotated[float | None, typer.Option(help="Share of the price, each way; default: by asset class.", metavar="SHARE")]
ModelPath = Annotated[
    str | None, typer.Option("--model-path", "-m", help="Folder of a model; default: the strategy's latest.", metavar="PATH")
]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Default: the strategy's.", metavar="SYMBOL")]


@app.command()
def backtest(
    ctx: typer.Context, strategy: StrategyArgument, *, start: Start = None, end: End = None, capital: Capital = None,
    commission: Commission = None, slippage: Slippage = None, model_path: ModelPath = None, symbol: SymbolOption = None,
    timeframe: TimeframeOption = None, follow: Follow = False,
) -> None:  # fmt: skip
    """Backtest a strategy with its trained model.

    A decision on the close of a bar is filled at the open of the next, with costs. Dates that overlap the training are
    allowed and marked in-sample.
    """
    session: Session = ctx.obj
    own = str(Path(model_path).absolute()) if model_path and Path(model_path).exists() else model_path
    adapter = BacktestingOperationAdapter(strategy_argument(strategy), start, end, symbol, timeframe, capital, commission, slippage, own)
    raise typer.Exit(following.start(session, adapter, follow=follow))
