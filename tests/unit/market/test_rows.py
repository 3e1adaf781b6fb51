from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ktrdr.market.bars import COLUMNS
from ktrdr.market.checks import Finding
from ktrdr.market.rows import check_rows
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.files import Files
from tests.unit.market.test_checks import walk

HOUR = Timeframe("1h")


def checked(columns: dict[str, np.ndarray]) -> dict[str, Finding]:
    found = check_rows("BTCUSDT", HOUR, columns["time"], {name: columns[name] for name in COLUMNS})
    assert len({finding.check for finding in found}) == len(found)
    return {finding.check: finding for finding in found}


def test_good_rows_have_no_findings() -> None:
    assert checked(walk()) == {}
    assert checked(walk(0)) == {}


def test_rows_that_are_repeated_as_they_are_and_with_other_values_are_told_apart() -> None:
    columns = {name: np.concatenate((column, column[10:13], column[50:52])) for name, column in walk().items()}
    columns["close"][-1] += 0.01
    found = checked(columns)
    assert (found["repeated"].count, found["disputed"].count, found["order"].count) == (4, 2, 5)
    assert found["repeated"].first == datetime(2020, 1, 1, 10, tzinfo=UTC)
    assert found["disputed"].examples == ("2020-01-03 03:00", "2020-01-03 03:00")
    assert found["missing"].count == 1  # the disputed one is no bar


def test_rows_that_break_their_own_prices_are_counted_by_rule() -> None:
    columns = walk()
    columns["high"][[3, 4]] = columns["low"][[3, 4]] * 0.99
    columns["low"][[7]] = columns["high"][[7]] * 1.01
    columns["close"][[8, 9, 10]] = np.nan
    columns["volume"][11] = -1
    columns["time"][12] = np.datetime64("NaT")
    found = checked(columns)
    counts = {name: found[name].count for name in ("high", "low", "price", "volume", "time")}
    assert counts == {"high": 2, "low": 1, "price": 3, "volume": 1, "time": 1}
    assert found["high"].sentence == "a row has a high below its open or close"
    assert found["high"].examples == ("2020-01-01 03:00", "2020-01-01 04:00")
    assert found["time"].first is None
    assert found["missing"].count == 8


def test_a_file_with_the_newest_row_first_is_out_of_order_and_nothing_else() -> None:
    found = checked({name: column[::-1] for name, column in walk().items()})
    assert {name: finding.count for name, finding in found.items()} == {"order": 199}


@pytest.mark.shared
def test_a_real_file_that_breaks_its_own_prices(shared_data: Path) -> None:
    """ELCO.L: 309 of 665 rows."""
    source = Files(file=str(shared_data / "raw" / "yahoo_ELCO.L_1d_ohlc_violations.csv"), columns={"time": "Datetime"})
    time, columns = source.rows(Timeframe("1d"), lambda _: None)
    found = {finding.check: finding for finding in check_rows("ELCO.L", Timeframe("1d"), time, columns)}
    wrong = np.any(
        [columns["high"] < np.maximum(columns["open"], columns["close"]), columns["low"] > np.minimum(columns["open"], columns["close"])],
        axis=0,
    )
    assert wrong.sum() == 309
    assert max(found["high"].count, found["low"].count) <= 309 <= found["high"].count + found["low"].count


@pytest.mark.shared
def test_a_real_file_that_repeats_an_hour_and_follows_europes_clock(shared_data: Path) -> None:
    """USDJPY of 2019: 60 minutes of 2019-10-27 occur twice; between the dates of Europe and America the clock is an hour off."""
    import zipfile

    import polars as pl

    with zipfile.ZipFile(shared_data / "raw" / "histdata_USDJPY_1m_2019_repeated_hour.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".csv")]
        frame = pl.read_csv(archive.read(name), separator=";", has_header=False, new_columns=["time", *COLUMNS])
    local = frame["time"].str.to_datetime("%Y%m%d %H%M%S").to_numpy().astype("datetime64[us]")
    columns = {name: frame[name].cast(pl.Float64).to_numpy() for name in COLUMNS}
    found = {f.check: f for f in check_rows("USDJPY", Timeframe("1m"), local + np.timedelta64(5, "h"), columns)}
    assert (found["repeated"].count, found["repeated"].examples[0]) == (60, "2019-10-28 00:00")
    assert found["order"].count == 59
    assert found["clock_shift"].count > 20_000
