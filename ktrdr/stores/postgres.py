"""A PostgreSQL database that small tables share with others, with the doors of `database.Database`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ktrdr.errors import Invalid, Unavailable
from ktrdr.stores.database import Connection

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS = 5
LOCK_SECONDS = 30
"""How long a writer waits for another one."""


class Session:
    """A connection that is asked as SQLite is: `?` stands for a value."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run one statement."""
        return self._connection.execute(statement.replace("?", "%s").encode(), values or None)


@dataclass(frozen=True)
class ServerDatabase:
    """Some tables of one database; made when it is first opened."""

    url: str
    noun: str
    """What it is called in an error."""
    schema: str
    """The statements that make its tables."""
    table: str
    """The first of them."""
    hint: str
    """What to do when it cannot be used."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for looking."""
        with self._open() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in one transaction, one writer at a time: all of it is kept, or, after an error, nothing."""
        with self._open() as session:
            self._lock(session)
            yield session

    def has(self, connection: Connection, table: str) -> bool:
        """Whether there is a table of this name."""
        # Not to_regclass(): it may remember that there was none, from before the wait for another's lock.
        there = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = ? AND pg_table_is_visible(oid))"
        return bool(connection.execute(there, (table,)).fetchone()[0])

    @property
    def name(self) -> str:
        """The database in a sentence, without what is secret."""
        named = urlsplit(self.url)
        host = named.netloc.rpartition("@")[2]
        return f"{self.noun} at postgresql://{f'{named.username}@' if named.username else ''}{host}{named.path}"

    @contextmanager
    def _open(self) -> Iterator[Session]:
        try:
            import psycopg
        except ModuleNotFoundError:
            raise Unavailable(f"{self.name} needs the package psycopg", hint="pip install 'ktrdr[postgres]'") from None
        try:
            given: dict[str, Any] = psycopg.conninfo.conninfo_to_dict("postgresql://" + self.url.partition("://")[2])
            if "@" in urlsplit(self.url).path:
                raise ValueError("a password with a / that is not written %2F reads as a host and a path")
        except (psycopg.ProgrammingError, ValueError):
            # What libpq says of it may repeat a part of the password.
            raise Invalid(f"{self.noun} has no address of a PostgreSQL database", hint="such as postgresql://user@host/ktrdr") from None
        try:
            with psycopg.connect(psycopg.conninfo.make_conninfo(**{"connect_timeout": CONNECT_SECONDS, **given})) as connection:
                session = Session(connection)
                if not self.has(session, self.table):
                    self._make(session)
                yield session
        except psycopg.DataError as error:
            raise Invalid(f"{self.name} cannot take what it was given: {_said(error)}") from error
        except psycopg.Error as error:
            raise Unavailable(f"{self.name} cannot be used: {_said(error)}", hint=self.hint) from error

    def _make(self, session: Session) -> None:
        self._lock(session)
        if not self.has(session, self.table):
            session.execute(self.schema)
        session.execute("COMMIT")

    def _lock(self, session: Session) -> None:
        session.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        session.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"ktrdr {self.table}",))


def _said(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
