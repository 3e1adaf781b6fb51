"""Connecting to the operations database and bringing its tables up to date."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ktrdr.errors import Invalid, Unavailable
from ktrdr.log import logger
from ktrdr.operations.tables import metadata

HEAD = "0002"
"""The newest revision in `migrations/versions`."""
MIGRATIONS = Path(__file__).parent / "migrations"
log = logger(__name__)


async def connect(url: str, most: int | None = None) -> AsyncEngine:
    """An engine on a database whose tables are as this version needs them, with at most so many connections; Unavailable if it
    cannot be used.
    """
    engine = _engine(url, most)
    ready = False
    try:
        if engine.dialect.name == "sqlite":  # first without aiosqlite, whose thread outlives a file that cannot be opened
            sqlite3.connect(engine.url.database or ":memory:").close()
        async with engine.connect() as connection:
            await connection.execution_options(ktrdr_write=True)
            async with connection.begin():
                await lock(connection, "tables")
                await connection.run_sync(_bring_up_to_date)
        ready = True
    except (OperationalError, sqlite3.OperationalError) as error:
        why = error.orig if isinstance(error, OperationalError) else error
        raise Unavailable(f"the operations database {engine.url.render_as_string()} cannot be used: {why}") from None
    finally:
        if not ready:
            await engine.dispose()
    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine, *, write: bool = False) -> AsyncIterator[AsyncConnection]:
    """All of it or nothing; Unavailable while the database cannot be used."""
    turn = engine.get_execution_options().get("ktrdr_turn") if write else None
    try:
        async with turn or nullcontext(), engine.connect() as connection:
            if write:
                await connection.execution_options(ktrdr_write=True)
            async with connection.begin():
                yield connection
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, NoFreeConnection) as error:
        why = error.orig if isinstance(error, DBAPIError) else "all its connections are busy"
        hint = "what runs goes on and writes when it can; is the disk full, or the database locked or read-only?"
        raise Unavailable(f"the operations database cannot be used now: {why}", hint=hint) from error


class Lead:
    """The right to take operations from the queue, which one backend per database has at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file: TextIOWrapper | None = None
        self._session: AsyncConnection | None = None

    async def held(self) -> bool:
        """Whether this backend has it; takes it if nobody does."""
        return await (self._held_in_postgresql() if self._engine.dialect.name == "postgresql" else self._held_in_file())

    async def taken(self) -> bool:
        """Whether any process on this PostgreSQL has it."""
        key = "((classid::bigint << 32) | objid::bigint) = hashtextextended('ktrdr lead', 0)"
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        locks = f"SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND {here} AND {key})"  # noqa: S608
        async with transaction(self._engine) as connection:
            return bool((await connection.execute(text(locks))).scalar_one())

    async def release(self) -> None:
        """Let another one have it."""
        if self._session:
            if not self._session.invalidated:
                with suppress(DBAPIError):
                    await self._session.execute(text("SELECT pg_advisory_unlock_all()"))
            await self._session.close()
        if self._file:
            self._file.close()
        self._session = self._file = None

    async def _held_in_file(self) -> bool:
        if self._file is None:
            file = Path(f"{self._engine.url.database}.lock").open("a", encoding="utf-8")  # noqa: ASYNC230, SIM115  (held until release)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._file = file
        return True

    async def _held_in_postgresql(self) -> bool:
        try:
            if self._session is None:
                self._session = await (await self._engine.connect()).execution_options(isolation_level="AUTOCOMMIT")
            # The session that has it gets it again; a session that was lost has lost it.
            taken = await self._session.execute(text("SELECT pg_try_advisory_lock(hashtextextended('ktrdr lead', 0))"))
            if taken.scalar_one():
                return True
        except DBAPIError as error:
            log.warning("the lead cannot be asked for", reason=str(error.orig))
            if self._session:
                await self._session.invalidate()  # nothing more can be said on it, and what it held is free
        await self.release()
        return False


def _engine(url: str, most: int | None) -> AsyncEngine:
    sizes: dict[str, Any] = {"pool_size": most, "max_overflow": 0} if most else {}
    try:
        named = make_url(url)
        drivers = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}
        driven = named.set(drivername=drivers.get(named.drivername, named.drivername))
        # SQLite has one writer: who waits in line here is served at once, who asks the file again and again waits for seconds.
        turns = {"ktrdr_turn": asyncio.Lock()} if driven.get_backend_name() == "sqlite" else {}
        engine = create_async_engine(driven, pool_pre_ping=True, execution_options=turns, **sizes)
    except ArgumentError as error:
        raise Invalid(f"KTRDR_DATABASE_URL is no database address: {error}", hint="such as postgresql://user@host/ktrdr") from None
    except ModuleNotFoundError as error:
        raise Unavailable(f"{url.split(':', maxsplit=1)[0]} needs the package {error.name}", hint="pip install 'ktrdr[postgres]'") from None
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine)
    return engine


def _tune_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # Transactions are begun by the hook below, not by the driver, so that writers can begin at once.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("ktrdr_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


async def lock(connection: AsyncConnection, name: str) -> None:
    """Let one transaction at a time go on from here; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"ktrdr {name}"})


def _bring_up_to_date(connection: Connection) -> None:
    tables = inspect(connection).get_table_names()
    if "operations" not in tables:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    stored = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if stored != HEAD:
        migrate(connection)


def migrate(connection: Connection) -> None:
    """Run the migrations that a database lacks."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable(f"the operations database is not one of this version: {error}", hint="install the newest ktrdr") from None
