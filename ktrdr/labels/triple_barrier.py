"""Triple barrier: which comes first, a profit, a loss, or the end of patience."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ktrdr.labels.base import BUY, HOLD, LABELS, SELL, Label, Targets
from ktrdr.market.bars import Bars, Floats
from ktrdr.market.loops import columns_of


@LABELS.add
class TripleBarrier(Label):
    """Buy where price rises `pt` volatilities before it falls `sl`, sell where it falls first, hold where neither matters.

    Barriers stand at close * (1 + pt * vol) and close * (1 - sl * vol) and are tested on the high and low of each later
    bar. Both touched in one bar: the sign of that bar's close against the entry. Neither touched within
    `max_holding_period` bars: the sign of the return, or hold if it is below half a volatility times the root of the
    holding period. With `compute_weights` a row counts in learning as much as its label is unique: labels that read the same
    bars say the same. With a threshold for the cumulative sum of returns only the bars are labelled at which it is reached;
    the sum begins again there. After Lopez de Prado, Advances in Financial Machine Learning (2018), sections 2.5, 3.4, 4.4.
    """

    pt: float = Field(2.0, gt=0, le=100)
    sl: float = Field(1.5, gt=0, le=100)
    max_holding_period: int = Field(50, ge=1, le=10_000)
    vol_span: int = Field(50, ge=2, le=10_000)
    vol_method: Literal["atr", "close"] = "atr"
    compute_weights: bool = False
    """Whether rows count by the uniqueness of their labels."""
    cusum_threshold: float | None = Field(None, gt=0, lt=1)
    """Least move since the last labelled bar, as a share of price (0.01 is 1 %)."""
    cusum_multiplier: float | None = Field(None, gt=0, le=100)
    """The same in volatilities of the bar."""

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if self.cusum_threshold is not None and self.cusum_multiplier is not None:
            raise ValueError("takes cusum_threshold or cusum_multiplier, not both")
        return self

    @property
    def weighs(self) -> bool:
        """As `compute_weights` says."""
        return self.compute_weights

    def label(self, bars: Bars) -> Targets:
        """Bars without a settled volatility, or with less than `max_holding_period` bars after them, have no label."""
        volatility = self.volatility(bars)
        values, last_read = self.outcomes(bars, volatility)
        skipped = ~self.events(bars, volatility)
        values[skipped], last_read[skipped] = np.nan, np.flatnonzero(skipped)
        return Targets(values, last_read, self.task)

    def outcomes(self, bars: Bars, volatility: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """The class of each bar, and the last bar that was looked at to find it: all bars at once, one step further each time."""
        values, last_read, most = np.full(len(bars), np.nan), np.arange(len(bars)), self.max_holding_period
        entry = np.flatnonzero(volatility[: max(len(bars) - most, 0)] > 0)  # settled, and prices that move
        price, vol = bars.close[entry], volatility[entry]
        upper, lower, smallest = price * (1 + self.pt * vol), price * (1 - self.sl * vol), vol * math.sqrt(most) * 0.5
        for step in range(1, most + 1):
            now = entry + step
            risen, fallen = bars.high[now] >= upper, bars.low[now] <= lower
            touched = risen | fallen
            if touched.any():
                side = np.where(risen & fallen, np.sign(bars.close[now] - price), np.where(risen, 1.0, -1.0))[touched]
                values[entry[touched]], last_read[entry[touched]] = HOLD - side, now[touched]
                alive = ~touched
                entry, price, upper, lower, smallest = entry[alive], price[alive], upper[alive], lower[alive], smallest[alive]
        earned = bars.close[entry + most] / price - 1
        values[entry] = np.where(np.abs(earned) < smallest, HOLD, np.where(earned > 0, BUY, SELL))
        last_read[entry] = entry + most
        return values, last_read

    def events(self, bars: Bars, volatility: Floats) -> NDArray[np.bool_]:
        """The bars that may be labelled: all, or those at which the cumulative sum of returns reaches its threshold."""
        if self.cusum_threshold is None and self.cusum_multiplier is None:
            return np.ones(len(bars), dtype=bool)
        returns = np.diff(np.log(bars.close), prepend=np.log(bars.close[:1]))
        reach = np.full(len(bars), self.cusum_threshold) if self.cusum_multiplier is None else self.cusum_multiplier * volatility
        (reached,) = columns_of(accumulate, returns, reach, columns=1)
        return np.isfinite(reached)

    def volatility(self, bars: Bars) -> Floats:
        """How far one bar moves, as a share of price; NaN in the first `vol_span` bars.

        `atr`: exponential mean of (high - low) / close. `close`: exponential standard deviation of close-to-close
        returns. Both weigh with alpha = 2 / (vol_span + 1).
        """
        if self.vol_method == "atr":
            moves = (bars.high - bars.low) / bars.close
        else:
            moves = np.diff(bars.close, prepend=bars.close[:1]) / np.concatenate((bars.close[:1], bars.close[:-1]))
        (out,) = columns_of(smooth, moves, 2 / (self.vol_span + 1), self.vol_method == "close", columns=1)
        out[: self.vol_span] = np.nan
        return out


def smooth(moves: Sequence[float], alpha: float, deviation: bool, out: MutableSequence[float]) -> None:
    """The exponential mean of moves, or their exponential standard deviation."""
    mean, variance = 0.0, 0.0
    for t in range(len(moves)):
        step = moves[t] - mean if t > 0 else 0.0
        mean = mean + alpha * step if t > 0 else moves[t]
        variance = (1 - alpha) * (variance + alpha * step * step)
        out[t] = math.sqrt(variance) if deviation else mean


def accumulate(returns: Sequence[float], reach: Sequence[float], reached: MutableSequence[float]) -> None:
    """Mark the bars at which the sum of returns, up or down, reaches its threshold; both sums begin again at each."""
    up, down = 0.0, 0.0
    for t in range(len(returns)):
        up, down = max(0.0, up + returns[t]), min(0.0, down + returns[t])
        if up >= reach[t] or -down >= reach[t]:
            reached[t] = 1.0
            up, down = 0.0, 0.0
