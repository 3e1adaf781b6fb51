"""Where prices turned, by how far they have come back since."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Floats
from ktrdr.market.loops import columns_of

Rows = NDArray[np.int64]


def pivots(close: Floats, threshold: Floats) -> tuple[Rows, Rows]:
    """The bars at which the close turned, and those by which it had turned by the threshold of the day."""
    (turned,) = columns_of(mark_turns, close, threshold, columns=1)
    known = np.flatnonzero(np.isfinite(turned))
    return turned[known].astype(np.int64), known


def mark_turns(close: Sequence[float], threshold: Sequence[float], turned: MutableSequence[float]) -> None:
    """Write at each bar that confirms a pivot which bar that pivot is; direction 0 means that none is known yet."""
    direction, high, low = 0, 0, 0
    for now in range(len(close)):
        price = close[now]
        if price > close[high]:
            high = now
        if price < close[low]:
            low = now
        if direction >= 0 and price <= close[high] * (1 - threshold[now]):
            turned[now], direction = high, -1
        elif direction <= 0 and price >= close[low] * (1 + threshold[now]):
            turned[now], direction = low, 1
        else:
            continue
        high, low = now, now
