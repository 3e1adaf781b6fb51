"""An operation that does not exist yet, and the row that it begins as."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from ktrdr.operations.model import JSON, Needs, State, Status
from ktrdr.operations.tracing import context_of

AHEAD = timedelta(minutes=10)
"""One step of priority is worth so much waiting; therefore nothing waits for ever."""


@dataclass(frozen=True)
class NewOperation:
    """An operation that does not exist yet."""

    operation_type: str
    parameters: JSON
    metadata: JSON = field(default_factory=dict)
    profile: str = "light"
    priority: int = 0
    idempotency_key: str | None = None
    resumed_from: JSON | None = None
    needs: Needs = "cpu"
    traceparent: str | None = None
    """The span that asked for it, if anything traced did."""


def new_id(operation_type: str, now: datetime) -> str:
    """An id such as `op_training_20261121_093000_1a2b3c4d`."""
    return f"op_{operation_type}_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(4)}"


def type_of(operation_id: str | None) -> str | None:
    """The type of the operation that has such an id.

    >>> type_of("op_agent_research_20261121_093000_1a2b3c4d")
    'agent_research'
    """
    return operation_id.removeprefix("op_").rsplit("_", 3)[0] if operation_id else None


def row_of(new: NewOperation, parent: Row[Any] | None, step: str | None, now: datetime) -> JSON:
    """The values of a row that has just been queued."""
    operation_id = new_id(new.operation_type, now)
    priority = new.priority if parent is None else parent.priority + 1
    return {
        "operation_id": operation_id, "operation_type": new.operation_type, "status": Status.PENDING, "state": State.QUEUED,
        "profile": new.profile, "needs": new.needs, "priority": priority, "queue_at": now - priority * AHEAD,
        "parent_operation_id": parent.operation_id if parent is not None else None, "step_key": step,
        "path": f"{parent.path if parent is not None else '/'}{operation_id}/", "idempotency_key": new.idempotency_key,
        "parameters": new.parameters, "metadata": new.metadata, "created_at": now, "resumed_from": new.resumed_from,
        "warnings": [],
        "traceparent": context_of(parent.operation_id, parent.traceparent).traceparent if parent is not None else new.traceparent,
    }  # fmt: skip
