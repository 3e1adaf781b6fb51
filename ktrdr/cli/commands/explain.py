"""`ktrdr explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from ktrdr.cli import follow as following
from ktrdr.cli.operation_adapters import ModelExplanationOperationAdapter
from ktrdr.cli.options import End, Start, new_app
from ktrdr.cli.session import Session

app = new_app()
Model = Annotated[str, typer.Argument(help="A strategy, whose newest model is meant; or a model's training or folder.", metavar="MODEL")]
At = Annotated[str | None, typer.Option(help="Say why it decided as it did on this bar, by its start in UTC.", metavar="TIME")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Default: the strategy's first.", metavar="SYMBOL")]


@app.command()
def explain(ctx: typer.Context, model: Model, *, at: At = None, start: Start = None, end: End = None, symbol: SymbolOption = None) -> None:
    """Say a model's rules, how each has done, and why it decided so.

    A tsk is its rules. Of any other network a student learns rules from its answers; the fidelity says how far they are
    what the network does, and under 95 % they are called a sketch. By default the rules are judged on the strategy's
    backtest dates, which training has not seen. Ctrl+C cancels.
    """
    session: Session = ctx.obj
    raise typer.Exit(following.start(session, ModelExplanationOperationAdapter(model, start, end, symbol, at), follow=True))
