"""Which bars are missing, and whether the market's usual hours explain it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.sessions import asset_class, bar_start, bar_starts, step


@dataclass(frozen=True)
class Gap:
    """A run of bars that are not there."""

    start: datetime
    """Start of the first one."""
    end: datetime
    """Start of the next bar that is there."""
    missing: int
    """How many of them the market's usual hours call for."""
    reason: Literal["closed", "unexplained"]
    """`closed` outside the usual hours; holidays, halts and holes of the provider are all `unexplained`."""


def find_gaps(bars: Bars) -> tuple[Gap, ...]:
    """The gaps between the first and the last bar, oldest first."""
    cells = np.unique(bar_start(bars.time, bars.timeframe))
    before = np.flatnonzero(np.diff(cells) > step(bars.timeframe))
    if not len(before):
        return ()
    starts, ends = cells[before] + step(bars.timeframe), cells[before + 1]
    called_for = bar_starts(asset_class(bars.symbol), bars.timeframe, cells[0], cells[-1])
    missing = np.searchsorted(called_for, ends) - np.searchsorted(called_for, starts)
    return tuple(
        Gap(as_datetime(start), as_datetime(end), int(count), "unexplained" if count else "closed")
        for start, end, count in zip(starts, ends, missing, strict=True)
    )
