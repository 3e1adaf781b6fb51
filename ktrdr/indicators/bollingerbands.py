"""Bollinger bands."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class BollingerBands(Indicator):
    """Bollinger bands: a moving average and a band of `multiplier` standard deviations around it.

    middle = SMA(period); upper and lower = middle +- multiplier * standard deviation of the last `period` prices, divided by
    `period`, not by one less as in the earlier system. Source: J. Bollinger, Bollinger on Bollinger Bands (2001); TA-Lib BBANDS.
    """

    aliases: ClassVar[tuple[str, ...]] = ("bbands",)
    outputs: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    category: ClassVar[str] = "volatility"
    period: int = Field(20, ge=2, le=200)
    multiplier: float = Field(2.0, gt=0, le=10)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        upper, middle, lower = talib.BBANDS(getattr(bars, self.source), self.period, self.multiplier, self.multiplier)
        return {"upper": upper, "middle": middle, "lower": lower}
