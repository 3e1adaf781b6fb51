"""Context: whether the next bars rise, fall or go nowhere."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.labels.base import BUY, HOLD, LABELS, SELL, Label, Targets
from ktrdr.market.bars import Bars

BULLISH, BEARISH, NEUTRAL = 0, 1, 2


@LABELS.add
class Context(Label):
    """Bullish where the close `horizon` bars ahead is at least `threshold` higher, bearish where as much lower, else neutral.

    A `threshold` of 0.005 is half a percent. Meant for bars of a day or longer: the mood in which another strategy trades.
    Bullish is a signal to buy, bearish one to sell.
    """

    classes: ClassVar[tuple[str, ...]] = ("bullish", "bearish", "neutral")
    signals: ClassVar[tuple[int, ...]] = (BUY, SELL, HOLD)
    horizon: int = Field(5, ge=1, le=10_000)
    threshold: float = Field(0.005, gt=0, lt=1)

    def label(self, bars: Bars) -> Targets:
        """The last `horizon` bars have no label.

        >>> from ktrdr.market.timeframe import Timeframe
        >>> close = np.array([100.0, 101.0, 100.0, 100.1])
        >>> time = np.datetime64("2024-01-01", "us") + np.arange(4) * np.timedelta64(1, "D")
        >>> bars = Bars.checked("X", Timeframe("1d"), time, open=close, high=close, low=close, close=close, volume=close)
        >>> Context(horizon=1).label(bars).values.tolist()
        [0.0, 1.0, 2.0, nan]
        """
        count, ahead = len(bars), self.horizon
        values, last_read = np.full(count, np.nan), np.arange(count)
        if count > ahead:
            earned = bars.close[ahead:] / bars.close[:-ahead] - 1
            values[:-ahead] = np.where(earned >= self.threshold, BULLISH, np.where(earned <= -self.threshold, BEARISH, NEUTRAL))
            last_read[:-ahead] += ahead
        return Targets(values, last_read, self.task)
