"""Bars in the layout of an older version: refused with the command that moves them, and moved once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BarStore
from ktrdr.stores.layout import move

HOUR = Timeframe("1h")
OLDER = """
CREATE TABLE series (
    provider TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL, bars INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (provider, symbol, timeframe)
) WITHOUT ROWID;
CREATE TABLE loads (
    number INTEGER PRIMARY KEY, provider TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    start TEXT NOT NULL, "end" TEXT NOT NULL, hours TEXT NOT NULL, state TEXT NOT NULL,
    bars INTEGER NOT NULL DEFAULT 0, added INTEGER NOT NULL DEFAULT 0, conflicts INTEGER NOT NULL DEFAULT 0,
    message TEXT, asked_at TEXT NOT NULL, ended_at TEXT
);
CREATE INDEX loads_of_a_series ON loads (symbol, timeframe, provider);
INSERT INTO loads (provider, symbol, timeframe, start, "end", hours, state, bars, added, conflicts, asked_at)
VALUES (
    'yahoo', 'AA', '1h', '2019-12-30T00:00:00+00:00', '2020-02-01T00:00:00+00:00', 'regular', 'answered', 100, 90, 3,
    '2020-02-01T00:00:00+00:00'
);
"""


@pytest.fixture
def older(tmp_path: Path, make_bars: Callable[..., Bars]) -> Path:
    """A home of an older version, with a series of regular hours, two years and an origin."""
    root = tmp_path / "bars"
    folder = root / "yahoo" / "AA" / "1h"
    folder.mkdir(parents=True)
    bars = make_bars("AA", first="2019-12-30", count=100, provider="yahoo")
    stamps = pl.Series("timestamp", bars.time).dt.replace_time_zone("UTC")
    frame = pl.DataFrame([stamps, *(pl.Series(name, getattr(bars, name)) for name in COLUMNS)])
    for year in (2019, 2020):
        frame.filter(pl.col("timestamp").dt.year() == year).write_parquet(folder / f"{year}.parquet")
    (folder / "origin.txt").write_text("AA, prices as traded")
    (folder / ".lock").write_text("1")
    with sqlite3.connect(root / "catalog.sqlite") as connection:
        connection.executescript(OLDER)
    connection.close()
    return root


def test_bars_in_an_older_layout_are_refused_with_the_command_that_moves_them(older: Path) -> None:
    store = BarStore(older)
    for ask in (store.series, lambda: store.read("AA", HOUR), lambda: store.loads("AA", HOUR, "yahoo")):
        with pytest.raises(Invalid, match=r"older layout|version 0, this ktrdr has version 2") as failure:
            ask()
        assert "python -m ktrdr.stores.layout" in (failure.value.hint or "")


def test_they_are_moved_once_and_nothing_is_lost(older: Path, make_bars: Callable[..., Bars]) -> None:
    assert (move(older), move(older)) == (1, 0)
    store = BarStore(older)
    bars = make_bars("AA", first="2019-12-30", count=100, provider="yahoo")
    assert store.read("AA", HOUR).digest() == bars.digest()
    found = store.find("AA", HOUR)
    assert (found.hours, found.origin, found.bars) == ("regular", "AA, prices as traded", 100)
    (load,) = store.loads("AA", HOUR, "yahoo")
    assert (load.outcome.added, load.outcome.conflicts, load.outcome.replaced, load.hours) == (90, 3, 3, "regular")
    assert sorted(path.name for path in (older / "yahoo" / "AA" / "1h").iterdir()) == ["regular"]
    assert store.write(bars, "AA, prices as traded", hours="regular").unchanged == 100


def test_a_move_that_was_broken_off_goes_on(older: Path, make_bars: Callable[..., Bars]) -> None:
    kept = (older / "yahoo" / "AA" / "1h" / "2020.parquet").read_bytes()
    move(older)
    (older / "yahoo" / "AA" / "1h" / "2020.parquet").write_bytes(kept)
    (older / "yahoo" / "AA" / "1h" / "origin.txt").write_text("AA, prices as traded")
    assert move(older) == 1
    assert BarStore(older).find("AA", HOUR).bars == 100


def test_a_folder_without_bars_has_nothing_to_move(tmp_path: Path) -> None:
    assert move(tmp_path / "none") == 0
