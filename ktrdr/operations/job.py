"""The live handle a kind gets inside a runner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ktrdr.errors import WorkerError
from ktrdr.operations.model import CheckpointRef, Operation, Progress

JSON = dict[str, Any]
REPORT_INTERVAL = 0.05
"""Progress within a step leaves the runner at most 20 times a second."""
STEP_INTERVAL = 0.001
"""A new step is told at once, unless they are shorter than this."""


class Cancelled(Exception):
    """Somebody asked this operation to stop."""


class Drained(Exception):
    """The engine wants its slot back; the operation goes on later from its checkpoint."""


class Orphaned(Exception):
    """The guardian is gone; nobody would hear the result."""


class Parked(Exception):
    """The operation waits for children and gives its process back."""


@dataclass(frozen=True)
class Child:
    """A piece of work for an operation of its own."""

    step: str
    """Names it among the children of its parent: a step is started once."""
    operation_type: str
    parameters: JSON


class Link(Protocol):
    """The runner's end of the pipe to its guardian."""

    def send(self, message: JSON) -> None:
        """Tell the guardian something; no answer."""

    def ask(self, message: JSON) -> Any:
        """Tell the guardian something and wait for the answer."""

    def interruption(self) -> Exception | None:
        """Cancelled, Drained or Orphaned once one was asked for; else None. Costs an attribute read."""


class Job:
    """One attempt of one operation, as its kind sees it."""

    def __init__(self, operation: Operation, link: Link, resumed: CheckpointRef | None = None) -> None:
        self.operation = operation
        self.resumed = resumed
        """The checkpoint to take up, from an earlier attempt or from the operation this one resumes."""
        self._link = link
        self._sent = Progress()
        self._sent_at = 0.0
        self._limit: tuple[float, float] | None = None

    @property
    def operation_id(self) -> str:
        """The id of the operation."""
        return self.operation.operation_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.operation.attempt

    def limit(self, minutes: float | None) -> None:
        """From now on this attempt may take so long; None lets it take its time."""
        self._limit = None if minutes is None else (minutes, time.monotonic() + 60 * minutes)

    def check(self) -> None:
        """Raise Cancelled, Drained or Orphaned if one was asked for, WorkerError when the time is up; cheap enough for every batch."""
        interruption = self._link.interruption()
        if interruption is not None:
            raise interruption
        if self._limit is not None and time.monotonic() > self._limit[1]:
            raise WorkerError(
                f"Worker timeout after {self._limit[0]:g} minutes", code="timeout", hint="set KTRDR_PHASE_TIMEOUT_MINUTES to allow more"
            )

    def report(
        self, percentage: float, step: str, *, steps: tuple[int, int] | None = None, items: tuple[int, int] | None = None, **context: Any
    ) -> None:
        """Show progress (0 to 100) and the step in words, if they are news; also checks for cancel."""
        self.check()
        progress = Progress(
            percentage=round(min(max(percentage, 0.0), 100.0), 2), current_step=step,
            steps_completed=steps[0] if steps else None, steps_total=steps[1] if steps else None,
            items_processed=items[0] if items else None, items_total=items[1] if items else None, context=context,
        )  # fmt: skip
        now = time.monotonic()
        interval = REPORT_INTERVAL if progress.steps_completed == self._sent.steps_completed else STEP_INTERVAL
        due = now - self._sent_at >= interval or progress.percentage >= 100 > self._sent.percentage
        if due and progress != self._sent:
            self._sent, self._sent_at = progress, now
            self._link.send({"type": "progress", "progress": progress.model_dump(mode="json")})

    def describe(self, **metadata: Any) -> None:
        """Add to the operation's metadata, such as `phase=...`."""
        self._link.send({"type": "metadata", "metadata": metadata})

    def warn(self, text: str) -> None:
        """Add a warning to the operation."""
        self._link.send({"type": "warning", "text": text})

    def checkpoint(self, ref: CheckpointRef) -> None:
        """Record a checkpoint that is safely on disk; it answers only when the row names it."""
        self._link.ask({"type": "checkpoint", "checkpoint": ref.model_dump(mode="json")})

    def write(self, command: str, step_key: str, **fields: Any) -> Any:
        """Run a typed command (`append_trial journal_step reserve_budget settle_budget sum_spending`) in the backend, once per step key."""
        return self._link.ask({"type": "write", "command": command, "step_key": step_key, "fields": fields})

    def recall(self, step_key: str) -> Any:
        """The answer that a command with this step key got before, in this attempt or an earlier one; None if there was none."""
        return self._link.ask({"type": "recall", "step_key": step_key})

    def child(
        self, step: str, operation_type: str, parameters: JSON, *, label: str, share: tuple[float, float], metadata_key: str | None = None
    ) -> Operation:
        """The ended child of this step. The first call starts it and parks this operation (raises Parked); the
        operation is run again from the top when the child has ended, and then gets its record here.

        `metadata_key` names the metadata field that gets the child's id, such as `training_op_id`.
        """
        one = Child(step, operation_type, parameters)
        return self.children([one], label=label, share=share, metadata_key=metadata_key)[0]

    def children(
        self, wanted: Sequence[Child], *, label: str, share: tuple[float, float] = (0.0, 100.0), at_most: int = 1,
        metadata_key: str | None = None,
    ) -> list[Operation]:  # fmt: skip
        """The ended children of these steps, at most `at_most` of them queued or at work at the same time.

        A call starts what may be started and parks this operation (raises Parked); it is run again from the top whenever
        another may be started, and gets the records here when all have ended. `label` says what several children are, such
        as `trainings`. A child that failed is no error: its record says so.
        """
        answer = self._link.ask({
            "type": "children", "children": [asdict(one) for one in wanted], "at_most": at_most, "label": label,
            "share": list(share), "metadata_key": metadata_key,
        })  # fmt: skip
        if answer["parked"]:
            raise Parked(label)
        return [Operation.model_validate(one) for one in answer["operations"]]
