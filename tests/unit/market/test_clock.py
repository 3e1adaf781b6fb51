from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.checks import check_bars
from ktrdr.market.clock import new_york_minutes, on_session_grid
from ktrdr.market.sessions import bar_starts
from ktrdr.market.timeframe import Timeframe

HOUR = Timeframe("1h")


def series(symbol: str, time: np.ndarray) -> Bars:
    random = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, len(time))))
    return Bars.checked(symbol, HOUR, time, open=close, high=close * 1.001, low=close * 0.999, close=close, volume=np.ones(len(time)))


def year(kind: str, timeframe: Timeframe = HOUR) -> np.ndarray:
    return bar_starts(kind, timeframe, np.datetime64("2019-01-07", "us"), np.datetime64("2019-12-30", "us"))


def shifts(symbol: str, time: np.ndarray) -> tuple[int, str] | None:
    found = {finding.check: finding for finding in check_bars(series(symbol, time))}
    return (found["clock_shift"].count, f"{found['clock_shift'].first:%Y-%m-%d}") if "clock_shift" in found else None


def test_minutes_are_those_of_a_clock_in_new_york() -> None:
    times = np.array(["1970-01-05T05:00", "2019-03-10T06:59", "2019-03-10T07:00", "2019-07-01T13:30"], "datetime64[us]")
    of_day = new_york_minutes(times) % 1440
    assert of_day.tolist() == [0, 119, 180, 570]


@pytest.mark.parametrize(("symbol", "kind"), [("EURUSD", "fx"), ("AAPL", "us_stock")])
def test_a_feed_that_follows_new_york_keeps_its_hours(symbol: str, kind: str) -> None:
    assert shifts(symbol, year(kind)) is None


def test_a_feed_that_changes_its_clock_with_europe_is_off_between_the_two_dates() -> None:
    time = year("fx")
    spring = (time >= np.datetime64("2019-03-10T12")) & (time < np.datetime64("2019-03-31T12"))
    autumn = (time >= np.datetime64("2019-10-27T12")) & (time < np.datetime64("2019-11-03T12"))
    moved = np.unique(np.where(spring | autumn, time + np.timedelta64(1, "h"), time))
    assert shifts("EURUSD", moved) == (4 * 120, "2019-03-10")


def test_a_feed_that_never_changes_its_clock_is_off_for_the_shorter_part_of_the_year() -> None:
    time = year("us_stock")
    summer = (time >= np.datetime64("2019-03-10T12")) & (time < np.datetime64("2019-11-03T12"))
    found = shifts("AAPL", np.where(summer, time + np.timedelta64(1, "h"), time))
    assert found
    assert found[0] == len(time) - int(summer.sum())


def test_a_late_opening_an_early_close_and_a_hole_are_no_clock() -> None:
    time = year("us_stock")
    day = time.astype("datetime64[D]")
    missing = ((day == np.datetime64("2019-05-07")) & (time == day + np.timedelta64(13, "h"))) | (
        (day == np.datetime64("2019-07-03")) & (time >= day + np.timedelta64(17, "h"))
    )
    assert shifts("AAPL", time[~missing]) is None


def test_stocks_may_stand_on_the_grid_of_their_session() -> None:
    first = datetime(2019, 7, 1, 13, 30, tzinfo=UTC)
    time = np.array([(first + timedelta(hours=n)).replace(tzinfo=None) for n in range(7)], "datetime64[us]")
    assert on_session_grid(time, HOUR).all()
    assert not on_session_grid(time + np.timedelta64(7, "m"), HOUR).any()
    assert {finding.check for finding in check_bars(series("AAPL", time))} == set()
    assert "off_grid" in {finding.check for finding in check_bars(series("EURUSD", time))}
