"""Fisher transform."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import ClassVar

from pydantic import Field

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.indicators.windows import delayed, ratio
from ktrdr.market.bars import Bars
from ktrdr.market.loops import columns_of


@INDICATORS.add
class FisherTransform(Indicator):
    """Fisher transform: where the price lies in its range, stretched so that extremes stand out; -7.6 to 7.6.

    With price = (high + low) / 2 and x its place between the lowest (-1) and the highest (1) price of the last `period` bars, 0
    where there is no range: v = x / smoothing + (1 - 1 / smoothing) * v before, set to +-0.999 beyond +-0.99;
    fisher = ln((1 + v) / (1 - v)) / 2 + half of fisher before, both begun at 0. signal = fisher of the bar before.
    With smoothing 3 the weights are the published 0.33 and 0.67, to the third; the earlier system had no memory in fisher.
    Source: J. Ehlers, Using the Fisher Transform (Stocks & Commodities, November 2002).
    """

    outputs: ClassVar[tuple[str, ...]] = ("fisher", "signal")
    category: ClassVar[str] = "momentum"
    period: int = Field(10, ge=2, le=100)
    smoothing: int = Field(3, ge=1, le=20)

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """fisher is known from bar `period` on, signal one bar later."""
        import talib

        price = (bars.high + bars.low) / 2
        lowest = talib.MIN(price, self.period)
        place = ratio(price - lowest, talib.MAX(price, self.period) - lowest, empty=0.5)
        (fisher,) = columns_of(transform, 2 * place - 1, 1 / self.smoothing, columns=1)
        return {"fisher": fisher, "signal": delayed(fisher, 1)}


def transform(place: Sequence[float], weight: float, fisher: MutableSequence[float]) -> None:
    """Write the transform of each place in the range that is known."""
    value, before = 0.0, 0.0
    for t in range(len(place)):
        if math.isnan(place[t]):
            continue
        value = weight * place[t] + (1 - weight) * value
        if value > 0.99:
            value = 0.999
        elif value < -0.99:
            value = -0.999
        before = 0.5 * math.log((1 + value) / (1 - value)) + 0.5 * before
        fisher[t] = before
