"""The folder of one series: Parquet files by period, merged under a lock."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars, Floats, Times, as_datetime, as_time
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.stores import atomic, loads, quarantine, revisions
from ktrdr.stores.catalog import Hours, Key, Period
from ktrdr.stores.locks import LOCK_SECONDS, locked

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = "2"
ORIGIN_FILE = "origin.txt"
WHOLE = "all"
"""The period of bars of a day and more: they stand in one file."""
SAME = 2.5e-7
"""Values that differ by no larger share are one: providers round to 32 bits, which makes two roundings this far apart."""
SETTLED = {True: timedelta(days=2), False: timedelta(hours=2)}
"""A bar may still be mended by its provider for so long after its end, of a day and more, and of less."""


@dataclass(frozen=True)
class Merged:
    """What came of adding bars to a series."""

    added: int = 0
    unchanged: int = 0
    """Bars that were there already with the same values, but for rounding."""
    conflicts: int = 0
    """Bars that were there with other values."""
    replaced: int = 0
    """Of these, those of which the new values were kept; the others stay as they were. Both are on record."""
    periods: dict[str, Period] = field(default_factory=dict)
    """The files that were written, by name."""

    def __add__(self, other: Merged) -> Merged:
        return Merged(
            self.added + other.added, self.unchanged + other.unchanged, self.conflicts + other.conflicts,
            self.replaced + other.replaced, self.periods | other.periods,
        )  # fmt: skip


@dataclass(frozen=True)
class SeriesFolder:
    """Where the bars of one provider, symbol, timeframe and trading hours are."""

    path: Path
    provider: str
    symbol: str
    timeframe: Timeframe
    hours: Hours = "all"

    @property
    def key(self) -> Key:
        """What names the series in the catalogue."""
        return Key(self.provider, self.symbol, self.timeframe, self.hours)

    @property
    def name(self) -> str:
        """What names the series in a sentence."""
        hours = "" if self.hours == "all" else f", {self.hours} hours,"
        return f"{self.symbol} {self.timeframe} of {self.provider}{hours}"

    def files(self) -> tuple[Path, ...]:
        """The files of bars, oldest first; unfinished ones are not among them."""
        if not self.path.is_dir():
            return ()
        return tuple(sorted(file for file in self.path.iterdir() if self.is_of_bars(file.name)))

    def is_of_bars(self, file: str) -> bool:
        """Whether a file of this name holds bars."""
        pattern = {"": WHOLE, "Y": r"\d{4}", "M": r"\d{4}-\d{2}"}[self._unit]
        return re.fullmatch(rf"{pattern}\.parquet", file) is not None

    def origin(self) -> str:
        """What the bars are, where the provider's name does not say it all, such as the exchange."""
        file = self.path / ORIGIN_FILE
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def keep_to(self, origin: str) -> None:
        """Invalid unless the bars that are there are of this origin; a folder without bars takes it. The lock must be held."""
        if self.files() and origin != self.origin():
            raise self.of_another_origin(origin)
        if origin != self.origin():
            atomic.write(self.path / ORIGIN_FILE, origin.encode())

    def of_another_origin(self, origin: str) -> Invalid:
        """The error of adding bars of one origin to those of another."""
        held, other = self.origin() or "bars of no named origin", origin or "bars of no named origin"
        return Invalid(
            f"{self.name} holds {held}, not {other}; one series does not mix them",
            hint=f"load it with the same options as before, or move its folder away: {self.path}",
        )

    def read(self, start: datetime | None = None, end: datetime | None = None) -> Bars:
        """The bars of [start, end)."""
        holds = self.holding(start, end)
        return self._bars([_read(file) for file in self.files() if holds(file.name)]).between(start, end)

    def holding(self, start: datetime | None, end: datetime | None) -> Callable[[str], bool]:
        """Which files of bars may hold some of [start, end)."""
        low, high = (self._period(as_time(moment)) if moment else None for moment in (start, end))

        def holds(file: str) -> bool:
            period = file.removesuffix(".parquet")
            return self.is_of_bars(file) and (low is None or period >= low) and (high is None or period <= high)

        return holds

    def period(self, file: Path) -> Period:
        """What a file holds."""
        stamp = stamp_of(file)
        times = _read(file, ["timestamp"])["timestamp"].to_numpy()
        return Period(as_datetime(times[0]), as_datetime(times[-1]), len(times), stamp)

    def merge(self, bars: Bars, *, refresh: bool = False, now: datetime | None = None) -> Merged:
        """Add bars, period by period. The lock must be held.

        Where a bar is there with other values, the new ones win if `refresh` asks for it, or if the bar ended so shortly before
        `now` that its provider may have mended it; else it stays. Either way both are put on record first.
        """
        seen_at = now or datetime.now(UTC)
        settled = np.datetime64(as_time(seen_at - SETTLED[self.timeframe.seconds >= SECONDS["1d"]]))
        for stale in self.path.glob(f"{atomic.PREFIX}*"):
            stale.unlink()
        merged = Merged()
        for period, rows in self._periods(bars.time):
            part = bars.rows(rows)
            merged += self._merge(period, part, part.known_at > settled if not refresh else np.ones(len(part), bool), seen_at)
        return merged

    def _merge(self, period: str, fresh: Bars, may_win: NDArray[np.bool_], seen_at: datetime) -> Merged:
        file = self.path / f"{period}.parquet"
        old = self._bars([_read(file)] if file.exists() else [])
        place = np.searchsorted(old.time, fresh.time)
        there = np.zeros(len(fresh), bool)
        inside = place < len(old)
        there[inside] = old.time[place[inside]] == fresh.time[inside]
        stored, offered = _values(old)[:, place[there]], _values(fresh)[:, there]
        differs = np.any(np.abs(stored - offered) > SAME * np.maximum(np.abs(stored), np.abs(offered)), axis=0)
        wins = differs & may_win[there]
        if differs.any():
            at = fresh.time[there][differs]
            revisions.add(
                self.path, at, stored=stored[:, differs], offered=offered[:, differs], wins=wins[differs], seen_at=seen_at
            )  # fmt: skip
        added = int((~there).sum())
        counted = Merged(added, int((~differs).sum()), int(differs.sum()), int(wins.sum()))
        if not added and not wins.any():
            return counted
        values = _values(old)
        values[:, place[there][wins]] = offered[:, wins]
        time, values = np.concatenate((old.time, fresh.time[~there])), np.concatenate((values, _values(fresh)[:, ~there]), axis=1)
        order = np.argsort(time, kind="stable")
        return counted + Merged(periods={file.name: self._write(file, self._made(time[order], values[:, order]))})

    def _write(self, file: Path, bars: Bars) -> Period:
        """Put bars in the place of a file, whole or not at all."""
        identity = {"provider": self.provider, "symbol": self.symbol, "timeframe": self.timeframe.name, "hours": self.hours}
        unfinished = atomic.unfinished(file)
        frame_of(bars).write_parquet(
            unfinished, compression="zstd", metadata={"ktrdr_schema": SCHEMA_VERSION, "ktrdr_series": json.dumps(identity)}
        )
        atomic.replace(file, unfinished)
        return Period(as_datetime(bars.time[0]), as_datetime(bars.time[-1]), len(bars), stamp_of(file))

    def clear(self) -> None:
        """Delete the bars that are there, and what stands beside them. The lock must be held."""
        for file in [*self.files(), *(self.path / name for name in (ORIGIN_FILE, revisions.FILE, quarantine.FILE, loads.FILE))]:
            file.unlink(missing_ok=True)

    @contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the series alone; Conflict when somebody else does for too long."""
        with locked(self.path / ".lock", self.name, seconds):
            yield

    @property
    def _unit(self) -> str:
        """A file holds a month or a year (as numpy calls them), or everything: at most some 45,000 bars."""
        if self.timeframe.seconds >= SECONDS["1d"]:
            return ""
        return "M" if self.timeframe.seconds < SECONDS["15m"] else "Y"

    def _period(self, time: np.datetime64) -> str:
        return str(time.astype(f"datetime64[{self._unit}]")) if self._unit else WHOLE

    def _periods(self, time: Times) -> Iterator[tuple[str, slice]]:
        """The periods that ascending times fall into, each with its rows."""
        if not self._unit:
            yield WHOLE, slice(0, len(time))
            return
        cell = time.astype(f"datetime64[{self._unit}]")
        starts = np.flatnonzero(np.concatenate((np.ones(min(len(cell), 1), bool), cell[1:] != cell[:-1]))).tolist()
        for first, after in zip(starts, [*starts[1:], len(cell)], strict=False):
            yield str(cell[first]), slice(first, after)

    def _bars(self, tables: list[pl.DataFrame]) -> Bars:
        if not tables:
            return self._made(np.empty(0, "datetime64[us]"), np.empty((len(COLUMNS), 0)))
        time, *columns = (np.concatenate([table[name].to_numpy() for table in tables]) for name in ("timestamp", *COLUMNS))
        for array in (time, *columns):
            array.setflags(write=False)  # so that it is not copied once more
        return self._made(time, columns)

    def _made(self, time: Times, columns: Iterable[Floats]) -> Bars:
        return Bars.checked(self.symbol, self.timeframe, time, **dict(zip(COLUMNS, columns, strict=True)), provider=self.provider)


def stamp_of(file: Path) -> str:
    """Size and time of a file: another text when it was changed."""
    stat = file.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


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


def _values(bars: Bars) -> Floats:
    """The columns as rows of one array, a copy."""
    return np.stack([getattr(bars, name) for name in COLUMNS])


def _read(file: Path, columns: list[str] | None = None) -> pl.DataFrame:
    import polars as pl

    try:
        # Given a path, polars opens it more than once, and a writer may have replaced the file in between.
        return pl.read_parquet(io.BytesIO(file.read_bytes()), columns=columns or ["timestamp", *COLUMNS])
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise Invalid(f"{file} cannot be read: {broken}", hint="move it away and load its period again") from broken
