"""How much a strategy depends on its exact numbers: each of them a little larger and a little smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.run import simulated
from ktrdr.errors import Invalid, InvalidStrategy
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.spec import Strategy, checked

SHARES = (-0.2, -0.1, 0.1, 0.2)
"""By how much a number is changed."""
CAPITAL = 100_000.0
"""That every neighbour begins with."""
Place = tuple[str | int, ...]
Figure = Callable[[Strategy], float | None]
"""What a strategy earns; None where that is not defined."""


@dataclass(frozen=True)
class Neighbour:
    """A strategy with one number changed."""

    place: str
    """Such as `fuzzy_sets.strength.low[2]`."""
    share: float
    strategy: Strategy


class Outcome(BaseModel):
    """What a neighbour earns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    place: str
    share: float
    figure: float | None
    """None where it is not defined, which counts as not profitable."""


class Fragility(BaseModel):
    """A strategy among its neighbours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    figure: float | None
    """Of the strategy itself."""
    neighbours: tuple[Outcome, ...]
    profitable: float | None
    """Share of the neighbours whose figure is above 0."""
    worst: Outcome | None
    median: float | None
    """Of the neighbours whose figure is defined."""
    skipped: int
    """Changes that do not make a valid strategy."""
    reason: str | None = None
    """Why there are no shares: no number could be changed."""


def fragility(strategy: Strategy, figure: Figure, shares: Sequence[float] = SHARES) -> Fragility:
    """What becomes of a figure, such as the total return or the Sharpe ratio, when one number of the strategy changes.

    Changed are the parameters of indicators, the numbers of memberships and the thresholds of decisions, one at a time,
    each by every share of its size.
    """
    found, skipped = neighbours(strategy, shares)
    outcomes = tuple(Outcome(place=one.place, share=one.share, figure=figure(one.strategy)) for one in found)
    known = [(one.figure, one) for one in outcomes if one.figure is not None]
    return Fragility(
        figure=figure(strategy),
        neighbours=outcomes,
        profitable=sum(value > 0 for value, _ in known) / len(outcomes) if outcomes else None,
        worst=min(known, key=lambda pair: pair[0])[1] if known else None,
        median=float(np.median([value for value, _ in known])) if known else None,
        skipped=skipped,
        reason=None if outcomes else "no number of the strategy can be changed by so much",
    )


def total_return_with(model: Model, tape: Mapping[Timeframe, Bars], first: int, costs: Costs) -> Figure:
    """The figure of `fragility` for a model: the total return after costs from base bar `first` on, with the weights kept."""

    def figure(strategy: Strategy) -> float:
        features = compute_features(strategy, tape, model.scaling)
        base = tape[strategy.base_timeframe]
        tested = base.rows(slice(first, None))
        targets = decide(model.predict(features)[first:], strategy, tested.time).targets
        done = simulated(tested, targets, costs, CAPITAL, execution=strategy.execution, history=base)
        return float(done.equity[-1]) / CAPITAL - 1

    return figure


def neighbours(strategy: Strategy, shares: Sequence[float] = SHARES) -> tuple[list[Neighbour], int]:
    """The valid strategies that differ in one number by each share of its size, and how many would not be valid."""
    if not shares or any(not -1 < share < 1 or share == 0 for share in shares):
        raise Invalid(f"numbers are changed by shares between -1 and 1 that are not 0, given: {tuple(shares)}")
    found: list[Neighbour] = []
    skipped = 0
    for (place, value), share in product(_numbers(strategy), shares):
        other = round(value * (1 + share)) if isinstance(value, int) else value * (1 + share)
        if other == value:
            continue
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
        try:
            found.append(Neighbour(name, share, _with_number(strategy, place, other)))
        except InvalidStrategy:
            skipped += 1
    return found, skipped


def _numbers(strategy: Strategy) -> Iterator[tuple[Place, float]]:
    """Every number that is not 0 of what a strategy sees and how it decides, in the order written; defaults too."""
    for name, spec in strategy.indicators.items():
        yield from _within(("indicators", name), spec.build().model_dump(mode="json"))
    document = strategy.model_dump(mode="json", exclude_none=True, exclude={"decisions": {"costs"}})
    for section in ("fuzzy_sets", "decisions"):
        yield from _within((section,), document[section])


def _within(place: Place, value: Any) -> Iterator[tuple[Place, float]]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _within((*place, key), part)
    if isinstance(value, int | float) and not isinstance(value, bool) and value != 0:
        yield place, value


def _with_number(strategy: Strategy, place: Place, value: float) -> Strategy:
    document = strategy.model_dump(mode="json", exclude_none=True)
    part: Any = document
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return checked(document, strategy.name)
