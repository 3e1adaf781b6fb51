"""Distance from a moving average."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class DistanceFromMA(Indicator):
    """Distance of the price from its moving average, in percent.

    100 * (price / average - 1), the average being TA-Lib's SMA or EMA.
    """

    category: ClassVar[str] = "trend"
    period: int = Field(20, ge=2, le=200)
    ma_type: Literal["SMA", "EMA"] = "SMA"
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        price: Floats = getattr(bars, self.source)
        average = (talib.SMA if self.ma_type == "SMA" else talib.EMA)(price, self.period)
        return {"value": 100 * (price / average - 1)}
