"""Bars are checked once and never changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe


def bars(count: int = 4, **columns: Any) -> Bars:
    given: dict[str, Any] = {
        "time": np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "h"),
        "open": np.full(count, 10.0), "high": np.full(count, 12.0), "low": np.full(count, 9.0), "close": np.full(count, 11.0),
        "volume": np.zeros(count),
    }  # fmt: skip
    return Bars.checked("X", Timeframe("1h"), **(given | columns))


WRONG = {
    "repeated time": (
        {"time": ["2020-01-01T00", "2020-01-01T01", "2020-01-01T01", "2020-01-01T02"]},
        2,
        "does not come after the bar before it",
    ),
    "no time": ({"time": ["2020-01-01T00", "NaT", "2020-01-01T01", "2020-01-01T02"]}, None, "bar 1 has no time"),
    "NaN price": ({"close": [11, np.nan, 11, 11]}, 1, "price that is not a positive number"),
    "infinite price": ({"high": [12, 12, np.inf, 12]}, 2, "price that is not a positive number"),
    "zero price": ({"low": [0, 9, 9, 9]}, 0, "price that is not a positive number"),
    "high below close": ({"high": [12, 12, 12, 10.5]}, 3, "high below its open or close"),
    "low above open": ({"low": [9, 10.5, 9, 9]}, 1, "low above its open or close"),
    "negative volume": ({"volume": [0, 0, -1, 0]}, 2, "volume that is negative"),
    "NaN volume": ({"volume": [0, 0, np.nan, 0]}, 2, "volume that is negative or not a number"),
    "short column": ({"close": [11, 11]}, None, r"close has shape \(2,\), time has \(4,\)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_bars_that_cannot_be_are_refused_with_the_first_that_is_wrong(kind: str) -> None:
    columns, row, said = WRONG[kind]
    with pytest.raises(Invalid, match=said) as caught:
        bars(**columns)
    assert caught.value.details.get("row") == row


def test_bars_may_be_empty() -> None:
    assert len(bars(0)) == 0
    assert not bars(0).has_volume


def test_bars_cannot_be_changed_and_do_not_follow_the_arrays_given() -> None:
    close = np.full(4, 11.0)
    made = bars(close=close)
    close[0] = 10
    assert made.close[0] == 11
    with pytest.raises(ValueError, match="read-only"):
        made.close[0] = 1
    with pytest.raises(AttributeError):
        made.symbol = "Y"


def test_a_bar_is_known_when_it_ends() -> None:
    assert bars().known_at[0] == np.datetime64("2020-01-01T01:00")


def test_a_range_holds_its_start_and_not_its_end() -> None:
    start, end = datetime(2020, 1, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 3, tzinfo=UTC)
    assert bars().between(start, end).time.tolist() == bars().time[1:3].tolist()
    assert len(bars().between(None, None)) == 4
    assert len(bars().between(end, start)) == 0


def test_rows_are_views() -> None:
    made = bars()
    assert np.shares_memory(made.rows(slice(1, 3)).close, made.close)


def test_times_have_a_zone_and_come_back_as_they_went() -> None:
    moment = datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert as_datetime(as_time(moment)) == moment
    assert as_datetime(as_time(moment)).tzinfo is UTC
    with pytest.raises(Invalid, match="has no time zone"):
        as_time(datetime(2020, 1, 1))


def test_the_digest_is_that_of_the_content() -> None:
    assert bars().digest() == bars().digest()
    assert len({bars().digest(), bars(volume=np.ones(4)).digest(), bars(3).digest(), bars(open=np.full(4, 9.5)).digest()}) == 4
    assert bars(volume=np.ones(4)).has_volume


def test_an_array_that_may_still_change_is_copied_and_one_that_cannot_is_not() -> None:
    time, price = np.array(["2020-01-01"], "datetime64[us]"), np.array([1.0])
    fixed = np.array([1.0])
    fixed.setflags(write=False)
    bars = Bars.checked("X", Timeframe("1d"), time, open=price, high=price, low=price, close=fixed, volume=price)
    price[0] = 2.0
    assert (bars.open[0], bars.close is fixed, bars.open.flags.writeable) == (1.0, True, False)
