from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ktrdr.errors import Conflict, Invalid
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores import atomic
from ktrdr.stores.series import SeriesFolder

HOUR = Timeframe("1h")


def bar(hour: int) -> Bars:
    price = [100.0 + hour]
    time = [np.datetime64("2019-06-01", "us") + np.timedelta64(hour, "h")]
    return Bars.checked("X", HOUR, time, open=price, high=price, low=price, close=price, volume=price, provider="files")


def folder(path: Path) -> SeriesFolder:
    return SeriesFolder(path / "all", "files", "X", HOUR)


def test_unfinished_files_are_not_read_and_go_with_the_next_write(tmp_path: Path) -> None:
    series = folder(tmp_path)
    with series.locked():
        series.merge(bar(0))
    left = series.path / f"{atomic.PREFIX}2019"
    left.write_bytes(b"torn")
    (series.path / "2019.parquet.bak").write_bytes(b"no business of ours")
    (series.path / "2019-06.parquet").write_bytes(b"nor this")
    assert len(series.read()) == 1
    with series.locked():
        series.merge(bar(1))
    assert not left.exists()
    assert len(series.read()) == 2


def test_a_series_that_somebody_else_writes_is_a_conflict_that_names_the_process(tmp_path: Path) -> None:
    series = folder(tmp_path)
    with series.locked(), pytest.raises(Conflict, match=r"X 1h of files is being written by process \d+"), series.locked(seconds=0.05):
        pass
    with series.locked(seconds=0.05):
        pass


def test_a_series_without_files_is_empty(tmp_path: Path) -> None:
    assert len(folder(tmp_path).read()) == 0
    assert folder(tmp_path).files() == ()


def test_a_file_says_what_it_is_to_any_reader(tmp_path: Path) -> None:
    series = folder(tmp_path)
    series.path.mkdir()
    series.merge(bar(0))
    (file,) = series.files()
    assert pl.read_parquet(file).columns == ["timestamp", *COLUMNS]
    told = pl.read_parquet_metadata(file)
    assert told["ktrdr_schema"] == "2"
    assert '"symbol": "X"' in told["ktrdr_series"]
    assert series.period(file).bars == 1


def test_revisions_are_a_table_that_any_reader_opens(tmp_path: Path) -> None:
    series = folder(tmp_path)
    series.path.mkdir()
    series.merge(bar(0))
    other = bar(0)
    mended = Bars.checked("X", HOUR, other.time, **{name: getattr(other, name) * 2 for name in COLUMNS}, provider="files")
    series.merge(mended, refresh=True, now=datetime(2020, 1, 1, tzinfo=UTC))
    told = pl.read_parquet(series.path / "revisions.parquet").row(0, named=True)
    assert (told["close"], told["offered_close"], told["kept"]) == (100.0, 200.0, "offered")
    (series.path / "revisions.parquet").write_bytes(b"torn")
    with pytest.raises(Invalid, match=r"revisions\.parquet cannot be read"):
        series.merge(bar(0))
