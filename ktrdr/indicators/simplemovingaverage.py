"""Simple moving average."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class SimpleMovingAverage(Indicator):
    """Simple moving average: the plain mean of the last `period` prices.

    Source: TA-Lib SMA.
    """

    aliases: ClassVar[tuple[str, ...]] = ("sma",)
    category: ClassVar[str] = "trend"
    period: int = Field(20, ge=2, le=500)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        return {"value": talib.SMA(getattr(bars, self.source), self.period)}
