"""The catalogue of the stored bars: what each series holds, and every load with what came of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.database import Database

LoadState = Literal["asked", "answered", "empty", "failed"]
"""A load that was broken off stays `asked`."""
Hours = Literal["all", "regular", "extended"]
"""Which hours of the day were kept."""

SCHEMA = """
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
"""


@dataclass(frozen=True)
class Key:
    """What names a series."""

    provider: str
    symbol: str
    timeframe: Timeframe

    @property
    def columns(self) -> tuple[str, str, str]:
        """The key as the catalogue writes it."""
        return self.provider, self.symbol, self.timeframe.name


@dataclass(frozen=True)
class Extent:
    """What a series holds, as long as its files have this fingerprint."""

    first: datetime
    last: datetime
    """Start of the last bar."""
    bars: int
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """What came of a request to a provider."""

    state: LoadState
    bars: int = 0
    """How many the provider gave."""
    added: int = 0
    conflicts: int = 0
    message: str | None = None


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
        self._database = Database(path, "the catalogue of bars", SCHEMA, "see that the folder can be written and has room")

    def extent(self, key: Key) -> Extent | None:
        """What was last written of a series."""
        rows = self._rows("SELECT first, last, bars, fingerprint FROM series WHERE (provider, symbol, timeframe) = (?, ?, ?)", *key.columns)
        return Extent(_moment(rows[0][0]), _moment(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def put(self, key: Key, extent: Extent) -> None:
        """Note what a series holds now."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key.columns, _text(extent.first), _text(extent.last), extent.bars, extent.fingerprint),
            )

    def begin(self, key: Key, start: datetime, end: datetime, hours: Hours) -> int:
        """Note that a provider is being asked; returns the number of the load."""
        with self._database.write() as connection:
            number: int = connection.execute(
                'INSERT INTO loads (provider, symbol, timeframe, start, "end", hours, state, asked_at) '
                "VALUES (?, ?, ?, ?, ?, ?, 'asked', ?) RETURNING number",
                (*key.columns, _text(start), _text(end), hours, _text(datetime.now(UTC))),
            ).fetchone()[0]
        return number

    def settle(self, number: int, outcome: Outcome) -> None:
        """Note what came of a load."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE loads SET state = ?, bars = ?, added = ?, conflicts = ?, message = ?, ended_at = ? WHERE number = ?",
                (*dataclasses.astuple(outcome), _text(datetime.now(UTC)), number),
            )

    def loads(self, key: Key, limit: int) -> list[Load]:
        """The loads of a series, newest first."""
        rows = self._rows(
            'SELECT number, start, "end", hours, asked_at, ended_at, state, bars, added, conflicts, message FROM loads '
            "WHERE (provider, symbol, timeframe) = (?, ?, ?) ORDER BY number DESC LIMIT ?",
            *key.columns, limit,
        )  # fmt: skip
        return [
            Load(number, _moment(start), _moment(end), hours, _moment(asked), _moment(ended) if ended else None, Outcome(*outcome))
            for number, start, end, hours, asked, ended, *outcome in rows
        ]

    def forget(self, key: Key) -> None:
        """Strike a series and its loads."""
        with self._database.write() as connection:
            for table in ("series", "loads"):
                connection.execute(f"DELETE FROM {table} WHERE (provider, symbol, timeframe) = (?, ?, ?)", key.columns)  # noqa: S608

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        if not self._database.path.exists():
            return []
        with self._database.read() as connection:
            return connection.execute(query, values).fetchall()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
