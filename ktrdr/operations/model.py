"""The operation: one record of a long piece of work, the same in row, JSON and terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

JSON = dict[str, Any]
Needs = Literal["cpu", "gpu"]
"""Where an operation runs best; one that would have a GPU is content with a CPU where none is free."""
GPU = "gpu"
"""The places of an engine that have one."""
MOST_CHILDREN = 64
"""Of a campaign."""
CPU = "cpu"
"""The places of an engine that take any profile."""
Signal = Literal["cancel", "drain"]
"""What an attempt can be told."""


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
    """The children a parked parent waits for, and the share of the parent's bar that they fill."""

    label: str
    """The step in words, such as `Training model`; of several children what they are, such as `trainings`."""
    begin: float
    end: float
    children: tuple[str, ...] = ()
    """Those that had not ended when it was parked."""
    total: int = 1
    """All children of the step: these, those that had ended before, and those that are still to be started."""
    ended: int = 0
    """How many had ended before."""
    failed: int = 0
    """How many of them without a result."""

    def over(self, alive: int) -> bool:
        """Whether the parent has something to do when so many of the children are alive: start another, or go on without any."""
        unstarted = self.total - self.ended - len(self.children)
        return alive == 0 or (unstarted > 0 and alive < len(self.children))


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

    @property
    def failed(self) -> bool:
        """Whether it has ended with nothing to show."""
        return self.status.ended and self.status is not Status.COMPLETED and self.result_summary is None

    def json_dict(self) -> JSON:
        """The record as JSON-ready values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Parent:
    """An operation that waits for children, and the children."""

    record: Operation
    waiting: Waiting
    children: tuple[Operation, ...]

    def with_child(self, child: Operation) -> Parent:
        """With one of the children as it is now."""
        others = (child if one.operation_id == child.operation_id else one for one in self.children)
        return replace(self, children=tuple(others))

    def shown(self) -> Operation:
        """The parent as it shows while children work for it: their progress fills their share of its bar."""
        if not self.children:
            return self.record
        progress = self._of_one(self.children[0]) if self.waiting.total == 1 else self._of_many()
        return self.record.model_copy(update={"progress": progress})

    def _of_one(self, child: Operation) -> Progress:
        step = f"{self.waiting.label}: {child.progress.current_step}" if child.progress.current_step else self.waiting.label
        about = {"child": {**brief(child), **child.progress.model_dump(mode="json")}}
        return self._progress(child.progress.percentage, step, about)

    def _of_many(self) -> Progress:
        """The mean of all children, where one that has ended counts as whole and one that has not begun as nothing."""
        waiting, alive = self.waiting, [child for child in self.children if not child.status.ended]
        ended = waiting.ended + len(self.children) - len(alive)
        failed = waiting.failed + sum(child.failed for child in self.children)
        running = sum(child.status is Status.RUNNING for child in alive)
        step = f"{ended} of {waiting.total} {waiting.label}, {running} running" + (f", {failed} failed" if failed else "")
        mean = (100 * ended + sum(child.progress.percentage for child in alive)) / waiting.total
        steps = {"steps_completed": ended, "steps_total": waiting.total}
        return self._progress(mean, step, {"children": [brief(child) for child in alive]}).model_copy(update=steps)

    def _progress(self, percentage: float, step: str, about: JSON) -> Progress:
        share = self.waiting.begin + (self.waiting.end - self.waiting.begin) * percentage / 100
        changed = {"percentage": round(share, 2), "current_step": step, "context": {**self.record.progress.context, **about}}
        return self.record.progress.model_copy(update=changed)


def brief(child: Operation) -> JSON:
    """A child as the progress of its parent names it."""
    return {
        "operation_id": child.operation_id, "operation_type": child.operation_type, "status": child.status.value,
        "percentage": child.progress.percentage, "current_step": child.progress.current_step,
    }  # fmt: skip


def lineage(before: Operation) -> JSON:
    """What an operation says that goes on where `before` has stopped."""
    kept = before.checkpoint
    return {
        "operation_id": before.operation_id, "checkpoint_id": kept.checkpoint_id if kept else None,
        "position": kept.position if kept else None,
    }  # fmt: skip
