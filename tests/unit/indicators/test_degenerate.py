"""Prices that do not move, volumes of zero, extreme sizes: every indicator still gives numbers, and none outside its range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

COUNT = 260
RANGES: dict[str, tuple[float, float]] = {
    "rsi": (0, 100), "mfi": (0, 100), "stochastic.k": (0, 100), "stochastic.d": (0, 100), "williamsr": (-100, 0),
    "aroon.up": (0, 100), "aroon.down": (0, 100), "aroon.oscillator": (-100, 100), "adx.adx": (0, 100), "adx.plus_di": (0, 100),
    "adx.minus_di": (0, 100), "atr": (0, np.inf), "bollingerbandwidth": (0, np.inf), "squeezeintensity": (0, 0.5),
    "rvi.rvi": (-1, 1), "rvi.signal": (-1, 1), "fishertransform.fisher": (-7.601, 7.601), "supertrend.direction": (-1, 1),
    "cmf.cmf": (-1, 1), "cmf.mf_multiplier": (-1, 1), "cmf.above_zero": (0, 1), "volumeratio": (0, 100), "parabolicsar": (0, np.inf),
}  # fmt: skip
"""Values that an output cannot leave, by indicator or indicator.output."""
everyone = pytest.mark.parametrize("cls", list(INDICATORS), ids=INDICATORS.names())


def bars_of(close: Floats, volume: Floats, spread: float = 0.0) -> Bars:
    start = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(start, close) * (1 + spread), np.minimum(start, close) * (1 - spread)
    time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    return Bars.checked("X", Timeframe("1h"), time, open=start, high=high, low=low, close=close, volume=volume)


def check(indicator: Indicator, bars: Bars) -> dict[str, Floats]:
    """No infinity, no gap after warm-up, nothing outside its range."""
    name, columns = INDICATORS.name_of(type(indicator)), indicator.compute(bars)
    for output, column in columns.items():
        known = ~np.isnan(column)
        assert known[-1], output
        assert known[np.argmax(known) :].all(), f"{output}: NaN after warm-up"
        assert np.isfinite(column[known]).all(), output
        low, high = RANGES.get(f"{name}.{output}", RANGES.get(name, (-np.inf, np.inf)))
        assert column[known].min() >= low - 1e-6, output
        assert column[known].max() <= high + 1e-6, output
    return columns


@everyone
@pytest.mark.parametrize("price", [50.0, 1.1, 0.1 + 0.2, 1e-5, 99_999.9])
def test_prices_that_never_move(cls: type[Indicator], price: float) -> None:
    check(cls(), bars_of(np.full(COUNT, price), np.full(COUNT, 0.3)))


FLAT: dict[str, dict[str, float]] = {
    "rsi": {"value": 0}, "roc": {"value": 0}, "momentum": {"value": 0}, "cci": {"value": 0}, "williamsr": {"value": 0},
    "rvi": {"rvi": 0, "signal": 0}, "fishertransform": {"fisher": 0, "signal": 0}, "atr": {"value": 0},
    "macd": {"line": 0, "signal": 0, "histogram": 0}, "bollingerbandwidth": {"value": 0}, "squeezeintensity": {"value": 0},
    "distancefromma": {"value": 0}, "adx": {"adx": 0, "plus_di": 0, "minus_di": 0},
    "supertrend": {"trend": 1.1, "direction": -1}, "parabolicsar": {"value": 1.1}, "zigzag": {"value": 1.1}, "vwap": {"value": 1.1},
    "keltnerchannels": {"upper": 1.1, "middle": 1.1, "lower": 1.1}, "donchianchannels": {"upper": 1.1, "middle": 1.1, "lower": 1.1},
    "ichimoku": {"tenkan": 1.1, "kijun": 1.1, "senkou_a": 1.1, "senkou_b": 1.1, "chikou": 1.1},
    "cmf": {"cmf": 0, "above_zero": 0, "below_zero": 0}, "adline": {"line": 0, "roc_10": 0, "relative_strength": 0},
    "volumeratio": {"value": 1}, "obv": {"value": 0.3}, "mfi": {"value": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", FLAT)
def test_what_stands_for_prices_that_never_move(name: str) -> None:
    columns = INDICATORS.get(name)().compute(bars_of(np.full(COUNT, 1.1), np.full(COUNT, 0.3)))
    for output, value in FLAT[name].items():
        assert columns[output][-1] == pytest.approx(value, abs=1e-9), output


@everyone
def test_highs_and_lows_that_are_all_equal(cls: type[Indicator]) -> None:
    random, count = np.random.default_rng(2), COUNT
    close = random.uniform(10, 20, count)
    time = np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    same = {"open": close, "high": np.full(count, 20.0), "low": np.full(count, 10.0), "close": close}
    check(cls(), Bars.checked("X", Timeframe("1h"), time, **same, volume=random.random(count)))


@everyone
def test_a_market_that_falls_asleep(cls: type[Indicator]) -> None:
    """It moves and trades, then stands still without a trade for longer than any window."""
    random = np.random.default_rng(4)
    moving = 0.37 * np.exp(np.cumsum(random.normal(0, 0.02, COUNT)))
    close = np.concatenate((moving, np.full(600, moving[-1])))
    check(cls(), bars_of(close, np.concatenate((random.random(COUNT) * 1e7 / 3, np.zeros(600))), spread=0.0))


@everyone
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-6, 1.0, 1e5]), still=st.floats(0, 0.95), quiet=st.floats(0, 0.95))
def test_any_market(cls: type[Indicator], seed: int, size: float, still: float, quiet: float) -> None:
    """Of any size of price, with bars that stand still and bars without volume."""
    random = np.random.default_rng(seed)
    moves = np.where(random.random(COUNT) < still, 0.0, random.normal(0, 0.01, COUNT))
    volume = np.where(random.random(COUNT) < quiet, 0.0, random.lognormal(0, 3, COUNT))
    volume[0] = 1.0
    columns: Any = check(cls(), bars_of(size * np.exp(np.cumsum(moves)), volume, spread=float(random.choice([0.0, 0.001]))))
    assert columns
