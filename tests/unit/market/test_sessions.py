from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.sessions import asset_class, bar_start, bar_starts, has_hours, is_open, within_hours
from ktrdr.market.timeframe import SECONDS, Timeframe

HOUR, DAY = Timeframe("1h"), Timeframe("1d")


def at(*moments: str) -> np.ndarray:
    return np.array(moments, dtype="datetime64[us]")


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("EURUSD", "fx"), ("usd/jpy", "fx"), ("EUR.USD", "fx"), ("GBP-CHF", "fx"), (" audnzd ", "fx"),
        ("AAPL", "us_stock"), ("F", "us_stock"), ("BRK.B", "us_stock"), ("BRK-A", "us_stock"), ("GOOGL", "us_stock"),
        ("BTCUSDT", "crypto"), ("ETH/USDC", "crypto"), ("BTCPERP", "crypto"), ("BTCUSD", "crypto"), ("ETH-USD", "crypto"),
        ("1INCHUSDT", "crypto"),
        ("SP500", "other"), ("XAUUSD", "other"), ("EURUSDOANDA", "other"), ("USDUSD", "other"), ("ABCDEF", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_a_symbol_tells_its_market_by_its_spelling(symbol: str, expected: str) -> None:
    assert asset_class(symbol) == expected


def test_the_fx_week_runs_from_sunday_to_friday_five_in_new_york_in_winter_and_in_summer() -> None:
    winter = bar_starts("fx", HOUR, np.datetime64("2018-01-05T00", "us"), np.datetime64("2018-01-08T00", "us"))
    assert winter[winter < np.datetime64("2018-01-06")][-1] == np.datetime64("2018-01-05T21:00")
    assert winter[winter > np.datetime64("2018-01-06")][0] == np.datetime64("2018-01-07T22:00")
    summer = bar_starts("fx", HOUR, np.datetime64("2018-07-06T00", "us"), np.datetime64("2018-07-09T00", "us"))
    assert summer[summer < np.datetime64("2018-07-07")][-1] == np.datetime64("2018-07-06T20:00")
    assert summer[summer > np.datetime64("2018-07-07")][0] == np.datetime64("2018-07-08T21:00")


def test_a_stock_session_has_seven_hours_on_each_weekday_and_sixteen_with_extended_hours() -> None:
    week = np.arange(np.datetime64("2018-07-02", "us"), np.datetime64("2018-07-09", "us"), np.timedelta64(1, "h"))
    regular, extended = is_open("us_stock", week, HOUR), is_open("us_stock", week, HOUR, "extended")
    assert regular.sum() == 5 * 7
    assert extended.sum() == 5 * 16
    assert week[regular][0] == np.datetime64("2018-07-02T13:00")
    assert np.all(extended[regular])


def test_a_stock_has_one_daily_bar_for_each_weekday() -> None:
    days = bar_starts("us_stock", DAY, np.datetime64("2018-07-02", "us"), np.datetime64("2018-07-16", "us"))
    assert len(days) == 10
    assert np.all(days.astype("datetime64[D]") == days)


def test_crypto_never_closes_and_other_markets_rest_on_the_weekend() -> None:
    start, end = np.datetime64("2018-07-02", "us"), np.datetime64("2018-07-09", "us")
    assert len(bar_starts("crypto", HOUR, start, end)) == 7 * 24
    assert len(bar_starts("other", HOUR, start, end)) == 5 * 24


def test_bars_are_chosen_by_trading_hours_where_there_are_any() -> None:
    time = np.arange(np.datetime64("2018-07-02", "us"), np.datetime64("2018-07-04", "us"), np.timedelta64(1, "h"))
    one = np.ones(len(time))
    columns = {"open": one, "high": one, "low": one, "close": one, "volume": one}
    regular = within_hours(Bars.checked("AAPL", HOUR, time, **columns, provider="files"), "regular")
    assert (len(regular), regular.provider) == (14, "files")
    for symbol, timeframe in (("EURUSD", HOUR), ("AAPL", DAY)):
        assert not has_hours(symbol, timeframe)
        with pytest.raises(Invalid, match=f"{symbol} {timeframe} has no trading hours to keep to"):
            within_hours(Bars.checked(symbol, timeframe, time, **columns), "regular")


def test_an_empty_range_calls_for_no_bars() -> None:
    now = np.datetime64("2018-07-02", "us")
    assert len(bar_starts("fx", HOUR, now, now)) == 0
    assert len(is_open("fx", at(), HOUR)) == 0


def test_weeks_begin_on_monday_and_moments_before_1970_have_a_bar_too() -> None:
    assert bar_start(at("2018-07-04T13:37"), Timeframe("1w"))[0] == np.datetime64("2018-07-02")
    assert bar_start(at("1969-12-31T23:59"), Timeframe("4h"))[0] == np.datetime64("1969-12-31T20:00")


@given(st.integers(-(10**15), 10**16), st.sampled_from(sorted(SECONDS)))
def test_every_moment_lies_in_the_bar_that_it_falls_into(microsecond: int, name: str) -> None:
    moment, timeframe = np.array([microsecond]).astype("datetime64[us]"), Timeframe(name)
    start = bar_start(moment, timeframe)
    assert start <= moment < start + np.timedelta64(timeframe.seconds, "s")
    assert bar_start(start, timeframe) == start


@given(st.sampled_from(["fx", "us_stock", "crypto", "other"]), st.integers(0, 20_000), st.integers(0, 400))
def test_the_bars_of_two_ranges_are_those_of_the_whole(kind: str, hour: int, length: int) -> None:
    first = np.datetime64("2017-01-01", "us") + np.timedelta64(hour, "h")
    middle, last = first + np.timedelta64(length, "h"), first + np.timedelta64(2 * length, "h")
    parts = np.concatenate([bar_starts(kind, HOUR, first, middle), bar_starts(kind, HOUR, middle, last)])
    np.testing.assert_array_equal(parts, bar_starts(kind, HOUR, first, last))
