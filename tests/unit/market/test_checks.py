from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.checks import Finding, check_bars, check_series
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.files import Files


def walk(count: int = 200, *, symbol: str = "BTCUSDT", first: str = "2020-01-01") -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    start = np.concatenate((close[:1], close[:-1]))
    time = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(1, "h")
    high, low = np.maximum(start, close) * 1.003, np.minimum(start, close) * 0.997
    return {"time": time, "open": start, "high": high, "low": low, "close": close, "volume": random.uniform(1, 9, count)}


def checked(columns: dict[str, np.ndarray], symbol: str = "BTCUSDT", **known: Any) -> dict[str, Finding]:
    bars = Bars.checked(symbol, Timeframe("1h"), columns["time"], **{name: columns[name] for name in COLUMNS})
    return {finding.check: finding for finding in check_bars(bars, **known)}


def test_ordinary_bars_and_very_few_have_no_findings() -> None:
    assert checked(walk()) == {}
    for count in (0, 1, 2, 3):
        assert checked(walk(count)) == {}


def test_a_split_is_a_step_by_a_whole_ratio_unless_it_is_known() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][100:] /= 7
    found = checked(columns)
    assert list(found) == ["split_like"]
    assert found["split_like"].count == 1
    assert found["split_like"].first == datetime(2020, 1, 5, 4, tzinfo=UTC)
    assert found["split_like"].examples == ("2020-01-05 04:00",)
    assert checked(columns, actions=[Action(date(2020, 1, 5), "split", 7.0)]) == {}
    assert list(checked(columns, actions=[Action(date(2020, 1, 6), "split", 7.0)])) == ["split_like", "no_step"]


def test_a_step_by_no_whole_ratio_is_a_jump() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][100:] *= 1.6
    assert list(checked(columns)) == ["jump"]


@pytest.mark.parametrize("rows", [slice(50, 51), slice(50, 58), slice(0, 20), slice(150, 200)], ids=["one", "some", "first", "last"])
@pytest.mark.parametrize("factor", [100, 0.01])
def test_rows_in_another_unit_are_all_found(rows: slice, factor: float) -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][rows] *= factor
    found = checked(columns)
    if rows.start == 0 or rows.stop == 200:  # no way back: which side is wrong cannot be told
        assert list(found) == ["jump"]
        return
    assert list(found) == ["unit"]
    assert found["unit"].count == rows.stop - rows.start
    assert found["unit"].first == datetime(2020, 1, 3, 2, tzinfo=UTC)


def test_a_single_row_that_leaps_and_comes_back_is_a_spike() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][50] *= 3
    found = checked(columns)
    assert list(found) == ["spike"]
    assert found["spike"].count == 1


def test_bars_that_were_filled_in_are_a_straight_line() -> None:
    columns = walk()
    for name in COLUMNS:
        columns[name][60:71] = np.linspace(columns[name][60], columns[name][70], 11)
    found = checked(columns)
    assert list(found) == ["straight_line"]
    assert found["straight_line"].count == 11


def test_volume_that_is_mostly_not_there_is_found_where_there_should_be_some() -> None:
    columns = walk()
    columns["volume"][:9] = 0
    assert checked(columns) == {}
    columns["volume"][:60] = 0
    found = checked(columns)
    assert (list(found), found["no_volume"].count) == (["no_volume"], 60)
    assert found["no_volume"].sentence.startswith("30% of the bars have no volume")
    columns["volume"][:] = 0
    assert "no_volume" not in checked(columns, symbol="EURUSD")


def test_times_of_ticks_are_told_from_times_off_the_grid() -> None:
    columns = walk()
    columns["time"][5] += np.timedelta64(999, "ms")
    columns["time"][7] += np.timedelta64(1, "s")
    found = checked(columns)
    assert list(found) == ["fraction", "off_grid"]
    assert found["fraction"].examples == ("2020-01-01 05:00:00.999000",)


def test_a_bar_that_is_not_over_is_found_when_the_time_is_known() -> None:
    last = datetime(2020, 1, 9, 8, tzinfo=UTC)
    assert checked(walk(), now=last) == {}
    found = checked(walk(), now=last - timedelta(microseconds=1))
    assert (list(found), found["unfinished"].count) == (["unfinished"], 1)


def test_what_is_missing_is_counted_with_the_longest_stretch() -> None:
    columns = walk()
    kept = np.delete(np.arange(200), [20, *range(60, 75)])
    bars = Bars.checked("BTCUSDT", Timeframe("1h"), columns["time"][kept], **{name: columns[name][kept] for name in COLUMNS})
    assert check_bars(bars) == ()
    (missing,) = check_series(bars)
    assert (missing.check, missing.count, missing.examples) == ("missing", 16, ("2020-01-01 20:00", "2020-01-03 12:00"))
    assert "in 2 places" in missing.sentence
    assert "(15) from 2020-01-03 12:00 to 2020-01-04 03:00" in missing.sentence


def test_a_price_that_stands_still_is_found() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][20:40] = 101.0
    assert checked(columns)["standstill"].count == 20


def test_bars_off_the_grid_and_in_closed_hours_are_found() -> None:
    columns = walk()
    columns["time"] = columns["time"] + np.timedelta64(17, "m")
    assert checked(columns)["off_grid"].count == 200
    assert checked(walk(72, first="2018-01-06"), symbol="EURUSD")["closed_hours"].count == 46


@pytest.mark.shared
def test_the_interpolated_outages_of_a_real_file_are_found(shared_data: Path) -> None:
    import polars as pl

    frame = pl.read_csv(shared_data / "raw" / "binance_BTCUSDT_1h_interpolated.csv")
    time = frame["DateTime"].str.to_datetime("%Y-%m-%d %H:%M:%S").to_numpy()
    found = checked({"time": time, **{name: frame[name.capitalize()].to_numpy() for name in COLUMNS}})
    assert found["straight_line"].count == 128 + 2 * 28


def shared(folder: Path, name: str) -> Bars:
    import polars as pl

    symbol, timeframe = name.split("_")
    frame = pl.read_parquet(folder / f"{name}.parquet")
    prices = {column: frame[column].to_numpy() for column in COLUMNS}
    return Bars.checked(symbol, Timeframe(timeframe), frame["timestamp"].dt.replace_time_zone(None).to_numpy(), **prices)


def found_in(folder: Path, name: str, **known: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_series(shared(folder, name), **known)}


@pytest.mark.shared
def test_the_splits_of_a_real_stock_are_steps_until_they_are_known(shared_data: Path) -> None:
    """Also the fall of 2000-09-29, which was none: prices alone do not tell."""
    days = {date(2000, 6, 21): 2.0, date(2005, 2, 28): 2.0, date(2014, 6, 9): 7.0, date(2020, 8, 31): 4.0}
    found = found_in(shared_data, "AAPL_1d")
    assert (found["split_like"].count, found["split_like"].examples[1]) == (5, "2000-09-29 00:00")
    known = found_in(shared_data, "AAPL_1d", actions=[Action(day, "split", ratio) for day, ratio in days.items()])
    assert (known["split_like"].count, known["split_like"].examples) == (1, ("2000-09-29 00:00",))


@pytest.mark.shared
@pytest.mark.parametrize(("name", "bars", "places", "longest"), [
    ("BTCUSDT_1h", 128, 28, "(33) from 2018-02-08 01:00 to 2018-02-09 10:00"),
    ("EURUSD_1h", 317, None, "(103) from 2016-12-11 22:00 to 2016-12-16 05:00"),
])  # fmt: skip
def test_the_holes_of_real_series_are_named(shared_data: Path, name: str, bars: int, places: int | None, longest: str) -> None:
    missing = found_in(shared_data, name)["missing"]
    assert missing.count == bars
    assert longest in missing.sentence
    assert places is None or f"in {places} places" in missing.sentence


@pytest.mark.shared
@pytest.mark.parametrize("name", ["EURUSD_1h", "USDJPY_1h", "AAPL_1d", "AAPL_1h", "SPY_1h", "BTCUSDT_1h", "COST_5m", "SPXUSD_1m"])
def test_real_series_that_are_sound_have_no_wrong_clock_unit_or_grid(shared_data: Path, name: str) -> None:
    assert not {"clock_shift", "unit", "spike", "off_grid", "fraction", "straight_line"} & set(found_in(shared_data, name))


@pytest.mark.shared
def test_minutes_that_were_filled_in_are_found_in_a_series_that_looks_complete(shared_data: Path) -> None:
    """Nine minutes of 2022-01-01 and nine of 2022-01-13, each at 03:02."""
    found = found_in(shared_data, "BTCPERP_1m")
    assert (set(found), found["straight_line"].count) == ({"straight_line"}, 18)


@pytest.mark.shared
def test_rows_of_a_real_stock_in_pounds_instead_of_pence_are_found(shared_data: Path) -> None:
    source = Files(file=str(shared_data / "raw" / "yahoo_AET.L_1d_100x_error.csv"), columns={"time": "Date"})
    mended = Files(file=str(shared_data / "raw" / "yahoo_AET.L_1d_100x_error_fixed.csv"), columns={"time": "Date"})
    day, start, end = Timeframe("1d"), datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    bars, right = (each.fetch("AET.L", day, start=start, end=end, on_progress=lambda _: None) for each in (source, mended))
    wrong = np.abs(np.log(bars.close / right.close)) > 1
    found = {finding.check: finding for finding in check_bars(bars)}
    # Most of the rows are wrong: which side is it cannot be told from the prices, but where they change can.
    assert (int(wrong.sum()), found["unit"].count) == (14, 9)


def test_a_split_of_a_part_of_the_history_shows_in_prices_and_volume() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][60:64] /= 1e4
    assert list(checked(columns)) == ["jump"]  # the volume says that it was no split
    columns["volume"][60:64] *= 1e4
    found = checked(columns)
    assert (list(found), found["part_split"].count, found["part_split"].examples[0]) == (["part_split"], 4, "2020-01-03 12:00")


def test_prices_that_were_adjusted_already_have_no_step_where_a_split_is_known() -> None:
    split = Action(date(2020, 1, 5), "split", 7.0)
    found = checked(walk(), actions=[split])
    assert (list(found), found["no_step"].count, found["no_step"].examples) == (["no_step"], 1, ("2020-01-05 00:00",))
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][96:] /= 7
    assert checked(columns, actions=[split]) == {}


def test_a_dividend_that_is_a_large_share_of_the_price_is_found() -> None:
    paid = [Action(date(2020, 1, 3), "dividend", 1.0), Action(date(2020, 1, 5), "dividend", 50.0)]
    found = checked(walk(), actions=paid)
    assert (list(found), found["dividend"].examples) == (["dividend"], ("2020-01-05 00:00",))


def test_short_lines_are_odd_only_where_the_volume_is_on_them_too() -> None:
    columns = walk()
    for name in COLUMNS:
        columns[name][60:63] = np.linspace(columns[name][60], columns[name][62], 3)
    assert checked(columns)["straight_line"].count == 3
    columns["volume"][61] += 1
    assert checked(columns) == {}
