"""How far a backtest can be believed: its verdict, and what becomes of it when something is a little different."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.result import Backtest
from ktrdr.evaluation.fragility import fragility, neighbours, total_return_with
from ktrdr.evaluation.leaks import LeakProof
from ktrdr.evaluation.promotion import SEED, Promotion, measured, of_several, promotion
from ktrdr.evaluation.resampling import intervals
from ktrdr.evaluation.stress import stress
from ktrdr.evaluation.walk import FOLDS, walk
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.given import Range
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.operations.job import Job
from ktrdr.strategy.decisions import Decided
from ktrdr.strategy.features import Features
from ktrdr.strategy.spec import Strategy
from ktrdr.training.run import train_model

JSON = dict[str, Any]
OFF_BY = (-0.1, 0.1)
"""Shares by which the numbers of a strategy are changed."""
OLDER = 2000
"""Older bars that neighbours see as their warm-up, of the longest bar size."""
MOST_BARS = 100_000
"""With more bars a strategy is not learned again and again."""


@dataclass(frozen=True, eq=False)
class Leg:
    """What is known of one symbol before the simulation."""

    symbol: str
    bars: dict[Timeframe, Bars]
    """All that is read of it."""
    tested: Bars
    features: Features
    decided: Decided
    costs: Costs


@dataclass(frozen=True, eq=False)
class Tested:
    """A backtest with everything it was made from."""

    strategy: Strategy
    model: Model
    legs: tuple[Leg, ...]
    result: Backtest
    dates: Range

    @property
    def base(self) -> Bars:
        """All bars of its only symbol that decide, those before the test included."""
        return self.legs[0].bars[self.strategy.base_timeframe]

    @property
    def history(self) -> Range:
        """From the first bar that was learned from to the last that was tested."""
        return min(datetime.fromisoformat(self.model.training.start), self.dates[0]), self.dates[1]


def intervals_of(tested: Tested) -> JSON:
    """Between which values the headline figures lie."""
    returns, metrics = tested.result.returns, tested.result.metrics
    return intervals(returns, metrics.bars_per_year, SEED, time=tested.result.time[1:]).model_dump(mode="json")


def promotion_of(workspace: Workspace, tested: Tested, proof: LeakProof, *, in_sample: bool) -> Promotion:
    """The verdict, by every trial on the symbol whose dates overlap those of its training and its test."""
    tallies = [workspace.trials.tally(leg.symbol, *tested.history) for leg in tested.legs]
    if len(tallies) > 1:
        return of_several(max(tallies, key=lambda tally: tally.n), len(tallies))
    leg = tested.legs[0]
    found = measured(tested.result, leg.tested, leg.decided.targets, proof, in_sample=in_sample, history=tested.base)
    return promotion(found, tallies[0])


def scrutinized(job: Job, tested: Tested, share: tuple[float, float]) -> JSON:
    """Costs and delays, walk-forward and neighbours of a backtest that earned something; `share` is theirs of the bar.

    The search has seen none of it and nothing is chosen by it, so it is no trial.
    """
    if not tested.result.metrics.total_return > 0:
        return {"reason": "it earned nothing, so there is nothing to confirm"}
    if len(tested.legs) > 1:
        return {"reason": "it holds several symbols in one account; look at each alone"}
    leg, execution = tested.legs[0], tested.strategy.execution
    course = _Course(job, share)
    course.show(0.0, "Costs and delays")
    grid = stress(leg.tested, leg.decided.targets, leg.costs, tested.result.capital, execution=execution, history=tested.base)
    near = _neighbours(course, tested)
    return {"stress": grid.model_dump(mode="json"), "fragility": near, "walk_forward": _walked(course, tested)}


@dataclass(frozen=True)
class _Course:
    """Shows how far it is, and hears of a cancel."""

    job: Job
    share: tuple[float, float]

    def show(self, done: float, step: str) -> None:
        begin, end = self.share
        self.job.report(begin + (end - begin) * done, step)

    def heard(self, figure: Callable[[Strategy], float | None], count: int) -> Callable[[Strategy], float | None]:
        """The figure, told before it is computed each time."""
        done = iter(range(count + 1))

        def told(strategy: Strategy) -> float | None:
            at = next(done)
            self.show(0.1 + 0.4 * at / (count + 1), f"Neighbour {at + 1}/{count + 1}")
            return figure(strategy)

        return told


def _neighbours(course: _Course, tested: Tested) -> JSON:
    """The strategy among its neighbours, its weights kept."""
    base, leg = tested.base, tested.legs[0]
    longest = max(size.seconds for size in leg.bars)
    older = int(OLDER * longest / base.timeframe.seconds)
    first = len(base) - len(leg.tested)
    since = base.time[max(0, first - older)]
    near: Mapping[Timeframe, Bars] = {size: own.rows(slice(int(np.searchsorted(own.time, since)), None)) for size, own in leg.bars.items()}
    figure = total_return_with(tested.model, near, min(first, older), leg.costs)
    count = len(neighbours(tested.strategy, OFF_BY)[0])
    return fragility(tested.strategy, course.heard(figure, count), OFF_BY).model_dump(mode="json")


def _walked(course: _Course, tested: Tested) -> JSON:
    """The strategy learned again and again, on all bars of its training and its test."""
    base, leg = tested.base, tested.legs[0]
    if len(base) > MOST_BARS:
        return {"reason": f"{len(base):,} bars take too long to learn from again and again"}
    steps, strategy = iter(range(2 * FOLDS)), tested.strategy.with_overrides([leg.symbol])

    def train(start: datetime, end: datetime) -> Model:
        at = next(steps)
        course.show(0.5 + 0.5 * at / (2 * FOLDS), f"Walk-forward {at + 1}")
        cut = {size: bars.between(None, end) for size, bars in leg.bars.items()}
        return train_model(strategy, {leg.symbol: cut}, start, end, lambda _: course.job.check(), lambda _: None)

    anchored, rolling = walk(strategy, leg.bars, tested.history, leg.costs, train)
    return {"anchored": anchored.model_dump(mode="json"), "rolling": rolling.model_dump(mode="json")}
