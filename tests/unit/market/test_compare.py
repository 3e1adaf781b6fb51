from __future__ import annotations

import numpy as np

from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.compare import compare
from ktrdr.market.timeframe import Timeframe
from tests.unit.market.test_checks import walk


def bars(count: int = 1000, *, hours: int = 0, first: str = "2020-01-06", scale: float = 1.0, since: int = 0) -> Bars:
    columns = walk(count, first=first)
    time = columns.pop("time")
    time[since:] += np.timedelta64(hours, "h")
    for name in COLUMNS[:4]:
        columns[name] = columns[name] * scale
    return Bars.checked("BTCUSDT", Timeframe("1h"), time, **columns)


def test_a_source_that_agrees_or_is_of_another_time_has_nothing_to_say() -> None:
    assert compare(bars(), bars()) == ()
    assert compare(bars(), bars(first="2010-01-04")) == ()
    assert compare(bars(0), bars()) == compare(bars(), bars(0)) == ()
    assert compare(bars(), bars(scale=1.004)) == ()


def test_a_clock_that_is_off_is_told_in_hours_and_from_when_on() -> None:
    (zone,) = compare(bars(hours=7), bars())
    assert (zone.check, zone.examples[0]) == ("zone", "2020-01-06 07:00")
    assert "the clock is 7 h late" in zone.sentence
    (zone,) = compare(bars(hours=-2), bars())
    assert "2 h early" in zone.sentence
    week = 7 * 24
    (zone,) = compare(bars(hours=3, since=2 * week), bars())
    assert zone.first
    assert str(zone.first.date()) == "2020-01-20"


def test_closes_that_differ_are_counted_where_the_clocks_agree() -> None:
    (differs,) = compare(bars(scale=1.01), bars())
    assert (differs.check, differs.count) == ("differs", 1000)
    assert "up to 1.0% away" in differs.sentence


def test_sizes_may_differ_and_only_what_is_common_counts() -> None:
    minutes = np.datetime64("2020-01-06", "us") + np.arange(60 * 24 * 8) * np.timedelta64(1, "m")
    close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.001, len(minutes))))
    fine = Bars.checked("BTCUSDT", Timeframe("1m"), minutes, **dict.fromkeys(COLUMNS, close))
    coarse = Bars.checked("BTCUSDT", Timeframe("1h"), minutes[::60], **dict.fromkeys(COLUMNS, close[59::60]))
    assert compare(fine, coarse) == ()
    late = Bars.checked("BTCUSDT", Timeframe("1m"), minutes + np.timedelta64(30, "m"), **dict.fromkeys(COLUMNS, close))
    half = Bars.checked("BTCUSDT", Timeframe("30m"), minutes[::30], **dict.fromkeys(COLUMNS, close[29::30]))
    (zone,) = compare(late, half)
    assert "0.5 h late" in zone.sentence


def test_days_have_no_clock_to_compare() -> None:
    days = np.datetime64("2020-01-06", "us") + np.arange(50) * np.timedelta64(1, "D")
    price = np.linspace(100, 150, 50)
    one = Bars.checked("AAPL", Timeframe("1d"), days, **dict.fromkeys(COLUMNS, price))
    assert compare(one, one) == ()
    (differs,) = compare(one, Bars.checked("AAPL", Timeframe("1d"), days, **dict.fromkeys(COLUMNS, price * 2)))
    assert differs.count == 50
