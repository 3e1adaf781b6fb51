"""On-balance volume."""

from __future__ import annotations

from typing import ClassVar

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.market.bars import Bars


@INDICATORS.add
class OBV(Indicator):
    """On-balance volume: volume added on rising closes and taken away on falling ones.

    Begins with the volume of the first bar (in the earlier system with 0); its level means nothing, its slope does.
    Source: J. Granville (1963); TA-Lib OBV.
    """

    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the first bar on."""
        import talib

        require_volume(self, bars)
        return {"value": talib.OBV(bars.close, bars.volume)}
