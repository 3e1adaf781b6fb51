"""Small SQLite files that several processes share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ktrdr.errors import Invalid, Unavailable
from ktrdr.stores import atomic

BUSY_SECONDS = 5.0
"""How long a writer waits for another one."""
MOVE = "bring it into the present layout, once: python -m ktrdr.stores.layout"
"""What to do with bars that an older version stored."""


class Answer(Protocol):
    """The rows of a statement."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What tables are asked through; `?` stands for a value."""

    def execute(self, statement: str, values: tuple[Any, ...] = (), /) -> Answer:
        """Run one statement."""


@dataclass(frozen=True)
class Database:
    """One file with its tables; made when it is first opened."""

    path: Path
    noun: str
    """What it is called in an error."""
    schema: str
    """The statements that make its tables."""
    hint: str
    """What to do when the file cannot be used."""
    version: int = 0
    """`user_version` of the file; 0 where there has been one schema only."""

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for looking."""
        with self._open() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in one transaction: all of it is kept, or, after an error, nothing."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def has(self, connection: Connection, table: str) -> bool:
        """Whether there is a table of this name."""
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self._make()
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                self._check_version(connection)
                yield connection
        except (OSError, sqlite3.Error) as broken:
            raise Unavailable(f"{self.noun} at {self.path} cannot be used: {broken}", hint=self.hint) from broken

    def _check_version(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA user_version").fetchone()[0] if self.version else 0
        if found != self.version:
            raise Invalid(f"{self.noun} at {self.path} is of version {found}, this ktrdr has version {self.version}", hint=MOVE)

    def _make(self) -> None:
        # Made aside and then given its name: two processes that turn one empty file to WAL would lock each other out.
        fresh = atomic.unfinished(self.path)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(self.schema)
        atomic.create(self.path, fresh)
