"""Zigzag: the direction of the swing a bar lies in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.labels.base import BUY, HOLD, LABELS, SELL, Label, Targets
from ktrdr.labels.turns import pivots
from ktrdr.market.bars import Bars


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
        values, last_read = np.full(len(bars), np.nan), np.arange(len(bars))
        turned, known = pivots(bars.close, np.full(len(bars), self.zigzag_threshold))
        for first, last, confirmed in zip(turned[:-1].tolist(), turned[1:].tolist(), known[1:].tolist(), strict=True):
            values[first + 1 : last] = BUY if bars.close[last] > bars.close[first] else SELL
            last_read[first + 1 : last] = confirmed
        values[turned], last_read[turned] = HOLD, known
        return Targets(values, last_read, self.task)
