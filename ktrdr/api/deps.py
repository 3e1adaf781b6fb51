"""What endpoints are handed, and the shapes they answer in."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Request
from pydantic import BaseModel, Field

from ktrdr.kinds.base import Workspace
from ktrdr.operations.model import Operation
from ktrdr.services.agent import AgentService
from ktrdr.services.fleet import FleetService
from ktrdr.services.operations import OperationsService
from ktrdr.services.reports import ReportsService
from ktrdr.wiring import Backend

T = TypeVar("T")
JSON = dict[str, Any]


def backend_of(request: Request) -> Backend:
    """The backend this application answers for."""
    backend: Backend = request.app.state.backend
    return backend


def operations_of(request: Request) -> OperationsService:
    """Its operations."""
    return backend_of(request).operations


def fleet_of(request: Request) -> FleetService:
    """Where its operations run."""
    return backend_of(request).fleet


def agent_of(request: Request) -> AgentService:
    """Its research agent."""
    return backend_of(request).agent


def reports_of(request: Request) -> ReportsService:
    """Its reports."""
    return backend_of(request).reports


def workspace_of(request: Request) -> Workspace:
    """Its bars, strategies, models."""
    return backend_of(request).workspace


TheBackend = Annotated[Backend, Depends(backend_of)]
Operations = Annotated[OperationsService, Depends(operations_of)]
TheFleet = Annotated[FleetService, Depends(fleet_of)]
Agent = Annotated[AgentService, Depends(agent_of)]
Reports = Annotated[ReportsService, Depends(reports_of)]
TheWorkspace = Annotated[Workspace, Depends(workspace_of)]
IdempotencyKey = Annotated[str | None, Header(min_length=8, max_length=128, description="The same key starts nothing twice.")]


class Answer(BaseModel, Generic[T]):
    """A good answer."""

    success: bool = True
    data: T


class Page(BaseModel):
    """A page of operations, newest first."""

    success: bool = True
    data: list[Operation]
    total_count: int = Field(description="How many fit the query, on all pages.")
    active_count: int = Field(description="How many operations have not ended.")


class StartedOperation(BaseModel):
    """What was started."""

    operation_id: str
    operation_type: str
    status: str


class Started(BaseModel):
    """An operation was accepted and runs on its own."""

    success: bool = True
    operation_id: str
    data: StartedOperation


class StartedTraining(Started):
    """A training was accepted; `task_id` is the operation id."""

    task_id: str


class Resumed(BaseModel):
    """A new operation goes on where another ended."""

    success: bool = True
    operation_id: str
    operation_type: str
    resumed_from: JSON


def started(operation: Operation) -> Started:
    """The answer to a start."""
    begun = StartedOperation(operation_id=operation.operation_id, operation_type=operation.operation_type, status=operation.status.value)
    return Started(operation_id=operation.operation_id, data=begun)
