"""The ledger of calls to language models, the same on every database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ktrdr.agents.budget import Cost, Limits, Spent
from ktrdr.errors import LostOwnership, Refused
from ktrdr.operations.model import Operation, Status, Waiting
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store
from ktrdr.settings import Settings

LEASE = timedelta(seconds=20)
LIMITS = Limits.of(Settings(budget_call_usd=0.5, budget_cycle_usd=1.0, budget_day_usd=2.0))
WORST = Cost(nano_usd=400_000_000, input_tokens=20_000, output_tokens=8_000)
COST = Cost(nano_usd=50_000_000, input_tokens=9_000, output_tokens=1_500, cache_read_tokens=4_000)


async def designing(store: Store, **fields: object) -> Operation:
    """A running cycle whose design runs."""
    cycle = await store.submit(NewOperation("agent_research", {}, **fields))
    await store.claim("light", 1, LEASE, "me")
    waiting = Waiting(label="Designing", begin=0, end=25)
    assert await store.park(cycle.operation_id, 1, waiting, {"designing": NewOperation("agent_design", {})})
    (design,) = await store.children(cycle.operation_id)
    [claim] = await store.claim("light", 1, LEASE, "me")
    assert claim.operation.operation_id == design.operation_id
    return claim.operation


async def test_a_call_counts_as_reserved_until_it_is_settled(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    await spending.reserve(design, "attempt 1 request 1", "claude-opus-5-5", WORST)
    assert await spending.of_operation(design) == Spent(calls=1, **WORST.model_dump())
    await spending.settle(design, "attempt 1 request 1", COST)
    assert await spending.of_operation(design) == Spent(calls=1, **COST.model_dump())
    assert design.parent_operation_id is not None
    assert await spending.of_cycle(design.parent_operation_id) == Spent(calls=1, **COST.model_dump())
    assert (await spending.today())[1].nano_usd == COST.nano_usd


async def test_the_same_call_is_reserved_and_settled_once(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    for _ in range(3):
        await spending.reserve(design, "one", "m", WORST)
    await spending.settle(design, "one", COST)
    await spending.settle(design, "one", Cost())
    await spending.reserve(design, "one", "m", WORST)
    assert await spending.of_operation(design) == Spent(calls=1, **COST.model_dump())


async def test_a_call_that_claims_to_have_cost_more_than_it_can_counts_as_reserved(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    await spending.reserve(design, "one", "m", WORST)
    await spending.settle(design, "one", Cost(nano_usd=10**12, input_tokens=10**9))
    assert await spending.of_operation(design) == Spent(calls=1, **WORST.model_dump())


async def test_what_does_not_fit_is_refused_and_not_noted(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    for call in ("one", "two"):
        await spending.reserve(design, call, "m", WORST)
    with pytest.raises(Refused, match=r"\$0\.20 of this cycle's \$1\.00 are left") as refused:
        await spending.reserve(design, "three", "m", WORST)
    assert refused.value.error_code == "budget_exhausted"
    assert (await spending.of_operation(design)).calls == 2


async def test_calls_at_the_same_moment_do_not_pass_the_limit_together(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    asked = [spending.reserve(design, f"call {n}", "m", WORST) for n in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(answer is None for answer in answers) == 2
    assert (await spending.of_operation(design)).nano_usd <= LIMITS.cycle_nano_usd


async def test_a_resumed_cycle_has_the_budget_of_the_one_it_resumes(store: Store) -> None:
    spending, first = store.spending(LIMITS), await designing(store)
    for call in ("one", "two"):
        await spending.reserve(first, call, "m", WORST)
    await store.finish(first.operation_id, first.attempt, Status.FAILED)
    [cycle] = await store.claim("light", 1, LEASE, "me")
    await store.finish(cycle.operation.operation_id, cycle.operation.attempt, Status.FAILED)
    again = await designing(store, resumed_from={"operation_id": first.parent_operation_id})
    with pytest.raises(Refused, match="of this cycle's"):
        await spending.reserve(again, "three", "m", WORST)


async def test_the_day_begins_anew_at_midnight_utc(database_url: str) -> None:
    clock = [datetime(2026, 11, 21, 23, 59, tzinfo=UTC)]
    store = await Store.open(database_url, lambda: clock[0])
    try:
        spending = store.spending(Limits.of(Settings(budget_cycle_usd=9.0, budget_day_usd=0.5)))
        design = await designing(store)
        await spending.reserve(design, "one", "m", WORST)
        with pytest.raises(Refused, match="of today's"):
            await spending.reserve(design, "two", "m", WORST)
        clock[0] += timedelta(seconds=10)
        await store.renew([(design.operation_id, 1)], LEASE)
        clock[0] = datetime(2026, 11, 22, tzinfo=UTC)
        await spending.reserve(design, "two", "m", WORST)
        assert (await spending.today())[0] == "2026-11-22"
        assert (await spending.today())[1].calls == 1
    finally:
        await store.close()


async def test_an_attempt_that_lost_its_operation_spends_nothing(store: Store) -> None:
    spending, design = store.spending(LIMITS), await designing(store)
    await store.lose(design.operation_id, 1, "killed", 3)
    with pytest.raises(LostOwnership):
        await spending.reserve(design, "one", "m", WORST)
    assert (await spending.of_operation(design)).calls == 0


async def test_what_was_spent_survives_the_backend(database_url: str) -> None:
    store = await Store.open(database_url)
    design = await designing(store)
    await store.spending(LIMITS).reserve(design, "one", "m", WORST)
    await store.close()
    again = await Store.open(database_url)
    try:
        assert (await again.spending(LIMITS).today())[1] == Spent(calls=1, **WORST.model_dump())
    finally:
        await again.close()
