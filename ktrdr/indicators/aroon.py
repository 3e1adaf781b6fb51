"""Aroon."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class Aroon(Indicator):
    """Aroon: how recent the highest high and the lowest low are, 0 to 100.

    up = 100 * (period - bars since the highest high) / period over the last `period + 1` bars, down likewise for the low;
    oscillator = up - down. The earlier system looked at one bar less. Source: T. Chande (1995); TA-Lib AROON.
    """

    outputs: ClassVar[tuple[str, ...]] = ("up", "down", "oscillator")
    retired: ClassVar[dict[str, str]] = {"include_oscillator": "the oscillator is always there"}
    category: ClassVar[str] = "trend"
    period: int = Field(14, ge=2, le=200)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        down, up = talib.AROON(bars.high, bars.low, self.period)
        return {"up": up, "down": down, "oscillator": up - down}
