"""One parent and many children in the store: shown, woken once for each need, and never forgotten, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from ktrdr.errors import LostOwnership
from ktrdr.operations.model import Operation, Progress, Status, Waiting
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store

LEASE = timedelta(seconds=20)
ROUNDS = 4


def waiting(*children: Operation, total: int, ended: int = 0, failed: int = 0) -> Waiting:
    ids = tuple(child.operation_id for child in children)
    return Waiting(label="trainings", begin=0, end=100, children=ids, total=total, ended=ended, failed=failed)


def training() -> NewOperation:
    return NewOperation("training", {}, profile="torch")


async def campaign(store: Store, *, total: int, first: int, at_work: int | None = None) -> tuple[str, list[Operation]]:
    """A parent that waits for its first children, so many of them at work."""
    parent = (await store.submit(NewOperation("training_campaign", {}))).operation_id
    await store.claim("light", 1, LEASE, "me")
    assert await store.park(parent, 1, waiting(total=total), {f"seed {number}": training() for number in range(first)})
    await store.claim("torch", first if at_work is None else at_work, LEASE, "me")
    return parent, sorted(await store.children(parent), key=lambda child: child.started_at is None)


async def woken(store: Store, parent: str) -> int:
    return sum(one.event == "woken" for one in await store.history(parent))


async def end_all(store: Store, parent: str) -> None:
    """Leave nothing of it behind for the next round."""
    if not (await store.get(parent)).status.ended:
        await store.cancel(parent, "enough")
    for operation_id, attempt in await store.leased("me"):
        await store.finish(operation_id, attempt, Status.CANCELLED)


async def test_a_parent_shows_the_mean_of_its_children_and_goes_on_when_another_may_begin(store: Store) -> None:
    parent, (one, two) = await campaign(store, total=4, first=2)
    await store.set_progress(one.operation_id, 1, Progress(percentage=60, current_step="Epoch 6/10"))
    await store.set_progress(two.operation_id, 1, Progress(percentage=20))
    shown = (await store.get(parent)).progress
    assert (shown.percentage, shown.current_step, shown.steps_total) == (20, "0 of 4 trainings, 2 running", 4)
    assert {child["operation_id"]: child["percentage"] for child in shown.context["children"]} == {
        one.operation_id: 60,
        two.operation_id: 20,
    }
    assert await store.claim("light", 1, LEASE, "me") == []
    await store.finish(one.operation_id, 1, Status.FAILED)
    (claim,) = await store.claim("light", 1, LEASE, "me")
    assert (claim.operation.operation_id, claim.operation.attempt, claim.operation.progress.percentage) == (parent, 2, 30)
    await store.set_progress(two.operation_id, 1, Progress(percentage=40))
    shown = (await store.get(parent)).progress  # also while it has a process
    assert (shown.percentage, shown.current_step) == (35, "1 of 4 trainings, 1 running, 1 failed")
    await store.set_progress(parent, 2, Progress(percentage=99, current_step="of its own"))
    assert (await store.get(parent)).progress.current_step == "of its own"


async def test_only_the_last_end_wakes_a_parent_that_has_nothing_left_to_start(store: Store) -> None:
    parent, children = await campaign(store, total=3, first=3)
    for child in children:
        assert await store.claim("light", 1, LEASE, "me") == []
        await store.finish(child.operation_id, 1, Status.COMPLETED)
    assert len(await store.claim("light", 1, LEASE, "me")) == 1
    assert await woken(store, parent) == 1


async def test_a_parent_with_something_to_do_is_not_parked_and_an_attempt_that_lost_it_starts_nothing(store: Store) -> None:
    parent, (one, two) = await campaign(store, total=4, first=2)
    await store.finish(one.operation_id, 1, Status.COMPLETED)
    await store.claim("light", 1, LEASE, "me")
    assert not await store.park(parent, 2, waiting(one, two, total=4), {})
    assert (parent, 2) in await store.leased("me")
    await store.lose(parent, 2, "gone", 9)
    with pytest.raises(LostOwnership):
        await store.park(parent, 2, waiting(two, total=4, ended=1), {"seed 3": training()})
    assert len(await store.children(parent)) == 2


async def test_a_cancelled_parent_keeps_what_its_children_had_reached(store: Store) -> None:
    parent, children = await campaign(store, total=4, first=3)
    for child in children:
        await store.set_progress(child.operation_id, 1, Progress(percentage=80))
    outcome = await store.cancel(parent, "enough")
    assert sorted(told for told, _ in outcome.running) == sorted(child.operation_id for child in children)
    assert (await store.get(parent)).progress.percentage == 60


async def test_a_parent_that_is_to_be_cancelled_starts_nothing_more(store: Store) -> None:
    parent, (one, two) = await campaign(store, total=4, first=2)
    await store.finish(one.operation_id, 1, Status.COMPLETED)
    await store.claim("light", 1, LEASE, "me")
    outcome = await store.cancel(parent, "enough")
    assert (parent, 2) in outcome.running
    assert await store.park(parent, 2, waiting(two, total=4, ended=1), {"seed 3": training()})
    ended = await store.get(parent)
    assert (ended.status, ended.error_message, len(await store.children(parent))) == (Status.CANCELLED, "enough", 2)


@pytest.mark.parametrize("unstarted", [0, 2])
async def test_children_that_end_at_the_same_moment_wake_their_parent_exactly_once(store: Store, unstarted: int) -> None:
    for _ in range(ROUNDS):
        parent, children = await campaign(store, total=5 + unstarted, first=5, at_work=4)
        ends: list[Awaitable[object]] = [store.finish(child.operation_id, 1, Status.COMPLETED) for child in children[:4]]
        await asyncio.gather(*ends, store.cancel(children[4].operation_id, "not this one"))
        assert await woken(store, parent) == 1
        claims = await store.claim("light", 5, LEASE, "me")
        assert [claim.operation.operation_id for claim in claims] == [parent]
        await end_all(store, parent)


@pytest.mark.parametrize("how", ["finish", "cancel"])
async def test_an_end_at_the_moment_of_parking_is_never_missed(store: Store, how: str) -> None:
    """Whichever comes first: the parent is not parked, or it is woken."""
    parked = 0
    for number in range(3 * ROUNDS):
        parent, (one, two) = await campaign(store, total=3, first=2, at_work=2 if how == "finish" else 1)
        await store.finish(one.operation_id, 1, Status.COMPLETED)
        assert len(await store.claim("light", 1, LEASE, "me")) == 1

        async def end(child: str = two.operation_id, pause: float = number % 6 * 0.002) -> None:
            await asyncio.sleep(pause)
            await (store.finish(child, 1, Status.COMPLETED) if how == "finish" else store.cancel(child, "no"))

        outcome, _ = await asyncio.gather(store.park(parent, 2, waiting(two, total=2, ended=1), {}), end())
        claims = await store.claim("light", 1, LEASE, "me")
        assert [claim.operation.operation_id for claim in claims] == ([parent] if outcome else [])
        assert outcome or (parent, 2) in await store.leased("me")
        parked += outcome
        await end_all(store, parent)
    assert parked, "the parent was never parked first"
