"""A campaign of trainings: one strategy, learned again and again from other seeds, and how far its scores spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.kinds.base import KINDS, Workspace
from ktrdr.kinds.campaign import Campaign, all_failed, seeds_from
from ktrdr.kinds.training import Training
from ktrdr.operations.job import Job
from ktrdr.operations.model import MOST_CHILDREN, Operation, Status
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]
SCORES = ("accuracy", "final_loss", "loss_decrease")
"""The figures that the training gate reads, on the test slice."""
JUDGED = "accuracy"
"""The score that says which training is the median one."""


class SeedResult(BaseModel):
    """What one training of a campaign came to."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    seed: int
    operation_id: str
    status: Status
    scores: dict[str, float | None] | None
    """None where it has none; `error_message` says why."""
    model_path: str | None
    error_message: str | None


class Spread(BaseModel):
    """How far a score of several trainings lies apart; a figure that is not defined is None."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    count: int
    mean: float | None
    sd: float | None
    """Of the sample, divided by count - 1."""
    min: float | None
    max: float | None
    reason: str | None
    """Why a figure is None."""


@KINDS.add
class TrainingCampaign(Campaign):
    """Train a strategy with several seeds, each a training of its own."""

    seeds: int = Field(ge=1, le=MOST_CHILDREN)
    """How many: the strategy's own seed, and then each one higher than the one before."""
    training: Training

    def prepare(self, workspace: Workspace) -> Self:
        """Settle the training that all of them are."""
        return self.model_copy(update={"training": self.training.prepare(workspace), "parallel": self.at_once(workspace, self.seeds)})

    def metadata(self) -> JSON:
        """What is trained, on what, how often and how many at once."""
        about = self.training.metadata()
        return about | {"parameters": {**about["parameters"], "seeds": self.seeds, "parallel": self.parallel}}

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Start the trainings, and compare what they have come to."""
        strategy = load_strategy(self.training.strategy or "", self.training.source or "the given strategy").strategy
        asked = {seed: self._asked(strategy, seed) for seed in seeds_from(strategy.training.seed, self.seeds)}
        ended = self.children(job, "training", "trainings", asked)
        found = [seed_result(seed, operation) for seed, operation in ended.items()]
        scored = [one for one in found if one.scores is not None]
        if not scored:
            raise all_failed(ended, "trainings")
        median = median_of(scored)
        return {
            "strategy_name": strategy.name,
            "seeds": [one.model_dump(mode="json") for one in found],
            "spread": {name: spread([(one.scores or {})[name] for one in scored]).model_dump(mode="json") for name in SCORES},
            "median": {"score": JUDGED, "seed": median.seed, "operation_id": median.operation_id} if median else None,
            "completed": len(scored),
            "failed": len(found) - len(scored),
        }

    def _asked(self, strategy: Strategy, seed: int) -> JSON:
        """The parameters of the training with this seed; whoever starts one with them gets the same model."""
        seeded = strategy.model_copy(update={"training": strategy.training.model_copy(update={"seed": seed})})
        # The text has the share that is held out already.
        return {**self.training.model_dump(mode="json"), "strategy": seeded.to_yaml(), "validation_split": None}


def seed_result(seed: int, operation: Operation) -> SeedResult:
    """What a training that has ended came to."""
    found = operation.result_summary if operation.status is Status.COMPLETED else None
    return SeedResult(
        seed=seed, operation_id=operation.operation_id, status=operation.status,
        scores={name: found["gate_inputs"][name] for name in SCORES} if found else None,
        model_path=found["model_path"] if found else None,
        error_message=None if found else operation.error_message or "it gave no reason",
    )  # fmt: skip


def spread(values: Sequence[float | None]) -> Spread:
    """Mean, standard deviation, least and most of the values that there are.

    >>> spread([0.5, 0.6, None]).mean
    0.55
    >>> spread([0.5]).reason
    'one value has no spread'
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Spread(count=0, mean=None, sd=None, min=None, max=None, reason="no training has it")
    few = len(known) < 2
    return Spread(
        count=len(known), mean=statistics.fmean(known), sd=None if few else statistics.stdev(known), min=min(known), max=max(known),
        reason="one value has no spread" if few else None,
    )  # fmt: skip


def median_of(found: Sequence[SeedResult]) -> SeedResult | None:
    """The training in the middle; of an even number the lower of the two, of equal ones the first seed."""
    known = [(value, number, one) for number, one in enumerate(found) if (value := (one.scores or {}).get(JUDGED)) is not None]
    return sorted(known, key=lambda each: each[:2])[(len(known) - 1) // 2][2] if known else None
