"""A campaign of research: cycles of one goal, each with a seed of its own, and which of them came furthest."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from ktrdr.agents.candidates import Candidate, candidate, ranked, sentence
from ktrdr.agents.cycle import CycleResult
from ktrdr.agents.designer import Place
from ktrdr.errors import GateError, Invalid
from ktrdr.kinds.agent_research import AgentResearch
from ktrdr.kinds.base import KINDS, Workspace
from ktrdr.kinds.campaign import Campaign, all_failed, seeds_from
from ktrdr.operations.job import Job
from ktrdr.operations.model import MOST_CHILDREN, Operation

JSON = dict[str, Any]


@KINDS.add
class ResearchCampaign(Campaign):
    """Research a goal in several cycles, each with a candidate of its own."""

    candidates: int = Field(ge=1, le=MOST_CHILDREN)
    """How many cycles: the first with the given seed, and then each with one higher than the one before."""
    research: AgentResearch

    def prepare(self, workspace: Workspace) -> Self:
        """Understand the goal once, for all of them."""
        if self.research.strategy is not None:
            raise Invalid("a given strategy is examined by one cycle; several candidates need a goal", hint="leave out one of the two")
        settled = {"research": self.research.prepare(workspace), "parallel": self.at_once(workspace, self.candidates)}
        return self.model_copy(update=settled)

    def metadata(self) -> JSON:
        """The goal, what it was understood as, how many cycles and how many at once."""
        about = {name: value for name, value in self.research.metadata().items() if name != "phase"}
        return about | {"parameters": {**about["parameters"], "candidates": self.candidates, "parallel": self.parallel}}

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Start the cycles, and compare what they have come to."""
        seeds = seeds_from(self.research.seed, self.candidates)
        asked = {
            seed: self.research.model_copy(update={"seed": seed, "place": Place(number=number, of=len(seeds))}).model_dump(mode="json")
            for number, seed in enumerate(seeds, 1)
        }
        ended = self.children(job, "agent_research", "cycles", asked)
        found = ranked([candidate_of(seed, operation) for seed, operation in ended.items()])
        if all(one.strategy_name is None for one in found):
            raise all_failed(ended, "cycles")
        result = self._result(found, workspace)
        if not any(one.passed for one in found):
            best = found[0]
            gate = next((gate.gate for gate in best.gates if not gate.passed), "training")
            raise GateError(result["sentence"], gate, {"accuracy": best.accuracy, **best.figures}, result=result)
        return result

    def _result(self, found: list[Candidate], workspace: Workspace) -> JSON:
        plan = self.research.plan
        assert plan is not None
        return {
            "goal": self.research.brief,
            "understood": plan.goal.understood if plan.goal else None,
            "sentence": sentence(found),
            "candidates": [one.model_dump(mode="json") for one in found],
            "passed": sum(one.passed for one in found),
            "promoted": sum(bool(one.promoted) for one in found),
            "trials": workspace.trials.count(plan.symbol, plan.dates.train_start, plan.dates.test_end),
        }


def candidate_of(seed: int, operation: Operation) -> Candidate:
    """What a cycle that has ended came to; one that a gate refused has its figures."""
    found = operation.result_summary
    result = CycleResult.model_validate({name: found[name] for name in CycleResult.model_fields if name in found}) if found else None
    return candidate(seed, operation.operation_id, operation.status.value, result, operation.error_message)
