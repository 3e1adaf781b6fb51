"""Money flow index."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.market.bars import Bars


@INDICATORS.add
class MFI(Indicator):
    """Money flow index: the share of rising money flow, 0 to 100; an RSI that weighs volume.

    100 * P / (P + N), where P and N sum typical price * volume over the last `period` bars on which the typical price
    (high + low + close) / 3 rose or fell; bars on which it stayed count for neither. 0 where the
    flow is below 1, where the earlier system gave 100. Source: G. Quong and A. Soudack; TA-Lib MFI.
    """

    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"
    period: int = Field(14, ge=2, le=100)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the bar after the first `period`."""
        import talib

        require_volume(self, bars)
        return {"value": talib.MFI(bars.high, bars.low, bars.close, bars.volume, self.period)}
