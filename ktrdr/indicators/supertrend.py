"""SuperTrend."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars
from ktrdr.market.loops import columns_of


@INDICATORS.add
class SuperTrend(Indicator):
    """SuperTrend: a trailing line below rising and above falling prices, and the direction it stands for.

    Bands at (high + low) / 2 +- multiplier * ATR(period). The upper one only falls and the lower one only rises, until the close
    before has crossed it. direction is -1 until a close above the upper band, then 1 until a close below the lower band, and so
    on; trend = the lower band while direction is 1, else the upper one. The ATR is Wilder's. The earlier system began its
    bands with NaN, so that trend was never known and direction always 1.
    Source: O. Seban (2009); the start is that of TradingView's ta.supertrend.
    """

    outputs: ClassVar[tuple[str, ...]] = ("trend", "direction")
    category: ClassVar[str] = "trend"
    period: int = Field(10, ge=2, le=200)
    multiplier: float = Field(3.0, gt=0, le=10)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        middle = (bars.high + bars.low) / 2
        reach = self.multiplier * talib.ATR(bars.high, bars.low, bars.close, self.period)
        trend, direction = columns_of(trail, bars.close, middle + reach, middle - reach, columns=2)
        return {"trend": trend, "direction": direction}


def trail(
    close: Sequence[float], upper: Sequence[float], lower: Sequence[float], trend: MutableSequence[float], direction: MutableSequence[float]
) -> None:
    """Write the line and its direction, from the bands of each bar by itself."""
    top, bottom, side = math.nan, math.nan, -1.0
    for t in range(len(close)):
        if math.isnan(upper[t]):
            continue
        if math.isnan(top) or upper[t] < top or close[t - 1] > top:
            top = upper[t]
        if math.isnan(bottom) or lower[t] > bottom or close[t - 1] < bottom:
            bottom = lower[t]
        if side < 0 and close[t] > top:
            side = 1.0
        elif side > 0 and close[t] < bottom:
            side = -1.0
        trend[t] = bottom if side > 0 else top
        direction[t] = side
