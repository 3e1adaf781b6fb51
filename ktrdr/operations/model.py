"""The operation: one record of a long piece of work, the same in row, JSON and terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

JSON = dict[str, Any]
Needs = Literal["cpu", "gpu"]
"""Where an operation runs best; one that would have a GPU is content with a CPU where none is free."""
GPU = "gpu"
"""The places of an engine that have one."""
CPU = "cpu"
"""The places of an engine that take any profile."""


class Status(StrEnum):
    """What users see of an operation's life."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class State(StrEnum):
    """Where the row is in the machine; only `starting` and `running` hold a lease."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PARKED = "parked"
    ENDED = "ended"


class Progress(BaseModel, frozen=True):
    """How far a piece of work is; parts without data stay empty."""

    percentage: float = 0.0
    current_step: str = ""
    steps_completed: int | None = None
    steps_total: int | None = None
    items_processed: int | None = None
    items_total: int | None = None
    context: JSON = Field(default_factory=dict)


class CheckpointRef(BaseModel, frozen=True):
    """Where an operation can be taken up again."""

    checkpoint_id: str
    position: str
    created_at: datetime
    path: str
    """Relative to the home's checkpoint folder."""
    sha256: str
    size_bytes: int


class ErrorRecord(BaseModel, frozen=True):
    """Why an operation failed."""

    code: str
    message: str
    hint: str | None = None
    details: JSON = Field(default_factory=dict)


class Happening(BaseModel, frozen=True):
    """Something that happened to an operation; there is no progress in it."""

    at: datetime
    event: str
    """`queued started checkpoint warning parked woken drained lost cancel_requested completed failed cancelled`."""
    attempt: int
    detail: JSON = Field(default_factory=dict)


class Waiting(BaseModel, frozen=True):
    """The child a parked parent waits for, and the share of the parent's bar that it fills."""

    step: str
    operation_id: str
    label: str
    begin: float
    end: float


class Operation(BaseModel):
    """One long piece of work."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    operation_id: str
    operation_type: str
    status: Status = Status.PENDING
    cancelling: bool = False
    parent_operation_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    attempt: int = 0
    progress: Progress = Progress()
    metadata: JSON = Field(default_factory=dict)
    checkpoint: CheckpointRef | None = None
    resumed_from: JSON | None = None
    result_summary: JSON | None = None
    error: ErrorRecord | None = None
    warnings: list[str] = Field(default_factory=list)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def error_message(self) -> str | None:
        """Why it failed, in one sentence."""
        return self.error.message if self.error else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def duration_seconds(self) -> float | None:
        """Seconds from start to end, or to now."""
        if self.started_at is None:
            return None
        return round(((self.completed_at or datetime.now(UTC)) - self.started_at).total_seconds(), 3)

    def json_dict(self) -> JSON:
        """The record as JSON-ready values."""
        return self.model_dump(mode="json")


def with_child(parent: Operation, waiting: Waiting, child: Operation) -> Operation:
    """The parent as it shows while `child` works for it: the child's progress fills its share of the bar."""
    share = waiting.begin + (waiting.end - waiting.begin) * child.progress.percentage / 100
    step = f"{waiting.label}: {child.progress.current_step}" if child.progress.current_step else waiting.label
    context = {
        **parent.progress.context,
        "child": {
            "operation_id": child.operation_id,
            "operation_type": child.operation_type,
            "status": child.status.value,
            **child.progress.model_dump(mode="json"),
        },
    }
    progress = parent.progress.model_copy(update={"percentage": round(share, 2), "current_step": step, "context": context})
    return parent.model_copy(update={"progress": progress})
