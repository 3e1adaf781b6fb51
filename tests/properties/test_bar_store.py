"""Whatever is loaded, in whatever order and however often: the store is what a mapping from times to bars would be."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.kinds.data_load import DataLoad
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.operations.model import Operation
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.stores.series import SAME
from ktrdr.workspace import open_workspace

Loads = dict[int, float]
DAYS = 700
prices = st.floats(1e-6, 1e9, allow_nan=False)
loads = st.dictionaries(st.integers(0, DAYS), prices, min_size=1, max_size=30)
sizes = st.sampled_from(["5m", "4h", "1d"])  # a file a month, a year, and one for everything


def bars_of(load: Loads, size: str = "1d") -> Bars:
    """A bar for each day that is named, at the price that is named."""
    days = sorted(load)
    price = np.array([load[day] for day in days])
    time = np.datetime64("2019-06-01", "us") + np.array(days) * np.timedelta64(1, "D")
    return Bars.checked("BTCUSDT", Timeframe(size), time, open=price, high=price, low=price, close=price, volume=price, provider="files")


@contextmanager
def stores() -> Iterator[tuple[BarStore, BarStore]]:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        yield BarStore(Path(one)), BarStore(Path(other))


def all_of(store: BarStore, size: str) -> Bars:
    return store.read("BTCUSDT", Timeframe(size))


def same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * max(one, other)


@settings(max_examples=10)
@given(st.lists(st.tuples(loads, st.booleans()), min_size=1, max_size=3), sizes)
def test_whatever_is_loaded_the_series_is_what_a_mapping_would_be(sequence: list[tuple[Loads, bool]], size: str) -> None:
    expected: Loads = {}
    revised = 0
    with stores() as (store, _):
        for load, refresh in sequence:
            written = store.write(bars_of(load, size), refresh=refresh)
            differ = {day for day, price in load.items() if day in expected and not same(expected[day], price)}
            assert written.added == len(load.keys() - expected.keys())
            assert (written.conflicts, written.replaced) == (len(differ), len(differ) if refresh else 0)
            assert written.added + written.unchanged + written.conflicts == len(load)
            expected = {**load, **expected} | ({day: load[day] for day in differ} if refresh else {})
            revised += len(differ)
        bars = all_of(store, size)
        assert bars.digest() == bars_of(expected, size).digest()
        found = store.find("BTCUSDT", Timeframe(size))
        assert (found.first.replace(tzinfo=None), found.last.replace(tzinfo=None)) == tuple(bars.time[[0, -1]].tolist())
        assert found.bars == len(expected)
        assert len(store.revisions("BTCUSDT", Timeframe(size), "files")) <= revised
        assert bool(store.revisions("BTCUSDT", Timeframe(size), "files")) == bool(revised)


@settings(max_examples=10)
@given(loads, st.lists(st.integers(0, DAYS), max_size=4), st.randoms(), sizes)
def test_the_order_of_the_chunks_of_a_load_does_not_matter(load: Loads, cuts: list[int], chance: Any, size: str) -> None:
    edges = [0, *sorted(cuts), DAYS + 1]
    chunks = [{d: p for d, p in load.items() if low <= d < high} for low, high in pairwise(edges)]
    chance.shuffle(chunks)
    with stores() as (at_once, in_parts):
        at_once.write(bars_of(load, size))
        for chunk in filter(None, chunks):
            in_parts.write(bars_of(chunk, size))
        assert all_of(at_once, size).digest() == all_of(in_parts, size).digest()


@settings(max_examples=10)
@given(loads, sizes, st.booleans())
def test_loading_twice_changes_nothing(load: Loads, size: str, refresh: bool) -> None:
    with stores() as (store, _):
        store.write(bars_of(load, size))
        before = {file: file.stat().st_mtime_ns for file in store.root.rglob("*.parquet")}
        again = store.write(bars_of(load, size), refresh=refresh)
        assert (again.added, again.conflicts, again.unchanged) == (0, 0, len(load))
        assert {file: file.stat().st_mtime_ns for file in store.root.rglob("*.parquet")} == before


@settings(max_examples=10)
@given(loads, loads, sizes, st.booleans())
def test_a_narrower_request_never_removes_anything(load: Loads, narrower: Loads, size: str, refresh: bool) -> None:
    with stores() as (store, _):
        store.write(bars_of(load, size))
        store.write(bars_of(narrower, size), refresh=refresh)
        bars = all_of(store, size)
        assert set(bars_of(load, size).time) <= set(bars.time)
        outside = ~np.isin(bars.time, bars_of(narrower, size).time)
        kept = np.isin(bars_of(load, size).time, bars.time[outside])
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(bars, name)[outside], getattr(bars_of(load, size), name)[kept])


class Quiet:
    """A guardian that listens and says nothing."""

    def send(self, message: Any) -> None: ...

    def ask(self, message: Any) -> None: ...

    def interruption(self) -> None: ...


def run(home: Path, **parameters: Any) -> None:
    workspace = open_workspace(Settings(home=home, ledger=home / "trials.sqlite"))
    ready = DataLoad(symbol="MADE", timeframe="4h", provider="synthetic", **parameters).prepare(workspace)
    ready.run(Job(Operation(operation_id="op_data_load_1", operation_type="data_load", created_at=datetime.now(UTC)), Quiet()), workspace)


@settings(max_examples=4)
@given(st.integers(5, 300), st.integers(5, 300), st.integers(5, 300))
def test_tail_and_backfill_come_to_what_a_full_load_brings(older: int, middle: int, newer: int) -> None:
    edges = [datetime(2011, 11, 1, tzinfo=UTC) + timedelta(days=days) for days in (0, older, older + middle, older + middle + newer)]
    first, begin, end, last = (f"{edge:%Y-%m-%d}" for edge in edges)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        run(Path(one), mode="full", start_date=first, end_date=last)
        run(Path(other), start_date=begin, end_date=end)
        run(Path(other), mode="tail", end_date=last)
        run(Path(other), mode="backfill", start_date=first)
        whole, parts = (BarStore(Path(home) / "bars").read("MADE", Timeframe("4h")) for home in (one, other))
        assert whole.digest() == parts.digest()
