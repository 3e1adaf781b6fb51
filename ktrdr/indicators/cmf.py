"""Chaikin money flow."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.adline import flow_multiplier
from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.indicators.windows import ratio, window_sum
from ktrdr.market.bars import Bars


@INDICATORS.add
class CMF(Indicator):
    """Chaikin money flow: the share of volume that closed near the high rather than near the low, -1 to 1.

    cmf = sum of mf_volume / sum of volume over the last `period` bars, 0 where nothing was traded, with mf_multiplier =
    ((close - low) - (high - close)) / (high - low), 0 where there is no range, and mf_volume = mf_multiplier * volume. momentum = its
    change over 5 bars; signal = EMA(cmf, 9); histogram = cmf - signal; above_zero and below_zero are 1 or 0.
    Source: M. Chaikin; TA-Lib MOM and EMA.
    """

    outputs: ClassVar[tuple[str, ...]] = (
        "cmf", "mf_multiplier", "mf_volume", "momentum", "signal", "histogram", "above_zero", "below_zero",
    )  # fmt: skip
    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"
    period: int = Field(21, ge=2, le=500)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """cmf is known from bar `period` on, momentum from bar `period + 5`, signal and histogram from bar `period + 8` on."""
        import talib

        require_volume(self, bars)
        multiplier, each = flow_multiplier(bars), np.ones(self.period)
        volume = multiplier * bars.volume
        cmf = ratio(window_sum(volume, each), window_sum(bars.volume, each), empty=0.0)
        signal = talib.EMA(cmf, 9)
        return {
            "cmf": cmf,
            "mf_multiplier": multiplier,
            "mf_volume": volume,
            "momentum": talib.MOM(cmf, 5),
            "signal": signal,
            "histogram": cmf - signal,
            "above_zero": np.where(np.isnan(cmf), np.nan, cmf > 0),
            "below_zero": np.where(np.isnan(cmf), np.nan, cmf < 0),
        }
