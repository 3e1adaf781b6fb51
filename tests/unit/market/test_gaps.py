from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.gaps import Gap, find_gaps
from ktrdr.market.timeframe import Timeframe

HOUR = Timeframe("1h")


def flat(symbol: str, time: np.ndarray, timeframe: Timeframe = HOUR) -> Bars:
    one = np.ones(len(time))
    return Bars.checked(symbol, timeframe, time, open=one, high=one, low=one, close=one, volume=one)


def hours(first: str, last: str) -> np.ndarray:
    return np.arange(np.datetime64(first, "us"), np.datetime64(last, "us"), np.timedelta64(1, "h"))


def test_unbroken_bars_have_no_gap() -> None:
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-05"))) == ()
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-01"))) == ()


def test_a_hole_in_a_market_that_never_closes_is_unexplained() -> None:
    time = hours("2020-01-01", "2020-01-03")
    gaps = find_gaps(flat("BTCUSDT", np.delete(time, [5, 6, 7])))
    assert gaps == (Gap(datetime(2020, 1, 1, 5, tzinfo=UTC), datetime(2020, 1, 1, 8, tzinfo=UTC), 3, "unexplained"),)


def test_a_weekend_is_closed_and_a_holiday_beside_it_is_unexplained() -> None:
    week = hours("2018-01-04", "2018-01-05T22"), hours("2018-01-07T22", "2018-01-09")
    assert [(g.reason, g.missing) for g in find_gaps(flat("EURUSD", np.concatenate(week)))] == [("closed", 0)]
    late = hours("2018-01-04", "2018-01-05T22"), hours("2018-01-08T10", "2018-01-09")
    assert [(g.reason, g.missing) for g in find_gaps(flat("EURUSD", np.concatenate(late)))] == [("unexplained", 12)]


def test_nights_and_weekends_of_a_stock_are_closed() -> None:
    days = np.array(["2018-07-05", "2018-07-06", "2018-07-09"], "datetime64[us]")
    time = np.concatenate([day + np.arange(13, 20) * np.timedelta64(1, "h") for day in days])
    assert [g.reason for g in find_gaps(flat("AAPL", time))] == ["closed", "closed"]
    assert [(g.reason, g.missing) for g in find_gaps(flat("AAPL", days, Timeframe("1d")))] == [("closed", 0)]


def test_bars_stamped_off_the_grid_count_for_the_hour_that_they_lie_in() -> None:
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-03") + np.timedelta64(30, "m"))) == ()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "missing", "longest"),
    [
        ("EURUSD_1h", 682, 103), ("USDJPY_1h", 640, 37), ("BTCUSDT_1h", 128, 33), ("BTCPERP_1m", 0, 0), ("EURUSD_1m", 1793, 842),
    ],
)  # fmt: skip
def test_the_known_holes_of_real_files_are_found(shared_data: Path, file: str, missing: int, longest: int) -> None:
    import polars as pl

    frame = pl.read_parquet(shared_data / f"{file}.parquet")
    symbol, _, name = file.partition("_")
    bars = Bars.checked(symbol, Timeframe(name), frame["timestamp"].to_numpy(), **{c: frame[c].to_numpy() for c in COLUMNS})
    found = [gap.missing for gap in find_gaps(bars)]
    assert sum(found) == missing
    assert max(found, default=0) == longest
