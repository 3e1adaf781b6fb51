"""The machines of a cluster as its dispatcher reports them, and which of them take nothing new."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ktrdr.errors import NotFound
from ktrdr.operations.database import lock, transaction
from ktrdr.operations.readings import LEASED, utc_now
from ktrdr.operations.tables import attempts, nodes, operations

WHOLE = "*"
"""The row of the cluster as a whole: when it was last reported, and whether machines that join later take nothing either."""
SEEN = timedelta(seconds=30)
"""A machine that was not reported for so long is not there."""
FORGOTTEN = timedelta(days=30)
n = nodes.c


@dataclass(frozen=True)
class Node:
    """A machine of a cluster."""

    name: str
    address: str
    engine: str
    cpus: float
    """Places for operations, not what the machine has: some are left to the engine itself."""
    gpus: float
    cpus_free: float
    gpus_free: float
    labels: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False
    """Whether it takes nothing new. Who reports does not decide that."""
    seen_at: datetime | None = None


@dataclass(frozen=True)
class Whole:
    """A cluster as a whole."""

    draining: bool
    """Whether machines that join take nothing."""
    reported_at: datetime | None
    """When a dispatcher last said which machines there are."""
    silent: bool
    """Whether that is too long ago for a dispatcher to be at work."""


class Fleet:
    """The machines of the cluster that works on this database."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._now = now

    async def report(self, found: Sequence[Node]) -> None:
        """Note which machines there are now; what was said of their draining stays, and a new one drains if all do."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        async with transaction(self._engine, write=True) as connection:
            await lock(connection, "nodes")
            joins = await self._all_drain(connection)
            seen = {"seen_at": self._clock()}
            whole = asdict(Node(WHOLE, "", "", 0, 0, 0, 0)) | seen
            rows = [whole, *(asdict(node) | seen | {"draining": joins} for node in {node.name: node for node in found}.values())]
            fresh = insert(nodes).values(rows)
            kept = {column.name: fresh.excluded[column.name] for column in nodes.columns if column.name not in {"name", "draining"}}
            await connection.execute(fresh.on_conflict_do_update(index_elements=[n.name], set_=kept))
            await connection.execute(delete(nodes).where(n.name != WHOLE, n.seen_at < self._clock() - FORGOTTEN))

    async def nodes(self) -> list[Node]:
        """The machines that are there, by name."""
        async with transaction(self._engine) as connection:
            return await self._read(connection, n.seen_at > self._clock() - SEEN)

    async def whole(self) -> Whole:
        """Whether anything is taken at all, and whether a dispatcher reports."""
        silent = func.coalesce(n.seen_at <= self._clock() - SEEN, True)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(n.draining, n.seen_at, silent).where(n.name == WHOLE))).one_or_none()
        return Whole(bool(row[0]), row[1], bool(row[2])) if row else Whole(draining=False, reported_at=None, silent=True)

    async def drain(self, name: str | None) -> list[Node]:
        """Let a machine take nothing new, or all, and those that join; NotFound for one that was never there."""
        return await self._mark(name, draining=True)

    async def undrain(self, name: str | None) -> list[Node]:
        """Let a machine take operations again, or all."""
        return await self._mark(name, draining=False)

    async def draining(self) -> set[str]:
        """Names of the machines that take nothing new, whether they are there or not."""
        async with transaction(self._engine) as connection:
            named = select(n.name).where(n.draining.is_(True), n.name != WHOLE)
            return set((await connection.execute(named)).scalars().all())

    async def to_be_drained(self) -> list[tuple[str, int]]:
        """Attempts that run on machines which drain."""
        mine = (attempts.c.operation_id == operations.c.operation_id) & (attempts.c.attempt == operations.c.attempt)
        wanted = select(operations.c.operation_id, operations.c.attempt).join(attempts, mine).join(nodes, attempts.c.node == n.name)
        async with transaction(self._engine) as connection:
            found = await connection.execute(wanted.where(operations.c.state.in_(LEASED), n.draining.is_(True)))
            return [(row.operation_id, row.attempt) for row in found.all()]

    async def _mark(self, name: str | None, *, draining: bool) -> list[Node]:
        marked = n.name == name if name is not None else n.name != WHOLE
        async with transaction(self._engine, write=True) as connection:
            await lock(connection, "nodes")
            if name is None:
                await self._mark_whole(connection, draining=draining)
            found = await self._read(connection, marked)
            if name is not None and not found:
                raise NotFound(f"there is no node {name!r}", hint=await self._near(connection, name))
            await connection.execute(update(nodes).where(marked, n.name != WHOLE).values(draining=draining))
            return await self._read(connection, marked)

    async def _mark_whole(self, connection: AsyncConnection, *, draining: bool) -> None:
        known = update(nodes).where(n.name == WHOLE).values(draining=draining)
        if (await connection.execute(known)).rowcount == 0:
            await connection.execute(nodes.insert().values(asdict(Node(WHOLE, "", "", 0, 0, 0, 0)) | {"draining": draining}))

    async def _near(self, connection: AsyncConnection, name: str) -> str:
        known = [node.name for node in await self._read(connection, n.name != WHOLE)]
        near = difflib.get_close_matches(name, known, n=1)
        return f"did you mean {near[0]!r}?" if near else "ktrdr workers lists them"

    async def _all_drain(self, connection: AsyncConnection) -> bool:
        return bool((await connection.execute(select(n.draining).where(n.name == WHOLE))).scalar_one_or_none())

    async def _read(self, connection: AsyncConnection, wanted: ColumnElement[bool]) -> list[Node]:
        rows = await connection.execute(select(nodes).where(wanted, n.name != WHOLE).order_by(n.name))
        return [Node(**row._mapping) for row in rows.all()]

    def _clock(self) -> Any:
        """The moment by which all machines judge: where they share a database, its clock and not theirs."""
        shared = self._engine.dialect.name == "postgresql" and self._now is utc_now
        return func.clock_timestamp(type_=DateTime(timezone=True)) if shared else self._now()
