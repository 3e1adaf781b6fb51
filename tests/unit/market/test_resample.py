from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.resample import divides, resample
from ktrdr.market.timeframe import Timeframe

HOUR, FOUR, DAY = Timeframe("1h"), Timeframe("4h"), Timeframe("1d")


def hourly(symbol: str, first: str, count: int, *, without: tuple[int, ...] = ()) -> Bars:
    """Hourly bars that rise by one; some may be left out."""
    kept = np.setdiff1d(np.arange(count), without)
    close = 100.0 + kept
    time = np.datetime64(first, "us") + kept * np.timedelta64(1, "h")
    return Bars.checked(
        symbol, HOUR, time, open=close - 1, high=close + 2, low=close - 3, close=close, volume=np.ones(len(kept)), provider="x"
    )


def test_a_larger_bar_opens_with_the_first_and_closes_with_the_last_and_spans_them_all() -> None:
    four = resample(hourly("BTCUSDT", "2020-01-01T00", 8), FOUR)
    assert four.timeframe == FOUR
    assert four.provider == "x"
    np.testing.assert_array_equal(four.time, np.array(["2020-01-01T00", "2020-01-01T04"], "datetime64[us]"))
    assert [float(getattr(four, name)[0]) for name in COLUMNS] == [99.0, 105.0, 97.0, 103.0, 4.0]
    assert [float(getattr(four, name)[1]) for name in COLUMNS] == [103.0, 109.0, 101.0, 107.0, 4.0]


def test_bars_at_the_edges_that_are_not_whole_are_left_out() -> None:
    four = resample(hourly("BTCUSDT", "2020-01-01T01", 10), FOUR)
    np.testing.assert_array_equal(four.time, np.array(["2020-01-01T04"], "datetime64[us]"))


def test_a_bar_is_whole_when_only_hours_at_which_the_market_is_closed_are_missing() -> None:
    friday = hourly("EURUSD", "2018-01-05T16", 6)
    np.testing.assert_array_equal(resample(friday, FOUR).time, np.array(["2018-01-05T16", "2018-01-05T20"], "datetime64[us]"))


def test_a_hole_inside_leaves_a_bar_of_what_is_there_and_none_where_nothing_is() -> None:
    four = resample(hourly("BTCUSDT", "2020-01-01T00", 16, without=(1, 4, 5, 6, 7)), FOUR)
    np.testing.assert_array_equal(four.time.astype("datetime64[h]").astype(int) % 24, [0, 8, 12])
    assert four.volume[0] == 3


def test_too_few_bars_make_no_larger_bar() -> None:
    assert len(resample(hourly("BTCUSDT", "2020-01-01T01", 2), FOUR)) == 0
    nothing = resample(hourly("BTCUSDT", "2020-01-01T00", 0), FOUR)
    assert len(nothing) == 0
    assert nothing.timeframe == FOUR


@pytest.mark.parametrize(("small", "large"), [("1h", "1h"), ("4h", "1h"), ("1d", "4h")])
def test_smaller_or_equal_bars_cannot_be_made(small: str, large: str) -> None:
    assert not divides(Timeframe(small), Timeframe(large))
    with pytest.raises(Invalid, match=f"bars of {large} cannot be made from bars of"):
        resample(Bars.checked("X", Timeframe(small), ["2020-01-01"], open=[1], high=[1], low=[1], close=[1], volume=[0]), Timeframe(large))


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 200), min_size=1), st.integers(0, 200))
def test_a_larger_bar_does_not_change_when_later_bars_arrive(present: set[int], cut: int) -> None:
    missing = tuple(set(range(201)) - present)
    bars = hourly("EURUSD", "2018-01-03T00", 201, without=missing)
    whole, early = resample(bars, FOUR), resample(bars.rows(slice(0, cut)), FOUR)
    known = np.isin(whole.time, early.time[:-1])
    for name in ("time", *COLUMNS):
        np.testing.assert_array_equal(getattr(whole, name)[known], getattr(early, name)[:-1])


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 300), min_size=1))
def test_by_way_of_four_hours_a_day_comes_out_the_same(present: set[int]) -> None:
    bars = hourly("BTCUSDT", "2018-01-03T00", 312, without=tuple(set(range(301)) - present))
    straight, stepped = resample(bars, DAY), resample(resample(bars, FOUR), DAY)
    common = np.isin(straight.time, stepped.time[1:])
    for name in ("time", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(straight, name)[common], getattr(stepped, name)[1:])


@pytest.mark.shared
def test_hourly_apple_bars_make_the_daily_ones_exactly(shared_data: Path) -> None:
    import polars as pl

    def read(name: str, timeframe: Timeframe) -> Bars:
        frame = pl.read_parquet(shared_data / f"{name}.parquet")
        return Bars.checked("AAPL", timeframe, frame["timestamp"].to_numpy(), **{c: frame[c].to_numpy() for c in COLUMNS})

    made, daily = resample(read("AAPL_1h", HOUR), DAY), read("AAPL_1d", DAY)
    for name in ("time", *COLUMNS):
        np.testing.assert_array_equal(getattr(made, name), getattr(daily, name))
