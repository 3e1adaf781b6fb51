"""What only the engine of one machine does: fork servers, giving back at the end, several backends on one database."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from ktrdr.operations.launch import SpawnLauncher
from ktrdr.operations.model import Status
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend, runner_environment
from tests.contracts.conftest import new_database
from tests.contracts.engines import backend
from tests.contracts.test_engine import LONG, at_work, is_there
from tests.contracts.waiting import until

pytestmark = pytest.mark.process


async def test_a_killed_fork_server_is_replaced() -> None:
    async with backend() as opened:
        operation, pid = await at_work(opened.operations)
        server = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)
        again = await until(opened.operations, operation.operation_id, lambda o: o.attempt == 2 and o.status is Status.RUNNING)
        assert again.status is Status.RUNNING
        assert not is_there(pid)
        assert (await opened.operations.cancel(operation.operation_id)).status is Status.CANCELLED


async def test_a_backend_that_closes_gives_back_what_runs_and_the_next_one_goes_on() -> None:
    async with backend() as opened:
        operation, pid = await at_work(opened.operations, duration=2, iterations=10)
    assert not is_there(pid)
    async with backend() as opened:
        ended = await until(opened.operations, operation.operation_id, lambda o: o.status.ended)
        assert (ended.status, ended.attempt) == (Status.COMPLETED, 2)


async def test_runners_can_be_started_afresh_where_forking_is_not_safe() -> None:
    settings = Settings()
    async with open_backend(settings, SpawnLauncher(runner_environment(settings))) as opened:
        service = opened.operations
        started = await service.start("dummy", {"duration": 0.2, "iterations": 2})
        assert (await until(service, started.operation_id, lambda o: o.status.ended)).status is Status.COMPLETED
        operation, pid = await at_work(service)
        assert (await service.cancel(operation.operation_id)).status is Status.CANCELLED
        assert not is_there(pid)


async def test_a_database_that_is_locked_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """Longer than the database itself waits: what runs goes on, and its end is written when that is possible."""
    async with backend() as opened:
        started = await opened.operations.start("dummy", {"duration": 1.0, "iterations": 10})
        await until(opened.operations, started.operation_id, lambda o: o.progress.percentage > 0)
        other = sqlite3.connect(opened.settings.home / "ktrdr.db", isolation_level=None, timeout=10)
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        assert (await opened.operations.health())["store"] != "ok"
        await asyncio.sleep(max(0.0, 6.5 - (time.monotonic() - begun)))
        assert (await opened.operations.get(started.operation_id)).status is Status.RUNNING
        other.execute("ROLLBACK")
        other.close()
        record = await until(opened.operations, started.operation_id, lambda o: o.status.ended)
        assert (record.status, record.attempt) == (Status.COMPLETED, 1)
        assert set((await opened.operations.health()).values()) == {"ok"}
        later = await opened.operations.start("dummy", {"duration": 0.1, "iterations": 1})
        assert (await until(opened.operations, later.operation_id, lambda o: o.status.ended)).status is Status.COMPLETED


async def test_two_backends_on_one_database(postgres: str, tmp_path: Path) -> None:
    """One takes from the queue; both show, cancel and tell; when the first leaves, the second takes over."""
    url = await asyncio.to_thread(new_database, postgres)
    first_home, second_home = (Settings(database_url=url, home=tmp_path / name) for name in ("one", "two"))
    async with open_backend(second_home) as helper:
        async with open_backend(first_home) as other:
            backends = (helper, other)
            leaders = [b for b in backends if await b.operations._dispatcher._lead.held()]
            assert len(leaders) == 1
            started = [await b.operations.start("dummy", LONG) for b in backends]
            for one in started:
                await until(other.operations, one.operation_id, lambda o: o.progress.percentage > 0)
            follower = next(b for b in backends if b not in leaders)
            assert (await follower.operations.cancel(started[0].operation_id, wait=5)).status is Status.CANCELLED
            stream = follower.operations.events(started[1].operation_id)
            assert (await anext(stream)).operation.status is Status.RUNNING
            await leaders[0].operations.cancel(started[1].operation_id)
            assert [event.event async for event in stream][-1] == "cancelled"
        quick = await helper.operations.start("dummy", {"duration": 0.1, "iterations": 1})
        assert (await until(helper.operations, quick.operation_id, lambda o: o.status.ended)).status is Status.COMPLETED
