"""Health, metrics, workers, and the trial ledger."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

import ktrdr
from ktrdr.api.deps import Answer, Operations, TheFleet, TheWorkspace
from ktrdr.api.errors import ErrorAnswer
from ktrdr.operations.engine import Slot
from ktrdr.operations.fleet import Node
from ktrdr.services.campaigns import Tried, tried
from ktrdr.services.fleet import Drained
from ktrdr.stores.trials import Recorded

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """That the backend is there, whose it is, and whether it can work."""

    status: Literal["ok", "degraded"]
    version: str
    home_id: str
    checks: dict[str, str] = Field(description="For store, dispatcher and engine: `ok`, or what is wrong.")


class Worker(BaseModel):
    """A place where one operation can run."""

    worker: str
    profile: str
    status: str = Field(description="`busy`, `idle`, or `draining`: free, and nothing new is taken.")
    operation_id: str | None = None
    attempt: int | None = None
    pid: int | None = None
    gpu: str | None = Field(None, description="Name of the GPU that what runs here may use.")
    node: str | None = Field(None, description="The machine of the cluster; null where operations run on the backend's.")


class Workers(BaseModel):
    """Where operations can run."""

    engine: str = Field(description="`local`: on the backend's machine; `ray`: on the nodes of a cluster.")
    dispatcher: str = Field(description="`ok`, or why nothing is taken from the queue.")
    draining: bool = Field(description="Whether nothing new is taken anywhere.")
    nodes: list[Node]
    workers: list[Worker]


class DrainRequest(BaseModel):
    """What is to be emptied."""

    node: str | None = Field(None, max_length=256, description="A machine of the cluster; without one, all, or the backend's own.")


@router.get("/health", responses={503: {"model": Health | ErrorAnswer, "description": "It is there, and cannot work."}})
async def health(request: Request, operations: Operations, response: Response) -> Health:
    """Say that the backend is there, and whether its store takes operations and its engine runs them."""
    checks = await operations.health()
    well = set(checks.values()) == {"ok"}
    response.status_code = 200 if well else 503
    status: Literal["ok", "degraded"] = "ok" if well else "degraded"
    return Health(status=status, version=ktrdr.__version__, home_id=request.app.state.home_id, checks=checks)


@router.get("/workers")
async def workers(fleet: TheFleet) -> Answer[Workers]:
    """List the places where operations can run, and what runs there."""
    places = await fleet.places()
    shut = {node.name for node in places.nodes if node.draining}

    def status(slot: Slot) -> str:
        return "busy" if slot.operation_id else "draining" if slot.node in shut or (places.draining and not places.nodes) else "idle"

    found = [Worker(**asdict(slot), status=status(slot)) for slot in places.slots]
    told = Workers(engine=places.engine, dispatcher=places.dispatcher, draining=places.draining, nodes=list(places.nodes), workers=found)
    return Answer(data=told)


@router.post("/workers/drain")
async def drain(fleet: TheFleet, asked: DrainRequest) -> Answer[Drained]:
    """Take nothing new, and ask what runs to keep what it has and go back to the queue; answer when it has, or after two seconds."""
    return Answer(data=await fleet.drain(asked.node))


@router.post("/workers/undrain")
async def undrain(fleet: TheFleet, asked: DrainRequest) -> Answer[Drained]:
    """Take operations again."""
    return Answer(data=await fleet.undrain(asked.node))


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(operations: Operations) -> PlainTextResponse:
    """Counts and times in the text form of Prometheus."""
    return PlainTextResponse(await operations.figures(), media_type="text/plain; version=0.0.4")


@router.get("/trials")
async def trials(
    workspace: TheWorkspace, symbol: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Answer[list[Recorded]]:
    """List every candidate that was ever scored, newest first."""
    found: list[Any] = await asyncio.to_thread(workspace.trials.list, limit, symbol)
    return Answer(data=found)


@router.get("/trials/campaigns")
async def campaigns(workspace: TheWorkspace, symbol: str | None = None) -> Answer[list[Tried]]:
    """Say how much was tried on each symbol, by campaign, and what so many tries ask of the next result."""
    return Answer(data=await asyncio.to_thread(tried, workspace.trials, symbol))
