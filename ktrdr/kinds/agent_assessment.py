"""Assessment: judge what was measured about a strategy."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from ktrdr.agents.designer import AssessmentContext
from ktrdr.kinds.agent_design import designer_of
from ktrdr.kinds.base import KINDS, Kind, Workspace
from ktrdr.kinds.desk import OFFLINE, HomeLibrary, JobDesk, bill_of, billed
from ktrdr.operations.job import Job

JSON = dict[str, Any]


@KINDS.add
class AgentAssessment(Kind):
    """Judge the results of a strategy."""

    context: AssessmentContext
    designer: str = OFFLINE
    model: str | None = None
    """Which language model to ask, where the designer is one."""
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """See that there is such a designer, and that it can begin."""
        return self.model_copy(update={"model": designer_of(workspace, self.designer).ready(self.model)})

    def metadata(self) -> JSON:
        """What is judged, and by whom."""
        return {"strategy_name": self.context.strategy_name, "designer": self.designer, "model": self.model, "parameters": {}}

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Have the designer judge, and save what it says beside the strategy."""
        job.limit(self.time_limit_minutes)
        name = self.context.strategy_name
        job.report(0, f"Judging {name}")
        desk = JobDesk(job, HomeLibrary(workspace, job.operation.created_at))
        context = self.context.model_copy(update={"model": self.model})
        with billed(job, self.designer):
            assessment = designer_of(workspace, self.designer).assess(context, desk).model_dump(mode="json")
        path = workspace.strategies.save_assessment(name, assessment)
        job.report(100, f"Verdict: {assessment['verdict']}")
        return {"strategy_name": name, "assessment": assessment, "assessment_path": str(path), "spent": bill_of(job, self.designer)}
