"""Operations: list, show, follow, cancel, resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from ktrdr.api.deps import Answer, IdempotencyKey, Operations, Page, Resumed, TheBackend
from ktrdr.operations.events import Event
from ktrdr.operations.model import Happening, Operation, Status
from ktrdr.operations.readings import OperationQuery

router = APIRouter(prefix="/operations", tags=["operations"])
ALIVE_SECONDS = 10.0
"""A silent stream says so often that it is still there."""


class CancelRequest(BaseModel, extra="forbid"):
    """Why to cancel."""

    reason: str | None = None


class CommandEnded(BaseModel, extra="forbid"):
    """How the command that started an operation went."""

    command: str = Field(min_length=1, max_length=64, description="Its name, such as `research`.")
    seconds: float = Field(ge=0, le=10_000_000, description="How long it took.")
    error: str | None = Field(None, max_length=1000, description="What ended it early.")


@router.get("")
async def list_operations(
    *,
    operations: Operations,
    status: Status | None = None,
    operation_type: str | None = None,
    active_only: bool = False,
    resumable: bool = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Page:
    """List operations, newest first."""
    page = await operations.find(OperationQuery(status, operation_type, active_only, resumable, limit, offset))
    return Page(data=page.operations, total_count=page.total_count, active_count=page.active_count)


@router.get("/{operation_id}")
async def show_operation(operation_id: str, operations: Operations) -> Answer[Operation]:
    """Show one operation."""
    return Answer(data=await operations.get(operation_id))


@router.get("/{operation_id}/children")
async def list_children(operation_id: str, operations: Operations) -> Answer[list[Operation]]:
    """List what an operation has started."""
    return Answer(data=await operations.children(operation_id))


@router.get("/{operation_id}/history")
async def show_history(operation_id: str, operations: Operations) -> Answer[list[Happening]]:
    """List what has happened to an operation, oldest first: attempts, checkpoints, warnings, its end."""
    return Answer(data=await operations.history(operation_id))


@router.get("/{operation_id}/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def follow_operation(
    operation_id: str, operations: Operations, last_event_id: Annotated[int | None, Header(ge=0)] = None
) -> StreamingResponse:
    """Stream an operation as server-sent events: its record now, and after every change, to its end."""
    known = await operations.get(operation_id)
    stream = lines(operations.events(known.operation_id, last_event_id))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def lines(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    """Events in the form of server-sent events, with a sign of life in long silences."""
    coming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=ALIVE_SECONDS)
            if not done:
                yield ": still here\n\n"
                continue
            event = coming.result()
            if event is None:
                return
            coming = asyncio.ensure_future(anext(events, None))
            yield f"id: {event.seq}\nevent: {event.event}\ndata: {event.operation.model_dump_json()}\n\n"
    finally:
        coming.cancel()


@router.delete("/{operation_id}", responses={202: {"model": Answer[Operation], "description": "It is still ending."}})
async def delete_operation(
    operation_id: str, operations: Operations, response: Response, asked: Annotated[CancelRequest | None, Body()] = None
) -> Answer[Operation]:
    """Cancel an operation and all it has started; 200 when it has ended, 202 while it still does."""
    ended = await operations.cancel(operation_id, asked.reason if asked else None)
    response.status_code = 200 if ended.status.ended else 202
    return Answer(data=ended)


@router.post("/{operation_id}/cancel", responses={202: {"model": Answer[Operation], "description": "It is still ending."}})
async def cancel_operation(
    operation_id: str, operations: Operations, response: Response, asked: Annotated[CancelRequest | None, Body()] = None
) -> Answer[Operation]:
    """Cancel an operation and all it has started; 200 when it has ended, 202 while it still does."""
    return await delete_operation(operation_id, operations, response, asked)


@router.post("/{operation_id}/resume", status_code=202)
async def resume_operation(operation_id: str, operations: Operations, idempotency_key: IdempotencyKey = None) -> Resumed:
    """Start a new operation that goes on where a failed or cancelled one stopped."""
    return resumed(await operations.resume(operation_id, idempotency_key=idempotency_key))


def resumed(operation: Operation) -> Resumed:
    """The answer to a resume."""
    return Resumed(
        operation_id=operation.operation_id, operation_type=operation.operation_type, resumed_from=operation.resumed_from or {}
    )  # fmt: skip


@router.post("/{operation_id}/command", status_code=202)
async def command_ended(operation_id: str, said: CommandEnded, backend: TheBackend) -> Answer[bool]:
    """Take note of how the command went that started an operation, for its trace; false where nothing is traced."""
    known = await backend.operations.get(operation_id)
    if backend.traces:
        await backend.traces.command(known.operation_id, said.command, said.seconds, said.error)
    return Answer(data=backend.traces is not None)
