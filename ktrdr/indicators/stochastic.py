"""Stochastic oscillator."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class Stochastic(Indicator):
    """Stochastic oscillator: where the close lies in the recent range, 0 to 100.

    raw = 100 * (close - lowest low) / (highest high - lowest low) of the last `k_period` bars, 0 where there is no range;
    k = SMA(raw, smooth_k); d = SMA(k, d_period). Both are known from the first d on; the
    earlier system wrote 50 where they are not known. Source: G. Lane; TA-Lib STOCH.
    """

    outputs: ClassVar[tuple[str, ...]] = ("k", "d")
    category: ClassVar[str] = "momentum"
    k_period: int = Field(14, ge=1, le=100)
    d_period: int = Field(3, ge=1, le=20)
    smooth_k: int = Field(3, ge=1, le=20)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `k_period + smooth_k + d_period - 2` on."""
        import talib

        k, d = talib.STOCH(
            bars.high, bars.low, bars.close, fastk_period=self.k_period, slowk_period=self.smooth_k, slowd_period=self.d_period
        )
        return {"k": k, "d": d}
