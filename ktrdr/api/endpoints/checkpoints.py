"""Checkpoints: list, show, delete, resume."""

from __future__ import annotations

from fastapi import APIRouter

from ktrdr.api.deps import JSON, Answer, IdempotencyKey, Operations, Resumed
from ktrdr.api.endpoints.operations import resumed
from ktrdr.operations.model import CheckpointRef, Operation

router = APIRouter(prefix="/checkpoints", tags=["checkpoints"])


class CheckpointOfOperation(CheckpointRef, frozen=True):
    """A checkpoint and the operation it belongs to."""

    operation_id: str
    operation_type: str
    status: str
    metadata: JSON


def shown(operation: Operation) -> CheckpointOfOperation:
    """The checkpoint of an operation that has one."""
    assert operation.checkpoint is not None
    return CheckpointOfOperation(
        **operation.checkpoint.model_dump(), operation_id=operation.operation_id, operation_type=operation.operation_type,
        status=operation.status.value, metadata=operation.metadata,
    )  # fmt: skip


@router.get("")
async def list_checkpoints(operations: Operations) -> Answer[list[CheckpointOfOperation]]:
    """List the checkpoints that operations can go on from."""
    return Answer(data=[shown(operation) for operation in await operations.checkpoints()])


@router.get("/{checkpoint_id}")
async def show_checkpoint(checkpoint_id: str, operations: Operations) -> Answer[CheckpointOfOperation]:
    """Show one checkpoint."""
    return Answer(data=shown(await operations.checkpoint(checkpoint_id)))


@router.delete("/{checkpoint_id}")
async def delete_checkpoint(checkpoint_id: str, operations: Operations) -> Answer[CheckpointOfOperation]:
    """Remove the checkpoint of an operation that has ended."""
    there = shown(await operations.checkpoint(checkpoint_id))
    await operations.delete_checkpoint(checkpoint_id)
    return Answer(data=there)


@router.post("/{checkpoint_id}/resume", status_code=202)
async def resume_checkpoint(checkpoint_id: str, operations: Operations, idempotency_key: IdempotencyKey = None) -> Resumed:
    """Start a new operation that goes on from a checkpoint."""
    there = await operations.checkpoint(checkpoint_id)
    return resumed(await operations.resume(there.operation_id, idempotency_key=idempotency_key))
