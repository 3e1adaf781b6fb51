"""The catalogue of the stored bars: what each file of a series holds, and every load with what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.database import Database

LoadState = Literal["asked", "answered", "empty", "failed"]
"""A load that was broken off stays `asked`."""
Hours = Literal["all", "regular", "extended"]
"""Which hours of the day were kept."""

VERSION = 2
LOAD = 'number, start, "end", hours, asked_at, ended_at, state, bars, added, conflicts, message, replaced, quarantined'
SCHEMA = f"""
CREATE TABLE periods (
    provider TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, hours TEXT NOT NULL, file TEXT NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL, bars INTEGER NOT NULL, stamp TEXT NOT NULL,
    PRIMARY KEY (provider, symbol, timeframe, hours, file)
) WITHOUT ROWID;
CREATE TABLE loads (
    number INTEGER PRIMARY KEY, provider TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    start TEXT NOT NULL, "end" TEXT NOT NULL, hours TEXT NOT NULL, state TEXT NOT NULL,
    bars INTEGER NOT NULL DEFAULT 0, added INTEGER NOT NULL DEFAULT 0, conflicts INTEGER NOT NULL DEFAULT 0,
    message TEXT, asked_at TEXT NOT NULL, ended_at TEXT,
    replaced INTEGER NOT NULL DEFAULT 0, quarantined INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX loads_of_a_series ON loads (symbol, timeframe, provider);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True)
class Key:
    """What names a series."""

    provider: str
    symbol: str
    timeframe: Timeframe
    hours: Hours = "all"

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """The key as the catalogue writes it."""
        return self.provider, self.symbol, self.timeframe.name, self.hours


@dataclass(frozen=True)
class Period:
    """What one file of a series holds, as long as the file has this stamp."""

    first: datetime
    last: datetime
    """Start of the last bar."""
    bars: int
    stamp: str

    def noted(self) -> dict[str, Any]:
        """The same for readers who have not the file."""
        return {"first": _text(self.first), "last": _text(self.last), "bars": self.bars}

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> Self:
        """What a note says of a file elsewhere."""
        return cls(_moment(note["first"]), _moment(note["last"]), note["bars"], "")


@dataclass(frozen=True)
class Outcome:
    """What came of a request to a provider."""

    state: LoadState
    bars: int = 0
    """How many the provider gave."""
    added: int = 0
    conflicts: int = 0
    """How many were stored with other values."""
    message: str | None = None
    replaced: int = 0
    """Of the conflicts, those of which the new values were kept."""
    quarantined: int = 0
    """Rows that could not be bars, and were not on record."""


@dataclass(frozen=True)
class Load:
    """One request to a provider."""

    number: int
    start: datetime
    end: datetime
    """It asked for [start, end)."""
    hours: Hours
    asked_at: datetime
    ended_at: datetime | None
    outcome: Outcome


class Catalog:
    """`catalog.sqlite` of one bar store."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the catalogue of bars", SCHEMA, "see that the folder can be written and has room", VERSION)

    def periods(self, key: Key) -> dict[str, Period]:
        """What the files of a series held when they were written, by name."""
        rows = self._rows(
            "SELECT file, first, last, bars, stamp FROM periods WHERE (provider, symbol, timeframe, hours) = (?, ?, ?, ?)", *key.columns
        )
        return {file: Period(_moment(first), _moment(last), bars, stamp) for file, first, last, bars, stamp in rows}

    def put(self, key: Key, periods: Mapping[str, Period]) -> None:
        """Note what files of a series hold now."""
        if not periods:
            return
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO periods VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*key.columns, file, _text(p.first), _text(p.last), p.bars, p.stamp) for file, p in periods.items()],
            )

    def forget(self, key: Key) -> None:
        """Strike a series of one kind of hours, and its loads."""
        with self._database.write() as connection:
            for table in ("periods", "loads"):
                statement = f"DELETE FROM {table} WHERE (provider, symbol, timeframe, hours) = (?, ?, ?, ?)"  # noqa: S608
                connection.execute(statement, key.columns)

    def begin(self, key: Key, start: datetime, end: datetime) -> int:
        """Note that a provider is being asked; returns the number of the load."""
        with self._database.write() as connection:
            number: int = connection.execute(
                'INSERT INTO loads (provider, symbol, timeframe, hours, start, "end", state, asked_at) '
                "VALUES (?, ?, ?, ?, ?, ?, 'asked', ?) RETURNING number",
                (*key.columns, _text(start), _text(end), _text(datetime.now(UTC))),
            ).fetchone()[0]
        return number

    def settle(self, number: int, outcome: Outcome) -> None:
        """Note what came of a load."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE loads SET state = ?, bars = ?, added = ?, conflicts = ?, message = ?, replaced = ?, quarantined = ?, ended_at = ? "
                "WHERE number = ?",
                (
                    outcome.state, outcome.bars, outcome.added, outcome.conflicts, outcome.message, outcome.replaced, outcome.quarantined,
                    _text(datetime.now(UTC)), number,
                ),
            )  # fmt: skip

    def loads(self, key: Key, limit: int) -> list[Load]:
        """The loads of a series with whatever hours, newest first."""
        where = "WHERE (provider, symbol, timeframe) = (?, ?, ?) ORDER BY number DESC LIMIT ?"
        return [_load(row) for row in self._rows(f"SELECT {LOAD} FROM loads {where}", *key.columns[:3], limit)]  # noqa: S608

    def load(self, number: int) -> tuple[Key, Load]:
        """One load, and the series it was of."""
        ((provider, symbol, timeframe, *row),) = self._rows(
            f"SELECT provider, symbol, timeframe, {LOAD} FROM loads WHERE number = ?",  # noqa: S608
            number,
        )
        load = _load(row)
        return Key(provider, symbol, Timeframe(timeframe), load.hours), load

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        if not self._database.path.exists():
            return []
        with self._database.read() as connection:
            return connection.execute(query, values).fetchall()


def _load(row: Iterable[Any]) -> Load:
    number, start, end, hours, asked, ended, *outcome = row
    return Load(number, _moment(start), _moment(end), hours, _moment(asked), _moment(ended) if ended else None, Outcome(*outcome))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
