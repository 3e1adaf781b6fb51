"""Bollinger bandwidth."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.indicators.bollingerbands import BollingerBands
from ktrdr.market.bars import Bars


@INDICATORS.add
class BollingerBandWidth(Indicator):
    """Bollinger bandwidth: how far apart the Bollinger bands are, as a share of the middle.

    (upper - lower) / middle of BollingerBands with the same parameters.
    Source: J. Bollinger, Bollinger on Bollinger Bands (2001), there in percent; TA-Lib BBANDS.
    """

    category: ClassVar[str] = "volatility"
    period: int = Field(20, ge=2, le=200)
    multiplier: float = Field(2.0, gt=0, le=10)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        bands = BollingerBands(period=self.period, multiplier=self.multiplier, source=self.source).compute(bars)
        return {"value": (bands["upper"] - bands["lower"]) / bands["middle"]}
