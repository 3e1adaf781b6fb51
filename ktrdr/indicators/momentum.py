"""Momentum."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class Momentum(Indicator):
    """Momentum: the price less the price `period` bars ago, in price units.

    Source: TA-Lib MOM.
    """

    category: ClassVar[str] = "momentum"
    period: int = Field(10, ge=1, le=100)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        return {"value": talib.MOM(getattr(bars, self.source), self.period)}
