"""Zigzag."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator, Source
from ktrdr.market.bars import Bars
from ktrdr.market.loops import columns_of


@INDICATORS.add
class ZigZag(Indicator):
    """Zigzag: the price of the last pivot that is confirmed, a pivot being where price turned by `threshold` (0.05 is 5 %).

    A high is confirmed by the first price at or below high * (1 - threshold), a low by the first at or above low * (1 + threshold);
    before the first pivot stands the first price. The line that charts draw to the pivot itself is redrawn later (it repaints), and
    so knows the future where it is used as a feature; the earlier system offered that line, this one does not.
    Source: after A. Merrill, Filtered Waves (1977).
    """

    category: ClassVar[str] = "support_resistance"
    caution: ClassVar[str] = (
        "gives the last confirmed pivot, known only once price has turned by `threshold`; the zigzag line that charts draw repaints, "
        "would know the future here, and is not offered"
    )
    threshold: float = Field(0.05, gt=0, lt=1)
    source: Source = "close"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the first bar on."""
        (pivots,) = columns_of(last_pivots, getattr(bars, self.source), self.threshold, columns=1)
        return {"value": pivots}


def last_pivots(price: Sequence[float], threshold: float, pivots: MutableSequence[float]) -> None:
    """Write the price of the last pivot confirmed by each bar; direction 0 means that none is known yet."""
    direction, last = 0, math.nan
    high, low = -math.inf, math.inf
    for t in range(len(price)):
        now = price[t]
        high, low = max(high, now), min(low, now)
        if t == 0:
            last = now
        if direction >= 0 and now <= high * (1 - threshold):
            direction, last, high, low = -1, high, now, now
        elif direction <= 0 and now >= low * (1 + threshold):
            direction, last, high, low = 1, low, now, now
        pivots[t] = last
