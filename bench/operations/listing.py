"""Many operations: how long a page of them takes, a submission, and the whole command.

python -m bench.operations listing
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from bench.operations.world import ENDED, JSON, World, quantiles, tell, world
from ktrdr.operations.model import Status
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store


async def fill(url: str, ended: int, pending: int) -> None:
    """A database with so many operations."""
    store = await Store.open(url)
    for number in range(ended):
        operation = await store.submit(NewOperation("dummy", {"duration": 1.0}, {"symbol": "EURUSD", "parameters": {"n": number}}))
        await store.claim("light", 1, timedelta(seconds=20), "bench")
        await store.finish(operation.operation_id, 1, Status.COMPLETED, {"iterations": 1})
    for _ in range(pending):
        await store.submit(NewOperation("dummy", {"duration": 1.0}, profile="none"))
    await store.close()


def resident(pid: int) -> float:
    """Memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def figures(here: World, ended: int, pending: int, requests: int) -> JSON:
    """Fill the database of a stopped backend and ask it."""
    assert here.process
    empty = resident(here.process.pid)
    here.down()
    asyncio.run(fill(f"sqlite+aiosqlite:///{here.home / 'ktrdr.db'}", ended, pending))
    here.up()
    pages, submissions, commands = [], [], []
    for _ in range(10):
        here.client.get("/operations", params={"limit": 50})
    for _ in range(requests):
        begun = time.perf_counter()
        answer = here.client.get("/operations", params={"limit": 50})
        pages.append(time.perf_counter() - begun)
        assert len(answer.json()["data"]) == min(50, ended + pending)
    for _ in range(requests):
        begun = time.perf_counter()
        submitted = here.start("/dummy/start", {"duration": 0.01, "iterations": 1})
        submissions.append(time.perf_counter() - begun)
        here.until(submitted, lambda o: o["status"] in ENDED)
    for _ in range(max(3, requests // 20)):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ktrdr.cli", "ops"], env=here.environment, check=True, capture_output=True)
        commands.append(time.perf_counter() - begun)
    assert here.process
    return {
        "page": quantiles(pages), "submit": quantiles(submissions), "command": quantiles(commands),
        "grown_mb": round(resident(here.process.pid) - empty, 1),
    }  # fmt: skip


def measure(ended: int = 10_000, pending: int = 1000, requests: int = 200) -> bool:
    """Ten thousand ended and a thousand pending operations."""
    with world() as here:
        found = figures(here, ended, pending, requests)
    return all([
        tell("GET /operations?limit=50, ms, p99 < 15", found["page"], found["page"]["p99"] < 15),
        tell("submit, ms, p99 < 20", found["submit"], found["submit"]["p99"] < 20),
        tell("ktrdr ops, ms, p50 < 600", found["command"], found["command"]["p50"] < 600),
        tell("memory of the backend, MB more than empty, < 30", {"grown_mb": found["grown_mb"]}, found["grown_mb"] < 30),
    ])  # fmt: skip
