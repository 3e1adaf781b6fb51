"""The statements of operations: every transition is one UPDATE whose WHERE names state and attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Row, Update, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from ktrdr.agents.budget import Limits
from ktrdr.errors import Conflict, LostOwnership, NotFound
from ktrdr.operations import database
from ktrdr.operations.channels import Channels
from ktrdr.operations.claims import Cancelling, Claim, Place
from ktrdr.operations.fleet import Fleet
from ktrdr.operations.model import CPU, GPU, CheckpointRef, ErrorRecord, Operation, Progress, State, Status, Waiting
from ktrdr.operations.new import NewOperation, row_of, type_of
from ktrdr.operations.readings import JSON, LEASED, Readings, o, record, utc_now
from ktrdr.operations.spending import Spending
from ktrdr.operations.tables import attempts, events, operations, steps

LONGEST_BACK_OFF = timedelta(minutes=5)


@dataclass(frozen=True)
class Limit:
    """How many operations of some types may be alive at the same time, all together."""

    types: tuple[str, ...]
    most: int


class Store(Readings):
    """Operations in a database; one instance in one process writes."""

    @classmethod
    async def open(cls, url: str, now: Callable[[], datetime] = utc_now, connections: int | None = None) -> Self:
        """Connect, with so many connections at most, and bring the tables up to date."""
        return cls(await database.connect(url, connections), now)

    async def close(self) -> None:
        """Disconnect."""
        await self._engine.dispose()

    async def check(self) -> None:
        """Unavailable unless the database can be written to."""
        async with self._writing() as connection:
            await connection.execute(select(o.operation_id).limit(1))

    def lead(self) -> database.Lead:
        """The right to take operations from this queue."""
        return database.Lead(self._engine)

    def channels(self) -> Channels:
        """What processes on this database tell each other."""
        return Channels(self._engine)

    def fleet(self) -> Fleet:
        """The machines of the cluster that works on this database."""
        return Fleet(self._engine, self._now)

    def spending(self, limits: Limits) -> Spending:
        """The ledger of calls to language models, in the same database."""
        return Spending(self._engine, limits, self._now)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with database.transaction(self._engine, write=True) as connection:
            yield connection

    # --- starting

    async def submit(self, new: NewOperation, *, limit: Limit | None = None) -> Operation:
        """Add an operation to the queue; the same idempotency key yields the operation it made before.

        Conflict when as many are alive as `limit` allows.
        """
        async with self._writing() as connection:
            if new.idempotency_key is not None:
                await database.lock(connection, f"key {new.idempotency_key}")
                before = select(operations).where(o.idempotency_key == new.idempotency_key)
                row = (await connection.execute(before)).one_or_none()
                if row is not None:
                    return (await self._records(connection, [row]))[0]
            if limit is not None:
                await self._within(connection, limit)
            return record(await self._insert(connection, new, parent=None, step=None))

    async def _within(self, connection: AsyncConnection, limit: Limit) -> None:
        """Conflict unless another one may be started; children count as their parents."""
        await database.lock(connection, f"limit {limit.types[0]}")
        alive = select(o.operation_id, o.operation_type).where(o.operation_type.in_(limit.types), o.parent_operation_id.is_(None))
        rows = (await connection.execute(alive.where(o.state != State.ENDED).order_by(o.created_at))).all()
        if len(rows) >= limit.most:
            first, kind = rows[0]
            raise Conflict(
                f"{len(rows)} {kind} running already: {first}", hint=f"wait for it, or: ktrdr cancel {first}", code="limit_reached",
                details={"operation_id": first},
            )  # fmt: skip

    async def _insert(self, connection: AsyncConnection, new: NewOperation, parent: Row[Any] | None, step: str | None) -> Row[Any]:
        row = (await connection.execute(insert(operations).values(row_of(new, parent, step, self._now())).returning(*operations.c))).one()
        await self._log(connection, row.operation_id, 0, "queued")
        return row

    async def park(
        self, operation_id: str, attempt: int, waiting: Waiting, new: Mapping[str, NewOperation], metadata_key: str | None = None
    ) -> bool:
        """Start these children, by step, and park their parent until it has something to do; or nothing of both.

        False where it has something to do already, because a child has ended meanwhile: it is not parked then. A parent that
        is to be cancelled starts nothing more and ends instead.
        """
        async with self._writing() as connection:
            parent = await self._locked(connection, operation_id)  # from here on no child of it ends
            if parent.cancel_requested_at is not None:
                await self._own(connection, operation_id, attempt, **self._cancelled(parent.cancel_reason))
                await self._end_attempt(connection, operation_id, attempt, "cancelled")
                await self._wake(connection, [operation_id])
                return True
            started = [(await self._insert(connection, child, parent, step)).operation_id for step, child in new.items()]
            waiting = waiting.model_copy(update={"children": (*waiting.children, *started)})
            values: JSON = {"waiting": waiting.model_dump(mode="json"), "lease_until": o.lease_until}
            if started:
                values["fruitless"] = 0
            if metadata_key:
                values["metadata"] = {**parent.metadata, metadata_key: waiting.children[0]}
            over = waiting.over(await self._alive(connection, waiting))
            if not over:
                values |= {"state": State.PARKED, "lease_until": None}
            await self._own(connection, operation_id, attempt, **values)
            if not over:
                for_whom = {"children": len(waiting.children)} if waiting.total > 1 else {"child": waiting.children[0]}
                await self._end_attempt(connection, operation_id, attempt, "parked", **for_whom)
            return not over

    async def _alive(self, connection: AsyncConnection, waiting: Waiting) -> int:
        """How many of the children that are waited for have not ended."""
        alive = select(func.count()).where(o.operation_id.in_(waiting.children), o.state != State.ENDED)
        return (await connection.execute(alive)).scalar_one()

    # --- attempts

    async def claim(  # noqa: PLR0917 - what is free, and on which terms
        self, place: str, most: int, lease: timedelta, owner: str, limits: Mapping[str, int] | None = None,
        gpu_wait: timedelta = timedelta(0),
    ) -> list[Claim]:  # fmt: skip
        """Take up to `most` queued operations that fit a place, the urgent and old ones first, at most `limits[type]` running of a type.

        A place is a profile, `cpu` for all of them, or `gpu` for whatever would have one; elsewhere such an operation is taken when
        it has waited `gpu_wait`.
        """
        now = self._now()
        async with self._writing() as connection:
            ids = await self._ready(connection, self._fitting(place, gpu_wait), most, limits or {})
            if not ids:
                return []
            taken = update(operations).where(o.operation_id.in_(ids), o.state == State.QUEUED)
            taken = taken.values(
                state=State.STARTING, status=Status.RUNNING, attempt=o.attempt + 1, lease_owner=owner, lease_until=self._clock() + lease,
                started_at=func.coalesce(o.started_at, now),
            )  # fmt: skip
            await connection.execute(taken)
            rows = (await connection.execute(select(operations).where(o.operation_id.in_(ids)))).all()
            begun = [{"operation_id": row.operation_id, "attempt": row.attempt, "started_at": now} for row in rows]
            await connection.execute(insert(attempts), begun)
            return [Claim(record(row), row.parameters, row.profile, place, row.traceparent) for row in rows]

    async def turn(self, place: str, limits: Mapping[str, int], gpu_wait: timedelta) -> str | None:
        """The type of the operation that would be taken first for a place."""
        async with self._writing() as connection:
            first = await self._ready(connection, self._fitting(place, gpu_wait), 1, limits)
        return type_of(first[0]) if first else None

    def _fitting(self, place: str, gpu_wait: timedelta) -> ColumnElement[bool]:
        """The operations that may run at a place."""
        if place == GPU:
            return o.needs == GPU
        now = self._now()
        waited = or_(o.created_at <= now - gpu_wait, o.created_at > now)  # the clock was put back: how long it waits is not known
        return or_(o.needs != GPU, waited) & (true() if place == CPU else o.profile == place)

    async def _ready(self, connection: AsyncConnection, fitting: ColumnElement[bool], most: int, limits: Mapping[str, int]) -> list[str]:
        """Ids of queued operations whose turn it is."""
        now = self._now()
        room = dict(limits)
        if limits:
            await database.lock(connection, "limits")
            running = select(o.operation_type, func.count()).where(o.state.in_(LEASED), o.operation_type.in_(limits))
            for name, number in (await connection.execute(running.group_by(o.operation_type))).all():
                room[name] -= number
        # A moment further away than any back-off was set by a clock that has since been put back.
        due = or_(o.not_before.is_(None), o.not_before <= now, o.not_before > now + LONGEST_BACK_OFF)
        ids: list[str] = []
        while len(ids) < most:
            ready = (
                select(o.operation_id, o.operation_type)
                .where(o.state == State.QUEUED, fitting, due, o.operation_id.not_in(ids))
                .where(o.operation_type.not_in([name for name, free in room.items() if free <= 0]))
                .order_by(o.queue_at, o.operation_id)
                .limit(most - len(ids))
                .with_for_update(skip_locked=True)
            )
            rows = (await connection.execute(ready)).all()
            if not rows:
                break
            for operation_id, name in rows:
                if room.get(name, 1) > 0:
                    ids.append(operation_id)
                    if name in room:
                        room[name] -= 1
        return ids

    async def begin(self, operation_id: str, attempt: int, pid: int, place: Place | None = None) -> bool:
        """The attempt's process is there; whether it was asked to stop already."""
        named = {name: value for name, value in vars(place).items() if value is not None} if place else {}
        async with self._writing() as connection:
            await self._own(connection, operation_id, attempt, state=State.RUNNING)
            mine = (attempts.c.operation_id == operation_id) & (attempts.c.attempt == attempt)
            await connection.execute(update(attempts).where(mine).values(pid=pid, **named))
            await self._log(connection, operation_id, attempt, "started", pid=pid, **named)
            asked = select(o.cancel_requested_at).where(o.operation_id == operation_id)
            return (await connection.execute(asked)).scalar_one() is not None

    async def renew(self, owned: Sequence[tuple[str, int]], lease: timedelta) -> None:
        """Extend the leases of attempts; one that is no longer owned is left alone."""
        until = self._clock() + lease
        async with self._writing() as connection:
            for operation_id, attempt in owned:
                await connection.execute(self._owned(operation_id, attempt).values(lease_until=until))

    async def hold(self, operation_id: str, attempt: int, lease: timedelta, owner: str) -> bool:
        """Extend the lease of an attempt in the name of its guardian; whether it was asked to stop. LostOwnership if it is another's."""
        held = self._owned(operation_id, attempt).values(lease_until=self._clock() + lease, lease_owner=owner)
        async with self._writing() as connection:
            row = (await connection.execute(held.returning(o.cancel_requested_at))).one_or_none()
            if row is None:
                raise LostOwnership(f"attempt {attempt} no longer owns {operation_id}")
            return row.cancel_requested_at is not None

    async def set_progress(self, operation_id: str, attempt: int, progress: Progress) -> None:
        """Note how far an attempt is; from now on it shows its own progress and no longer that of children."""
        async with self._writing() as connection:
            await self._own(connection, operation_id, attempt, progress=progress.model_dump(mode="json"), waiting=None)

    async def describe(self, operation_id: str, attempt: int, metadata: JSON) -> None:
        """Add to an operation's metadata."""
        async with self._writing() as connection:
            before = await self._locked(connection, operation_id)
            await self._own(connection, operation_id, attempt, metadata={**before.metadata, **metadata})

    async def warn(self, operation_id: str, attempt: int, text: str) -> None:
        """Add a warning to an operation."""
        async with self._writing() as connection:
            before = await self._locked(connection, operation_id)
            await self._own(connection, operation_id, attempt, warnings=[*(before.warnings or []), text])
            await self._log(connection, operation_id, attempt, "warning", text=text)

    async def set_checkpoint(self, operation_id: str, attempt: int, ref: CheckpointRef) -> None:
        """Note a checkpoint that is safely on disk; attempts before it no longer count as fruitless."""
        async with self._writing() as connection:
            noted = {"checkpoint": ref.model_dump(mode="json"), "checkpoint_id": ref.checkpoint_id, "fruitless": 0}
            await self._own(connection, operation_id, attempt, **noted)
            await self._log(connection, operation_id, attempt, "checkpoint", checkpoint_id=ref.checkpoint_id, position=ref.position)

    async def forget_checkpoint(self, operation_id: str) -> None:
        """The checkpoint of an ended operation is gone."""
        async with self._writing() as connection:
            gone = update(operations).where(o.operation_id == operation_id).values(checkpoint=None, checkpoint_id=None)
            await connection.execute(gone)

    async def forget_history(self, before: datetime) -> int:
        """Remove what happened before a moment to operations that have ended; how much that was."""
        old = select(events.c.seq).join(operations, events.c.operation_id == o.operation_id)
        old = old.where(events.c.at < before, o.state == State.ENDED)
        async with self._writing() as connection:
            return (await connection.execute(delete(events).where(events.c.seq.in_(old)))).rowcount

    async def journal(self, operation_id: str, attempt: int, step_key: str, command: str, answer: Any) -> None:
        """Remember the answer of a step, if the attempt still owns its operation."""
        async with self._writing() as connection:
            await self._own(connection, operation_id, attempt, lease_until=o.lease_until)
            values = {"operation_id": operation_id, "step_key": step_key, "command": command, "attempt": attempt, "at": self._now()}
            await connection.execute(insert(steps).values(answer={"answer": answer}, **values))

    # --- ends

    async def finish(
        self, operation_id: str, attempt: int, status: Status, result: JSON | None = None, error: ErrorRecord | None = None
    ) -> Operation:
        """Write the end of an attempt that is the end of its operation; a waiting parent is queued again.

        A completed operation needs its checkpoint no longer and forgets it.
        """
        async with self._writing() as connection:
            row = await self._locked(connection, operation_id)
            progress = row.progress
            if status is Status.COMPLETED:
                progress = Progress.model_validate(progress or {}).model_copy(update={"percentage": 100.0}).model_dump(mode="json")
            ended = {
                "state": State.ENDED, "status": status, "result_summary": result, "completed_at": self._now(), "lease_until": None,
                "error": error.model_dump(mode="json") if error else None, "progress": progress, "waiting": None,
            }  # fmt: skip
            if status is Status.COMPLETED:
                ended |= {"checkpoint": None, "checkpoint_id": None}
            await self._own(connection, operation_id, attempt, **ended)
            await self._end_attempt(connection, operation_id, attempt, status, **({"code": error.code} if error else {}))
            await self._wake(connection, [operation_id])
            return record(await self._row(connection, operation_id))

    async def give_back(self, operation_id: str, attempt: int) -> None:
        """A drained attempt: the operation waits in the queue and nothing is held against it, unless it is to be cancelled."""
        async with self._writing() as connection:
            row = await self._locked(connection, operation_id)
            values: JSON = {"state": State.QUEUED, "status": Status.PENDING, "lease_until": None}
            if row.cancel_requested_at is not None:
                values |= self._cancelled(row.cancel_reason)
            await self._own(connection, operation_id, attempt, **values)
            await self._end_attempt(connection, operation_id, attempt, "drained")
            if row.cancel_requested_at is not None:
                await self._log(connection, operation_id, attempt, "cancelled")
                await self._wake(connection, [operation_id])

    async def lose(self, operation_id: str, attempt: int, reason: str, most_attempts: int, code: str = "worker_lost") -> Operation:
        """An attempt ended without a word: cancelled if that was asked, failed if that happens too often, else queued again."""
        async with self._writing() as connection:
            row = await self._locked(connection, operation_id)
            if row.attempt != attempt or row.state not in LEASED:
                raise LostOwnership(f"attempt {attempt} no longer owns {operation_id}")
            now = self._now()
            values: JSON = {"lease_until": None, "fruitless": row.fruitless + 1}
            if row.cancel_requested_at is not None:
                values |= self._cancelled(row.cancel_reason)
            elif row.fruitless + 1 >= most_attempts:
                message = f"{reason}; {row.fruitless + 1} attempts ended so without a new checkpoint"
                error = ErrorRecord(code=code, message=message, hint="the backend's log tells more: ktrdr status shows where it is")
                values |= {"state": State.ENDED, "status": Status.FAILED, "completed_at": now, "error": error.model_dump(mode="json")}
            else:
                delay = timedelta(seconds=0.2 * 4**row.fruitless if row.fruitless else 0)
                values |= {"state": State.QUEUED, "status": Status.PENDING, "not_before": now + delay}
            await self._own(connection, operation_id, attempt, **values)
            await self._end_attempt(connection, operation_id, attempt, "lost", reason=reason)
            if values["state"] == State.ENDED:
                await self._log(connection, operation_id, attempt, values["status"])
                await self._wake(connection, [operation_id])
            return record(await self._row(connection, operation_id))

    async def cancel(self, operation_id: str, reason: str, *, unbegun: bool = False) -> Cancelling:
        """Ask a whole subtree to stop: what has no process ends at once, the rest must be told.

        With `unbegun`, what was claimed and has not begun ends at once too: whoever begins it finds that it is not theirs.
        """
        now = self._now()
        async with self._writing() as connection:
            row = (await connection.execute(select(operations).where(o.operation_id == operation_id))).one_or_none()
            if row is None:
                raise NotFound(f"there is no operation {operation_id!r}", hint="ktrdr ops lists them")
            if row.state == State.ENDED:
                raise Conflict(
                    f"{operation_id} is already {row.status}", hint=f"ktrdr status {operation_id}", details={"status": row.status}
                )
            below = o.path.startswith(row.path, autoescape=True)
            above = o.operation_id == row.parent_operation_id  # it may be parking, and must not miss an end
            alive = select(operations).where(or_(below, above), o.state != State.ENDED).order_by(o.path).with_for_update()
            tree = [each for each in (await connection.execute(alive)).all() if each.operation_id != row.parent_operation_id]
            shown = {each.operation_id: each.progress for each in await self._records(connection, tree)}
            begun = (State.RUNNING,) if unbegun else LEASED
            idle = [r.operation_id for r in tree if r.state not in begun]
            for each in tree:
                why = reason if each.operation_id == operation_id else "Parent cancelled"
                values: JSON = {
                    "cancel_requested_at": func.coalesce(o.cancel_requested_at, now),
                    "cancel_reason": func.coalesce(o.cancel_reason, why),
                }
                if each.cancel_requested_at is None:
                    await self._log(connection, each.operation_id, each.attempt, "cancel_requested", reason=why)
                if each.operation_id in idle:
                    values |= self._cancelled(why) | {"progress": shown[each.operation_id].model_dump(mode="json")}
                    if each.state == State.STARTING:
                        await self._end_attempt(connection, each.operation_id, each.attempt, "cancelled")
                    else:
                        await self._log(connection, each.operation_id, each.attempt, "cancelled")
                mine = update(operations).where(o.operation_id == each.operation_id, o.state == each.state, o.attempt == each.attempt)
                await connection.execute(mine.values(**values))
            await self._wake(connection, idle)
            return Cancelling(operation_id, [(r.operation_id, r.attempt) for r in tree if r.operation_id not in idle], idle)

    async def _wake(self, connection: AsyncConnection, ended: Sequence[str]) -> None:
        """Show the parents of these what has become of them, and queue those that have something to do now.

        Whoever calls this has the parents locked: of two children that end at once, the second sees the first one's end.
        """
        for child_id in ended:
            child = await self._row(connection, child_id)
            above = select(operations).where(o.operation_id == child.parent_operation_id, o.state != State.ENDED)
            row = (await connection.execute(above)).one_or_none()
            if row is None or not row.waiting:
                continue
            parent = (await self._parents(connection, [row]))[row.operation_id]
            if child_id not in parent.waiting.children:
                continue
            values: JSON = {"progress": parent.shown().progress.model_dump(mode="json")}
            if row.state == State.PARKED and parent.waiting.over(sum(not one.status.ended for one in parent.children)):
                values |= {"state": State.QUEUED, "not_before": None}
                await self._log(connection, row.operation_id, row.attempt, "woken", child=child_id, status=child.status)
            unmoved = (o.operation_id == row.operation_id) & (o.state == row.state)
            await connection.execute(update(operations).where(unmoved).values(**values))

    async def _row(self, connection: AsyncConnection, operation_id: str) -> Row[Any]:
        return (await connection.execute(select(operations).where(o.operation_id == operation_id))).one()

    async def _locked(self, connection: AsyncConnection, operation_id: str) -> Row[Any]:
        """The row as it is until this transaction ends; parents are locked before their children, here as in `cancel`."""
        parent = select(o.parent_operation_id).where(o.operation_id == operation_id).scalar_subquery()
        both = select(operations).where(or_(o.operation_id == operation_id, o.operation_id == parent))
        return (await connection.execute(both.order_by(o.path).with_for_update())).all()[-1]

    async def _log(self, connection: AsyncConnection, operation_id: str, attempt: int, event: str, **detail: Any) -> None:
        """Note what has happened, together with it or not at all."""
        values = {"operation_id": operation_id, "attempt": attempt, "event": event, "detail": detail, "at": self._now()}
        await connection.execute(insert(events).values(values))

    async def _end_attempt(self, connection: AsyncConnection, operation_id: str, attempt: int, event: str, **detail: Any) -> None:
        mine = (attempts.c.operation_id == operation_id) & (attempts.c.attempt == attempt)
        reason = str(detail.get("reason", event))[:512]
        await connection.execute(update(attempts).where(mine).values(ended_at=self._now(), reason=reason))
        await self._log(connection, operation_id, attempt, event, **detail)

    def _owned(self, operation_id: str, attempt: int) -> Update:
        return update(operations).where(o.operation_id == operation_id, o.attempt == attempt, o.state.in_(LEASED))

    async def _own(self, connection: AsyncConnection, operation_id: str, attempt: int, **values: Any) -> None:
        """Change an operation in the name of an attempt; LostOwnership if another one has it now."""
        if (await connection.execute(self._owned(operation_id, attempt).values(**values))).rowcount == 0:
            raise LostOwnership(f"attempt {attempt} no longer owns {operation_id}")

    def _cancelled(self, reason: str | None) -> JSON:
        """The values of a row that is cancelled."""
        error = ErrorRecord(code="cancelled", message=reason or "Cancelled by user").model_dump(mode="json")
        return {
            "state": State.ENDED, "status": Status.CANCELLED, "completed_at": self._now(), "lease_until": None, "waiting": None,
            "error": error,
        }  # fmt: skip
