"""Zigzag: the direction of the swing a bar lies in."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.labels.base import LABELS, Label, Targets
from ktrdr.market.bars import Bars
from ktrdr.market.loops import compiled


@LABELS.add
class ZigZag(Label):
    """Buy in rising swings, sell in falling ones; a swing ends when the close turns by `zigzag_threshold` (0.02 is 2 %).

    A pivot is the extreme close before such a turn. Bars between two pivots get the direction of their swing, pivots
    hold. Before the first pivot and after the last confirmed one there is no label: that swing is not known.
    """

    retired: ClassVar[Mapping[str, str]] = {"label_lookahead": "a swing ends when price has turned, however long that takes"}
    looks_back: ClassVar[bool] = True
    zigzag_threshold: float = Field(0.02, gt=0, lt=1)

    def label(self, bars: Bars) -> Targets:
        """Each label is known at the bar that confirms the pivot ending its swing."""
        count = len(bars)
        values, last_read = np.full(count, np.nan), np.arange(count)
        loop = compiled(label_swings, count)
        if loop is label_swings:  # plain Python is several times faster on lists than on arrays
            listed, read = values.tolist(), last_read.tolist()
            loop(bars.close.tolist(), self.zigzag_threshold, listed, read)
            values, last_read = np.array(listed, dtype=np.float64), np.array(read, dtype=np.int64)
        else:
            loop(bars.close, self.zigzag_threshold, values, last_read)
        return Targets(values, last_read, self.task)


def label_swings(close: Sequence[float], threshold: float, values: MutableSequence[float], last_read: MutableSequence[int]) -> None:
    """Write the class of each bar and the bar that confirmed it; direction 0 means that no pivot is known yet."""
    buy, hold, sell = 0.0, 1.0, 2.0
    direction, pivot = 0, -1
    high, low = 0, 0
    for now in range(len(close)):
        price = close[now]
        if price > close[high]:
            high = now
        if price < close[low]:
            low = now
        if direction >= 0 and price <= close[high] * (1 - threshold):
            turned, direction = high, -1
        elif direction <= 0 and price >= close[low] * (1 + threshold):
            turned, direction = low, 1
        else:
            continue
        if pivot >= 0:
            for t in range(pivot + 1, turned):
                values[t] = buy if direction < 0 else sell
                last_read[t] = now
        values[turned] = hold
        last_read[turned] = now
        pivot = turned
        high, low = now, now
