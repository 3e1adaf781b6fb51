"""What a store of operations must do, the same on every database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ktrdr.errors import Conflict, Invalid, LostOwnership, NotFound, Unavailable
from ktrdr.operations.model import CheckpointRef, ErrorRecord, Operation, Progress, Status, Waiting
from ktrdr.operations.new import NewOperation
from ktrdr.operations.readings import OperationQuery
from ktrdr.operations.store import Limit, Store

JSON = dict[str, Any]
LEASE = timedelta(seconds=20)
WAITING = Waiting(label="Training model", begin=25, end=65)


def new(operation_type: str = "dummy", **fields: Any) -> NewOperation:
    return NewOperation(operation_type, fields.pop("parameters", {"duration": 1.0}), **fields)


def ref(number: int = 1) -> CheckpointRef:
    return CheckpointRef(
        checkpoint_id=f"chk_{number}", position=f"epoch {number}", created_at=datetime(2026, 1, 1, tzinfo=UTC), path="a/b",
        sha256="0" * 64, size_bytes=10,
    )  # fmt: skip


async def running(store: Store, **fields: Any) -> Operation:
    """An operation whose first attempt runs."""
    operation = await store.submit(new(**fields))
    claim = await store.claim("light", 1, LEASE, "me")
    assert [c.operation.operation_id for c in claim] == [operation.operation_id]
    assert not await store.begin(operation.operation_id, 1, pid=4242)
    return await store.get(operation.operation_id)


# --- starting


async def test_a_new_operation_waits_in_the_queue(store: Store) -> None:
    operation = await store.submit(new(metadata={"symbol": "EURUSD"}))
    assert operation.operation_id.startswith("op_dummy_20")
    assert (operation.status, operation.attempt, operation.cancelling) == (Status.PENDING, 0, False)
    assert operation.metadata == {"symbol": "EURUSD"}
    assert operation.created_at.tzinfo is not None
    assert operation.started_at is operation.completed_at is operation.duration_seconds is None
    assert await store.get(operation.operation_id) == operation
    assert await store.parameters(operation.operation_id) == {"duration": 1.0}


async def test_the_same_key_starts_one_operation_even_at_the_same_moment(store: Store) -> None:
    asked = [store.submit(new(idempotency_key="the same key")) for _ in range(12)]
    ids = {operation.operation_id for operation in await asyncio.gather(*asked)}
    assert len(ids) == 1
    assert (await store.find(OperationQuery())).total_count == 1


async def test_a_limit_holds_even_at_the_same_moment(store: Store) -> None:
    answers = await asyncio.gather(*(store.submit(new(), limit=Limit(("dummy",), 2)) for _ in range(10)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) == 8
    assert {error.error_code for error in refused} == {"limit_reached"}
    assert refused[0].details["operation_id"].startswith("op_dummy")
    await store.submit(new("training"), limit=Limit(("training",), 1))  # another type has a limit of its own


async def test_the_urgent_and_the_old_are_claimed_first(store: Store) -> None:
    first, second = await store.submit(new()), await store.submit(new())
    urgent = await store.submit(new(priority=1))
    await store.submit(new(profile="torch"))
    claims = await store.claim("light", 2, LEASE, "me")
    assert {c.operation.operation_id for c in claims} == {urgent.operation_id, first.operation_id}
    assert all(c.operation.attempt == 1 and c.operation.status is Status.RUNNING for c in claims)
    assert [c.operation.operation_id for c in await store.claim("light", 5, LEASE, "me")] == [second.operation_id]
    assert await store.claim("light", 5, LEASE, "me") == []


async def test_no_operation_is_claimed_twice(store: Store) -> None:
    made = {(await store.submit(new())).operation_id for _ in range(12)}
    claims = await asyncio.gather(*(store.claim("light", 3, LEASE, "me") for _ in range(8)))
    claimed = [c.operation.operation_id for batch in claims for c in batch]
    assert sorted(claimed) == sorted(set(claimed))
    claimed += [c.operation.operation_id for c in await store.claim("light", 12, LEASE, "me")]
    assert set(claimed) == made


# --- a GPU


async def test_a_gpu_takes_what_would_have_one_and_nothing_else(store: Store) -> None:
    await store.submit(new())
    wanted = [await store.submit(new(needs="gpu", profile=profile, priority=i)) for i, profile in enumerate(("light", "torch", "torch"))]
    claims = await store.claim("gpu", 2, LEASE, "me")
    assert {c.operation.operation_id for c in claims} == {w.operation_id for w in wanted[1:]}
    assert {(c.place, c.profile) for c in claims} == {("gpu", "torch")}
    assert await store.claim("gpu", 5, LEASE, "me", {"dummy": 2}) == []
    assert [(c.operation.operation_id, c.place, c.profile) for c in await store.claim("gpu", 5, LEASE, "me")] == [
        (wanted[0].operation_id, "gpu", "light")
    ]


async def test_elsewhere_it_is_taken_when_it_has_waited(store: Store, database_url: str) -> None:
    first, plain = await store.submit(new(needs="gpu", priority=9)), await store.submit(new())
    wait = timedelta(seconds=30)
    assert [c.operation.operation_id for c in await store.claim("light", 5, LEASE, "me", None, wait)] == [plain.operation_id]
    assert await store.claim("torch", 5, LEASE, "me") == []
    later = await Store.open(database_url, now=lambda: datetime.now(UTC) + timedelta(seconds=31))
    claims = await later.claim("light", 5, LEASE, "me", None, wait)
    assert [(c.operation.operation_id, c.place) for c in claims] == [(first.operation_id, "light")]
    await later.close()


async def test_no_wait_is_no_wait_and_a_clock_put_back_holds_nothing_up(store: Store, database_url: str) -> None:
    await store.submit(new(needs="gpu"))
    assert len(await store.claim("light", 5, LEASE, "me")) == 1
    await store.submit(new(needs="gpu"))
    earlier = await Store.open(database_url, now=lambda: datetime.now(UTC) - timedelta(hours=1))
    assert len(await earlier.claim("light", 5, LEASE, "me", None, timedelta(seconds=30))) == 1
    await earlier.close()


# --- an attempt speaks


async def test_what_an_attempt_tells_is_in_the_record(store: Store) -> None:
    operation = await running(store)
    key = operation.operation_id, 1
    progress = Progress(percentage=40, current_step="Iteration 4/10", steps_completed=4, steps_total=10, context={"a": 1})
    await store.set_progress(*key, progress)
    await store.describe(*key, {"phase": "designing"})
    await store.warn(*key, "one")
    await store.warn(*key, "two")
    await store.set_checkpoint(*key, ref())
    await store.journal(*key, "step 1", "append_trial", {"number": 7})
    told = await store.get(operation.operation_id)
    assert (told.progress, told.metadata, told.warnings, told.checkpoint) == (progress, {"phase": "designing"}, ["one", "two"], ref())
    assert await store.answer_of(operation.operation_id, "step 1") == (True, {"number": 7})
    assert await store.answer_of(operation.operation_id, "step 2") == (False, None)


async def test_an_attempt_that_lost_its_operation_can_change_nothing(store: Store) -> None:
    operation = await running(store)
    await store.lose(operation.operation_id, 1, "gone", most_attempts=3)
    await store.claim("light", 1, LEASE, "me")
    late: JSON = {
        "begin": (2**20,), "set_progress": (Progress(percentage=99),), "describe": ({"a": 1},), "warn": ("late",),
        "set_checkpoint": (ref(9),), "journal": ("late", "append_trial", 1), "finish": (Status.COMPLETED, {"late": True}),
        "give_back": (), "lose": ("late", 3), "park": (WAITING, {"training": new("training")}),
    }  # fmt: skip
    before = await store.get(operation.operation_id)
    for name, arguments in late.items():
        with pytest.raises(LostOwnership):
            await getattr(store, name)(operation.operation_id, 1, *arguments)
    assert await store.get(operation.operation_id) == before
    assert await store.answer_of(operation.operation_id, "late") == (False, None)
    assert (await store.find(OperationQuery())).total_count == 1


async def test_leases_are_renewed_and_run_out(store: Store) -> None:
    operation = await running(store)
    assert await store.leased() == []
    await store.renew([(operation.operation_id, 1)], timedelta(seconds=-1))
    assert await store.leased() == [(operation.operation_id, 1)]
    await store.renew([(operation.operation_id, 1), ("op_unknown", 3)], LEASE)
    assert await store.leased() == []
    assert await store.leased("me") == [(operation.operation_id, 1)]


# --- ends


async def test_a_completed_operation_is_whole_and_stays_as_it_is(store: Store) -> None:
    operation = await running(store)
    ended = await store.finish(operation.operation_id, 1, Status.COMPLETED, {"answer": 42})
    assert (ended.status, ended.result_summary, ended.progress.percentage, ended.error) == (Status.COMPLETED, {"answer": 42}, 100, None)
    assert ended.completed_at is not None
    for again in (Status.FAILED, Status.COMPLETED, Status.CANCELLED):
        with pytest.raises(LostOwnership):
            await store.finish(operation.operation_id, 1, again)
    with pytest.raises(Conflict, match="already completed"):
        await store.cancel(operation.operation_id, "too late")
    assert await store.get(operation.operation_id) == ended


async def test_a_failed_operation_says_why(store: Store) -> None:
    operation = await running(store)
    error = ErrorRecord(code="no_data", message="no bars", hint="load some", details={"symbol": "X"})
    ended = await store.finish(operation.operation_id, 1, Status.FAILED, {"partly": 1}, error)
    assert (ended.status, ended.error, ended.error_message, ended.result_summary) == (Status.FAILED, error, "no bars", {"partly": 1})


async def test_a_lost_attempt_goes_back_to_the_queue_and_gives_up_in_the_end(store: Store) -> None:
    operation = await running(store)
    back = await store.lose(operation.operation_id, 1, "killed", most_attempts=3)
    assert (back.status, back.attempt) == (Status.PENDING, 1)
    for attempt in (2, 3):
        while not (claims := await store.claim("light", 1, LEASE, "me")):  # it waits a little longer each time
            await asyncio.sleep(0.05)
        assert claims[0].operation.attempt == attempt
        lost = await store.lose(operation.operation_id, attempt, "killed", most_attempts=3)
    assert lost.status is Status.FAILED
    assert lost.error is not None
    assert (lost.error.code, "3 attempts" in lost.error.message) == ("worker_lost", True)


async def test_a_checkpoint_makes_lost_attempts_forgiven(store: Store) -> None:
    operation = await running(store)
    for attempt in range(1, 6):
        await store.set_checkpoint(operation.operation_id, attempt, ref(attempt))
        lost = await store.lose(operation.operation_id, attempt, "killed", most_attempts=2)
        assert lost.status is Status.PENDING
        assert len(await store.claim("light", 1, LEASE, "me")) == 1


async def test_a_drained_attempt_is_held_against_nobody(store: Store) -> None:
    operation = await running(store)
    for attempt in range(1, 5):
        await store.give_back(operation.operation_id, attempt)
        assert (await store.get(operation.operation_id)).status is Status.PENDING
        assert (await store.claim("light", 1, LEASE, "me"))[0].operation.attempt == attempt + 1


# --- cancel


async def test_a_pending_operation_is_cancelled_at_once(store: Store) -> None:
    operation = await store.submit(new())
    outcome = await store.cancel(operation.operation_id, "not needed")
    assert (outcome.running, outcome.ended) == ([], [operation.operation_id])
    ended = await store.get(operation.operation_id)
    assert (ended.status, ended.error_message, ended.cancelling) == (Status.CANCELLED, "not needed", False)
    assert await store.claim("light", 1, LEASE, "me") == []


async def test_a_running_operation_is_told_first_and_the_first_reason_counts(store: Store) -> None:
    operation = await running(store)
    for reason in ("first", "second"):
        outcome = await store.cancel(operation.operation_id, reason)
        assert (outcome.running, outcome.ended) == ([(operation.operation_id, 1)], [])
    asked = await store.get(operation.operation_id)
    assert (asked.status, asked.cancelling) == (Status.RUNNING, True)
    assert await store.cancel_reason(operation.operation_id) == "first"
    ended = await store.lose(operation.operation_id, 1, "killed", most_attempts=3)
    assert (ended.status, ended.error_message) == (Status.CANCELLED, "first")


async def test_cancel_during_the_start_is_heard_when_the_process_is_there(store: Store) -> None:
    operation = await store.submit(new())
    await store.claim("light", 1, LEASE, "me")
    assert (await store.cancel(operation.operation_id, "no")).running == [(operation.operation_id, 1)]
    assert await store.begin(operation.operation_id, 1, pid=1)


async def test_cancel_of_a_drained_operation_ends_it(store: Store) -> None:
    operation = await running(store)
    await store.cancel(operation.operation_id, "no")
    await store.give_back(operation.operation_id, 1)
    ended = await store.get(operation.operation_id)
    assert (ended.status, ended.error_message) == (Status.CANCELLED, "no")


async def test_an_unknown_operation(store: Store) -> None:
    for ask in (store.get("op_nothing"), store.resolve("op_nothing"), store.cancel("op_nothing", "why")):
        with pytest.raises(NotFound, match="op_nothing"):
            await ask


# --- parents


async def parked(store: Store) -> tuple[Operation, Operation]:
    """A parent that waits for its child."""
    parent = await running(store, operation_type="agent_research")
    assert await store.park(parent.operation_id, 1, WAITING, {"training": new("training", profile="torch")}, "training_op_id")
    return await store.get(parent.operation_id), (await store.children(parent.operation_id))[0]


async def test_a_parent_waits_and_shows_its_child(store: Store) -> None:
    parent, child = await parked(store)
    assert parent.status is Status.RUNNING
    assert parent.metadata == {"training_op_id": child.operation_id}
    assert child.parent_operation_id == parent.operation_id
    claim = (await store.claim("torch", 1, LEASE, "me"))[0]
    assert claim.operation.operation_id == child.operation_id
    await store.set_progress(child.operation_id, 1, Progress(percentage=50, current_step="Epoch 5/10"))
    shown = (await store.get(parent.operation_id)).progress
    assert (shown.percentage, shown.current_step) == (45, "Training model: Epoch 5/10")
    assert shown.context["child"]["operation_id"] == child.operation_id
    assert (await store.find(OperationQuery(operation_type="agent_research"))).operations[0].progress == shown
    assert [c.operation_id for c in await store.children(parent.operation_id)] == [child.operation_id]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_the_end_of_a_child_wakes_its_parent_and_progress_does_not_step_back(store: Store, status: Status) -> None:
    parent, child = await parked(store)
    await store.claim("torch", 1, LEASE, "me")
    assert await store.claim("light", 1, LEASE, "me") == []
    await store.finish(child.operation_id, 1, status)
    woken = (await store.claim("light", 1, LEASE, "me"))[0].operation
    assert (woken.operation_id, woken.attempt) == (parent.operation_id, 2)
    assert woken.progress.percentage == (65 if status is Status.COMPLETED else 25)
    assert not await store.park(parent.operation_id, 2, WAITING.model_copy(update={"children": (child.operation_id,)}), {})
    done = await store.children_of_steps(parent.operation_id, ["training", "backtest"])
    assert {step: one.status for step, one in done.items()} == {"training": status}


async def test_a_parent_that_was_lost_waits_again_for_the_same_child(store: Store) -> None:
    parent, child = await parked(store)
    # Nobody may take a parked parent: it holds no lease.
    assert await store.leased("me") == []
    with pytest.raises(LostOwnership):
        await store.lose(parent.operation_id, 1, "gone", most_attempts=3)
    await store.claim("torch", 1, LEASE, "me")
    await store.finish(child.operation_id, 1, Status.COMPLETED)
    await store.claim("light", 1, LEASE, "me")
    with pytest.raises(IntegrityError):  # the table holds one child per step
        await store.park(parent.operation_id, 2, WAITING, {"training": new("training")})


async def test_a_parent_is_cancelled_with_all_below_it(store: Store) -> None:
    parent, child = await parked(store)
    await store.claim("torch", 1, LEASE, "me")
    outcome = await store.cancel(parent.operation_id, "enough")
    assert (outcome.running, outcome.ended) == ([(child.operation_id, 1)], [parent.operation_id])
    ended = await store.finish(child.operation_id, 1, Status.CANCELLED, error=ErrorRecord(code="cancelled", message="Parent cancelled"))
    assert ended.status is Status.CANCELLED
    assert await store.cancel_reason(child.operation_id) == "Parent cancelled"
    assert (await store.get(parent.operation_id)).error_message == "enough"
    assert await store.claim("light", 1, LEASE, "me") == []


async def test_a_cancelled_pending_child_wakes_its_parent(store: Store) -> None:
    parent, child = await parked(store)
    assert (await store.cancel(child.operation_id, "that one")).ended == [child.operation_id]
    assert (await store.claim("light", 1, LEASE, "me"))[0].operation.operation_id == parent.operation_id


# --- reading


async def test_pages_filters_and_counts(store: Store) -> None:
    done = await running(store)
    await store.set_checkpoint(done.operation_id, 1, ref())
    await store.finish(done.operation_id, 1, Status.FAILED, error=ErrorRecord(code="x", message="y"))
    made = [await store.submit(new("training")) for _ in range(5)]
    newest = [operation.operation_id for operation in reversed(made)]
    page = await store.find(OperationQuery(limit=2, offset=1))
    assert ([o.operation_id for o in page.operations], page.total_count, page.active_count) == (newest[1:3], 6, 5)
    queries = {
        OperationQuery(status=Status.FAILED): 1, OperationQuery(operation_type="training"): 5, OperationQuery(active_only=True): 5,
        OperationQuery(resumable=True): 1, OperationQuery(status=Status.RUNNING): 0,
    }  # fmt: skip
    for query, number in queries.items():
        assert (await store.find(query)).total_count == number
    assert sorted(await store.counts()) == [("dummy", "failed", 1), ("training", "pending", 5)]


async def test_part_of_an_id_stands_for_it_when_nothing_else_fits(store: Store) -> None:
    one, other = await store.submit(new()), await store.submit(new())
    assert await store.resolve(one.operation_id[-8:]) == one.operation_id
    with pytest.raises(Conflict, match="more than one") as ambiguous:
        await store.resolve("op_dummy")
    assert other.operation_id in str(ambiguous.value)
    for short in ("abc", "%", "____"):
        with pytest.raises(NotFound):
            await store.resolve(short)


async def test_checkpoints_are_found_by_id_and_forgotten(store: Store) -> None:
    operation = await running(store)
    await store.set_checkpoint(operation.operation_id, 1, ref())
    assert [o.operation_id for o in await store.checkpointed()] == [operation.operation_id]
    assert [o.operation_id for o in await store.checkpointed("chk_1")] == [operation.operation_id]
    assert await store.checkpointed("chk_2") == []
    await store.finish(operation.operation_id, 1, Status.CANCELLED)
    await store.forget_checkpoint(operation.operation_id)
    assert await store.checkpointed() == []
    assert (await store.get(operation.operation_id)).checkpoint is None


async def test_everything_is_there_after_a_restart(database_url: str) -> None:
    before = await Store.open(database_url)
    operation = await running(before)
    await before.close()
    after = await Store.open(database_url)
    assert (await after.get(operation.operation_id)).status is Status.RUNNING
    assert await after.leased("me") == [(operation.operation_id, 1)]
    await after.close()


async def test_two_that_open_an_empty_database_at_once_agree(database_url: str) -> None:
    first, second = await asyncio.gather(Store.open(database_url), Store.open(database_url))
    operation = await first.submit(new())
    assert await second.get(operation.operation_id) == operation
    await asyncio.gather(first.close(), second.close())


async def test_a_database_of_another_version_is_refused(database_url: str) -> None:
    store = await Store.open(database_url)
    async with store._writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(Unavailable, match="not one of this version"):
        await Store.open(database_url)


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:////dev/null/no/such.db", "postgresql+psycopg://nobody@localhost:1/none"])
async def test_a_database_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(Unavailable, match="cannot be used"):
        await Store.open(url)


@pytest.mark.parametrize("url", ["nonsense", "oracle://somewhere/x"])
async def test_an_address_of_nothing_known(url: str) -> None:
    with pytest.raises((Invalid, Unavailable), match=r"no database address|needs the package"):
        await Store.open(url)
