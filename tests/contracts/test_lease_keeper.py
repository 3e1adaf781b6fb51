"""A guardian on a node, without the cluster around it: it keeps its lease by itself, hears over PostgreSQL, and lets go in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from ktrdr.cluster.attempt import live
from ktrdr.operations.model import CPU, Operation, Status
from ktrdr.operations.store import NewOperation, Store
from ktrdr.operations.tables import operations
from ktrdr.settings import Settings
from tests.contracts.conftest import new_database
from tests.contracts.scripted import SCRIPT
from tests.contracts.test_engine import is_there

pytestmark = pytest.mark.process
WORKS = "n = 0\nwhile True:\n    n += 1\n    progress(n)\n    time.sleep(0.02)\n"
LEAVES = """
progress(1)
while json.loads(lines.readline())["type"] != "drain":
    pass
say(type="end", status="drained", result=None, error=None)
"""


@dataclass(frozen=True)
class Node:
    """An attempt that runs here as it would on a node."""

    store: Store
    operation_id: str
    life: asyncio.Task[None]
    server: str
    database: str

    async def row(self) -> Operation:
        return await self.store.get(self.operation_id)

    async def pid(self) -> int:
        (place,) = await self.store.placed()
        assert (place.node, place.lease_owner) == ("here", "here")
        assert place.pid
        return place.pid

    async def reachable(self, *, yes: bool) -> None:
        """Let nobody connect to the database, or everybody again."""
        engine = create_async_engine(self.server, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS {yes}"))
            await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.database}'"))
        await engine.dispose()


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def attempt(server: str, script: str = WORKS, **given: float) -> AsyncIterator[Node]:
    url = await asyncio.to_thread(new_database, server)
    short = {"renew_seconds": 0.2, "renew_fails_seconds": 1.0, "lease_seconds": 2.0}
    settings = Settings(database_url=url, engine="ray", ray_address="127.0.0.1:6379", **{**short, **given})
    settings.home.mkdir(parents=True)
    (settings.home / SCRIPT).write_text(script, encoding="utf-8")
    store = await Store.open(url)
    try:
        await store.submit(NewOperation("dummy", {}))
        (claim,) = await store.claim(CPU, 1, timedelta(seconds=20), "a dispatcher")
        life = asyncio.create_task(live(claim, settings, "tests.contracts.scripted", "here", None))
        node = Node(store, claim.operation.operation_id, life, server, str(make_url(url).database))

        async def works() -> bool:
            return (await node.row()).progress.percentage > 0

        await until(works)
        yield node
        async with asyncio.timeout(10):
            await life
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        await store.close()


async def test_a_word_over_postgresql_stops_it(postgres: str) -> None:
    async with attempt(postgres, renew_seconds=60, renew_fails_seconds=61, lease_seconds=62) as node:
        pid = await node.pid()
        outcome = await node.store.cancel(node.operation_id, "enough")
        channels = node.store.channels()
        channels.signal(node.operation_id, 2, "cancel")  # another attempt's
        channels.send("ktrdr_control", "nobody understands this")
        await channels.settle()
        await asyncio.sleep(0.2)
        assert is_there(pid)
        for told in outcome.running:
            channels.signal(*told, "cancel")
        await node.life
        assert ((await node.row()).status, (await node.row()).error_message) == (Status.CANCELLED, "enough")
        assert not is_there(pid)


async def test_a_word_that_was_missed_is_found_when_the_lease_is_renewed(postgres: str) -> None:
    async with attempt(postgres) as node:
        await node.store.cancel(node.operation_id, "nobody tells it")
        async with asyncio.timeout(5):
            await node.life
        assert (await node.row()).status is Status.CANCELLED


async def test_what_was_claimed_and_has_not_begun_ends_at_once_when_it_is_cancelled(postgres: str) -> None:
    store = await Store.open(await asyncio.to_thread(new_database, postgres))
    operation = await store.submit(NewOperation("dummy", {}))
    await store.claim(CPU, 1, timedelta(seconds=20), "a dispatcher")
    assert (await store.cancel(operation.operation_id, "too slow")).running == [(operation.operation_id, 1)]
    outcome = await store.cancel(operation.operation_id, "too slow", unbegun=True)
    assert (outcome.running, outcome.ended) == ([], [operation.operation_id])
    assert (await store.get(operation.operation_id)).status is Status.CANCELLED
    await store.close()


async def test_it_holds_its_lease_for_as_long_as_it_works(postgres: str) -> None:
    async with attempt(postgres) as node:

        async def lease() -> datetime:
            async with node.store._engine.connect() as connection:
                until: datetime = (await connection.execute(select(operations.c.lease_until))).scalar_one()
                return until

        before = await lease()
        await asyncio.sleep(2.5)
        assert await lease() > before
        assert await node.store.leased() == []
        await node.store.cancel(node.operation_id, "done")


async def test_a_drained_one_goes_back_into_the_queue_and_nothing_is_held_against_it(postgres: str) -> None:
    async with attempt(postgres, LEAVES) as node:
        channels = node.store.channels()
        channels.signal(node.operation_id, 1, "drain")
        await node.life
        await channels.settle()
        assert (await node.row()).status is Status.PENDING
        assert [h.event for h in await node.store.history(node.operation_id)] == ["queued", "started", "drained"]


async def test_one_that_is_anothers_ends_its_runner_and_changes_nothing(postgres: str) -> None:
    async with attempt(postgres) as node:
        pid = await node.pid()
        await node.store.lose(node.operation_id, 1, "thought dead", 3)
        async with asyncio.timeout(5):
            await node.life
        assert not is_there(pid)
        events = [h.event for h in await node.store.history(node.operation_id)]
        assert ((await node.row()).status, events) == (Status.PENDING, ["queued", "started", "lost"])


async def test_without_the_database_its_runner_ends_before_the_lease_and_the_rest_is_written_later(postgres: str) -> None:
    async with attempt(postgres) as node:
        pid = await node.pid()
        begun = time.monotonic()
        await node.reachable(yes=False)
        async with asyncio.timeout(5):
            while is_there(pid):
                await asyncio.sleep(0.01)
        assert 0.5 < time.monotonic() - begun < 2.0 + 1.0  # it waits for the database, and not for ever
        await node.reachable(yes=True)
        async with asyncio.timeout(10):
            await node.life
        events = [h.event for h in await node.store.history(node.operation_id)]
        assert ((await node.row()).status, events) == (Status.PENDING, ["queued", "started", "drained"])


async def test_a_short_absence_of_the_database_costs_nothing(postgres: str) -> None:
    async with attempt(postgres, renew_fails_seconds=15, lease_seconds=20) as node:
        pid = await node.pid()
        await node.reachable(yes=False)
        await asyncio.sleep(1.5)
        await node.reachable(yes=True)

        async def heard() -> bool:  # a new connection listens again
            channels = node.store.channels()
            channels.signal(node.operation_id, 1, "cancel")
            await channels.settle()
            return node.life.done()

        assert is_there(pid)
        await node.store.cancel(node.operation_id, "all is well")
        await until(heard)
        assert ((await node.row()).status, (await node.row()).attempt) == (Status.CANCELLED, 1)
