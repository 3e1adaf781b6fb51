"""Donchian channels."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class DonchianChannels(Indicator):
    """Donchian channels: the highest high and the lowest low of the last `period` bars, this one included.

    middle = (upper + lower) / 2. Source: R. Donchian; TA-Lib MAX and MIN.
    """

    aliases: ClassVar[tuple[str, ...]] = ("donchian",)
    outputs: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    retired: ClassVar[dict[str, str]] = {"include_middle": "the middle is always there"}
    category: ClassVar[str] = "volatility"
    period: int = Field(20, ge=2, le=500)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        import talib

        upper, lower = talib.MAX(bars.high, self.period), talib.MIN(bars.low, self.period)
        return {"upper": upper, "middle": (upper + lower) / 2, "lower": lower}
