"""Research cycles: trigger one, see where it is, cancel it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ktrdr.agents.budget import Limits, Spent
from ktrdr.errors import Invalid, NotFound, Refused
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.desk import CLAUDE, OFFLINE
from ktrdr.llm.models import KEY, choose_model
from ktrdr.operations.model import Operation
from ktrdr.operations.readings import OperationQuery
from ktrdr.operations.spending import Spending
from ktrdr.operations.store import Limit
from ktrdr.services.operations import OperationsService

JSON = dict[str, Any]
RESEARCH, CAMPAIGN = "agent_research", "research_campaign"
FIRST_CALL = 24_000
"""Bytes of a first request, and so the most tokens that it can have."""
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
    tries: int | None = None
    candidates: int | None = None
    """So many cycles of the goal, each with a candidate of its own."""
    parallel: int | None = None
    """So many of them at once."""

    def parameters(self) -> JSON:
        """The parameters of a cycle's operation."""
        whole = ("candidates", "parallel")
        return {name: value for name, value in vars(self).items() if value is not None and name not in whole}


@dataclass(frozen=True)
class Budget:
    """What language models may cost, and have cost on a day."""

    day: str
    limits: Limits
    spent: Spent
    resets_at: datetime
    note: str
    """When that is, and whether anything is spent at all."""


@dataclass(frozen=True)
class CancelledCycle:
    """A cycle that was cancelled, and its child."""

    operation: Operation
    child_operation_id: str | None


class AgentService:
    """The research agent, as the API shows it; every cycle is an operation and nothing else is kept."""

    def __init__(self, operations: OperationsService, workspace: Workspace, spending: Spending) -> None:
        self._operations = operations
        self._workspace = workspace
        self._spending = spending

    async def trigger(self, asked: Trigger, idempotency_key: str | None = None) -> Operation:
        """Start a cycle, or a campaign of several, which counts as one. Raises Conflict when as many run as are allowed,
        Invalid for a model that cannot be asked, and Refused where the budget does not hold a first call to it.
        """
        if asked.brief and asked.strategy:
            raise Invalid("a cycle takes a goal or a strategy, not both", hint="leave one of them out")
        if asked.parallel is not None and asked.candidates is None:
            raise Invalid(
                f"parallel ({asked.parallel}) says how many of several candidates are at work at once", hint="give candidates too"
            )
        designer = asked.designer or default_designer(asked)
        if designer == CLAUDE:
            await self._affordable(asked.model)
        limit = Limit((RESEARCH, CAMPAIGN), self._workspace.settings.research_limit)
        cycle = asked.parameters() | {"designer": designer}
        if asked.candidates is None:
            return await self._operations.start(RESEARCH, cycle, idempotency_key=idempotency_key, limit=limit)
        campaign = {"candidates": asked.candidates, "parallel": asked.parallel, "research": cycle}
        return await self._operations.start(CAMPAIGN, campaign, idempotency_key=idempotency_key, limit=limit)

    async def budget(self) -> Budget:
        """What language models may cost today, and have cost."""
        day, spent = await self._spending.today()
        moment, words = self._spending.resets()
        note = f"The day's budget {words.removeprefix('it ')}."
        if not os.environ.get(KEY):
            note = f"No key is set ({KEY}), so designs come from the search on this machine and cost nothing. {note}"
        return Budget(day, self._spending.limits, spent, moment, note)

    async def _affordable(self, model: str | None) -> None:
        settings = self._workspace.settings
        chosen = await asyncio.to_thread(choose_model, model or settings.model, settings.home)
        worst = await asyncio.to_thread(chosen.worst, FIRST_CALL, settings.llm_output_tokens)
        budget = await self.budget()
        refusal = budget.limits.refusal(worst, chosen.id, Spent(), budget.spent, datetime.now(UTC))
        if refusal is not None:
            details = {"resets_at": budget.resets_at.isoformat()}
            raise Refused(
                refusal, code="budget_exhausted", details=details, hint="ktrdr agent budget; or --designer offline, which costs nothing"
            )

    async def active(self) -> Operation | None:
        """The newest cycle or campaign that has not ended."""
        return await self._newest(active_only=True)

    async def last(self) -> Operation | None:
        """The newest cycle or campaign, ended or not."""
        return await self._newest(active_only=False)

    async def cancel(self, operation_id: str | None = None) -> CancelledCycle:
        """Cancel a cycle or a campaign with all below it; NotFound when none runs."""
        cycle = await self._operations.get(operation_id) if operation_id else await self.active()
        if cycle is None or cycle.operation_type not in (RESEARCH, CAMPAIGN) or cycle.status.ended:
            raise NotFound("No active research cycle to cancel", code="no_active_cycle", hint="ktrdr agent status")
        child = child_of(cycle)
        running = next((c.operation_id for c in await self._operations.children(cycle.operation_id) if not c.status.ended), None)
        return CancelledCycle(await self._operations.cancel(cycle.operation_id), running or child)

    async def _newest(self, *, active_only: bool) -> Operation | None:
        newest: list[Operation] = []
        for kind in (RESEARCH, CAMPAIGN):
            query = OperationQuery(operation_type=kind, active_only=active_only, outermost=True, limit=1)
            newest += (await self._operations.find(query)).operations
        return max(newest, key=lambda operation: operation.created_at, default=None)


def default_designer(asked: Trigger) -> str:
    """A language model where one is named or a key is set, else the search on this machine."""
    return CLAUDE if asked.model is not None or os.environ.get(KEY) else OFFLINE


def child_of(cycle: Operation) -> str | None:
    """The operation of a cycle's present phase."""
    key = CHILD_KEYS.get(cycle.metadata.get("phase") or "")
    return cycle.metadata.get(key) if key else None
