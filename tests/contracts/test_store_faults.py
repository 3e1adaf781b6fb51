"""What a store of operations does when clocks jump, priorities pile up, and the database itself fails."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from ktrdr.errors import Unavailable
from ktrdr.operations.model import CheckpointRef, ErrorRecord, Operation, Status, Waiting
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store
from ktrdr.services.housekeeping import tidy
from ktrdr.settings import Settings
from ktrdr.stores.checkpoints import CheckpointStore

LEASE = timedelta(seconds=20)


class Clock:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def go(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
async def timed(database_url: str) -> Any:
    clock = Clock()
    opened = await Store.open(database_url, clock)
    yield opened, clock
    await opened.close()


async def add(store: Store, operation_type: str = "dummy", **fields: Any) -> str:
    return (await store.submit(NewOperation(operation_type, {}, **fields))).operation_id


async def claimed(store: Store, most: int = 1, **more: Any) -> list[str]:
    return [c.operation.operation_id for c in await store.claim("light", most, LEASE, "me", **more)]


async def happened(store: Store, operation_id: str) -> list[str]:
    return [one.event for one in await store.history(operation_id)]


async def test_urgent_ones_go_first_until_the_others_have_waited_long_enough(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    patient = await add(store)
    clock.go(minutes=9)
    urgent = await add(store, priority=1)
    assert await claimed(store) == [urgent]
    clock.go(minutes=2)
    assert [await add(store, priority=1), patient] != await claimed(store, 2)
    assert (await store.get(patient)).attempt == 1


async def test_limits_by_type_hold_and_make_room_for_others(timed: tuple[Store, Clock]) -> None:
    store, _ = timed
    trainings = [await add(store, "training") for _ in range(5)]
    others = [await add(store) for _ in range(2)]
    limits = {"training": 2, "backtesting": 1}
    assert set(await claimed(store, 10, limits=limits)) == {*trainings[:2], *others}
    assert await claimed(store, 10, limits=limits) == []
    await store.finish(trainings[0], 1, Status.COMPLETED)
    assert await claimed(store, 10, limits=limits) == [trainings[2]]


async def test_limits_hold_when_many_claim_at_once(store: Store) -> None:
    for _ in range(8):
        await add(store, "training")
    taken = await asyncio.gather(*(claimed(store, 2, limits={"training": 3}) for _ in range(6)))
    assert sum(len(one) for one in taken) == 3


async def test_a_clock_that_is_put_back_keeps_nothing_waiting(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    operation_id = await add(store)
    for attempt in (1, 2):
        assert await claimed(store) == [operation_id]
        await store.lose(operation_id, attempt, "killed", most_attempts=9)
        clock.go(seconds=5)
    await claimed(store)
    await store.lose(operation_id, 3, "killed", most_attempts=9)
    assert await claimed(store) == []  # it waits a little
    clock.go(hours=-3)
    assert await claimed(store) == [operation_id]


async def test_a_clock_that_jumps_ahead_takes_nothing_from_who_renews(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    operation_id = await add(store)
    await claimed(store)
    clock.go(hours=5)
    await store.renew([(operation_id, 1)], LEASE)  # the dispatcher renews before it looks for lost leases
    assert await store.leased() == []


async def test_the_history_says_all_that_happened_and_no_progress(store: Store) -> None:
    parent = await add(store, "agent_research")
    await claimed(store)
    await store.begin(parent, 1, pid=7)
    await store.warn(parent, 1, "careful")
    waiting = Waiting(label="Training", begin=0, end=50)
    assert await store.park(parent, 1, waiting, {"training": NewOperation("training", {})})
    (child,) = (one.operation_id for one in await store.children(parent))
    await claimed(store)
    await store.begin(child, 1, pid=8)
    await store.lose(child, 1, "killed", most_attempts=3)
    await claimed(store)
    await store.begin(child, 2, pid=9)
    await store.set_checkpoint(child, 2, checkpoint())
    await store.give_back(child, 2)
    await claimed(store)
    await store.finish(child, 3, Status.FAILED, error=ErrorRecord(code="no_data", message="no bars"))
    await store.cancel(parent, "enough")
    assert await happened(store, child) == ["queued", "started", "lost", "started", "checkpoint", "drained", "failed"]
    assert await happened(store, parent) == ["queued", "started", "warning", "parked", "woken", "cancel_requested", "cancelled"]
    log = await store.history(child)
    assert [one.attempt for one in log] == [0, 1, 1, 2, 2, 2, 3]
    assert (log[2].detail, log[4].detail["checkpoint_id"], log[6].detail) == ({"reason": "killed"}, "chk_1", {"code": "no_data"})


def checkpoint() -> CheckpointRef:
    return CheckpointRef(
        checkpoint_id="chk_1", position="epoch 1", created_at=datetime(2026, 1, 1, tzinfo=UTC), path="a/b", sha256="0" * 64, size_bytes=1
    )  # fmt: skip


async def ended(store: Store, checkpoints: CheckpointStore, status: Status) -> Operation:
    """An ended operation that had a checkpoint."""
    operation_id = await add(store)
    await claimed(store)
    kept = checkpoints.write(operation_id, "epoch 1", {"epoch": 1})
    await store.set_checkpoint(operation_id, 1, CheckpointRef(**vars(kept)))
    return await store.finish(operation_id, 1, status)


async def test_what_is_old_goes_and_what_may_be_needed_stays(timed: tuple[Store, Clock], tmp_path: Path) -> None:
    store, clock = timed
    checkpoints = CheckpointStore(tmp_path / "checkpoints")
    settings = Settings(checkpoint_days=30, history_days=7)
    completed, failed = await ended(store, checkpoints, Status.COMPLETED), await ended(store, checkpoints, Status.FAILED)
    assert completed.checkpoint is None  # nobody resumes what is complete
    running = await add(store)
    await claimed(store)
    checkpoints.write(running, "epoch 1", {})
    checkpoints.write("op_of_a_lost_database", "epoch 1", {})
    await tidy(store, checkpoints, settings, clock.now)
    assert checkpoints.operations() == sorted([failed.operation_id, running])
    assert await store.history(failed.operation_id)
    clock.go(days=8)
    await tidy(store, checkpoints, settings, clock.now)
    assert not await store.history(failed.operation_id)
    assert await happened(store, running) == ["queued"]  # it has not ended
    assert checkpoints.operations() == sorted([failed.operation_id, running])
    clock.go(days=23)
    await tidy(store, checkpoints, settings, clock.now)
    assert checkpoints.operations() == [running]
    assert (await store.get(failed.operation_id)).checkpoint is None


async def test_one_backend_of_a_database_leads_and_another_takes_over(database_url: str) -> None:
    first, second = await Store.open(database_url), await Store.open(database_url)
    mine, other = first.lead(), second.lead()
    assert [await mine.held(), await other.held(), await mine.held()] == [True, False, True]
    await mine.release()
    assert await other.held()
    assert not await mine.held()
    await other.release()
    await asyncio.gather(first.close(), second.close())


async def test_a_full_disk_loses_nothing_and_is_said(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'ktrdr.db'}")
    first = await add(store)

    @event.listens_for(store._engine.sync_engine, "connect")
    def small(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # the file may not grow: what SQLite says of a full disk

    await store._engine.dispose()
    with suppress(Unavailable):
        for _ in range(1000):
            await add(store, metadata={"much": "x" * 4000})
    with pytest.raises(Unavailable, match="full"):
        await add(store, metadata={"much": "x" * 9000})
    assert (await store.get(first)).status is Status.PENDING
    await store.close()


async def test_a_locked_database_is_said(tmp_path: Path) -> None:
    import sqlite3

    store = await Store.open(f"sqlite:///{tmp_path / 'ktrdr.db'}")
    operation_id = await add(store)
    await store._engine.dispose()

    @event.listens_for(store._engine.sync_engine, "connect")
    def hurried(connection: Any, _: object) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    other = sqlite3.connect(tmp_path / "ktrdr.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="locked"):
        await store.cancel(operation_id, "no")
    assert (await store.get(operation_id)).cancelling is False  # reading goes on
    other.execute("COMMIT")
    assert (await store.cancel(operation_id, "no")).ended == [operation_id]
    other.close()
    await store.close()
