"""Average directional index."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class ADX(Indicator):
    """Average directional index: how strong a trend is, 0 to 100, and its two directions.

    plus_di and minus_di are the shares of upward and downward movement in the true range, all smoothed as Wilder does;
    adx = Wilder's average of 100 * |plus_di - minus_di| / (plus_di + minus_di).
    The earlier system began its averages with the first value rather than a sum.
    Source: J. W. Wilder (1978); TA-Lib ADX, PLUS_DI, MINUS_DI.
    """

    outputs: ClassVar[tuple[str, ...]] = ("adx", "plus_di", "minus_di")
    category: ClassVar[str] = "trend"
    period: int = Field(14, ge=2, le=200)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """The directions are known from bar `period + 1` on, adx from bar `2 * period` on."""
        import talib

        columns = (bars.high, bars.low, bars.close, self.period)
        return {"adx": talib.ADX(*columns), "plus_di": talib.PLUS_DI(*columns), "minus_di": talib.MINUS_DI(*columns)}
