"""Made-up bars and returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.resample import resample
from ktrdr.market.timeframe import Timeframe

H1, H4 = Timeframe("1h"), Timeframe("4h")
Tape = dict[Timeframe, Bars]


@pytest.fixture(scope="session")
def bars_of() -> Callable[..., Bars]:
    """A random walk of hourly bars of a market that never closes."""

    def build(count: int = 600, seed: int = 1, symbol: str = "BTCUSD") -> Bars:
        random = np.random.default_rng(seed)
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
        opens = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, 0.001, count))
        high, low = np.maximum(opens, close) * 1.004, np.minimum(opens, close) * 0.996
        time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
        volume = random.integers(1, 1000, count).astype(float)
        return Bars.checked(symbol, H1, time, open=opens, high=high, low=low, close=close, volume=volume)

    return build


@pytest.fixture(scope="session")
def tape(bars_of: Callable[..., Bars]) -> Tape:
    """The same walk in hours and in four hours."""
    base = bars_of()
    return {H1: base, H4: resample(base, H4)}
