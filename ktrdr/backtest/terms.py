"""What a strategy says about execution, on given bars: sizes, hours and levels as the simulation reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.metrics import SECONDS_PER_YEAR
from ktrdr.backtest.rules import BORROW, CUT, EXITS_ONLY, NO_BAR, OPEN, REFUSE, Rules
from ktrdr.backtest.simulate import Terms
from ktrdr.backtest.tape import Tape
from ktrdr.market.bars import Bars, Times
from ktrdr.strategy.execution import DAYS, Execution, Hours, minutes

Floats = NDArray[np.float64]
POLICIES = {"cut": CUT, "refuse": REFUSE, "borrow": BORROW}
MONDAY = np.datetime64("1970-01-05", "D")
FLAT = 1e-9
"""A spread of returns below this share of their size is rounding: the price did not move."""


def terms_of(execution: Execution, tape: Tape, costs: Sequence[Costs], history: Sequence[Bars] | None = None) -> Terms:
    """The terms of a backtest; `history` gives, for each symbol, its bars with older ones before them, to measure volatility."""
    size, many = execution.size, tape.rows is not None
    exits = any((execution.stop_loss, execution.take_profit, execution.trailing_stop))
    borrows = any(own.borrow > 0 for own in costs)
    rules = Rules(
        units=size.units or 0.0, lot=float(execution.lot), leverage=float(execution.leverage),
        unaffordable=POLICIES[execution.unaffordable], stop_loss=execution.stop_loss or 0.0, take_profit=execution.take_profit or 0.0,
        trailing=execution.trailing_stop or 0.0, cooldown=execution.cooldown, exits=exits,
        gated=many or execution.hours is not None, borrows=borrows,
    )  # fmt: skip
    return Terms(
        rules=rules,
        high=tape.high if exits else None,
        low=tape.low if exits else None,
        allowed=_allowed(tape, execution.hours) if rules.gated else None,
        weight=_weight(execution, tape, history),
        years=_years(tape) if borrows else None,
    )


def yearly_volatility(bars: Bars, span: int) -> Floats:
    """Standard deviation of the last `span` log returns, for a year of such bars; NaN where it is not known or 0.

    A year has as many bars as the time that these returns took lets expect.
    """
    found = np.full(len(bars), np.nan)
    if len(bars) <= span:
        return found
    moves = np.diff(np.log(bars.close))
    sums, squares = (np.concatenate(([0.0], np.cumsum(column))) for column in (moves, moves * moves))
    total, square = sums[span:] - sums[:-span], squares[span:] - squares[:-span]
    variance = (square - total * total / span) / (span - 1)
    variance[variance <= FLAT * square / span] = np.nan
    took = (bars.time[span:] - bars.time[:-span]) / np.timedelta64(1, "s") / SECONDS_PER_YEAR
    found[span:] = np.sqrt(variance * span / took)
    return found


def _weight(execution: Execution, tape: Tape, history: Sequence[Bars] | None) -> Floats | None:
    size = execution.size
    if size.volatility is None:
        return None if size.share in (None, 1.0) else np.full(1, size.share)
    columns = []
    for own, seen in zip(tape.bars, history or tape.bars, strict=True):
        volatility = yearly_volatility(seen, size.span)[len(seen) - len(own) :]
        columns.append(np.minimum(size.volatility / volatility, execution.leverage))
    weight: Floats = tape.spread(columns)
    return weight


def _allowed(tape: Tape, hours: Hours | None) -> NDArray[np.int8]:
    """What may be done at each open, in the shape of the prices."""
    allowed = np.full(tape.open.shape, OPEN, np.int8)
    if hours is not None:
        allowed[~within(tape.time, hours)] = EXITS_ONLY
    if tape.present is not None:
        allowed[~tape.present] = NO_BAR
    return allowed


def within(time: Times, hours: Hours) -> NDArray[np.bool_]:
    """Which bars start within the hours; those after midnight belong to the day on which the hours began."""
    start, end = minutes(hours.start) or 0, minutes(hours.end) or 0
    midnight = time.astype("datetime64[D]")
    minute = (time - midnight) / np.timedelta64(1, "m")
    inside = (minute >= start) & (minute < end) if start < end else (minute >= start) | (minute < end)
    day = (midnight - MONDAY).astype(np.int64) - ((start > end) & (minute < end))
    on = np.isin(day % 7, [DAYS.index(name) for name in hours.days])
    found: NDArray[np.bool_] = inside & on
    return found


def _years(tape: Tape) -> Floats:
    """The time from each bar to the next; the last is as long as a bar."""
    nexts = np.append(tape.time[1:], tape.known_at[-1])
    years: Floats = (nexts - tape.time) / np.timedelta64(1, "s") / SECONDS_PER_YEAR
    return years
