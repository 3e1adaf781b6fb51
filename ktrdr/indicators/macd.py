"""Moving average convergence and divergence."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars


@INDICATORS.add
class MACD(Indicator):
    """MACD: the fast exponential average less the slow one, and its own average.

    line = EMA(fast) - EMA(slow); signal = EMA(line, signal_period); histogram = line - signal. Both averages begin at the same
    bar, the fast one seeded with the last `fast_period` prices before it; all three outputs are known from the first signal on.
    Source: G. Appel (1979); TA-Lib MACD.
    """

    outputs: ClassVar[tuple[str, ...]] = ("line", "signal", "histogram")
    category: ClassVar[str] = "trend"
    fast_period: int = Field(12, ge=2, le=100)
    slow_period: int = Field(26, ge=3, le=200)
    signal_period: int = Field(9, ge=2, le=50)
    source: Source = "close"

    @model_validator(mode="after")
    def _fast_before_slow(self) -> Self:
        if self.fast_period >= self.slow_period:
            raise ValueError(f"fast_period {self.fast_period} must be below slow_period {self.slow_period}")
        return self

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `slow_period + signal_period - 1` on."""
        import talib

        line, signal, histogram = talib.MACD(getattr(bars, self.source), self.fast_period, self.slow_period, self.signal_period)
        return {"line": line, "signal": signal, "histogram": histogram}
