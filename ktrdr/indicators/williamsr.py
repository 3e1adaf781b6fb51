"""Williams %R."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class WilliamsR(Indicator):
    """Williams %R: where the close lies below the recent high, -100 (at the low) to 0 (at the high).

    -100 * (highest high - close) / (highest high - lowest low) of the last `period` bars, 0 where there is no range;
    the earlier system wrote -50 where it is not known. Source: L. Williams; TA-Lib WILLR.
    """

    category: ClassVar[str] = "momentum"
    period: int = Field(14, ge=2, le=100)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        return {"value": talib.WILLR(bars.high, bars.low, bars.close, self.period)}
