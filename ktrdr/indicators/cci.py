"""Commodity channel index."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class CCI(Indicator):
    """Commodity channel index: how far the typical price is from its average, in usual deviations.

    (TP - SMA(TP)) / (0.015 * mean absolute deviation) with TP = (high + low + close) / 3; 0 where nothing deviates.
    Source: D. Lambert (1980); TA-Lib CCI.
    """

    category: ClassVar[str] = "momentum"
    period: int = Field(20, ge=2, le=100)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        return {"value": talib.CCI(bars.high, bars.low, bars.close, self.period)}
