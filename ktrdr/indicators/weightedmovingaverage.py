"""Weighted moving average."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class WeightedMovingAverage(Indicator):
    """Weighted moving average: the newest of the last `period` prices weighs `period`, the oldest 1.

    Source: TA-Lib WMA.
    """

    aliases: ClassVar[tuple[str, ...]] = ("wma",)
    category: ClassVar[str] = "trend"
    period: int = Field(20, ge=2, le=500)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        return {"value": talib.WMA(getattr(bars, self.source), self.period)}
