"""A long queue: who is served when, and what finds them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bench.operations.queue import AT_ONCE, LIMITS, served, sort, waits
from ktrdr.operations.new import AHEAD
from ktrdr.operations.store import Store
from tests.contracts.test_store import LEASE

LONG = 200


async def test_a_long_queue_is_served_in_turn_and_within_limits(store: Store) -> None:
    found = await served(store, LONG)
    assert len(set(found.claimed)) == len(found.claimed) == LONG
    assert (found.out_of_turn, found.over_limit) == (0, 0)
    assert {status: number for _, status, number in await store.counts() if status != "completed"} == {}
    kinds = {sort(number).operation_type for number in range(LONG)}
    assert set(LIMITS) < kinds
    assert len(found.claims) >= LONG / (3 * AT_ONCE)


@pytest.mark.parametrize("flood", [2, 4])
async def test_what_is_not_urgent_is_served_in_the_end(database_url: str, flood: int) -> None:
    """Each minute one more comes than can be served, all of them more urgent."""
    steps = 2
    minutes = await waits(database_url, flood, priority=steps)
    ahead = steps * AHEAD / timedelta(minutes=1)
    assert minutes is not None
    assert ahead <= minutes <= ahead * flood / (flood - 1) + 2  # those of the time that urgency is worth, and nobody after them


@pytest.mark.parametrize(("place", "index"), [("gpu", "ix_operations_needs"), ("light", "ix_operations_queue")])
async def test_nobody_looks_through_the_whole_queue(tmp_path: Path, place: str, index: str) -> None:
    """On SQLite; what PostgreSQL chooses depends on how many rows there are."""
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'queue.db'}")
    asked: list[tuple[str, Any]] = []
    event.listen(store._engine.sync_engine, "before_cursor_execute", lambda _c, _u, statement, given, *_: asked.append((statement, given)))
    await store.claim(place, 8, LEASE, "me", LIMITS, timedelta(seconds=10))
    (statement, given) = next(one for one in asked if "ORDER BY operations.queue_at" in one[0])
    async with store._engine.connect() as connection:
        plan = [row[-1] for row in (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)).all()]
    await store.close()
    assert f"USING INDEX {index} (state=? AND" in plan[0]
    assert not [step for step in plan if "ORDER BY" in step]
