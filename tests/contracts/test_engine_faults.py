"""What an engine does with runners that misbehave, with a database that goes away, and beside another backend."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ktrdr.operations.model import Operation, Status
from ktrdr.operations.readings import OperationQuery
from tests.contracts.engines import backend
from tests.contracts.test_engine import LONG, at_work, is_there, runner_of
from tests.contracts.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("engine")]


async def ended(script: str, **settings: Any) -> Operation:
    """How an operation ends whose runners do this."""
    async with backend(script, **settings) as opened:
        started = await opened.operations.start("dummy", LONG)
        return await until(opened.operations, started.operation_id, lambda o: o.status.ended)


async def test_a_runner_that_never_pauses_holds_nobody_up() -> None:
    script = "n = 0\nwhile True:\n    n += 1\n    progress(n)"
    async with backend(script, light_slots=3) as opened:
        operations = opened.operations
        started = [await operations.start("dummy", LONG) for _ in range(3)]
        for one in started:
            await until(operations, one.operation_id, lambda o: o.progress.percentage > 0)
        begun = time.monotonic()
        stream = operations.events(started[0].operation_id)
        heard = [await anext(stream) for _ in range(8)]
        assert [e.seq for e in heard] == sorted({e.seq for e in heard})
        for one in started:
            assert (await operations.cancel(one.operation_id)).status is Status.CANCELLED
        assert time.monotonic() - begun < 5
        await stream.aclose()


async def test_a_runner_that_ignores_signals_and_words_is_killed_with_its_children() -> None:
    script = """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = os.fork()
if child:
    say(type="progress", progress={"percentage": 1, "current_step": str(child)})
while True:
    time.sleep(60)
"""
    async with backend(script) as opened:
        operation, pid = await at_work(opened.operations)
        child = int(operation.progress.current_step)
        assert is_there(child)
        assert (await opened.operations.cancel(operation.operation_id)).status is Status.CANCELLED
        assert not is_there(pid)
        async with asyncio.timeout(5):  # the kernel reaps a grandchild when its new parent does
            while is_there(child):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("channel.sendall(b'{nonsense\\n')\ntime.sleep(60)", "nobody understands"),
        ("say(type='progress', progress={'percentage': 'much'})\ntime.sleep(60)", "nobody understands"),
        ("say(type='progress')\ntime.sleep(60)", "nobody understands"),
        ("say(type='end', status='triumph', result=None, error=None)\ntime.sleep(1)", "nobody understands"),
        ("channel.sendall(b'x' * (17 * 2**20))\ntime.sleep(60)", "nobody understands"),
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("channel.close()\nlines.close()\ntime.sleep(60)", "signal 9"),
    ],
)
async def test_a_runner_that_talks_nonsense_or_dies_is_given_up_and_the_end_says_why(script: str, why: str) -> None:
    found = await ended(script, max_attempts=1)
    assert found.status is Status.FAILED
    assert found.error is not None
    assert (found.error.code, why in found.error.message) == ("worker_lost", True), found.error


async def test_an_attempt_that_was_thought_dead_can_change_nothing_when_it_wakes(tmp_path: Path) -> None:
    script = f"""
def wait_for(name):
    while not os.path.exists({str(tmp_path)!r} + "/" + name):
        time.sleep(0.01)
progress(1)
if operation["attempt"] == 1:
    wait_for("wake")
    say(type="metadata", metadata={{"zombie": True}})
    end()
    time.sleep(60)
wait_for("end")
end()
"""
    async with backend(script) as opened:
        operation, pid = await at_work(opened.operations)
        await opened.operations._store.lose(operation.operation_id, 1, "its lease ran out", 3)  # as another backend would
        opened.operations._dispatcher.wake()
        await until(opened.operations, operation.operation_id, lambda o: o.attempt == 2 and o.progress.percentage > 0)
        (tmp_path / "wake").touch()
        async with asyncio.timeout(20):
            while is_there(pid):  # what it said is refused, and it is ended
                await asyncio.sleep(0.01)
        (tmp_path / "end").touch()
        record = await until(opened.operations, operation.operation_id, lambda o: o.status.ended)
        assert (record.status, record.attempt, record.result_summary) == (Status.COMPLETED, 2, {"attempt": 2})
        assert "zombie" not in record.metadata
        assert not is_there(pid)


async def test_a_runner_that_needs_too_much_memory_says_so() -> None:
    huge = {
        "symbol": "MADE",
        "timeframe": "1m",
        "provider": "synthetic",
        "mode": "full",
        "start_date": "1990-01-01",
        "end_date": "2026-01-01",
    }
    async with backend(runner_memory_mb=500, max_attempts=1) as opened:
        started = await opened.operations.start("data_load", huge)
        record = await until(opened.operations, started.operation_id, lambda o: o.status.ended, seconds=60)
        assert record.status is Status.FAILED
        assert record.error is not None
        assert (record.error.code, "500 MB" in record.error.message) == ("out_of_memory", True), record.error


async def test_limits_for_all_and_for_a_type() -> None:
    async with backend(light_slots=4, running_limit=3, running_limits={"dummy": 2}) as opened:
        for _ in range(4):
            await opened.operations.start("dummy", LONG)
        await asyncio.sleep(0.5)
        page = await opened.operations.find(OperationQuery())
        assert sorted(o.status.value for o in page.operations) == ["pending", "pending", "running", "running"]
        running = [o for o in page.operations if o.status is Status.RUNNING]
        await until(opened.operations, running[0].operation_id, lambda o: o.progress.percentage > 0)
        os.kill(await runner_of(opened.operations, running[0].operation_id), signal.SIGKILL)
        await until(opened.operations, running[0].operation_id, lambda o: o.attempt == 2)
        assert len([s for s in await opened.operations.workers() if s.operation_id]) == 2
