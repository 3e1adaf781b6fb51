"""A machine that is to be emptied: nothing new starts, what runs goes back to the queue, and nothing is held against it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from ktrdr.api.app import PREFIX, create_app
from ktrdr.operations.model import Operation, Status
from ktrdr.services.operations import OperationsService
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.conftest import new_database
from tests.contracts.serving import served
from tests.contracts.test_engine import at_work, backend, is_there
from tests.contracts.waiting import until

pytestmark = pytest.mark.process


async def test_what_runs_goes_back_to_the_queue_and_on_when_that_is_undone() -> None:
    async with backend(max_attempts=1) as opened:
        operations = opened.operations
        running = [await at_work(operations) for _ in range(2)]
        ids = [operation.operation_id for operation, _ in running]
        heard = asyncio.create_task(statuses(operations, ids[0]))
        met = await opened.fleet.drain(None)
        assert (met.draining, sorted(met.told), sorted(met.left)) == (True, sorted(ids), sorted(ids))
        assert not any(is_there(pid) for _, pid in running)
        assert (await opened.fleet.places()).draining
        waiting = await operations.start("dummy", {"duration": 0.05, "iterations": 1})
        await asyncio.sleep(1.2)  # longer than the queue is ever left alone
        for operation_id in [*ids, waiting.operation_id]:
            assert (await operations.get(operation_id)).status is Status.PENDING
        assert await opened.fleet.drain(None) == await opened.fleet.drain(None)  # nothing is left to be asked
        await opened.fleet.undrain(None)
        assert not (await opened.fleet.places()).draining
        for operation_id in ids:
            again = await until(operations, operation_id, lambda o: o.attempt == 2 and o.progress.percentage > 0)
            assert again.error is None
            await operations.cancel(operation_id)
        assert (await until(operations, waiting.operation_id, lambda o: o.status.ended)).status is Status.COMPLETED
        assert {"pending", "running", "cancelled"} <= set(await heard)  # who follows sees it wait


async def statuses(operations: OperationsService, operation_id: str) -> list[str]:
    return [event.operation.status.value async for event in operations.events(operation_id)]


async def test_what_does_not_leave_is_killed_and_that_is_not_held_against_it() -> None:
    async with backend(max_attempts=1) as opened:
        operation, pid = await at_work(opened.operations)
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        met = await opened.fleet.drain(None)
        assert (met.told, met.left) == ([operation.operation_id], [])
        assert time.monotonic() - begun < 5
        os.kill(pid, signal.SIGKILL)  # as the engine does when its patience is over
        back = await until(opened.operations, operation.operation_id, lambda o: o.status is not Status.RUNNING)
        assert (back.status, back.error) == (Status.PENDING, None)
        await opened.operations.cancel(operation.operation_id)


async def test_a_cancel_is_heard_while_it_drains() -> None:
    async with backend() as opened:
        operation, pid = await at_work(opened.operations)
        os.kill(pid, signal.SIGSTOP)
        draining = asyncio.create_task(opened.fleet.drain(None))
        await asyncio.sleep(0.05)
        ended = await opened.operations.cancel(operation.operation_id, "no longer needed")
        assert (ended.status, ended.error_message) == (Status.CANCELLED, "no longer needed")
        assert (await draining).left == [operation.operation_id]


async def test_another_backend_of_the_database_takes_over(postgres: str, tmp_path: Path) -> None:
    url = await asyncio.to_thread(new_database, postgres)
    first, second = (Settings(home=tmp_path / name, database_url=url) for name in "ab")
    async with open_backend(first) as leading:
        operation, _ = await at_work(leading.operations)
        async with open_backend(second) as other:
            await leading.fleet.drain(None)

            def moved(now: Operation) -> bool:
                return now.attempt == 2 and now.progress.percentage > 0

            await until(other.operations, operation.operation_id, moved)
            busy = [slot.worker for slot in await other.operations.workers() if slot.operation_id == operation.operation_id]
            assert busy == ["local-light-1"]
            await other.operations.cancel(operation.operation_id)


def test_over_http(tmp_path: Path) -> None:
    with served(create_app(Settings(), "the home's id")) as url, httpx.Client(base_url=f"{url}{PREFIX}", trust_env=False) as api:
        nothing = {"draining": True, "nodes": [], "told": [], "left": []}
        assert api.post("/workers/drain", json={}).json() == {"success": True, "data": nothing}
        found = api.get("/workers").json()["data"]
        assert (found["engine"], found["dispatcher"], found["draining"], found["nodes"]) == ("local", "ok", True, [])
        assert {each["status"] for each in found["workers"]} == {"draining"}
        refused = api.post("/workers/drain", json={"node": "a"})
        assert (refused.status_code, refused.json()["error"]["hint"]) == (422, "ktrdr drain, without a name, empties it")
        assert api.post("/workers/undrain", json={}).json()["data"]["draining"] is False
        assert {each["status"] for each in api.get("/workers").json()["data"]["workers"]} == {"idle"}
