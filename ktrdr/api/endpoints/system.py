"""Health, metrics, workers, and the trial ledger."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

import ktrdr
from ktrdr.api.deps import Answer, Operations, TheWorkspace
from ktrdr.stores.trials import Recorded

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """That the backend is there, and whose it is."""

    status: str = "ok"
    version: str
    home_id: str


class Worker(BaseModel):
    """A place where one operation can run."""

    worker: str
    profile: str
    status: str
    operation_id: str | None = None
    attempt: int | None = None
    pid: int | None = None


class Workers(BaseModel):
    """Where operations can run."""

    workers: list[Worker]


@router.get("/health")
async def health(request: Request) -> Health:
    """Say that the backend is there."""
    return Health(version=ktrdr.__version__, home_id=request.app.state.home_id)


@router.get("/workers")
async def workers(operations: Operations) -> Answer[Workers]:
    """List the places where operations can run, and what runs there."""
    found = [Worker(**asdict(slot), status="busy" if slot.operation_id else "idle") for slot in operations.workers()]
    return Answer(data=Workers(workers=found))


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(operations: Operations) -> str:
    """Counts in the text form of Prometheus."""
    slots = operations.workers()
    lines = ["# HELP ktrdr_operations Operations by type and status.", "# TYPE ktrdr_operations gauge"]
    for kind, status, number in await operations.counts_by_type():
        lines.append(f'ktrdr_operations{{type="{kind}",status="{status}"}} {number}')
    lines += ["# HELP ktrdr_workers Places where operations can run.", "# TYPE ktrdr_workers gauge"]
    for state, number in (("busy", sum(s.operation_id is not None for s in slots)), ("idle", sum(s.operation_id is None for s in slots))):
        lines.append(f'ktrdr_workers{{status="{state}"}} {number}')
    return "\n".join(lines) + "\n"


@router.get("/trials")
async def trials(
    workspace: TheWorkspace, symbol: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Answer[list[Recorded]]:
    """List every candidate that was ever scored, newest first."""
    found: list[Any] = await asyncio.to_thread(workspace.trials.list, limit, symbol)
    return Answer(data=found)
