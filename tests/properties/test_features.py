"""No feature knows the future, whatever the bars and wherever they are cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.market.bars import Bars, Floats
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy

H1, H4, D1 = Timeframe("1h"), Timeframe("4h"), Timeframe("1d")
STRATEGY = load_strategy(
    """\
name: three_clocks
training_data: {symbols: [X], timeframes: [1h, 4h, 1d]}
indicators:
  rsi_5: {type: rsi, period: 5}
  macd_1: {type: macd, fast_period: 2, slow_period: 4, signal_period: 2}
  bands: {type: bollingerbands, period: 4}
  vol: {type: atr, period: 3}
fuzzy_sets:
  strength: {indicator: rsi_5, low: [0, 0, 50], mid: {type: gaussian, parameters: [50, 15]}, high: [50, 100, 100]}
nn_inputs:
  - {fuzzy_set: strength, timeframes: all}
  - {raw_indicator: macd_1.histogram, timeframes: all}
  - {raw_indicator: bands.upper, timeframes: [4h]}
  - {raw_indicator: vol, timeframes: [1h, 1d]}
model: {type: mlp, architecture: {hidden_layers: [4]}}
decisions: {}
training: {}
""",
    "three clocks",
).strategy


def hourly(closes: Floats, skipped: int) -> Bars:
    """Hourly bars from a Monday on, without weekends and without some hours."""
    count = len(closes)
    hours = np.datetime64("2020-01-06T00:00", "us") + np.arange(count * 3) * np.timedelta64(1, "h")
    weekday = (hours.astype("datetime64[D]").astype(int) + 3) % 7
    time = hours[(weekday < 5) & (np.arange(len(hours)) % 23 != skipped)][:count]
    start = np.concatenate((closes[:1], closes[:-1]))
    top, bottom = np.maximum(start, closes) * 1.001, np.minimum(start, closes) * 0.999
    return Bars.checked("X", H1, time, open=start, high=top, low=bottom, close=closes, volume=np.ones(count))


def resampled(base: Bars, timeframe: Timeframe) -> Bars:
    """Longer bars from hourly ones; the last may still be growing."""
    step = np.timedelta64(timeframe.seconds, "s").astype("timedelta64[us]")
    slot = base.time.astype(np.int64) // step.astype(np.int64)
    first = np.flatnonzero(np.diff(slot, prepend=slot[0] - 1))
    last = np.append(first[1:], len(base)) - 1
    return Bars.checked(
        "X",
        timeframe,
        (slot[first] * step.astype(np.int64)).astype("datetime64[us]"),
        open=base.open[first],
        high=np.maximum.reduceat(base.high, first),
        low=np.minimum.reduceat(base.low, first),
        close=base.close[last],
        volume=np.add.reduceat(base.volume, first),
    )


def all_timeframes(base: Bars) -> dict[Timeframe, Bars]:
    return {H1: base, H4: resampled(base, H4), D1: resampled(base, D1)}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 399), skipped=st.integers(-1, 22))
def test_cutting_the_future_changes_no_earlier_feature(seed: int, cut: int, skipped: int) -> None:
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, 400)))
    base = hourly(closes, skipped)
    whole = compute_features(STRATEGY, all_timeframes(base))
    assert whole.known.any()
    early = base.rows(slice(0, cut))
    np.testing.assert_array_equal(compute_features(STRATEGY, all_timeframes(early)).values, whole.values[:cut])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), at=st.integers(200, 398))
def test_another_future_changes_no_earlier_feature(seed: int, at: int) -> None:
    random = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 400)))
    other = closes.copy()
    other[at:] *= np.exp(np.cumsum(random.normal(0, 0.05, 400 - at)))
    one, two = (compute_features(STRATEGY, all_timeframes(hourly(c, -1))).values for c in (closes, other))
    np.testing.assert_array_equal(one[:at], two[:at])
    assert not np.array_equal(one[at:], two[at:], equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), skipped=st.integers(-1, 22))
def test_once_everything_is_known_it_stays_known(seed: int, skipped: int) -> None:
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, 400)))
    known = compute_features(STRATEGY, all_timeframes(hourly(closes, skipped))).known
    assert known[int(np.argmax(known)) :].all()
