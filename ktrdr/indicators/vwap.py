"""Volume-weighted average price."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.indicators.windows import ratio, window_sum
from ktrdr.market.bars import Bars


@INDICATORS.add
class VWAP(Indicator):
    """Volume-weighted average price: what the last `period` bars were traded at on average; period 0 means all bars so far.

    Sum of price * volume / sum of volume, the price being (high + low + close) / 3 or, without `use_typical_price`, the close; the
    plain mean of the prices where nothing was traded. With period 0 it depends on where the series begins.
    Source: S. Berkowitz, D. Logue and E. Noser, The Total Cost of Transactions on the NYSE (1988), here over a moving window.
    """

    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"
    period: int = Field(20, ge=0, le=200)
    use_typical_price: bool = True

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on, with period 0 from the first bar on."""
        require_volume(self, bars)
        price = (bars.high + bars.low + bars.close) / 3 if self.use_typical_price else bars.close
        if self.period == 0:
            traded, volume = np.cumsum(price * bars.volume), np.cumsum(bars.volume)
            mean = np.cumsum(price) / np.arange(1, len(bars) + 1)
        else:
            each = np.ones(self.period)
            traded, volume = window_sum(price * bars.volume, each), window_sum(bars.volume, each)
            mean = window_sum(price, each) / self.period
        return {"value": ratio(traded, volume, empty=mean)}
