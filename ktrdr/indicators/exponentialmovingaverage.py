"""Exponential moving average."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class ExponentialMovingAverage(Indicator):
    """Exponential moving average: recent prices weigh most.

    EMA = EMA before + 2 / (period + 1) * (price - EMA before), begun with the simple mean of the first `period` prices.
    The earlier system began with the first price and weighted the beginning otherwise. Source: TA-Lib EMA.
    """

    aliases: ClassVar[tuple[str, ...]] = ("ema",)
    retired: ClassVar[dict[str, str]] = {"adjust": "the average begins with the mean of its first `period` prices"}
    category: ClassVar[str] = "trend"
    period: int = Field(20, ge=2, le=500)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        return {"value": talib.EMA(getattr(bars, self.source), self.period)}
