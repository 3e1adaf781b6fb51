from __future__ import annotations

import numpy as np
import pytest

from ktrdr.market.calendars import called_for, market_of, open_spans
from ktrdr.market.timeframe import Timeframe

HOUR, DAY = Timeframe("1h"), Timeframe("1d")


def at(*moments: str) -> np.ndarray:
    return np.array(moments, "datetime64[us]")


def called(symbol: str, size: Timeframe, start: str, end: str, session: str = "regular") -> tuple[list[str], list[str]]:
    """The bars that are called for, and those of special days, to the minute."""
    both = called_for(symbol, size, *at(start, end), session)
    first, second = ([str(time)[:16] for time in times.astype("datetime64[m]")] for times in both)
    return first, second


@pytest.mark.parametrize(
    ("start", "end", "holidays"),
    [
        ("2001-09-10", "2001-09-18", ["2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14"]),
        ("2012-10-26", "2012-11-01", ["2012-10-29", "2012-10-30"]),
        ("2018-12-04", "2018-12-07", ["2018-12-05"]),
        ("2025-01-08", "2025-01-11", ["2025-01-09"]),
        ("1986-12-24", "1986-12-27", ["1986-12-25"]),
        ("2024-03-28", "2024-04-02", ["2024-03-29"]),
    ],
)
def test_days_on_which_new_york_was_closed_call_for_no_bars(start: str, end: str, holidays: list[str]) -> None:
    there, away = called("AAPL", DAY, start, end)
    assert [day[:10] for day in away] == holidays
    assert not {day[:10] for day in there} & set(holidays)


def test_an_early_close_and_a_late_opening_take_out_their_hours_only() -> None:
    assert called("SPY", HOUR, "2018-11-23", "2018-11-24") == (
        ["2018-11-23T14:00", "2018-11-23T15:00", "2018-11-23T16:00", "2018-11-23T17:00"],
        ["2018-11-23T18:00", "2018-11-23T19:00", "2018-11-23T20:00"],
    )
    assert called("SPY", HOUR, "2002-09-11", "2002-09-12")[1] == ["2002-09-11T13:00", "2002-09-11T14:00"]


def test_after_an_early_close_trading_goes_on_for_four_hours() -> None:
    there, away = called("SPY", HOUR, "2018-11-23T02", "2018-11-24", "extended")
    assert (there[0], there[-1]) == ("2018-11-23T09:00", "2018-11-23T21:00")
    assert away == ["2018-11-23T22:00", "2018-11-23T23:00"]


def test_nobody_quotes_currencies_on_christmas_and_new_year() -> None:
    there, away = called("EURUSD", HOUR, "2018-12-24T20", "2018-12-26")
    assert (there, away[0], away[-1]) == (
        ["2018-12-24T20:00", "2018-12-24T21:00", "2018-12-25T22:00", "2018-12-25T23:00"], "2018-12-24T22:00", "2018-12-25T21:00",
    )  # fmt: skip
    assert called("COPPER", DAY, "2018-12-31", "2019-01-03") == (["2018-12-31T00:00", "2019-01-02T00:00"], ["2019-01-01T00:00"])
    assert len(called("BTCUSDT", HOUR, "2018-12-24", "2018-12-26")[0]) == 48


def test_metals_rest_for_an_hour_a_day_and_that_is_no_holiday() -> None:
    there, away = called("XAUUSD", HOUR, "2018-07-03T20", "2018-07-04")
    assert (there, away) == (["2018-07-03T20:00", "2018-07-03T22:00", "2018-07-03T23:00"], [])


def test_an_empty_range_calls_for_nothing() -> None:
    assert called("AAPL", HOUR, "2018-07-03", "2018-07-03") == ([], [])
    assert called("AAPL", HOUR, "2018-07-07", "2018-07-08") == ([], [])


def test_hours_are_kept_across_decades_in_order() -> None:
    opens, closes = open_spans("new_york", "regular", *at("1999-12-20", "2000-01-10"))
    assert np.all(opens < closes)
    assert np.all(opens[1:] > closes[:-1])
    assert market_of("XAU/USD") == "metal"
