"""Walk-forward: a strategy learned again and again from what came before, and traded on what came next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.metrics import annualized_return, elapsed_years, returns_of, sharpe_ratio
from ktrdr.backtest.run import simulated
from ktrdr.errors import Invalid, NoData
from ktrdr.evaluation.splits import Spans, efficiency, walk_forward
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.spec import Strategy

FOLDS, WINDOW = 3, 2
"""Tested parts, and parts that the first training reads."""
CAPITAL = 100_000.0
Train = Callable[[datetime, datetime], Model]
"""Learns the strategy from the bars of [start, end)."""
Rows = NDArray[np.int64]


class Step(BaseModel):
    """One training and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    train_start: datetime
    train_end: datetime
    test_end: datetime
    """It is tested from `train_end` on."""
    inside: float | None
    """Yearly return on the bars it was learned from."""
    outside: float | None
    """Yearly return on the bars that came next."""
    sharpe_ratio: float | None
    trades: int
    reason: str | None = None
    """Why nothing came of it."""


class Walk(BaseModel):
    """All steps of one way to go forward."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    anchored: bool
    """Whether every training reads everything from the beginning, and not a window of fixed length."""
    steps: tuple[Step, ...]
    positive: float
    """Share of the steps that earned something on the bars that came next."""
    efficiency: float | None
    """Median of outside / inside over the steps that earned anything inside."""
    spread: float | None
    """Standard deviation of those."""
    reason: str | None = None
    """Why there is no efficiency."""


def walk(
    strategy: Strategy, tape: Mapping[Timeframe, Bars], dates: tuple[datetime, datetime], costs: Costs, train: Train, *,
    folds: int = FOLDS, window: int = WINDOW,
) -> tuple[Walk, Walk]:  # fmt: skip
    """The strategy walked forward over the bars of some dates, anchored and rolling.

    The bars are cut into `folds` + `window` parts of equal size; each of the last `folds` is traded by a model learned from
    the parts before it: all of them, or the last `window`. A training never reads a label that looks into the part
    tested, for it reads no bar at or after its end.
    """
    base = tape[strategy.base_timeframe]
    rows = np.flatnonzero((base.time >= as_time(dates[0])) & (base.time < as_time(dates[1])))
    spans = Spans(rows, rows)
    known: dict[tuple[int, int], Step] = {}

    def step(learned: Rows, tested: Rows) -> Step:
        at = int(rows[learned[0]]), int(rows[tested[0]])
        if at not in known:
            known[at] = _step(strategy, tape, costs, train, (*at, int(rows[tested[-1]]) + 1))
        return known[at]

    found = []
    for anchored in (True, False):
        steps = tuple(step(fold.train, fold.test) for fold in walk_forward(spans, folds, anchored=anchored, window=window))
        pairs = [(one.inside, one.outside) for one in steps if one.inside is not None and one.outside is not None]
        ratio = efficiency([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        positive = sum(one.outside is not None and one.outside > 0 for one in steps) / len(steps)
        found.append(
            Walk(anchored=anchored, steps=steps, positive=positive, efficiency=ratio.median, spread=ratio.spread, reason=ratio.reason)
        )
    return found[0], found[1]


def _step(strategy: Strategy, tape: Mapping[Timeframe, Bars], costs: Costs, train: Train, at: tuple[int, int, int]) -> Step:
    base = tape[strategy.base_timeframe]
    first, edge, end = at
    start, cut = as_datetime(base.time[first]), as_datetime(base.time[edge])
    named = {"train_start": start, "train_end": cut, "test_end": as_datetime(base.known_at[end - 1])}
    try:
        model = train(start, cut)
    except (Invalid, NoData) as error:
        return Step(**named, inside=None, outside=None, sharpe_ratio=None, trades=0, reason=error.message)
    scores = model.predict(compute_features(model.strategy, tape, model.scaling))
    inside, _, _ = _traded(strategy, base.rows(slice(0, edge)), scores[first:edge], costs)
    outside, ratio, trades = _traded(strategy, base.rows(slice(0, end)), scores[edge:end], costs)
    return Step(**named, inside=inside, outside=outside, sharpe_ratio=ratio, trades=trades)


def _traded(strategy: Strategy, history: Bars, scores: NDArray[np.float64], costs: Costs) -> tuple[float | None, float | None, int]:
    """Yearly return, Sharpe ratio and trades on the last bars of a history, for which there are scores."""
    bars = history.rows(slice(len(history) - len(scores), None))
    targets = decide(scores, strategy, bars.time).targets
    done = simulated(bars, targets, costs, CAPITAL, execution=strategy.execution, history=history)
    years = elapsed_years(bars.time)
    growth, _ = annualized_return(float(done.equity[-1]), CAPITAL, years)
    ratio, _ = sharpe_ratio(returns_of(done.equity), (len(bars) - 1) / years)
    return growth, ratio, len(done.ledger.side)
