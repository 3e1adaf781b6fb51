"""What campaigns have in common: one parent, and children that differ in their seed alone."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ktrdr.errors import KtrdrError
from ktrdr.kinds.base import Kind, Workspace
from ktrdr.operations.job import Child, Job
from ktrdr.operations.model import MOST_CHILDREN, Operation

JSON = dict[str, Any]


class Campaign(Kind):
    """Children with seeds of their own, so many of them at once; the parent occupies no process while they work."""

    parallel: int | None = Field(None, ge=1, le=MOST_CHILDREN)
    """How many are queued or at work at the same time; by default as many as can be trained on this machine, on a cluster all."""

    def at_once(self, workspace: Workspace, count: int) -> int:
        """How many of `count` children may be alive at the same time."""
        here = count if workspace.settings.engine == "ray" else workspace.settings.torch_slots
        return min(self.parallel or here, count)

    def children(self, job: Job, operation_type: str, label: str, asked: dict[int, JSON]) -> dict[int, Operation]:
        """The ended children by seed; until they have ended this operation is parked."""
        wanted = [Child(f"seed {seed}", operation_type, parameters) for seed, parameters in asked.items()]
        ended = job.children(wanted, label=label if len(wanted) > 1 else label.removesuffix("s"), at_most=self.parallel or 1)
        return dict(zip(asked, ended, strict=True))


def seeds_from(seed: int, count: int) -> list[int]:
    """The seeds of a campaign: the recorded one, then each one higher than the one before; after the largest comes 0.

    >>> seeds_from(7, 3)
    [7, 8, 9]
    >>> seeds_from(2**32 - 1, 2)
    [4294967295, 0]
    """
    return [(seed + number) % 2**32 for number in range(count)]


def all_failed(children: dict[int, Operation], noun: str) -> KtrdrError:
    """What to say of a campaign without a single result."""
    seed, first = next(iter(children.items()))
    why = first.error_message or first.status.value
    ends = [
        {"seed": each, "operation_id": child.operation_id, "status": child.status.value, "error_message": child.error_message}
        for each, child in children.items()
    ]
    hint = first.error.hint if first.error and first.error.hint else f"ktrdr status {first.operation_id}"
    message = f"none of the {len(children)} {noun} has a result; seed {seed}: {why}"
    return KtrdrError(message, code="all_failed", hint=hint, details={"children": ends})
