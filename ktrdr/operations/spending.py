"""What calls to language models have cost, beside the operations that made them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ktrdr.agents.budget import Cost, Limits, Spent, next_day, resets
from ktrdr.errors import LostOwnership, Refused
from ktrdr.operations.database import lock, transaction
from ktrdr.operations.model import Operation
from ktrdr.operations.readings import LEASED, o, utc_now
from ktrdr.operations.tables import spending

s = spending.c
SUMS = tuple(Cost.model_fields)


class Spending:
    """The ledger of calls; what is reserved or settled is in the database before the answer, or not at all."""

    def __init__(self, engine: AsyncEngine, limits: Limits, now: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self.limits = limits
        self._now = now

    async def reserve(self, operation: Operation, call: str, model: str, worst: Cost) -> None:
        """Set the worst of a call aside; Refused where a limit would be passed. The same call is reserved once.

        Raises LostOwnership when the attempt no longer owns its operation.
        """
        now = self._now()
        day = f"{now:%Y-%m-%d}"
        async with transaction(self._engine, write=True) as connection:
            await lock(connection, "spending")
            await self._own(connection, operation)
            if (await connection.execute(select(s.call).where(_this(operation, call)))).one_or_none() is not None:
                return
            cycle_id = await self._first(connection, operation.parent_operation_id or operation.operation_id)
            cycle, today = await self._sum(connection, s.cycle_id == cycle_id), await self._sum(connection, s.day == day)
            refusal = self.limits.refusal(worst, model, cycle, today, now)
            if refusal is not None:
                raise Refused(
                    refusal, code="budget_exhausted", details={"resets_at": next_day(now).isoformat()},
                    hint="ktrdr agent budget shows what is left; the settings KTRDR_BUDGET_… set the limits",
                )  # fmt: skip
            named = {"operation_id": operation.operation_id, "call": call, "cycle_id": cycle_id, "day": day, "model": model}
            await connection.execute(insert(spending).values(**named, settled=False, at=now, **worst.model_dump()))

    async def settle(self, operation: Operation, call: str, cost: Cost) -> None:
        """Count a reserved call as what it cost, which is never more than was reserved; once settled it stays so."""
        async with transaction(self._engine, write=True) as connection:
            await self._own(connection, operation)
            within = (s.nano_usd >= cost.nano_usd) & (s.settled.is_(False))
            changed = update(spending).where(_this(operation, call), within)
            await connection.execute(changed.values(settled=True, **cost.model_dump()))

    async def today(self) -> tuple[str, Spent]:
        """The day, in UTC, and what its calls have come to."""
        day = f"{self._now():%Y-%m-%d}"
        async with transaction(self._engine) as connection:
            return day, await self._sum(connection, s.day == day)

    async def of_operation(self, operation: Operation) -> Spent:
        """What an operation has spent itself."""
        async with transaction(self._engine) as connection:
            return await self._sum(connection, s.operation_id == operation.operation_id)

    async def of_cycle(self, cycle_id: str) -> Spent:
        """What the phases of a cycle have spent, and those of the cycles that it resumes."""
        async with transaction(self._engine) as connection:
            return await self._sum(connection, s.cycle_id == await self._first(connection, cycle_id))

    def resets(self) -> tuple[datetime, str]:
        """When the day's budget begins anew, and that in words."""
        now = self._now()
        return next_day(now), resets(now)

    async def _own(self, connection: AsyncConnection, operation: Operation) -> None:
        mine = (o.operation_id == operation.operation_id) & (o.attempt == operation.attempt) & o.state.in_(LEASED)
        if (await connection.execute(select(o.operation_id).where(mine))).one_or_none() is None:
            raise LostOwnership(f"attempt {operation.attempt} no longer owns {operation.operation_id}")

    async def _first(self, connection: AsyncConnection, cycle_id: str) -> str:
        """The cycle that this one resumes, and that resumes, and so on: they have one budget."""
        while True:
            before = (await connection.execute(select(o.resumed_from).where(o.operation_id == cycle_id))).scalar_one_or_none()
            if before is None:
                return cycle_id
            cycle_id = before["operation_id"]

    async def _sum(self, connection: AsyncConnection, which: ColumnElement[bool]) -> Spent:
        sums = [func.coalesce(func.sum(s[name]), 0) for name in SUMS]
        calls, *found = (await connection.execute(select(func.count(), *sums).where(which))).one()
        return Spent(calls=calls, **{name: int(value) for name, value in zip(SUMS, found, strict=True)})


def _this(operation: Operation, call: str) -> ColumnElement[bool]:
    return (s.operation_id == operation.operation_id) & (s.call == call)
