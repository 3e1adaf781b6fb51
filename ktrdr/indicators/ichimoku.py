"""Ichimoku cloud."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.indicators.windows import delayed
from ktrdr.market.bars import Bars


@INDICATORS.add
class Ichimoku(Indicator):
    """Ichimoku cloud: the middles of three ranges, two of them drawn ahead as a cloud under or over the price.

    tenkan, kijun = (highest high + lowest low) / 2 of the last `tenkan_period` and `kijun_period` bars. senkou_a = (tenkan + kijun) / 2
    and senkou_b = the middle of `senkou_b_period` bars, both drawn ahead to the bar that is number `displacement`, today's being
    the first: at each bar stands the cloud that a chart shows there, found `displacement - 1` bars before. chikou = the close,
    which a chart draws as far back; here it stands where it is known, so that no value knows the future. The earlier system
    ignored `displacement`. Source: G. Hosoda (1969); the count of bars is that of the original and of TradingView.
    """

    outputs: ClassVar[tuple[str, ...]] = ("tenkan", "kijun", "senkou_a", "senkou_b", "chikou")
    category: ClassVar[str] = "multi_purpose"
    tenkan_period: int = Field(9, ge=2, le=200)
    kijun_period: int = Field(26, ge=2, le=300)
    senkou_b_period: int = Field(52, ge=2, le=500)
    displacement: int = Field(26, ge=1, le=200)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Each middle is known as soon as its bars are, the cloud `displacement - 1` bars later, chikou from the first bar on."""
        import talib

        tenkan, kijun, slowest = (
            (talib.MAX(bars.high, period) + talib.MIN(bars.low, period)) / 2
            for period in (self.tenkan_period, self.kijun_period, self.senkou_b_period)
        )
        cloud = (delayed(line, self.displacement - 1) for line in ((tenkan + kijun) / 2, slowest))
        return dict(zip(self.outputs, (tenkan, kijun, *cloud, bars.close.copy()), strict=True))
