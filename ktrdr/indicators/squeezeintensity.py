"""Squeeze intensity."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.indicators.bollingerbands import BollingerBands
from ktrdr.indicators.windows import ratio
from ktrdr.market.bars import Bars


@INDICATORS.add
class SqueezeIntensity(Indicator):
    """Squeeze intensity: how deep the Bollinger bands lie inside the Keltner channels, 0 (not inside) to 0.5.

    The smaller of the two margins between the bands as a share of the channel's width, (KC upper - BB upper) / (KC upper - KC lower)
    and (BB lower - KC lower) / (KC upper - KC lower); 0 where one is negative or the channel has no width. Channel: EMA(source) +-
    kc_multiplier * ATR, both of kc_period, the ATR smoothed as Wilder does, where the earlier system took a plain mean.
    Source: J. Carter, Mastering the Trade (2005), whose squeeze is on where this is above 0; TA-Lib BBANDS, EMA and ATR.
    """

    category: ClassVar[str] = "volatility"
    bb_period: int = Field(20, ge=2, le=100)
    bb_multiplier: float = Field(2.0, gt=0, le=5)
    kc_period: int = Field(20, ge=2, le=100)
    kc_multiplier: float = Field(2.0, gt=0, le=5)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `bb_period` on, but not before the bar after `kc_period`."""
        import talib

        bands = BollingerBands(period=self.bb_period, multiplier=self.bb_multiplier, source=self.source).compute(bars)
        middle = talib.EMA(getattr(bars, self.source), self.kc_period)
        reach = self.kc_multiplier * talib.ATR(bars.high, bars.low, bars.close, self.kc_period)
        margin = np.minimum(middle + reach - bands["upper"], bands["lower"] - middle + reach)
        return {"value": np.maximum(ratio(margin, 2 * reach, empty=0.0), 0.0)}
