"""What an engine must do with real processes: run, stop, lose, give back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ktrdr.errors import Conflict, Invalid, NotFound
from ktrdr.operations.model import Operation, Status
from ktrdr.operations.readings import OperationQuery
from ktrdr.services.operations import OperationsService
from tests.contracts.engines import backend
from tests.contracts.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("engine")]
LONG = {"duration": 60, "iterations": 600}


async def at_work(operations: OperationsService, **parameters: Any) -> tuple[Operation, int]:
    """A dummy that has reported, and its process."""
    started = await operations.start("dummy", LONG | parameters)
    operation = await until(operations, started.operation_id, lambda o: o.progress.percentage > 0)
    return operation, await runner_of(operations, started.operation_id)


async def runner_of(operations: OperationsService, operation_id: str) -> int:
    pids = [slot.pid for slot in await operations.workers() if slot.operation_id == operation_id]
    assert len(pids) == 1
    assert pids[0] is not None
    return pids[0]


async def next_runner(operations: OperationsService, operation_id: str, attempt: int) -> int:
    """The process of a later attempt, once there is one."""
    async with asyncio.timeout(60):
        while True:
            for slot in await operations.workers():
                if (slot.operation_id, slot.attempt) == (operation_id, attempt) and slot.pid:
                    return slot.pid
            await asyncio.sleep(0.01)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_an_operation_runs_in_a_process_of_its_own_and_tells_how_far_it_is() -> None:
    async with backend() as opened:
        operations = opened.operations
        started = await operations.start("dummy", {"duration": 1.5, "iterations": 10})
        assert started.status is Status.PENDING
        events = [event async for event in operations.events(started.operation_id)]
        assert events[0].event == "started"
        assert events[-1].event == "completed"
        shown = [event.operation.progress.percentage for event in events]
        assert shown == sorted(shown)
        assert len(set(shown)) >= 5
        assert [event.seq for event in events] == sorted({event.seq for event in events})
        ended = events[-1].operation
        assert ended.result_summary == {"iterations": 10, "duration_seconds": 1.5}
        assert (ended.progress.steps_completed, ended.attempt, ended.error) == (10, 1, None)
        assert await operations.get(started.operation_id) == ended
        assert not [slot for slot in await operations.workers() if slot.operation_id]


async def test_many_wait_for_a_slot_and_all_are_done() -> None:
    async with backend(light_slots=2) as opened:
        started = [await opened.operations.start("dummy", {"duration": 0.05, "iterations": 1}) for _ in range(8)]
        most = 0
        for one in started:
            async with asyncio.timeout(20):
                while not (await opened.operations.get(one.operation_id)).status.ended:
                    most = max(most, len([slot for slot in await opened.operations.workers() if slot.operation_id]))
                    await asyncio.sleep(0.005)
        assert most == 2
        assert (await opened.operations.counts())["completed"] == 8


async def test_cancel_ends_it_with_its_process() -> None:
    async with backend() as opened:
        operation, pid = await at_work(opened.operations)
        begun = time.monotonic()
        ended = await opened.operations.cancel(operation.operation_id, "no longer needed")
        assert time.monotonic() - begun < 5
        assert (ended.status, ended.error_message) == (Status.CANCELLED, "no longer needed")
        assert not is_there(pid)
        with pytest.raises(Conflict, match="already cancelled"):
            await opened.operations.cancel(operation.operation_id)


async def test_a_runner_that_does_not_listen_is_killed() -> None:
    async with backend() as opened:
        operation, pid = await at_work(opened.operations)
        os.kill(pid, signal.SIGSTOP)
        ended = await opened.operations.cancel(operation.operation_id)
        assert ended.status is Status.CANCELLED
        assert not is_there(pid)


async def test_cancel_right_after_the_start_and_twice_at_once() -> None:
    async with backend() as opened:
        for delay in (0.0, 0.002, 0.02):
            started = await opened.operations.start("dummy", LONG)
            await asyncio.sleep(delay)
            answers = await asyncio.gather(*(opened.operations.cancel(started.operation_id) for _ in range(2)), return_exceptions=True)
            cancelled = [a for a in answers if isinstance(a, Operation)]
            assert cancelled, answers
            assert all(a.status is Status.CANCELLED for a in cancelled)
            assert all(isinstance(a, Operation | Conflict) for a in answers)
        await asyncio.sleep(0.3)
        assert not [slot for slot in await opened.operations.workers() if slot.operation_id]


async def test_a_killed_runner_is_tried_again_and_given_up_in_the_end() -> None:
    async with backend(max_attempts=2) as opened:
        operation, pid = await at_work(opened.operations)
        os.kill(pid, signal.SIGKILL)
        os.kill(await next_runner(opened.operations, operation.operation_id, 2), signal.SIGKILL)
        ended = await until(opened.operations, operation.operation_id, lambda o: o.status.ended)
        assert ended.status is Status.FAILED
        assert ended.error is not None
        assert ended.error.code == "worker_lost"
        assert "signal 9" in ended.error.message


async def test_a_kind_that_fails_says_why() -> None:
    async with backend() as opened:
        asked = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-01-09"}
        started = await opened.operations.start("training", asked)
        ended = await until(opened.operations, started.operation_id, lambda o: o.status.ended)
        assert (ended.status, ended.attempt) == (Status.FAILED, 1)
        assert ended.error is not None
        assert "needs 500" in ended.error.message
        assert ended.error.hint


async def test_what_cannot_be_right_is_refused_before_a_row_is_written() -> None:
    async with backend() as opened:
        with pytest.raises(Invalid, match="iterations"):
            await opened.operations.start("dummy", {"iterations": 0})
        with pytest.raises(NotFound, match="no_such"):
            await opened.operations.start("training", {"strategy_name": "no_such"})
        assert (await opened.operations.find(OperationQuery())).total_count == 0


async def test_what_cannot_be_resumed() -> None:
    async with backend() as opened:
        operation, _ = await at_work(opened.operations)
        with pytest.raises(Conflict, match="is running"):
            await opened.operations.resume(operation.operation_id)
        await opened.operations.cancel(operation.operation_id)
        with pytest.raises(Conflict, match="before its first checkpoint"):
            await opened.operations.resume(operation.operation_id)
        with pytest.raises(NotFound, match="no checkpoint"):
            await opened.operations.resume("chk_nothing")
