"""The folder of one series: a Parquet file a year, merged under a lock."""

from __future__ import annotations

import fcntl
import io
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ktrdr.errors import Conflict, Invalid
from ktrdr.market.bars import COLUMNS, Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores import atomic

if TYPE_CHECKING:
    import polars as pl

YEAR_FILE = re.compile(r"\d{4}\.parquet")
ORIGIN_FILE = "origin.txt"
LOCK_SECONDS = 30.0
"""How long to wait for another load of the same series."""


@dataclass(frozen=True)
class Merged:
    """What came of adding bars to a series."""

    added: int
    unchanged: int
    """Bars that were there already, the same in every column."""
    conflicts: int
    """Bars that were there with other values, and were replaced."""


@dataclass(frozen=True)
class SeriesFolder:
    """Where the bars of one provider, symbol and timeframe are."""

    path: Path
    provider: str
    symbol: str
    timeframe: Timeframe

    def years(self) -> tuple[Path, ...]:
        """The files, oldest first; unfinished ones are not among them."""
        if not self.path.is_dir():
            return ()
        return tuple(sorted(file for file in self.path.iterdir() if YEAR_FILE.fullmatch(file.name)))

    def fingerprint(self) -> str:
        """Names, sizes and times of the files: another one when anything changed."""
        stats = ((file.name, file.stat()) for file in self.years())
        return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)

    def origin(self) -> str:
        """What the bars are, where the provider's name does not say it all, such as the exchange."""
        file = self.path / ORIGIN_FILE
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def keep_to(self, origin: str) -> None:
        """Invalid unless the bars that are there are of this origin; a folder without bars takes it. The lock must be held."""
        if self.years() and origin != self.origin():
            raise self.of_another_origin(origin)
        if origin != self.origin():
            atomic.write(self.path / ORIGIN_FILE, origin.encode())

    def of_another_origin(self, origin: str) -> Invalid:
        """The error of adding bars of one origin to those of another."""
        held, other = self.origin() or "bars of no named origin", origin or "bars of no named origin"
        return Invalid(
            f"{self.symbol} {self.timeframe} of {self.provider} holds {held}, not {other}; one series does not mix them",
            hint=f"load it with the same options as before, or move its folder away: {self.path}",
        )

    def read(self, start: datetime | None = None, end: datetime | None = None) -> Bars:
        """The bars of [start, end)."""
        import polars as pl

        files = [
            file for file in self.years()
            if (start is None or int(file.stem) >= start.year) and (end is None or int(file.stem) <= end.year)
        ]  # fmt: skip
        frame = pl.concat([_read(file) for file in files]) if files else _empty()
        return bars_of(frame, self.symbol, self.timeframe, self.provider).between(start, end)

    def extent(self) -> tuple[datetime, datetime, int]:
        """Start of the first and of the last bar, and how many there are."""
        stamps = [_read(file, ["timestamp"])["timestamp"].to_numpy() for file in self.years()]
        return as_datetime(stamps[0][0]), as_datetime(stamps[-1][-1]), sum(len(part) for part in stamps)

    def merge(self, bars: Bars) -> Merged:
        """Add bars, year by year; where a bar is there already, the new one wins. The lock must be held."""
        for stale in self.path.glob(f"{atomic.PREFIX}*"):
            stale.unlink()
        added = unchanged = conflicts = 0
        year = bars.time.astype("datetime64[Y]").astype(int) + 1970
        for each in np.unique(year).tolist():
            rows = np.flatnonzero(year == each)
            merged = self._merge_year(each, bars.rows(slice(int(rows[0]), int(rows[-1]) + 1)))
            added, unchanged, conflicts = added + merged.added, unchanged + merged.unchanged, conflicts + merged.conflicts
        return Merged(added, unchanged, conflicts)

    def _merge_year(self, year: int, bars: Bars) -> Merged:
        import polars as pl

        file, fresh = self.path / f"{year:04}.parquet", frame_of(bars)
        old = _read(file) if file.exists() else _empty()
        both = fresh.join(old, on="timestamp", how="inner", suffix="_old")
        same = both.select(pl.all_horizontal(pl.col(c) == pl.col(f"{c}_old") for c in COLUMNS).sum()).item()
        merged = Merged(len(fresh) - len(both), int(same), len(both) - int(same))
        if merged.added or merged.conflicts:
            whole = pl.concat([old.join(fresh, on="timestamp", how="anti"), fresh]).sort("timestamp")
            unfinished = atomic.unfinished(file)
            whole.write_parquet(unfinished, compression="zstd")
            atomic.replace(file, unfinished)
        return merged

    def clear(self) -> None:
        """Delete the bars that are there. The lock must be held."""
        for file in self.years():
            file.unlink()
        (self.path / ORIGIN_FILE).unlink(missing_ok=True)

    @contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the series alone; Conflict when somebody else does for too long."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as lock:
            give_up = time.monotonic() + seconds
            while not _try_lock(lock.fileno()):
                if time.monotonic() > give_up:
                    lock.seek(0)
                    owner = lock.read().strip() or "unknown"
                    raise Conflict(
                        f"{self.symbol} {self.timeframe} of {self.provider} is being written by process {owner}, for {seconds:g} s now",
                        hint="wait for that load to end, or cancel it, then load again",
                    )
                time.sleep(0.02)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def bars_of(frame: pl.DataFrame, symbol: str, timeframe: Timeframe, provider: str) -> Bars:
    """Bars from the columns of a file."""
    stamps = frame["timestamp"].to_numpy()
    prices = {name: frame[name].to_numpy() for name in COLUMNS}
    return Bars.checked(symbol, timeframe, stamps, **prices, provider=provider)


def frame_of(bars: Bars) -> pl.DataFrame:
    """The columns of a file from bars."""
    import polars as pl

    stamps = pl.Series("timestamp", bars.time.astype("datetime64[us]")).dt.replace_time_zone("UTC")
    return pl.DataFrame([stamps, *(pl.Series(name, getattr(bars, name)) for name in COLUMNS)])


def file_of(bars: Bars, form: str) -> bytes:
    """Bars as a file that can be loaded again, Parquet or CSV."""
    content = io.BytesIO()
    if form == "parquet":
        frame_of(bars).write_parquet(content, compression="zstd")
    else:
        frame_of(bars).write_csv(content, datetime_format="%Y-%m-%dT%H:%M:%S%.fZ")
    return content.getvalue()


def _empty() -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(schema={"timestamp": pl.Datetime("us", "UTC"), **dict.fromkeys(COLUMNS, pl.Float64)})


def _read(file: Path, columns: list[str] | None = None) -> pl.DataFrame:
    import polars as pl

    try:
        # Given a path, polars opens it more than once, and a writer may have replaced the file in between.
        return pl.read_parquet(io.BytesIO(file.read_bytes()), columns=columns or ["timestamp", *COLUMNS])
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise Invalid(f"{file} cannot be read: {broken}", hint="move it away and load its year again") from broken


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
