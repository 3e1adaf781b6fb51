"""One million minute bars: append a day, read a month, read everything; ours, DuckDB's own file and SQLite, in one run.

Every store does the whole of its work: a day is on disk when it is appended (ours under its lock, with fsync and catalogue), and
what is read ends as numpy columns. CPU is user and system time of all threads; each figure is a median.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"  # as runners have it

import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from ktrdr.market.bars import COLUMNS, Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BarStore

MINUTE = Timeframe("1m")
COUNT, DAY, RUNS = 1_000_000, 1440, 7
LIMITS = {"append a day": 50.0, "read a month": 20.0, "read all": 120.0}
"""CPU milliseconds of ours."""
TIMES_DUCKDB = {"append a day": 6.0, "read a month": 3.0, "read all": 1.5}
"""Ours takes at most so many times the CPU of DuckDB's own file, which one process at a time may open, and only DuckDB reads."""
TIMES_SQLITE = {"append a day": 30.0, "read a month": 0.3, "read all": 0.2}


def walk(count: int) -> Bars:
    """A price that trades in cents, minute by minute."""
    random = np.random.default_rng(7)
    close = np.round(20_000 * np.exp(np.cumsum(random.normal(0, 0.0005, count))), 2)
    start = np.concatenate((close[:1], close[:-1]))
    wick = np.round(random.exponential(3.0, (2, count)), 2)
    high, low = np.maximum(start, close) + wick[0], np.minimum(start, close) - wick[1]
    stamps = np.datetime64("2021-01-01", "us") + np.arange(count) * np.timedelta64(60, "s")
    volume = np.round(random.lognormal(1, 1, count), 3)
    return Bars.checked("BTCUSDT", MINUTE, stamps, open=start, high=high, low=low, close=close, volume=volume, provider="files")


def frame(bars: Bars) -> pl.DataFrame:
    return pl.DataFrame({"timestamp": bars.time, **{name: getattr(bars, name) for name in COLUMNS}})


class Ours:
    name = "ktrdr"

    def __init__(self, folder: Path) -> None:
        self.store = BarStore(folder)

    def write(self, bars: Bars) -> None:
        self.store.write(bars)

    append = write

    def read(self, start: datetime | None, end: datetime | None) -> np.ndarray:
        return self.store.read("BTCUSDT", MINUTE, start, end).close


class DuckDB:
    name = "DuckDB"

    def __init__(self, folder: Path) -> None:
        self.connection = duckdb.connect(str(folder / "bars.duckdb"))
        self.connection.execute("SET threads = 1")
        columns = ", ".join(f"{name} DOUBLE" for name in COLUMNS)
        self.connection.execute(f"CREATE TABLE bars (timestamp TIMESTAMP, {columns})")

    def write(self, bars: Bars) -> None:
        rows = {"timestamp": bars.time, **{name: getattr(bars, name) for name in COLUMNS}}
        self.connection.register("rows", rows)
        self.connection.execute("INSERT INTO bars SELECT * FROM rows")
        self.connection.execute("CHECKPOINT")

    append = write

    def read(self, start: datetime | None, end: datetime | None) -> np.ndarray:
        where = "WHERE timestamp >= ? AND timestamp < ?" if start and end else ""
        dates = [start.replace(tzinfo=None), end.replace(tzinfo=None)] if start and end else []
        found = self.connection.execute(f"SELECT * FROM bars {where} ORDER BY timestamp", dates).fetchnumpy()
        return np.asarray(found["close"])


class DuckDBOnOurs(DuckDB):
    name = "DuckDB on ktrdr's files"

    def __init__(self, folder: Path) -> None:
        self.files = folder.parent / "ktrdr" / "files" / "BTCUSDT" / "1m" / "all" / "2*.parquet"
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 1")
        self.connection.execute(f"CREATE VIEW bars AS SELECT * FROM read_parquet('{self.files}')")

    def write(self, bars: Bars) -> None: ...

    append = write


class SQLite:
    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.connection = sqlite3.connect(folder / "bars.sqlite", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        columns = ", ".join(f"{name} REAL" for name in COLUMNS)
        self.connection.execute(f"CREATE TABLE bars (timestamp INTEGER PRIMARY KEY, {columns}) WITHOUT ROWID")

    def write(self, bars: Bars) -> None:
        rows = zip(bars.time.astype(np.int64).tolist(), *(getattr(bars, name).tolist() for name in COLUMNS), strict=True)
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")

    append = write

    def read(self, start: datetime | None, end: datetime | None) -> np.ndarray:
        where = "WHERE timestamp >= ? AND timestamp < ?" if start and end else ""
        dates = [int(moment.timestamp() * 1e6) for moment in (start, end) if moment]
        rows = self.connection.execute(f"SELECT * FROM bars {where} ORDER BY timestamp", dates).fetchall()
        return np.array(rows)[:, 4]


def measured(work: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """Median CPU and wall milliseconds, after a warm-up where the work can be repeated."""
    cpu, wall = [], []
    for _ in range(runs):
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        wall.append(1000 * (time.perf_counter() - begun))
        cpu.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return statistics.median(cpu), statistics.median(wall)


def main() -> int:
    """Measure, print, and end with 1 where a claim does not hold or two stores answer differently."""
    whole = walk(COUNT + (RUNS + 1) * DAY)
    end = as_datetime(whole.time[COUNT])
    month = end - timedelta(days=200), end - timedelta(days=170)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    answers: dict[str, tuple[float, ...]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for cls in (Ours, DuckDB, DuckDBOnOurs, SQLite):
            home = Path(folder) / cls.name.split()[-1].replace("'s", "").replace("files", "view")
            home.mkdir()
            store = cls(home)
            written = measured(lambda store=store: store.write(whole.rows(slice(0, COUNT))), 1)
            days = iter(range(COUNT, len(whole), DAY))

            def append(store=store, days=days) -> None:
                first = next(days)
                store.append(whole.rows(slice(first, first + DAY)))

            append()
            found[cls.name] = {"write all": written, "append a day": measured(append)}
            store.read(*month)
            found[cls.name]["read a month"] = measured(lambda store=store: store.read(*month))
            store.read(None, None)
            found[cls.name]["read all"] = measured(lambda store=store: store.read(None, None))
            part, every = store.read(*month), store.read(None, None)
            answers[cls.name] = (len(part), part.sum(), len(every), every.sum())
    print(f"CPU (wall) milliseconds, medians of {RUNS}; {COUNT:,} minute bars; polars {pl.__version__}, duckdb {duckdb.__version__}")
    print(f"{'':<26}" + "".join(f"{name:>18}" for name in found["ktrdr"]))
    for name, figures in found.items():
        told = {what: f"{cpu:.1f} ({wall:.1f})" for what, (cpu, wall) in figures.items()}
        if name == DuckDBOnOurs.name:
            told["write all"] = told["append a day"] = "-"
        print(f"{name:<26}" + "".join(f"{cell:>18}" for cell in told.values()))
    same = all(np.allclose(answer, answers["ktrdr"], rtol=1e-9) for answer in answers.values())
    held = [same]
    print(f"{'holds' if same else 'FAILS'}  all stores give the same bars")
    for what, limit in LIMITS.items():
        ours, duck, lite = (found[name][what][0] for name in ("ktrdr", "DuckDB", "SQLite"))
        held.append(ours <= limit and ours <= TIMES_DUCKDB[what] * duck and ours <= TIMES_SQLITE[what] * lite)
        print(
            f"{'holds' if held[-1] else 'FAILS'}  {what}: {ours:.1f} ms of CPU, at most {limit:g}; {ours / duck:.2f} times DuckDB's,"
            f" at most {TIMES_DUCKDB[what]:g}; {ours / lite:.2f} times SQLite's, at most {TIMES_SQLITE[what]:g}"
        )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
