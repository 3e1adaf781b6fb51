"""What an engine does with runners that misbehave, with a database that goes away, and beside another backend."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ktrdr.operations.devices import Gpu
from ktrdr.operations.launch import Runner
from ktrdr.operations.model import Operation, Status
from ktrdr.operations.readings import OperationQuery
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.conftest import new_database
from tests.contracts.test_engine import LONG, at_work, backend, is_there, runner_of
from tests.contracts.waiting import until

pytestmark = pytest.mark.process
# Where a script sleeps for a minute, it stays until somebody ends it: leaving by itself would be another case.
PRELUDE = """
import json, os, signal, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[1]))
lines = channel.makefile("rb")
operation = json.loads(lines.readline())["operation"]
def say(**message): channel.sendall(json.dumps(message).encode() + b"\\n")
def progress(n): say(type="progress", progress={"percentage": n % 100, "current_step": f"step {n}"})
def end(): say(type="end", status="completed", result={"attempt": operation["attempt"]}, error=None)
"""


@dataclass(frozen=True)
class ScriptLauncher:
    """Runners that do what a few lines of Python say."""

    script: str

    async def launch(self, profile: str, gpu: Gpu | None = None) -> Runner:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PRELUDE + self.script, str(theirs.fileno()), pass_fds=(theirs.fileno(),), start_new_session=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        return Runner(process.pid, ours, asyncio.ensure_future(process.wait()))

    def drop(self, profile: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is kept."""


async def ended(script: str, **settings: Any) -> Operation:
    """How an operation ends whose runners do this."""
    async with open_backend(Settings(**settings), ScriptLauncher(script)) as opened:
        started = await opened.operations.start("dummy", LONG)
        return await until(opened.operations, started.operation_id, lambda o: o.status.ended)


async def test_a_runner_that_never_pauses_holds_nobody_up() -> None:
    script = "n = 0\nwhile True:\n    n += 1\n    progress(n)"
    async with open_backend(Settings(light_slots=3), ScriptLauncher(script)) as opened:
        operations = opened.operations
        started = [await operations.start("dummy", LONG) for _ in range(3)]
        for one in started:
            await until(operations, one.operation_id, lambda o: o.progress.percentage > 0)
        begun = time.monotonic()
        stream = operations.events(started[0].operation_id)
        heard = [await anext(stream) for _ in range(20)]
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
    async with open_backend(Settings(), ScriptLauncher(script)) as opened:
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
    async with open_backend(Settings(), ScriptLauncher(script)) as opened:
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


async def test_limits_for_all_and_for_a_type() -> None:
    async with backend(light_slots=4, running_limit=3, running_limits={"dummy": 2}) as opened:
        for _ in range(4):
            await opened.operations.start("dummy", LONG)
        await asyncio.sleep(0.5)
        page = await opened.operations.find(OperationQuery())
        assert sorted(o.status.value for o in page.operations) == ["pending", "pending", "running", "running"]
        running = [o for o in page.operations if o.status is Status.RUNNING]
        await until(opened.operations, running[0].operation_id, lambda o: o.progress.percentage > 0)
        os.kill(runner_of(opened.operations, running[0].operation_id), signal.SIGKILL)
        await until(opened.operations, running[0].operation_id, lambda o: o.attempt == 2)
        assert sum(s.operation_id is not None for s in opened.operations.workers()) == 2
