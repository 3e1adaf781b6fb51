from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.errors import Conflict
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores import atomic
from ktrdr.stores.series import SeriesFolder

DAY = Timeframe("1d")
Loads = dict[int, float]


def bars_of(load: Loads) -> Bars:
    """A daily bar for each day that is named, at the price that is named."""
    days = sorted(load)
    price = np.array([load[day] for day in days])
    time = np.datetime64("2019-06-01", "us") + np.array(days) * np.timedelta64(1, "D")
    return Bars.checked("X", DAY, time, open=price, high=price, low=price, close=price, volume=price, provider="files")


def folder(path: Path) -> SeriesFolder:
    return SeriesFolder(path / "series", "files", "X", DAY)


prices = st.floats(1e-6, 1e9, allow_nan=False)
loads = st.dictionaries(st.integers(0, 700), prices, min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(st.lists(loads, min_size=1, max_size=3))
def test_whatever_is_loaded_the_series_is_what_a_mapping_would_be(sequence: list[Loads]) -> None:
    with tempfile.TemporaryDirectory() as path:
        series, expected = folder(Path(path)), {}
        for load in sequence:
            with series.locked():
                merged = series.merge(bars_of(load))
            assert merged.added == len(load.keys() - expected.keys())
            assert merged.unchanged == sum(expected.get(day) == price for day, price in load.items())
            assert merged.added + merged.unchanged + merged.conflicts == len(load)
            expected |= load
        assert series.read().digest() == bars_of(expected).digest()
        first, last, count = series.extent()
        assert (first.replace(tzinfo=None), last.replace(tzinfo=None)) == tuple(series.read().time[[0, -1]].tolist())
        assert count == len(expected)


@settings(max_examples=15, deadline=None)
@given(loads, st.integers(0, 700))
def test_loading_twice_and_loading_in_parts_come_to_the_same(load: Loads, cut: int) -> None:
    older, newer = ({d: p for d, p in load.items() if (d < cut) == side} for side in (True, False))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        at_once, in_parts = folder(Path(one)), folder(Path(other))
        for series, parts in ((at_once, [load, load]), (in_parts, [newer, older])):
            for part in parts:
                with series.locked():
                    series.merge(bars_of(part))
        assert at_once.read().digest() == in_parts.read().digest()


def test_unfinished_files_are_not_read_and_go_with_the_next_write(tmp_path: Path) -> None:
    series = folder(tmp_path)
    with series.locked():
        series.merge(bars_of({0: 1.0}))
    left = series.path / f"{atomic.PREFIX}2019"
    left.write_bytes(b"torn")
    (series.path / "2019.parquet.bak").write_bytes(b"no business of ours")
    assert len(series.read()) == 1
    with series.locked():
        series.merge(bars_of({1: 1.0}))
    assert not left.exists()
    assert len(series.read()) == 2


def test_a_series_that_somebody_else_writes_is_a_conflict_that_names_the_process(tmp_path: Path) -> None:
    series = folder(tmp_path)
    with series.locked(), pytest.raises(Conflict, match=r"X 1d of files is being written by process \d+"), series.locked(seconds=0.05):
        pass
    with series.locked(seconds=0.05):
        pass


def test_a_series_without_files_is_empty(tmp_path: Path) -> None:
    assert len(folder(tmp_path).read()) == 0
    assert folder(tmp_path).fingerprint() == ""
