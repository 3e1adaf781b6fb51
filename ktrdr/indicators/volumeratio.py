"""Volume ratio."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, require_volume
from ktrdr.indicators.windows import ratio, window_sum
from ktrdr.market.bars import Bars


@INDICATORS.add
class VolumeRatio(Indicator):
    """Volume ratio: the volume of a bar against the usual one; 2 is twice the usual.

    volume / mean volume of the last `period` bars, this one included; 1 where none of them was traded. Also called relative volume.
    """

    needs_volume: ClassVar[bool] = True
    category: ClassVar[str] = "volume"
    period: int = Field(20, ge=2, le=100)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from bar `period` on."""
        require_volume(self, bars)
        mean = window_sum(bars.volume, np.ones(self.period)) / self.period
        return {"value": ratio(bars.volume, mean, empty=1.0)}
