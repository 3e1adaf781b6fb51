"""Accumulation and distribution line."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.indicators.windows import delayed, ratio
from ktrdr.market.bars import Bars


@INDICATORS.add
class ADLine(Indicator):
    """Accumulation and distribution line: volume added as far as bars close near their high, taken away near their low.

    mf_multiplier = ((close - low) - (high - close)) / (high - low), 0 where there is no range; mf_volume = mf_multiplier * volume;
    line = the sum of mf_volume so far, with `use_sma_smoothing` its SMA(smoothing_period). Of the line as it is: momentum_21 = its
    change over 21 bars; roc_10 = 100 * change over 10 bars / |line 10 bars ago|, 0 where that is 0 (the line passes zero, so it can
    be large); relative_strength = RSI(14) of the line. The earlier system failed with smoothing.
    Source: M. Chaikin; TA-Lib AD, MOM, RSI and SMA.
    """

    outputs: ClassVar[tuple[str, ...]] = ("line", "mf_multiplier", "mf_volume", "roc_10", "momentum_21", "relative_strength")
    aliases: ClassVar[tuple[str, ...]] = ("ad",)
    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"
    use_sma_smoothing: bool = False
    smoothing_period: int = Field(21, ge=2, le=200)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """line is known from the first bar on (smoothed: from bar `smoothing_period` on), the last three from bars 11, 22 and 15 on."""
        import talib

        require_volume(self, bars)
        line, multiplier = talib.AD(bars.high, bars.low, bars.close, bars.volume), flow_multiplier(bars)
        before = delayed(line, 10)
        return {
            "line": talib.SMA(line, self.smoothing_period) if self.use_sma_smoothing else line,
            "mf_multiplier": multiplier,
            "mf_volume": multiplier * bars.volume,
            "roc_10": 100 * ratio(line - before, np.abs(before), empty=0.0),
            "momentum_21": talib.MOM(line, 21),
            "relative_strength": talib.RSI(line, 14),
        }


def flow_multiplier(bars: Bars) -> Floats:
    """Where each bar closes in its range, -1 at the low to 1 at the high; 0 where there is no range."""
    return ratio((bars.close - bars.low) - (bars.high - bars.close), bars.high - bars.low, empty=0.0)
