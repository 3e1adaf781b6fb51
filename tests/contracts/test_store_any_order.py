"""Whatever is asked of a store, in whatever order: an end stays an end, and nothing that happened is forgotten."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from sqlalchemy.exc import IntegrityError

from ktrdr.errors import Conflict, LostOwnership
from ktrdr.operations.model import CheckpointRef, ErrorRecord, Operation, Progress, Status, Waiting
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store

LEASE = timedelta(seconds=20)
ENDS = ("completed", "failed", "cancelled")
T = Any


class AnyOrder(RuleBasedStateMachine):
    """Calls that are right and calls that are not, by attempts that own their operation and by some that never did."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        self.profile = secrets.token_hex(6)  # a queue of its own, in a database that others have used
        self.ended: dict[str, Operation] = {}
        self.seen: dict[str, list[str]] = {}
        self.keys: dict[str, str] = {}

    operations = Bundle("operations")
    attempts = st.integers(0, 4)

    def ask(self, call: Awaitable[T]) -> T:
        """The answer, or None where the store refuses as it should."""

        async def caught() -> T:
            try:
                return await call
            except (LostOwnership, Conflict, IntegrityError):
                return None

        return self.loop.run_until_complete(caught())

    @rule(target=operations, priority=st.integers(0, 2), key=st.sampled_from([None, "a", "b"]))
    def submit(self, priority: int, key: str | None) -> str:
        full = f"{self.profile} {key}" if key else None
        made = self.ask(self.store.submit(NewOperation("dummy", {}, profile=self.profile, priority=priority, idempotency_key=full)))
        if key:
            assert self.keys.setdefault(key, made.operation_id) == made.operation_id
        return str(made.operation_id)

    @rule(most=st.integers(1, 3), limit=st.sampled_from([None, 1, 2]))
    def claim(self, most: int, limit: int | None) -> None:
        limits = {"training": limit} if limit else {}
        for claim in self.ask(self.store.claim(self.profile, most, LEASE, "me", limits)) or []:
            assert claim.operation.status is Status.RUNNING
            assert claim.operation.operation_id not in self.ended

    @rule(target=operations, parent=operations, attempt=attempts, step=st.sampled_from(["one", "two", "three"]), total=st.integers(1, 3))
    def park(self, parent: str, attempt: int, step: str, total: int) -> str:
        """With one more child, beside those that are alive."""
        alive = tuple(one.operation_id for one in self.ask(self.store.children(parent)) if not one.status.ended)
        waiting = Waiting(label=step, begin=0, end=50, children=alive, total=max(total, len(alive) + 1))
        self.ask(self.store.park(parent, attempt, waiting, {step: NewOperation("training", {}, profile=self.profile)}, "child_id"))
        child = self.ask(self.store.children_of_steps(parent, [step])).get(step)
        return str(child.operation_id) if child else parent

    @rule(operation=operations, attempt=attempts, status=st.sampled_from([Status.COMPLETED, Status.FAILED, Status.CANCELLED]))
    def finish(self, operation: str, attempt: int, status: Status) -> None:
        error = ErrorRecord(code="x", message="y") if status is not Status.COMPLETED else None
        self.ask(self.store.finish(operation, attempt, status, {"n": 1}, error))

    @rule(operation=operations, attempt=attempts, most=st.integers(1, 3))
    def lose(self, operation: str, attempt: int, most: int) -> None:
        self.ask(self.store.lose(operation, attempt, "gone", most))

    @rule(operation=operations, attempt=attempts)
    def give_back(self, operation: str, attempt: int) -> None:
        self.ask(self.store.give_back(operation, attempt))

    @rule(operation=operations, attempt=attempts, percentage=st.floats(0, 100))
    def tell(self, operation: str, attempt: int, percentage: float) -> None:
        self.ask(self.store.begin(operation, attempt, pid=1))
        self.ask(self.store.set_progress(operation, attempt, Progress(percentage=percentage)))
        self.ask(self.store.warn(operation, attempt, "careful"))
        self.ask(self.store.renew([(operation, attempt)], LEASE))

    @rule(operation=operations, attempt=attempts)
    def checkpoint(self, operation: str, attempt: int) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        ref = CheckpointRef(checkpoint_id="chk_1", position="1", created_at=at, path="a", sha256="0", size_bytes=1)
        self.ask(self.store.set_checkpoint(operation, attempt, ref))

    @rule(operation=consumes(operations))
    def cancel_and_leave_alone(self, operation: str) -> None:
        self.cancel(operation)

    @rule(operation=operations)
    def cancel(self, operation: str) -> None:
        outcome = self.ask(self.store.cancel(operation, "enough"))
        for ended in outcome.ended if outcome else ():
            assert self.ask(self.store.get(ended)).status is Status.CANCELLED

    @invariant()
    def an_end_stays_and_history_only_grows(self) -> None:
        for operation_id in {*self.seen, *self._known()}:
            record = self.ask(self.store.get(operation_id))
            events = [one.event for one in self.ask(self.store.history(operation_id))]
            before = self.seen.get(operation_id, [])
            assert events[: len(before)] == before
            assert events[0] == "queued"
            assert [name for name in events if name in ENDS] == ([record.status.value] if record.status.ended else [])
            assert operation_id not in self.ended or (self.ended[operation_id] == record and events == before)
            if record.status.ended:
                assert record.completed_at is not None
                self.ended[operation_id] = record
            self.seen[operation_id] = events

    @invariant()
    def nobody_waits_for_what_has_ended(self) -> None:
        leased = {operation_id for operation_id, _ in self.ask(self.store.leased("me"))}
        for operation_id in self.seen:
            if self.ask(self.store.get(operation_id)).status is Status.RUNNING and operation_id not in leased:
                parent = self.ask(self.store.parent(operation_id))
                assert not parent.waiting.over(sum(not child.status.ended for child in parent.children))

    def _known(self) -> set[str]:
        return {
            value for values in self.names_to_values.values() for value in [values] if isinstance(value, str) and value.startswith("op_")
        }


@pytest.fixture
def machine(database_url: str) -> Iterator[type[AnyOrder]]:
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(Store.open(database_url))
    yield type("AnyOrderHere", (AnyOrder,), {"loop": loop, "store": store})
    loop.run_until_complete(store.close())
    loop.close()


def test_no_order_of_calls_undoes_an_end_or_forgets_what_happened(machine: type[AnyOrder], database_url: str) -> None:
    examples = 25 if database_url.startswith("sqlite") else 8
    known = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=known)
