"""Bars for tests of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

MakeBars = Callable[..., Bars]


@pytest.fixture
def hourly() -> MakeBars:
    """Makes hourly bars from closes, and highs and lows where they matter."""

    def make(close: Sequence[float], high: Sequence[float] | None = None, low: Sequence[float] | None = None) -> Bars:
        time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
        ones = np.ones(len(close))
        return Bars.checked(
            "X",
            Timeframe("1h"),
            time,
            open=close,
            high=close if high is None else high,
            low=close if low is None else low,
            close=close,
            volume=ones,
        )

    return make
