"""Triple barrier: which comes first, a profit, a loss, or the end of patience."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ktrdr.labels.base import LABELS, Label, Targets
from ktrdr.market.bars import Bars, Floats
from ktrdr.market.loops import compiled


@LABELS.add
class TripleBarrier(Label):
    """Buy where price rises `pt` volatilities before it falls `sl`, sell where it falls first, hold where neither matters.

    Barriers stand at close * (1 + pt * vol) and close * (1 - sl * vol) and are tested on the high and low of each later
    bar. Both touched in one bar: the sign of that bar's close against the entry. Neither touched within
    `max_holding_period` bars: the sign of the return, or hold if it is below half a volatility times the root of the
    holding period. After Lopez de Prado, Advances in Financial Machine Learning (2018), section 3.4.
    """

    pt: float = Field(2.0, gt=0, le=100)
    sl: float = Field(1.5, gt=0, le=100)
    max_holding_period: int = Field(50, ge=1, le=10_000)
    vol_span: int = Field(50, ge=2, le=10_000)
    vol_method: Literal["atr", "close"] = "atr"

    def label(self, bars: Bars) -> Targets:
        """Bars without a settled volatility, or with less than `max_holding_period` bars after them, have no label."""
        count = len(bars)
        values, last_read = np.full(count, np.nan), np.arange(count)
        volatility = self.volatility(bars)
        barriers = (self.pt, self.sl, self.max_holding_period)
        loop = compiled(label_barriers, count)
        columns = (bars.high, bars.low, bars.close, volatility)
        if loop is label_barriers:  # plain Python is several times faster on lists than on arrays
            listed, read = values.tolist(), last_read.tolist()
            loop(*(column.tolist() for column in columns), *barriers, listed, read)
            values, last_read = np.array(listed, dtype=np.float64), np.array(read, dtype=np.int64)
        else:
            loop(*columns, *barriers, values, last_read)
        return Targets(values, last_read, self.task)

    def volatility(self, bars: Bars) -> Floats:
        """How far one bar moves, as a share of price; NaN in the first `vol_span` bars.

        `atr`: exponential mean of (high - low) / close. `close`: exponential standard deviation of close-to-close
        returns. Both weigh with alpha = 2 / (vol_span + 1).
        """
        if self.vol_method == "atr":
            moves = (bars.high - bars.low) / bars.close
        else:
            moves = np.diff(bars.close, prepend=bars.close[:1]) / np.concatenate((bars.close[:1], bars.close[:-1]))
        out = np.full(len(bars), np.nan)
        mean_and_deviation = compiled(smooth, len(bars))
        mean_and_deviation(moves, 2 / (self.vol_span + 1), self.vol_method == "close", out)
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


def label_barriers(  # noqa: PLR0917 - a compiled loop takes its parameters by position
    high: Sequence[float], low: Sequence[float], close: Sequence[float], volatility: Sequence[float], pt: float, sl: float,
    holding: int, values: MutableSequence[float], last_read: MutableSequence[int],
) -> None:  # fmt: skip
    """Write the class of each bar and the last bar that was looked at to find it."""
    buy, hold, sell = 0.0, 1.0, 2.0
    for entry in range(len(close) - holding):
        vol, price = volatility[entry], close[entry]
        if not vol > 0:  # not settled yet, or prices that do not move
            continue
        upper, lower = price * (1 + pt * vol), price * (1 - sl * vol)
        smallest = vol * math.sqrt(holding) * 0.5
        outcome, now = hold, entry
        for now in range(entry + 1, entry + holding + 1):
            risen, fallen = high[now] >= upper, low[now] <= lower
            if risen and fallen:
                outcome = buy if close[now] > price else sell if close[now] < price else hold
            elif risen or fallen:
                outcome = buy if risen else sell
            if risen or fallen:
                break
        else:
            earned = close[now] / price - 1
            outcome = hold if abs(earned) < smallest else buy if earned > 0 else sell
        values[entry] = outcome
        last_read[entry] = now
