"""Connecting to the operations database and bringing its tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ktrdr.errors import Invalid, Unavailable
from ktrdr.operations.tables import metadata

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
MIGRATIONS = Path(__file__).parent / "migrations"


async def connect(url: str) -> AsyncEngine:
    """An engine on a database whose tables are as this version needs them; Unavailable if it cannot be used."""
    engine = _engine(url)
    ready = False
    try:
        async with engine.connect() as connection:
            await connection.execution_options(ktrdr_write=True)
            async with connection.begin():
                await lock(connection, "tables")
                await connection.run_sync(_bring_up_to_date)
        ready = True
    except OperationalError as error:
        raise Unavailable(f"the operations database {engine.url.render_as_string()} cannot be used: {error.orig}") from None
    finally:
        if not ready:
            await engine.dispose()
    return engine


def _engine(url: str) -> AsyncEngine:
    try:
        named = make_url(url)
        drivers = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}
        engine = create_async_engine(named.set(drivername=drivers.get(named.drivername, named.drivername)), pool_pre_ping=True)
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
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "foreign_keys=ON"):
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
