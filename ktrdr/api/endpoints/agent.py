"""The research agent: trigger a cycle, see where it is, cancel it. Bodies are flat."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ktrdr.agents.budget import NANO
from ktrdr.api.deps import Agent, IdempotencyKey
from ktrdr.api.errors import ErrorAnswer
from ktrdr.errors import Conflict, KtrdrError, NotFound
from ktrdr.operations.model import MOST_CHILDREN, Operation
from ktrdr.services.agent import Trigger, child_of

router = APIRouter(prefix="/agent", tags=["agent"])


class TriggerRequest(BaseModel, extra="forbid"):
    """What to research; with nothing given, a default goal."""

    brief: str | None = Field(None, min_length=1, max_length=2000, description="The goal in plain words.")
    strategy: str | None = Field(None, description="A stored strategy to examine instead of designing one.")
    strategy_text: str | None = Field(None, description="The document of that strategy, where it is not stored here.")
    model: str | None = Field(None, description="Which language model to ask.")
    designer: str | None = Field(None, description="claude, offline or scripted; by default claude where a key is set.")
    seed: int | None = Field(None, ge=0, lt=2**32)
    tries: int | None = Field(None, ge=1, le=10_000, description="How many strategies a search may try.")
    candidates: int | None = Field(None, ge=1, le=MOST_CHILDREN, description="So many cycles of the goal, each with a strategy of its own.")
    parallel: int | None = Field(None, ge=1, le=MOST_CHILDREN, description="So many of these cycles at once.")


class Triggered(BaseModel):
    """A cycle, or a campaign of several, was started."""

    triggered: Literal[True] = True
    operation_id: str
    model: str | None
    designer: str
    message: str


class Refusal(BaseModel):
    """No cycle was started, and why."""

    triggered: Literal[False] = False
    reason: str
    message: str
    hint: str | None = None
    operation_id: str | None = None


class ActiveStatus(BaseModel):
    """Where the running cycle or campaign is."""

    status: Literal["active"] = "active"
    operation_id: str
    phase: str | None
    progress: dict[str, Any]
    strategy_name: str | None
    child_operation_id: str | None
    started_at: datetime | None


class IdleStatus(BaseModel):
    """No cycle runs; how the last one ended."""

    status: Literal["idle"] = "idle"
    last_cycle: dict[str, Any] | None


class CancelledStatus(BaseModel):
    """A cycle was cancelled."""

    success: Literal[True] = True
    operation_id: str
    child_cancelled: str | None
    message: str = "Research cycle cancelled"


class NothingToCancel(BaseModel):
    """No cycle runs."""

    success: Literal[False] = False
    reason: str
    message: str


class Budget(BaseModel):
    """What language models may cost today, and have cost; a call without an answer counts as what was reserved for it."""

    date: str
    daily_limit: float
    today_spend: float
    remaining: float
    today_calls: int
    today_tokens: int
    daily_tokens: int
    cycle_limit: float
    call_limit: float
    resets_at: datetime
    message: str


@router.post(
    "/trigger",
    status_code=202,
    response_model=Triggered,
    responses={status: {"model": Refusal | ErrorAnswer, "description": "No cycle was started."} for status in (404, 409, 422, 429)},
)
async def trigger(agent: Agent, body: TriggerRequest | None = None, idempotency_key: IdempotencyKey = None) -> Triggered | JSONResponse:
    """Start a research cycle, or several with `candidates`; no body at all researches a default goal."""
    asked = Trigger(**(body or TriggerRequest()).model_dump())
    try:
        cycle = await agent.trigger(asked, idempotency_key)
    except Conflict as error:
        return refused(error, "active_cycle_exists" if error.error_code == "limit_reached" else error.error_code)
    except KtrdrError as error:
        return refused(error, error.error_code)
    goal = cycle.metadata.get("brief")
    about = f"Researching {goal!r}" if goal else f"Examining {cycle.metadata.get('strategy_name')}"
    default = "" if asked.brief or asked.strategy else " (no goal was given, this is the default one)"
    about += f" in {asked.candidates} cycles" if asked.candidates else ""
    designer = str(cycle.metadata.get("designer"))
    return Triggered(operation_id=cycle.operation_id, model=cycle.metadata.get("model"), designer=designer, message=about + default)


def refused(error: KtrdrError, reason: str) -> JSONResponse:
    """Why no cycle was started."""
    body = Refusal(reason=reason, message=error.message, hint=error.hint, operation_id=error.details.get("operation_id"))
    return JSONResponse(body.model_dump(), status_code=error.http_status)


@router.get("/status")
async def status(agent: Agent) -> ActiveStatus | IdleStatus:
    """Say where the running cycle is, or how the last one ended."""
    cycle = await agent.active()
    if cycle is None:
        last = await agent.last()
        return IdleStatus(last_cycle=ended(last) if last else None)
    return ActiveStatus(
        operation_id=cycle.operation_id, phase=cycle.metadata.get("phase"), progress=cycle.progress.model_dump(mode="json"),
        strategy_name=cycle.metadata.get("strategy_name"), child_operation_id=child_of(cycle), started_at=cycle.started_at,
    )  # fmt: skip


def ended(cycle: Operation) -> dict[str, Any]:
    """A cycle that is over."""
    verdict = (cycle.result_summary or {}).get("verdict")
    return {
        "operation_id": cycle.operation_id, "outcome": cycle.status.value, "strategy_name": cycle.metadata.get("strategy_name"),
        "verdict": verdict, "error_message": cycle.error_message,
        "completed_at": cycle.completed_at.isoformat() if cycle.completed_at else None,
    }  # fmt: skip


@router.delete(
    "/cancel",
    response_model=CancelledStatus,
    responses={404: {"model": NothingToCancel | ErrorAnswer, "description": "No such cycle runs."}},
)
async def cancel(agent: Agent) -> CancelledStatus | JSONResponse:
    """Cancel the running cycle and its child."""
    return await cancel_cycle(None, agent)


@router.delete(
    "/cancel/{operation_id}",
    response_model=CancelledStatus,
    responses={404: {"model": NothingToCancel | ErrorAnswer, "description": "No such cycle runs."}},
)
async def cancel_one(operation_id: str, agent: Agent) -> CancelledStatus | JSONResponse:
    """Cancel one cycle and its child."""
    return await cancel_cycle(operation_id, agent)


async def cancel_cycle(operation_id: str | None, agent: Agent) -> CancelledStatus | JSONResponse:
    """Cancel a cycle, or say that there is none."""
    try:
        cancelled = await agent.cancel(operation_id)
    except NotFound as error:
        body = NothingToCancel(reason=error.error_code, message=error.message)
        return JSONResponse(body.model_dump(), status_code=404)
    return CancelledStatus(operation_id=cancelled.operation.operation_id, child_cancelled=cancelled.child_operation_id)


@router.get("/budget")
async def budget(agent: Agent) -> Budget:
    """Say what language models may cost today, and have cost."""
    found = await agent.budget()
    limits, spent = found.limits, found.spent
    return Budget(
        date=found.day, daily_limit=limits.day_nano_usd / NANO, today_spend=spent.nano_usd / NANO,
        remaining=max(0, limits.day_nano_usd - spent.nano_usd) / NANO, today_calls=spent.calls, today_tokens=spent.tokens,
        daily_tokens=limits.day_tokens, cycle_limit=limits.cycle_nano_usd / NANO, call_limit=limits.call_nano_usd / NANO,
        resets_at=found.resets_at, message=found.note,
    )  # fmt: skip
