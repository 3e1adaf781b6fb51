"""A kind that does nothing, at a pace you choose: the worked example for adding a kind."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from ktrdr.kinds.base import JSON, KINDS, Kind, Workspace
from ktrdr.operations.job import Job

SLICE_SECONDS = 0.05
"""Cancel is heard within so long, also inside an iteration."""


@KINDS.add  # the file name is the operation type
class Dummy(Kind):
    """Wait for a while, in steps that can be followed and cancelled."""

    # Fields are the parameters: typed, bounded, documented; they arrive checked.
    duration: float = Field(10.0, gt=0, le=86_400, description="Seconds that all iterations take together.")
    iterations: int = Field(10, ge=1, le=100_000, description="Steps that the time is divided into.")

    def metadata(self) -> JSON:
        """What `ktrdr status` shows of the parameters."""
        return {"parameters": self.model_dump()}

    # `run` happens in a process of its own. It reads downward, reports what it does and returns its result.
    def run(self, job: Job, workspace: Workspace) -> dict[str, Any]:
        """Wait `duration` seconds in `iterations` equal steps."""
        begun = time.monotonic()
        for done in range(self.iterations):
            until = begun + self.duration * (done + 1) / self.iterations
            while (left := until - time.monotonic()) > 0:
                job.check()  # raises when somebody cancels: no clean-up code, no flag to test
                time.sleep(min(left, SLICE_SECONDS))
            finished = done + 1
            job.report(100 * finished / self.iterations, f"Iteration {finished}/{self.iterations}", steps=(finished, self.iterations))
        return {"iterations": self.iterations, "duration_seconds": self.duration}
