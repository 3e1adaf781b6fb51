"""Keltner channels."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class KeltnerChannels(Indicator):
    """Keltner channels: an exponential average and a band of `multiplier` average true ranges around it.

    middle = EMA(close, period); upper and lower = middle +- multiplier * ATR(atr_period), the average true range smoothed as Wilder
    does; the earlier system took its plain mean. Source: C. Keltner, How to Make Money in Commodities (1960), in the form that
    L. Raschke gave it; TA-Lib EMA and ATR.
    """

    aliases: ClassVar[tuple[str, ...]] = ("keltner",)
    outputs: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    category: ClassVar[str] = "volatility"
    period: int = Field(20, ge=2, le=500)
    atr_period: int = Field(10, ge=2, le=200)
    multiplier: float = Field(2.0, gt=0, le=10)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """middle is known from bar `period` on; upper and lower from then, but not before the bar after `atr_period`."""
        import talib

        middle = talib.EMA(bars.close, self.period)
        reach = self.multiplier * talib.ATR(bars.high, bars.low, bars.close, self.atr_period)
        return {"upper": middle + reach, "middle": middle, "lower": middle - reach}
