"""Whether the next bars rise, fall or go nowhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.labels.context import Context
from ktrdr.market.bars import Bars


def test_a_move_of_the_threshold_is_one(hourly: Callable[..., Bars]) -> None:
    close = [100.0, 101.0, 100.6, 99.0, 100.2, 100.4]
    targets = Context(horizon=2, threshold=0.005).label(hourly(close))
    # 100 -> 100.6 is bullish, 101 -> 99 bearish, 100.6 -> 100.2 not half a percent, 99 -> 100.4 bullish.
    np.testing.assert_array_equal(targets.values, [0, 1, 2, 0, np.nan, np.nan])
    assert targets.last_read.tolist() == [2, 3, 4, 5, 4, 5]


def test_its_classes_say_what_to_do() -> None:
    assert dict(zip(Context.classes, Context.signals, strict=True)) == {"bullish": BUY, "bearish": SELL, "neutral": HOLD}
