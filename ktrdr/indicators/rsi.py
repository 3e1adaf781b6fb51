"""Relative strength index."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class RSI(Indicator):
    """Relative strength index: the share of gains in recent moves, 0 to 100.

    100 * U / (U + D), where U and D are Wilder's averages of gains and losses: the plain mean of the first `period` changes,
    then U = (U * (period - 1) + gain) / period. Prices that do not move at all give 0 (in the earlier system 50).
    Source: J. W. Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib RSI.
    """

    category: ClassVar[str] = "momentum"
    period: int = Field(14, ge=2, le=100)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        return {"value": talib.RSI(getattr(bars, self.source), self.period)}
