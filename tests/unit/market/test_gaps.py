"""Why bars are missing; the real holes of real files come out with the right reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ktrdr.market.bars import COLUMNS, Bars, as_datetime
from ktrdr.market.calendars import called_for
from ktrdr.market.gaps import Asked, Evidence, Gap, find_gaps, totals
from ktrdr.market.timeframe import Timeframe

HOUR, MINUTE, DAY = Timeframe("1h"), Timeframe("1m"), Timeframe("1d")


def flat(symbol: str, time: np.ndarray, timeframe: Timeframe = HOUR, spread: float = 0.1) -> Bars:
    one = np.ones(len(time))
    return Bars.checked(symbol, timeframe, time, open=one, high=one + spread, low=one - spread, close=one, volume=one)


def hours(first: str, last: str, step: str = "h") -> np.ndarray:
    return np.arange(np.datetime64(first, "us"), np.datetime64(last, "us"), np.timedelta64(1, step))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def asked(start: str, end: str, state: str = "answered", times: int = 1) -> tuple[Asked, ...]:
    return (Asked(moment(start), moment(end), state),) * times


def reasons(gaps: tuple[Gap, ...]) -> list[tuple[str, int]]:
    return [(gap.reason, gap.missing) for gap in gaps]


def real(folder: Path, file: str) -> Bars:
    import polars as pl

    frame = pl.read_parquet(folder / f"{file}.parquet")
    symbol, _, name = file.partition("_")
    return Bars.checked(symbol, Timeframe(name), frame["timestamp"].to_numpy(), **{c: frame[c].to_numpy() for c in COLUMNS})


def answered(bars: Bars, times: int = 1) -> tuple[Asked, ...]:
    """A provider was asked for all of a series."""
    return (Asked(as_datetime(bars.time[0]), as_datetime(bars.known_at[-1]), "answered"),) * times


def test_unbroken_bars_have_no_gap() -> None:
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-05"))) == ()
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-01"))) == ()


def test_a_hole_in_a_market_that_never_closes_is_suspicious_until_the_provider_was_asked_twice() -> None:
    bars = flat("BTCUSDT", np.delete(hours("2020-01-01", "2020-01-03"), [5, 6, 7]))
    hole = Gap(moment("2020-01-01T05:00"), moment("2020-01-01T08:00"), 3, "suspicious")
    assert find_gaps(bars) == (hole,)
    assert hole.fill
    for times, enough, reason in ((1, 2, "suspicious"), (2, 2, "provider-hole"), (1, 1, "provider-hole")):
        (gap,) = find_gaps(bars, Evidence(asked("2020-01-01", "2020-01-03", times=times), enough=enough))
        assert (gap.reason, gap.fill) == (reason, reason == "suspicious")


def test_a_hole_is_told_apart_by_what_was_asked() -> None:
    bars = flat("BTCUSDT", np.delete(hours("2020-01-01", "2020-01-03"), range(5, 20)))
    known = (*asked("2020-01-01", "2020-01-01T08:00", times=2), *asked("2020-01-01T12:00", "2020-01-03", "failed"),
             *asked("2020-01-01T16:00", "2020-01-03", "empty"))  # fmt: skip
    assert reasons(find_gaps(bars, Evidence(known))) == [("provider-hole", 3), ("not-requested", 4), ("failed", 4), ("suspicious", 4)]


def test_outside_of_what_is_stored_the_requests_and_the_clock_tell() -> None:
    bars = flat("BTCUSDT", hours("2020-01-02", "2020-01-03"))
    known = Evidence(
        asked("2020-01-01T12:00", "2020-01-03T06:00"), start=moment("2020-01-01"), end=moment("2020-01-03T12:00"),
        now=moment("2020-01-03T10:01"),
    )  # fmt: skip
    assert reasons(find_gaps(bars, known)) == [
        ("not-requested", 12), ("before-first", 12), ("after-last", 6), ("not-requested", 3), ("not-yet", 3),
    ]  # fmt: skip
    assert reasons(find_gaps(bars.rows(slice(0, 0)), known)) == [
        ("not-requested", 12), ("suspicious", 42), ("not-requested", 3), ("not-yet", 3),
    ]  # fmt: skip


def test_a_weekend_is_closed_and_a_hole_beside_it_is_not() -> None:
    week = hours("2018-02-01", "2018-02-02T22"), hours("2018-02-04T22", "2018-02-06")
    assert reasons(find_gaps(flat("EURUSD", np.concatenate(week)))) == [("closed", 0)]
    late = hours("2018-02-01", "2018-02-02T22"), hours("2018-02-05T10", "2018-02-06")
    assert reasons(find_gaps(flat("EURUSD", np.concatenate(late)))) == [("suspicious", 12)]


def test_around_christmas_quotes_begin_late_but_not_by_days() -> None:
    def until(end: str) -> tuple[Gap, ...]:
        return find_gaps(flat("EURUSD", np.concatenate([hours("2018-12-23T23", "2018-12-24T22"), hours(end, "2018-12-28T20")])))

    assert reasons(until("2018-12-25T22")) == [("holiday", 0)]
    assert reasons(until("2018-12-27T00")) == [("holiday", 26)]
    assert reasons(until("2018-12-28T00")) == [("suspicious", 50)]


def test_nights_and_weekends_of_a_stock_are_closed_and_so_are_its_holidays() -> None:
    days = np.array(["2018-07-05", "2018-07-06", "2018-07-09"], "datetime64[us]")
    time = np.concatenate([day + np.arange(13, 20) * np.timedelta64(1, "h") for day in days])
    assert [g.reason for g in find_gaps(flat("AAPL", time))] == ["closed", "closed"]
    assert reasons(find_gaps(flat("AAPL", days, DAY))) == [("closed", 0)]
    attack = np.array(["2001-09-10", "2001-09-17"], "datetime64[us]")
    assert reasons(find_gaps(flat("AAPL", attack, DAY))) == [("holiday", 0)]


def test_bars_stamped_off_the_grid_count_for_the_hour_that_they_lie_in() -> None:
    assert find_gaps(flat("BTCUSDT", hours("2020-01-01", "2020-01-03") + np.timedelta64(30, "m"))) == ()


def test_an_hour_that_a_feed_leaves_out_every_week_is_a_property_of_the_feed() -> None:
    whole = called_for("EURUSD", HOUR, np.datetime64("2018-01-08", "us"), np.datetime64("2018-06-02", "us"), "regular")[0]
    first_of_the_week = np.concatenate(([False], np.diff(whole) > np.timedelta64(1, "D")))
    bars = flat("EURUSD", whole[~first_of_the_week & (whole != np.datetime64("2018-03-14T10"))])
    found = find_gaps(bars, Evidence(answered(bars), enough=1))
    assert totals(found) == {"systematic": (20, 20), "provider-hole": (1, 1)}


def test_minutes_without_a_quote_in_a_quiet_market_are_no_holes() -> None:
    time = hours("2018-02-05", "2018-02-06", "m")
    bars = flat("EURUSD", np.delete(time, [100, 101, 700]))
    busy = np.where(np.abs(np.arange(len(bars)) - 100) < 20, 0.01, 0.1)
    quiet = Bars.checked("EURUSD", MINUTE, bars.time, open=bars.open, high=1 + busy, low=1 - busy, close=bars.close, volume=bars.volume)
    quiet = Bars.checked("EURUSD", MINUTE, quiet.time, open=quiet.open, close=quiet.close, volume=quiet.volume, low=quiet.low,
                         high=quiet.high + (np.abs(np.arange(len(bars)) - 697) < 5))  # fmt: skip
    assert reasons(find_gaps(quiet)) == [("no-trade", 2), ("suspicious", 1)]


def test_a_short_halt_of_a_stock_is_no_hole_and_a_longer_one_is() -> None:
    time = hours("2020-03-09T13:30", "2020-03-09T20:00", "m")
    halted = flat("SPY", np.delete(time, range(5, 20)), MINUTE)
    assert reasons(find_gaps(halted)) == [("halt", 15)]
    assert reasons(find_gaps(flat("SPY", np.delete(time, range(5, 28)), MINUTE))) == [("suspicious", 23)]
    assert reasons(find_gaps(flat("SPY", np.delete(time, range(5, 95)), MINUTE))) == [("suspicious", 90)]


def test_hours_outside_the_session_need_no_trade() -> None:
    whole = called_for("COST", HOUR, np.datetime64("2018-07-02", "us"), np.datetime64("2018-07-04", "us"), "extended")[0]
    bars = flat("COST", np.delete(whole, [1, 2, 8]))
    known = Evidence(answered(bars), enough=1, session="extended")
    assert reasons([gap for gap in find_gaps(bars, known) if gap.missing]) == [("no-trade", 2), ("provider-hole", 1)]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("EURUSD_1h", {"holiday": (21, 129), "provider-hole": (7, 188)}),
        ("BTCUSDT_1h", {"provider-hole": (28, 128)}),
        ("BTCPERP_1m", {}),
        ("MSFT_1d", {"provider-hole": (2, 2)}),
        ("AAPL_1d", {}),
        ("SPY_1h", {}),
        ("AAPL_1h", {"provider-hole": (1, 2)}),
    ],
)
def test_the_known_holes_of_real_files_have_the_right_reason(shared_data: Path, file: str, wanted: dict[str, tuple[int, int]]) -> None:
    bars = real(shared_data, file)
    assert totals(find_gaps(bars, Evidence(answered(bars), enough=1))) == wanted


@pytest.mark.shared
def test_the_longest_hole_of_the_euro_is_named_to_the_hour(shared_data: Path) -> None:
    bars = real(shared_data, "EURUSD_1h")
    longest = max(find_gaps(bars, Evidence(answered(bars, 2))), key=lambda gap: gap.missing)
    assert longest == Gap(moment("2016-12-11T22:00"), moment("2016-12-16T05:00"), 103, "provider-hole")
    assert max(find_gaps(bars, Evidence(answered(bars))), key=lambda gap: gap.missing).reason == "suspicious"


@pytest.mark.shared
def test_the_longest_outage_of_an_exchange_is_named_to_the_hour(shared_data: Path) -> None:
    longest = max(find_gaps(real(shared_data, "BTCUSDT_1h")), key=lambda gap: gap.missing)
    assert (longest.start, longest.end, longest.missing) == (moment("2018-02-08T01:00"), moment("2018-02-09T10:00"), 33)


@pytest.mark.shared
def test_days_on_which_new_york_was_closed_are_not_gaps(shared_data: Path) -> None:
    for file in ("AAPL_1d", "AAPL_1h"):
        found = find_gaps(real(shared_data, file))
        for start, end in (("2001-09-11", "2001-09-14"), ("2012-10-29", "2012-10-30"), ("2018-12-05", "2018-12-05")):
            (gap,) = [gap for gap in found if gap.start < moment(end) + timedelta(days=1) and gap.end > moment(start) + timedelta(hours=16)]
            assert (gap.reason, gap.missing) == ("holiday", 0)


@pytest.mark.shared
def test_a_stock_that_trades_rarely_out_of_hours_has_no_hole(shared_data: Path) -> None:
    bars = real(shared_data, "COST_5m")
    assert set(totals(find_gaps(bars, Evidence(answered(bars), session="extended")))) == {"no-trade"}
    found = find_gaps(bars, Evidence(answered(bars), enough=1))
    assert sum(gap.missing for gap in found) <= 2
