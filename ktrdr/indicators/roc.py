"""Rate of change."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class ROC(Indicator):
    """Rate of change: the price against the price `period` bars ago, in percent.

    100 * (price / price before - 1). Source: TA-Lib ROC.
    """

    category: ClassVar[str] = "momentum"
    period: int = Field(10, ge=1, le=100)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        return {"value": talib.ROC(getattr(bars, self.source), self.period)}
