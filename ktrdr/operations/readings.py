"""Reading operations: rows as records, one at a time or a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.elements import ColumnElement

from ktrdr.errors import Conflict, NotFound
from ktrdr.operations.claims import Placed
from ktrdr.operations.database import transaction
from ktrdr.operations.model import Happening, Operation, Progress, State, Status, Waiting, with_child
from ktrdr.operations.tables import attempts, events, operations, steps

JSON = dict[str, Any]
o = operations.c
LEASED = (State.STARTING, State.RUNNING)
ALIVE = (State.QUEUED, *LEASED, State.PARKED)
LEAST_PART = 4


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class OperationQuery:
    """Which operations to list."""

    status: Status | None = None
    operation_type: str | None = None
    active_only: bool = False
    resumable: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class OperationPage:
    """Some of the operations, newest first, and how many there are in all."""

    operations: list[Operation]
    total_count: int
    active_count: int


class Readings:
    """What can be asked about operations."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._now = now

    async def get(self, operation_id: str) -> Operation:
        """One operation; NotFound if there is none."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(operations).where(o.operation_id == operation_id))).one_or_none()
            if row is None:
                raise NotFound(f"there is no operation {operation_id!r}", hint="ktrdr ops lists them")
            return (await self._records(connection, [row]))[0]

    async def resolve(self, part: str) -> str:
        """The id that `part` stands for: a whole id, or at least four characters that occur in one only."""
        async with transaction(self._engine) as connection:
            exact = (await connection.execute(select(o.operation_id).where(o.operation_id == part))).scalar_one_or_none()
            if exact is not None:
                return str(exact)
            found: Sequence[str] = []
            if len(part) >= LEAST_PART:
                like = select(o.operation_id).where(o.operation_id.contains(part, autoescape=True)).order_by(o.created_at.desc()).limit(6)
                found = (await connection.execute(like)).scalars().all()
        if not found:
            raise NotFound(f"there is no operation {part!r}", hint="ktrdr ops lists them")
        if len(found) > 1:
            raise Conflict(f"{part!r} stands for more than one operation: {', '.join(found[:5])}", hint="give more of the id")
        return found[0]

    async def waiting(self, operation_id: str) -> tuple[Operation, Waiting | None]:
        """An operation, and which child it waits for, if any."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(operations).where(o.operation_id == operation_id))).one()
            waiting = Waiting.model_validate(row.waiting) if row.waiting and row.state != State.ENDED else None
            return (await self._records(connection, [row]))[0], waiting

    async def parameters(self, operation_id: str) -> JSON:
        """What an operation was asked to do."""
        async with transaction(self._engine) as connection:
            found: JSON = (await connection.execute(select(o.parameters).where(o.operation_id == operation_id))).scalar_one()
            return found

    async def traceparent(self, operation_id: str) -> str | None:
        """The span below which an operation hangs, if it is not the first of its trace."""
        async with transaction(self._engine) as connection:
            found: str | None = (await connection.execute(select(o.traceparent).where(o.operation_id == operation_id))).scalar_one()
            return found

    async def cancel_reason(self, operation_id: str) -> str:
        """Why somebody wanted an operation to stop."""
        async with transaction(self._engine) as connection:
            reason = (await connection.execute(select(o.cancel_reason).where(o.operation_id == operation_id))).scalar_one()
            return reason or "Cancelled by user"

    async def find(self, query: OperationQuery) -> OperationPage:
        """A page of operations, newest first."""
        wanted = []
        if query.status is not None:
            wanted.append(o.status == query.status)
        if query.operation_type is not None:
            wanted.append(o.operation_type == query.operation_type)
        if query.active_only:
            wanted.append(o.state.in_(ALIVE))
        if query.resumable:
            wanted.append(resumable())
        async with transaction(self._engine) as connection:
            page = select(operations).where(*wanted).order_by(o.created_at.desc(), o.operation_id.desc())
            rows = (await connection.execute(page.limit(query.limit).offset(query.offset))).all()
            of_query = select(func.count()).select_from(operations).where(*wanted).scalar_subquery()
            of_alive = select(func.count()).select_from(operations).where(o.state.in_(ALIVE)).scalar_subquery()
            total, active = (await connection.execute(select(of_query, of_alive))).one()
            return OperationPage(await self._records(connection, rows), total, active)

    async def counts(self) -> list[tuple[str, str, int]]:
        """How many operations there are of each type and status."""
        async with transaction(self._engine) as connection:
            grouped = select(o.operation_type, o.status, func.count()).group_by(o.operation_type, o.status)
            return [(kind, status, number) for kind, status, number in (await connection.execute(grouped)).all()]

    async def children(self, operation_id: str) -> list[Operation]:
        """The operations that one has started, oldest first."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(select(operations).where(o.parent_operation_id == operation_id).order_by(o.created_at))).all()
            return await self._records(connection, rows)

    async def child_of_step(self, operation_id: str, step: str) -> Operation | None:
        """The operation that a step of another has started."""
        async with transaction(self._engine) as connection:
            wanted = select(operations).where(o.parent_operation_id == operation_id, o.step_key == step)
            row = (await connection.execute(wanted)).one_or_none()
            return (await self._records(connection, [row]))[0] if row is not None else None

    async def checkpointed(self, checkpoint_id: str | None = None) -> list[Operation]:
        """Operations that have a checkpoint, newest first; or the one that has this."""
        wanted = select(operations).where(o.checkpoint_id.is_not(None)).order_by(o.created_at.desc())
        if checkpoint_id is not None:
            wanted = wanted.where(o.checkpoint_id == checkpoint_id)
        async with transaction(self._engine) as connection:
            return await self._records(connection, (await connection.execute(wanted)).all())

    async def answer_of(self, operation_id: str, step_key: str) -> tuple[bool, Any]:
        """Whether a step was done before, and its answer."""
        async with transaction(self._engine) as connection:
            mine = (steps.c.operation_id == operation_id) & (steps.c.step_key == step_key)
            row = (await connection.execute(select(steps).where(mine))).one_or_none()
            return (False, None) if row is None else (True, (row.answer or {}).get("answer"))

    async def leased(self, owner: str | None = None) -> list[tuple[str, int]]:
        """Attempts whose lease has run out; or all those of an owner."""
        wanted = select(o.operation_id, o.attempt).where(o.state.in_(LEASED))
        wanted = wanted.where(o.lease_owner == owner) if owner is not None else wanted.where(o.lease_until < self._now())
        async with transaction(self._engine) as connection:
            return [(row.operation_id, row.attempt) for row in (await connection.execute(wanted)).all()]

    async def placed(self) -> list[Placed]:
        """What runs now, and where; the oldest attempts first."""
        both = (attempts.c.operation_id == o.operation_id) & (attempts.c.attempt == o.attempt)
        wanted = select(o.operation_id, o.attempt, o.profile, o.lease_owner, attempts.c.node, attempts.c.pid, attempts.c.device)
        wanted = wanted.join(attempts, both).where(o.state.in_(LEASED)).order_by(attempts.c.started_at)
        async with transaction(self._engine) as connection:
            return [Placed(*row) for row in (await connection.execute(wanted)).all()]

    async def to_be_cancelled(self) -> list[tuple[str, int]]:
        """Attempts that somebody wants to stop."""
        wanted = select(o.operation_id, o.attempt).where(o.state.in_(LEASED), o.cancel_requested_at.is_not(None))
        async with transaction(self._engine) as connection:
            return [(row.operation_id, row.attempt) for row in (await connection.execute(wanted)).all()]

    async def history(self, operation_id: str) -> list[Happening]:
        """What has happened to an operation, oldest first."""
        mine = select(events).where(events.c.operation_id == operation_id).order_by(events.c.seq)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(mine)).all()
        return [Happening(at=row.at, event=row.event, attempt=row.attempt, detail=row.detail or {}) for row in rows]

    async def ended_with_checkpoint(self, before: datetime) -> list[str]:
        """Operations that ended before a moment and still have a checkpoint."""
        old = select(o.operation_id).where(o.state == State.ENDED, o.checkpoint_id.is_not(None), o.completed_at < before)
        async with transaction(self._engine) as connection:
            return list((await connection.execute(old)).scalars().all())

    async def without_checkpoint(self, operation_ids: Sequence[str]) -> list[str]:
        """Those of some operations that have ended and need no checkpoint, or are unknown."""
        async with transaction(self._engine) as connection:
            needed = select(o.operation_id).where(
                o.operation_id.in_(operation_ids), (o.state != State.ENDED) | o.checkpoint_id.is_not(None)
            )  # fmt: skip
            kept = set((await connection.execute(needed)).scalars().all())
        return [operation_id for operation_id in operation_ids if operation_id not in kept]

    async def _records(self, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Operation]:
        """Rows as records; a parent that waits shows the progress of its child."""
        waiting = {row.operation_id: Waiting.model_validate(row.waiting) for row in rows if row.waiting and row.state != State.ENDED}
        ids = [w.operation_id for w in waiting.values()]
        found = (await connection.execute(select(operations).where(o.operation_id.in_(ids)))).all() if ids else []
        children = {row.operation_id: row for row in found}
        grandchildren = await self._records(connection, list(children.values())) if children else []
        shown = {child.operation_id: child for child in grandchildren}
        return [
            with_child(record(row), waiting[row.operation_id], shown[waiting[row.operation_id].operation_id])
            if row.operation_id in waiting
            else record(row)
            for row in rows
        ]


def resumable() -> ColumnElement[bool]:
    """Ended early, with a checkpoint or with children whose work can be taken up."""
    parents = select(operations.c.parent_operation_id).where(operations.c.parent_operation_id.is_not(None))
    return o.status.in_((Status.FAILED, Status.CANCELLED)) & (o.checkpoint_id.is_not(None) | o.operation_id.in_(parents))


def record(row: Row[Any]) -> Operation:
    """A row as users see it."""
    return Operation(
        operation_id=row.operation_id, operation_type=row.operation_type,
        status=Status(row.status),
        cancelling=row.cancel_requested_at is not None and row.state != State.ENDED,
        parent_operation_id=row.parent_operation_id, created_at=row.created_at, started_at=row.started_at,
        completed_at=row.completed_at, attempt=row.attempt, progress=Progress.model_validate(row.progress or {}),
        metadata=row.metadata, checkpoint=row.checkpoint, resumed_from=row.resumed_from, result_summary=row.result_summary,
        error=row.error, warnings=row.warnings or [],
    )  # fmt: skip
