"""Who gets a GPU: a declared one, a real engine, real runner processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ktrdr.operations.model import Status
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store
from ktrdr.sample import FOLDER
from ktrdr.services.operations import OperationsService
from ktrdr.settings import Settings
from ktrdr.wiring import Backend
from tests.contracts import engines
from tests.contracts.test_engine import at_work, runner_of
from tests.contracts.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("engine")]
LONG = {"duration": 60, "iterations": 600}


@pytest.fixture(autouse=True)
def a_gpu_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backend itself may see, its runners may not."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")


@asynccontextmanager
async def backend(**given: Any) -> AsyncIterator[tuple[Backend, Store]]:
    """A backend, and another hand on its queue."""
    async with engines.backend(**given) as opened, queue(opened.settings) as store:
        yield opened, store


@asynccontextmanager
async def queue(settings: Settings) -> AsyncIterator[Store]:
    settings.home.mkdir(parents=True, exist_ok=True)
    store = await Store.open(settings.operations_url)
    try:
        yield store
    finally:
        await store.close()


async def wanting(store: Store) -> str:
    """A dummy in the queue that would have a GPU; when the queue is next looked at is up to the backend."""
    return (await store.submit(NewOperation("dummy", LONG, needs="gpu"))).operation_id


async def working(operations: OperationsService, operation_id: str) -> str | None:
    """The GPU that an operation has, once it works."""
    await until(operations, operation_id, lambda o: o.progress.percentage > 0)
    (slot,) = [slot for slot in await operations.workers() if slot.operation_id == operation_id]
    return slot.gpu


def sees(pid: int) -> str:
    """What CUDA_VISIBLE_DEVICES was when the process (or the server it was forked from) was started."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    (value,) = (v.partition("=")[2] for v in variables if v.startswith("CUDA_VISIBLE_DEVICES="))
    return value


async def test_a_free_gpu_is_taken_first_and_a_freed_one_again() -> None:
    async with backend(gpus=1, gpu_wait_seconds=60) as (opened, store):
        operations = opened.operations
        first = await wanting(store)
        assert await working(operations, first) == "GPU 0"
        assert sees(await runner_of(operations, first)) == "0"
        second = await wanting(store)
        plain, pid = await at_work(operations)  # came later, and is not held up
        assert sees(pid) == ""
        assert (await operations.get(second)).status is Status.PENDING
        shown = {slot.operation_id: slot.gpu for slot in await operations.workers() if slot.operation_id}
        assert shown == {first: "GPU 0", plain.operation_id: None}
        await operations.cancel(first)
        assert await working(operations, second) == "GPU 0"
        assert sees(await runner_of(operations, second)) == "0"
        for operation_id in (second, plain.operation_id):
            await operations.cancel(operation_id)


@pytest.mark.parametrize("wait", [0.0, 0.5])
async def test_while_all_gpus_are_busy_a_cpu_will_do(wait: float) -> None:
    async with queue(Settings()) as store:
        first = await wanting(store)  # there before the backend, so that all places are free to choose from
    async with backend(gpus=1, gpu_wait_seconds=wait) as (opened, store):
        operations = opened.operations
        assert await working(operations, first) == "GPU 0"
        second = await wanting(store)
        assert await working(operations, second) is None
        assert sees(await runner_of(operations, second)) == ""
        record = await operations.get(second)
        assert record.started_at is not None
        assert (record.started_at - record.created_at).total_seconds() >= wait
        for operation_id in (first, second):
            await operations.cancel(operation_id)


async def test_each_runner_sees_a_gpu_of_its_own() -> None:
    async with backend(gpus=2) as (opened, store):
        ids = [await wanting(store) for _ in range(2)]
        given = {await working(opened.operations, operation_id): operation_id for operation_id in ids}
        seen = {gpu: sees(await runner_of(opened.operations, operation_id)) for gpu, operation_id in given.items()}
        assert seen == {"GPU 0": "0", "GPU 1": "1"}
        for operation_id in ids:
            await opened.operations.cancel(operation_id)


async def test_without_a_gpu_nobody_waits_for_one() -> None:
    async with backend(gpus=0, gpu_wait_seconds=60) as (opened, store):
        operation_id = await wanting(store)
        assert await working(opened.operations, operation_id) is None
        assert not [slot for slot in await opened.operations.workers() if slot.gpu]
        await opened.operations.cancel(operation_id)


async def test_a_limit_holds_for_gpus_too() -> None:
    async with backend(gpus=2, running_limit=1) as (opened, store):
        ids = [await wanting(store) for _ in range(2)]
        assert await working(opened.operations, ids[0]) == "GPU 0"
        assert (await opened.operations.get(ids[1])).status is Status.PENDING
        await opened.operations.cancel(ids[0])
        await working(opened.operations, ids[1])
        await opened.operations.cancel(ids[1])


@pytest.mark.torch
async def test_a_training_is_given_a_gpu_and_says_what_it_made_of_it() -> None:
    """The GPU is only declared, so torch finds none: the training goes on without, and does not claim to have one."""
    text = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8").replace("  epochs: ", "  epochs: 1 #")
    async with backend(gpus=1, gpu_wait_seconds=60) as (opened, _):
        asked = {"strategy": text, "start_date": "2014-01-01", "end_date": "2014-06-01"}
        started = await opened.operations.start("training", asked)
        gpus: set[str | None] = set()
        async with asyncio.timeout(60):
            while not (record := await opened.operations.get(started.operation_id)).status.ended:
                gpus.update(slot.gpu for slot in await opened.operations.workers() if slot.operation_id and slot.pid)
                await asyncio.sleep(0.01)
        assert (record.status, record.error_message) == (Status.COMPLETED, None)
        assert gpus == {"GPU 0"}
        assert record.progress.context["resource_usage"] == {"gpu_used": False}
        assert [w for w in record.warnings if w.startswith("it was given the GPU 0, but torch")]
