"""Ten thousand waiting operations: how fast they are taken in and handed out, what that takes, and who is served when.

python -m bench.operations queue
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from bisect import insort
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench.operations.listing import resident
from bench.operations.world import JSON, database, quantiles, tell
from ktrdr.operations.claims import Claim
from ktrdr.operations.model import Status
from ktrdr.operations.new import AHEAD, NewOperation
from ktrdr.operations.readings import OperationQuery
from ktrdr.operations.store import Store

T = TypeVar("T")
LEASE = timedelta(seconds=20)
AT_ONCE = 8
"""So many callers submit at the same moment, and so many operations run."""
LIMITS = {"data_load": 3}
PARAMETERS = {"strategy": "x" * 3000, "start_date": "2012-01-01", "end_date": "2017-01-01"}
"""About what a training's row holds: the text of its strategy."""
SORTS = (
    NewOperation("training", PARAMETERS, {"symbol": "EURUSD"}, profile="torch", needs="gpu"),
    NewOperation("backtesting", PARAMETERS, {"symbol": "EURUSD"}, profile="torch"),
    NewOperation("data_load", {"symbol": "EURUSD"}, {"symbol": "EURUSD"}),
)
PLACES = ("gpu", "torch", "light")


@dataclass
class Served:
    """What came of a full queue."""

    submits: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    calls: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of single calls while the queue is full."""
    submitting: float = 0.0
    """Seconds for all."""
    claiming: float = 0.0
    claimed: list[str] = field(default_factory=list)
    out_of_turn: int = 0
    """Claims that somebody had to wait for who was before them in the same line."""
    over_limit: int = 0


async def timed(into: list[float], work: Awaitable[T]) -> T:
    """Do it and note how long it took."""
    begun = time.perf_counter()
    done = await work
    into.append(time.perf_counter() - begun)
    return done


def sort(number: int) -> NewOperation:
    """One of many: of every sort, some of them urgent."""
    chosen = random.Random(number)
    wanted = chosen.choices(SORTS, weights=(4, 4, 2))[0]
    return NewOperation(**{**vars(wanted), "priority": chosen.choices((0, 1, 5), weights=(6, 3, 1))[0]})


async def served(store: Store, count: int) -> Served:
    """Fill the queue, look at it, and empty it: claim for every place, with a limit, until nothing is left."""
    found = Served()
    numbers = iter(range(count))
    moments: dict[str, float] = {}
    """When each operation came, an urgent one as much earlier as that is worth."""
    lines: dict[str, list[float]] = {new.operation_type: [] for new in SORTS}

    async def caller() -> None:
        for number in numbers:
            new = sort(number)
            operation = await timed(found.submits, store.submit(new))
            moment = operation.created_at.timestamp() - AHEAD.total_seconds() * new.priority
            moments[operation.operation_id] = moment
            insort(lines[new.operation_type], moment)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    found.submitting = time.perf_counter() - begun
    await look(store, found)
    begun = time.perf_counter()
    while moments:
        running: list[Claim] = []
        for place in PLACES:
            claims = await timed(found.claims, store.claim(place, AT_ONCE, LEASE, "bench", LIMITS, gpu_wait=timedelta(hours=1)))
            for kind, line in lines.items():
                its = sorted(moments.pop(claim.operation.operation_id) for claim in claims if claim.operation.operation_type == kind)
                found.out_of_turn += line[: len(its)] != its
                del line[: len(its)]
            running += claims
        alive = Counter(claim.operation.operation_type for claim in running)
        found.over_limit += any(alive[kind] > most for kind, most in LIMITS.items())
        assert running, "nothing runs, and something waits"
        for claim in running:
            await store.finish(claim.operation.operation_id, 1, Status.COMPLETED, {})
        found.claimed += [claim.operation.operation_id for claim in running]
    found.claiming = time.perf_counter() - begun
    return found


async def look(store: Store, found: Served, times: int = 20) -> None:
    """What is asked of a full queue all the time."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "page of 50": lambda: store.find(OperationQuery(limit=50)),
        "counts": store.counts,
        "to be cancelled": store.to_be_cancelled,
        "lost leases": store.leased,
    }
    for name, ask in asked.items():
        for _ in range(times):
            await timed(found.calls.setdefault(name, []), ask())


async def waits(url: str, flood: int, hours: float = 3.0, priority: int = 5) -> float | None:
    """Minutes until an operation without urgency is claimed, while more urgent ones come each minute than can be served."""
    now = [datetime.now(UTC)]
    store = await Store.open(url, now=lambda: now[0])
    patient = (await store.submit(NewOperation("dummy", {}))).operation_id
    try:
        for minute in range(round(60 * hours)):
            for _ in range(flood):
                await store.submit(NewOperation("dummy", {}, priority=priority))
            for claim in await store.claim("light", flood - 1, LEASE, "bench"):
                if claim.operation.operation_id == patient:
                    return float(minute)
                await store.finish(claim.operation.operation_id, 1, Status.COMPLETED, {})
            now[0] += timedelta(minutes=1)
        return None
    finally:
        await store.close()


async def figures(url: str, count: int) -> tuple[Served, float]:
    """All of it on one database, and how much the process has grown, MB."""
    store = await Store.open(url)
    before = resident(os.getpid())
    found = await served(store, count)
    grown = resident(os.getpid()) - before
    await store.close()
    return found, grown


def measure(count: int = 10_000) -> bool:
    """Ten thousand on SQLite, and on a PostgreSQL server of this run."""
    held, rows = [], []
    for kind in ("sqlite", "postgresql"):
        with TemporaryDirectory() as folder, database(kind) as given:
            url = given.get("database_url", f"sqlite+aiosqlite:///{Path(folder) / 'queue.db'}")
            found, grown = asyncio.run(figures(url, count))
            minutes = asyncio.run(waits(url, flood=3))
        rows.append(row(kind, found, grown, minutes))
        claims, order = quantiles(found.claims), {"out_of_turn": found.out_of_turn, "over_limit": found.over_limit}
        held += [
            tell(f"{kind}: claim of up to {AT_ONCE}, ms, p99 < 250", claims, claims["p99"] < 250),
            tell(f"{kind}: in turn, and within limits", order, not any(order.values())),
            tell(f"{kind}: every one is claimed once", {"claimed": len(found.claimed)}, len(set(found.claimed)) == count),
            tell(f"{kind}: what waits is served in the end", {"minutes": minutes}, minutes is not None),
        ]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(each.values()) for each in rows)]
    print("", *(f"| {' | '.join(map(str, line))} |" for line in lines), sep="\n")
    return all(held)


def row(kind: str, found: Served, grown: float, minutes: float | None) -> JSON:
    """A line of the table."""
    submits, claims = quantiles(found.submits), quantiles(found.claims)
    return {
        "database": kind,
        "submitted/s": f"{len(found.submits) / found.submitting:,.0f}",
        "submit p50/p99, ms": f"{submits['p50']}/{submits['p99']}",
        "claimed and ended/s": f"{len(found.claimed) / found.claiming:,.0f}",
        "claim p50/p99, ms": f"{claims['p50']}/{claims['p99']}",
        **{f"{name} p99, ms": quantiles(values)["p99"] for name, values in found.calls.items()},
        "process grows, MB": f"{grown:.1f}",
        "waits at most, min": minutes,
    }
