"""How a training shows where it is, and keeps what it has learned so far."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ktrdr import telemetry
from ktrdr.kinds.given import Saver
from ktrdr.kinds.meter import Meter, NoGpu
from ktrdr.operations.job import Job
from ktrdr.training.state import BatchPosition, FitState

JSON = dict[str, Any]
MOST_EPOCH_SPANS = 100
"""A trace shows so many epochs of a training; of more, every second one, or every third."""
SHOWN_EVERY = 0.05
"""Seconds between two reports within an epoch; batches are faster than anybody reads."""


def in_words(context: Mapping[str, Any]) -> str:
    """Epoch, batch and GPU of a progress context, whichever are known.

    >>> in_words({"epoch_index": 5, "total_epochs": 10, "batch_number": 120, "batch_total_per_epoch": 500})
    'Epoch 5/10 · Batch 120/500'
    >>> in_words({})
    ''
    """
    usage = context.get("resource_usage") or {}
    parts = []
    if context.get("epoch_index"):
        parts.append(f"Epoch {context['epoch_index']}/{context['total_epochs']}")
    if context.get("batch_number"):
        parts.append(f"Batch {context['batch_number']}/{context['batch_total_per_epoch']}")
    words = " · ".join(parts)
    if usage.get("gpu_used") and usage.get("gpu_utilization_percent") is not None:
        words += f" 🖥️ {usage['gpu_name']}: {usage['gpu_utilization_percent']:.0f}%"
    return words.strip()


@dataclass
class Course:
    """Shows a training's progress and keeps its checkpoints."""

    job: Job
    saver: Saver
    meter: Meter = field(default_factory=NoGpu)
    metrics: JSON | None = None
    """Of the last whole epoch."""
    epochs: int = 0
    begun: int = 0
    """When the present epoch began, in nanoseconds."""
    shown_at: float = 0.0

    def on_batch(self, at: BatchPosition) -> None:
        """Show the batch that begins, at most 20 times a second and each epoch's first; raises when the job is to end."""
        self.epochs = at.epochs
        if at.batch == 1:
            self.begun = time.time_ns()
        elif time.monotonic() - self.shown_at < SHOWN_EVERY:
            self.job.check()
            return
        begun, total = at.items
        self._show(100 * (begun - 1) / total, at.epoch, items=(begun, total), batch_number=at.batch, batch_total_per_epoch=at.batches)

    def on_epoch(self, state: FitState) -> None:
        """Show an epoch that has ended, note its figures, and offer its state as a checkpoint."""
        self.metrics = {name: values[-1] for name, values in state.course.history if values}
        epoch = state.course.epochs_run
        if epoch % math.ceil(self.epochs / MOST_EPOCH_SPANS) == 0:
            telemetry.record("epoch", self.begun, epoch=epoch, **self.metrics)
        self._show(min(100 * epoch / self.epochs, ALMOST), epoch)
        self.saver.offer(state.position, state.to_parts)

    def ended(self, epoch: int) -> None:
        """Show that the model is saved."""
        self.job.report(100, "Model saved", **self.context(epoch))

    def context(self, epoch: int, **at: int) -> JSON:
        """The context of a report."""
        known = {"epoch_index": epoch, "total_epochs": self.epochs, **at, "resource_usage": self.meter.read()}
        return known | ({"epoch_metrics": self.metrics} if self.metrics else {})

    def _show(self, percentage: float, epoch: int, items: tuple[int, int] | None = None, **at: int) -> None:
        self.shown_at = time.monotonic()
        context = self.context(epoch, **at)
        self.job.report(percentage, in_words(context), steps=(epoch, self.epochs), items=items, **context)


ALMOST = 99.9
"""The last epoch has ended, but the model is not judged and saved yet."""
