"""Real files as they were found: each is imported right with a mapping, or refused with the reason; the checks name its faults."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ktrdr.errors import Invalid
from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.checks import Finding, check_bars
from ktrdr.market.compare import compare
from ktrdr.market.rows import check_rows
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.files import Files
from ktrdr.stores.bars import BarStore

pytestmark = pytest.mark.shared
HOUR, DAY, MINUTE = Timeframe("1h"), Timeframe("1d"), Timeframe("1m")
PLACES = {name: f"column_{place}" for place, name in enumerate(COLUMNS, 3)}


def load(folder: Path, name: str, symbol: str, timeframe: Timeframe, **options: Any) -> tuple[Bars, Files]:
    provider = Files(file=str(folder / "raw" / name), **options)
    reach = provider.reach(symbol, timeframe, lambda _: None)
    return provider.fetch(symbol, timeframe, start=reach.start, end=reach.end, on_progress=lambda _: None), provider


def clean(folder: Path, name: str) -> Bars:
    symbol, timeframe = name.split("_")
    frame = pl.read_parquet(folder / f"{name}.parquet")
    return Bars.checked(symbol, Timeframe(timeframe), frame["timestamp"].to_numpy(), **{c: frame[c].to_numpy() for c in COLUMNS})


def found(bars: Bars, **known: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_bars(bars, **known)}


def same_as(bars: Bars, right: Bars, share: float) -> None:
    """At least this share of the bars of both is the same bar."""
    times, one, other = np.intersect1d(bars.time, right.time, return_indices=True)
    equal = np.all([np.isclose(getattr(bars, c)[one], getattr(right, c)[other], rtol=1e-9) for c in COLUMNS], axis=0)
    assert equal.sum() >= share * max(len(bars), len(right)), (int(equal.sum()), len(times), len(bars), len(right))


def test_a_broker_whose_server_moved_is_read_by_both_its_zones(shared_data: Path) -> None:
    options = {"columns": {"volume": "tick_volume"}, "zone": "Europe/Berlin", "price_factor": 0.001}
    name, right = "mt5_USDJPY_1h_points_servertime.csv", clean(shared_data, "USDJPY_1h")
    bars, _ = load(shared_data, name, "USDJPY", HOUR, **options, zone_from={"2014-11-22": "Europe/Athens"})
    same_as(bars, right, 0.999)
    one_zone, _ = load(shared_data, name, "USDJPY", HOUR, **options)
    wrong = {finding.check: finding for finding in compare(one_zone, right)}
    assert wrong["zone"].first
    assert date(2014, 11, 21) <= wrong["zone"].first.date() <= date(2014, 11, 24)
    assert "1 h late" in wrong["zone"].sentence
    assert "zone" not in {finding.check for finding in compare(bars, right)}


def test_a_zip_whose_clock_keeps_to_no_zone_is_read_by_three_offsets(shared_data: Path) -> None:
    places = {"time": "column_1", **{name: f"column_{place}" for place, name in enumerate(COLUMNS, 2)}}
    bars, provider = load(
        shared_data, "histdata_USDJPY_1m_2019_repeated_hour.zip", "USDJPY", MINUTE, header=False, separator=";", columns=places,
        time_format="%Y%m%d %H%M%S", zone="Etc/GMT+5", zone_from={"2019-03-31": "Etc/GMT+4", "2019-10-27": "Etc/GMT+5"},
    )  # fmt: skip
    assert bars.digest() == clean(shared_data, "USDJPY_1m").digest()
    assert provider.remarks() == ["histdata_USDJPY_1m_2019_repeated_hour.zip: 60 rows are repeated as they are, and count once"]


def test_a_file_without_header_and_with_time_in_two_columns_is_read_by_place(shared_data: Path) -> None:
    bars, _ = load(
        shared_data, "histdata_GBPUSD_1m_202601_mt.csv", "GBPUSD", MINUTE, header=False, columns={"time": "column_1+column_2", **PLACES},
        time_format="%Y.%m.%d %H:%M", zone="Etc/GMT+5",
    )  # fmt: skip
    assert len(bars) == 8600
    assert bars.time[0] == np.datetime64("2026-01-01T22:00")
    assert not {"closed_hours", "clock_shift"} & set(found(bars))


def test_a_header_that_misses_a_name_is_refused_and_read_by_place(shared_data: Path) -> None:
    name = "eurostoxx_1min_2006_bad_header.txt"
    with pytest.raises(Invalid, match="names 7 columns, its rows have 8 values") as failure:
        load(shared_data, name, "STOXX50", MINUTE)
    assert "--option header=false --option skip_rows=1" in (failure.value.hint or "")
    bars, _ = load(
        shared_data, name, "STOXX50", MINUTE, header=False, skip_rows=1, columns={"time": "column_1+column_2", **PLACES},
        zone="Europe/Berlin", stamp="end",
    )  # fmt: skip
    assert (len(bars), str(bars.time[0])[:16]) == (30_889, "2006-01-02T08:00")


def test_minutes_stamped_at_their_end_newest_first_begin_with_the_session(shared_data: Path) -> None:
    bars, _ = load(shared_data, "us_SPY_1min_201902_descending.csv", "SPY", MINUTE, zone="America/New_York", stamp="end")
    first_of_day = np.concatenate(([True], np.diff(bars.time.astype("datetime64[D]")) > np.timedelta64(0, "D")))
    assert set(bars.time[first_of_day].astype("datetime64[m]").astype(int) % 1440) == {14 * 60 + 30}
    wrong, _ = load(shared_data, "us_SPY_1min_201902_descending.csv", "SPY", MINUTE, zone="America/New_York")
    assert found(wrong)["closed_hours"].count == 5  # the minutes of 16:00
    assert "closed_hours" not in found(bars)


def test_columns_in_another_order_are_read_by_name(shared_data: Path) -> None:
    bars, _ = load(
        shared_data, "sp500_idx_1min_201911.csv", "SPX", MINUTE, zone="America/New_York", time_format="%m/%d/%Y %H:%M"
    )  # fmt: skip
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (3080.8, 3081.47, 3080.3, 3080.49)


def test_offsets_that_change_within_a_file_are_each_taken_as_written(shared_data: Path) -> None:
    bars, _ = load(shared_data, "binance_ADAUSDT_1h_mixed_offsets.csv", "ADAUSDT", HOUR, columns={"time": "open_time"})
    assert (len(bars), str(bars.time[0])[:16]) == (31_973, "2020-10-23T08:00")
    assert not {"off_grid", "fraction"} & set(found(bars))
    ends, _ = load(shared_data, "binance_ADAUSDT_1h_mixed_offsets.csv", "ADAUSDT", HOUR, columns={"time": "close_time"})
    assert found(ends)["fraction"].count == 31_973


def test_outages_that_were_filled_in_are_imported_and_named(shared_data: Path) -> None:
    bars, _ = load(shared_data, "binance_BTCUSDT_1h_interpolated.csv", "BTCUSDT", HOUR, zone="UTC")
    right = clean(shared_data, "BTCUSDT_1h")
    same_as(bars, right, 0.99)
    straight = found(bars)["straight_line"]
    # 128 bars in 28 outages, and the bars before and after each, on which their lines end.
    assert (straight.count, straight.first) == (128 + 2 * 28, datetime(2017, 9, 6, 16, tzinfo=UTC))


def test_pounds_among_pence_are_named_and_the_mended_file_is_sound(shared_data: Path) -> None:
    columns = {"time": "Date", "split": "Stock Splits", "dividend": "Dividends"}
    bars, _ = load(shared_data, "yahoo_AET.L_1d_100x_error.csv", "AET.L", DAY, columns=columns)
    assert found(bars)["unit"].count == 9
    mended, _ = load(shared_data, "yahoo_AET.L_1d_100x_error_fixed.csv", "AET.L", DAY, columns=columns)
    assert not {"unit", "spike", "part_split", "split_like"} & set(found(mended))


def test_a_split_of_a_part_of_the_history_is_named_and_the_mended_file_is_sound(shared_data: Path) -> None:
    columns = {"time": "Date", "split": "Stock Splits"}
    bars, provider = load(shared_data, "yahoo_ALPHA.PA_1d_bad_split.csv", "ALPHA.PA", DAY, columns=columns)
    assert provider.actions("ALPHA.PA") == (Action(date(2023, 5, 10), "split", 0.0001),)
    part = found(bars)["part_split"]
    assert (part.count, part.examples) == (1, ("2023-05-08 00:00",))
    mended, _ = load(shared_data, "yahoo_ALPHA.PA_1d_bad_split_fixed.csv", "ALPHA.PA", DAY, columns=columns)
    assert "part_split" not in found(mended)


def test_rows_that_break_their_own_prices_stop_the_file_or_stand_aside(shared_data: Path) -> None:
    columns, name = {"time": "Datetime", "dividend": "Dividends"}, "yahoo_ELCO.L_1d_ohlc_violations.csv"
    with pytest.raises(Invalid, match="309 of 665 rows cannot be bars") as failure:
        load(shared_data, name, "ELCO.L", DAY, columns=columns)
    assert "--option bad_rows=quarantine" in (failure.value.hint or "")
    bars, provider = load(shared_data, name, "ELCO.L", DAY, columns=columns, bad_rows="quarantine")
    aside = provider.rejected()
    assert (len(bars), len(aside)) == (665 - 309, 309)
    assert {row.reason for row in aside} == {"has a high below its open or close", "has a low above its open or close"}
    assert all(row.row and 2 <= row.row <= 666 for row in aside)
    paid = found(bars, actions=provider.actions("ELCO.L"))["dividend"]
    assert (paid.count, paid.examples[0]) == (5, "2022-06-01 00:00")


def test_factors_are_no_prices_and_take_the_splits_out_of_prices(shared_data: Path, tmp_path: Path) -> None:
    """The four splits vanish; the fall of 2000-09-29 stays, for it was none."""
    factors = shared_data / "raw" / "lean_AAPL_factor_file.csv"
    with pytest.raises(Invalid, match="holds factors of splits and dividends, and no prices") as failure:
        load(shared_data, factors.name, "AAPL", DAY)
    assert "actions_file" in (failure.value.hint or "")
    source = Files(file=str(shared_data / "AAPL_1d.parquet"), actions_file=str(factors))
    reach = source.reach("AAPL", DAY, lambda _: None)
    store = BarStore(tmp_path / "bars")
    store.write(source.fetch("AAPL", DAY, start=reach.start, end=reach.end, on_progress=lambda _: None))
    store.keep_actions("AAPL", "files", source.actions("AAPL"))
    splits = [(a.day, a.value) for a in store.actions("AAPL", "files") if a.kind == "split"]
    known = {date(2000, 6, 21): 2.0, date(2005, 2, 28): 2.0, date(2014, 6, 9): 7.0, date(2020, 8, 31): 4.0}
    assert splits == sorted(known.items())
    moves = {how: np.diff(np.log(store.read("AAPL", DAY, adjust=how).close)) for how in ("raw", "splits")}
    days = store.read("AAPL", DAY).time[1:].astype("datetime64[D]")
    at = np.isin(days, np.array(list(known), "datetime64[D]"))
    np.testing.assert_allclose(moves["raw"][at], [-0.60, -0.69, -1.93, -1.35], atol=0.006)
    assert np.abs(moves["splits"][at]).max() < 0.11
    fall = int(np.argmin(moves["splits"]))
    assert (str(days[fall]), round(float(moves["splits"][fall]), 2)) == ("2000-09-29", -0.73)
    odd = found(store.read("AAPL", DAY))["split_like"]
    assert odd.examples == ("2000-09-29 00:00",)
    paid = [a for a in store.actions("AAPL", "files") if a.kind == "dividend"]
    assert (paid[0].day, paid[0].value) == (date(2012, 8, 9), pytest.approx(2.65, abs=0.01))
    total = store.read("AAPL", DAY, adjust="all")
    first_factor = 0.8613657 * 0.00892857
    assert total.close[0] / store.read("AAPL", DAY, adjust="raw").close[0] == pytest.approx(first_factor, rel=2e-3)


def test_apples_hours_make_its_days_on_every_session_out_of_the_store(shared_data: Path, tmp_path: Path) -> None:
    store, right = BarStore(tmp_path / "bars"), clean(shared_data, "AAPL_1d")
    hours = Files(file=str(shared_data / "AAPL_1h.parquet"))
    reach = hours.reach("AAPL", HOUR, lambda _: None)
    store.write(hours.fetch("AAPL", HOUR, start=reach.start, end=reach.end, on_progress=lambda _: None))
    assert [file.stem for file in store.folder("AAPL", HOUR, "files").files()] == [str(year) for year in range(1998, 2022)]
    made = store.read("AAPL", DAY, provider="files")
    assert (len(made), made.digest()) == (5849, right.digest())
    attack = store.read("AAPL", DAY, datetime(2001, 9, 10, tzinfo=UTC), datetime(2001, 9, 18, tzinfo=UTC))
    assert [str(day)[:10] for day in attack.time] == ["2001-09-10", "2001-09-17"]


def test_a_second_source_that_agrees_is_silent_and_another_clock_is_named(shared_data: Path) -> None:
    """EURUSD of 2018 from two vendors: no shift on any of 257 days; an hour too late all year is told in hours."""
    minutes, hours = clean(shared_data, "EURUSD_1m"), clean(shared_data, "EURUSD_1h")
    assert compare(minutes, hours) == ()
    late = Bars.checked("EURUSD", MINUTE, minutes.time + np.timedelta64(5, "h"), **{c: getattr(minutes, c) for c in COLUMNS})
    (zone,) = compare(late, hours)
    assert zone.check == "zone"
    assert zone.count > 0.99 * len(late)
    assert "5 h late" in zone.sentence


def test_duplicates_of_a_real_file_are_counted_before_it_is_loaded(shared_data: Path) -> None:
    places = {"time": "column_1", **{name: f"column_{place}" for place, name in enumerate(COLUMNS, 2)}}
    source = Files(
        file=str(shared_data / "raw" / "histdata_USDJPY_1m_2019_repeated_hour.zip"), header=False, separator=";", columns=places,
        time_format="%Y%m%d %H%M%S", zone="Etc/GMT+5",
    )  # fmt: skip
    time, columns = source.rows(MINUTE, lambda _: None)
    faults = {finding.check: finding.count for finding in check_rows("USDJPY", MINUTE, time, columns)}
    assert (faults["repeated"], faults["clock_shift"] > 20_000) == (60, True)
