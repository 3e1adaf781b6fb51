"""Average true range."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class ATR(Indicator):
    """Average true range: how far one bar moves, gaps included, in price units.

    True range = max(high, close before) - min(low, close before), smoothed as Wilder does: the plain mean of the first `period`,
    then (ATR * (period - 1) + true range) / period; the earlier system took a plain mean throughout.
    Source: J. W. Wilder (1978); TA-Lib ATR.
    """

    category: ClassVar[str] = "volatility"
    period: int = Field(14, ge=1, le=100)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        return {"value": talib.ATR(bars.high, bars.low, bars.close, self.period)}
