from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

MakeBars = Callable[..., Bars]


@pytest.fixture(scope="session")
def make_bars() -> MakeBars:
    """Bars that rise by one, `count` of them from `first` on."""

    def make(
        symbol: str = "BTCUSDT",
        timeframe: str = "1h",
        first: str = "2020-01-01",
        count: int = 48,
        *,
        provider: str = "files",
        lift: float = 0.0,
    ) -> Bars:
        size = Timeframe(timeframe)
        close = 100.0 + lift + np.arange(count)
        time = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(size.seconds, "s")
        return Bars.checked(
            symbol, size, time, open=close - 1, high=close + 2, low=close - 3, close=close, volume=np.ones(count), provider=provider
        )  # fmt: skip

    return make
