"""Research cycles: trigger one, see where it is, cancel it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ktrdr.errors import Invalid, NotFound
from ktrdr.kinds.base import Workspace
from ktrdr.operations.model import Operation
from ktrdr.operations.readings import OperationQuery
from ktrdr.services.operations import OperationsService

JSON = dict[str, Any]
RESEARCH = "agent_research"
CHILD_KEYS = {
    "designing": "design_op_id", "training": "training_op_id", "backtesting": "backtest_op_id", "assessing": "assessment_op_id",
}  # fmt: skip


@dataclass(frozen=True)
class Trigger:
    """What a cycle is asked for; with neither goal nor strategy, a default goal is researched."""

    brief: str | None = None
    strategy: str | None = None
    strategy_text: str | None = None
    model: str | None = None
    designer: str | None = None
    seed: int | None = None
    candidates: int | None = None

    def parameters(self) -> JSON:
        """The parameters of the cycle's operation."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class CancelledCycle:
    """A cycle that was cancelled, and its child."""

    operation: Operation
    child_operation_id: str | None


class AgentService:
    """The research agent, as the API shows it; every cycle is an operation and nothing else is kept."""

    def __init__(self, operations: OperationsService, workspace: Workspace) -> None:
        self._operations = operations
        self._workspace = workspace

    async def trigger(self, asked: Trigger, idempotency_key: str | None = None) -> Operation:
        """Start a cycle. Raises Conflict when as many run as are allowed, and Invalid for a model nobody can ask."""
        if asked.brief and asked.strategy:
            raise Invalid("a cycle takes a goal or a strategy, not both", hint="leave one of them out")
        if asked.model is not None:
            raise Invalid(
                f"no language model is set up, so {asked.model!r} cannot be asked",
                hint="leave the model out and use --designer offline", code="unknown_model",
            )  # fmt: skip
        limit = self._workspace.settings.research_limit
        return await self._operations.start(RESEARCH, asked.parameters(), idempotency_key=idempotency_key, limit_active=limit)

    async def active(self) -> Operation | None:
        """The newest cycle that has not ended."""
        return await self._newest(active_only=True)

    async def last(self) -> Operation | None:
        """The newest cycle, ended or not."""
        return await self._newest(active_only=False)

    async def cancel(self, operation_id: str | None = None) -> CancelledCycle:
        """Cancel a cycle and its child; NotFound when none runs."""
        cycle = await self._operations.get(operation_id) if operation_id else await self.active()
        if cycle is None or cycle.operation_type != RESEARCH or cycle.status.ended:
            raise NotFound("No active research cycle to cancel", code="no_active_cycle", hint="ktrdr agent status")
        child = child_of(cycle)
        running = next((c.operation_id for c in await self._operations.children(cycle.operation_id) if not c.status.ended), None)
        return CancelledCycle(await self._operations.cancel(cycle.operation_id), running or child)

    async def _newest(self, *, active_only: bool) -> Operation | None:
        page = await self._operations.find(OperationQuery(operation_type=RESEARCH, active_only=active_only, limit=1))
        return page.operations[0] if page.operations else None


def child_of(cycle: Operation) -> str | None:
    """The operation of a cycle's present phase."""
    key = CHILD_KEYS.get(cycle.metadata.get("phase") or "")
    return cycle.metadata.get(key) if key else None
