from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.checks import Finding, check_bars
from ktrdr.market.timeframe import Timeframe


def walk(count: int = 200, *, symbol: str = "BTCUSDT", first: str = "2020-01-01") -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    start = np.concatenate((close[:1], close[:-1]))
    time = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(1, "h")
    high, low = np.maximum(start, close) * 1.003, np.minimum(start, close) * 0.997
    return {"time": time, "open": start, "high": high, "low": low, "close": close, "volume": random.uniform(1, 9, count)}


def checked(columns: dict[str, np.ndarray], symbol: str = "BTCUSDT") -> dict[str, Finding]:
    bars = Bars.checked(symbol, Timeframe("1h"), columns["time"], **{name: columns[name] for name in COLUMNS})
    return {finding.check: finding for finding in check_bars(bars)}


def test_ordinary_bars_and_very_few_have_no_findings() -> None:
    assert checked(walk()) == {}
    for count in (0, 1, 2, 3):
        assert checked(walk(count)) == {}


def test_a_split_is_a_jump() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][100:] /= 7
    found = checked(columns)
    assert list(found) == ["jump"]
    assert found["jump"].count == 1
    assert found["jump"].first == datetime(2020, 1, 5, 4, tzinfo=UTC)


def test_a_single_row_in_another_unit_is_a_spike() -> None:
    columns = walk()
    for name in COLUMNS[:4]:
        columns[name][50] *= 100
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
    assert 128 <= found["straight_line"].count <= 128 + 2 * 28
