"""Relative vigor index."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.indicators.windows import ratio, triangle, window_sum
from ktrdr.market.bars import Bars


@INDICATORS.add
class RVI(Indicator):
    """Relative vigor index: how much of the range bars cover between open and close, -1 to 1.

    rvi = sum of S(close - open) / sum of S(high - low) over the last `period` bars, where S weighs the last 4 bars 1-2-2-1;
    0 where there is no range. signal weighs the last `signal_period` values of rvi in the same symmetric way, 1-2-2-1 for 4;
    the earlier system took their plain mean. Source: J. Ehlers, Relative Vigor Index (Stocks & Commodities, January 2002).
    """

    outputs: ClassVar[tuple[str, ...]] = ("rvi", "signal")
    category: ClassVar[str] = "momentum"
    period: int = Field(10, ge=4, le=100)
    signal_period: int = Field(4, ge=1, le=50)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """rvi is known from bar `period + 3` on, signal from bar `period + signal_period + 2` on."""
        symmetric, plain = triangle(4), np.ones(self.period)
        vigor = window_sum(window_sum(bars.close - bars.open, symmetric), plain)
        reach = window_sum(window_sum(bars.high - bars.low, symmetric), plain)
        rvi = ratio(vigor, reach, empty=0.0)
        return {"rvi": rvi, "signal": window_sum(rvi, triangle(self.signal_period))}
