"""Starting trainings, backtests, checks, explanations, data loads and the dummy."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ktrdr.api.deps import JSON, Answer, IdempotencyKey, Operations, Started, StartedTraining, started
from ktrdr.errors import Conflict, Invalid, NotFound
from ktrdr.kinds.backtesting import Backtesting
from ktrdr.kinds.data_load import DataLoad
from ktrdr.kinds.dummy import Dummy
from ktrdr.kinds.model_explanation import ModelExplanation
from ktrdr.kinds.strategy_check import StrategyCheck
from ktrdr.kinds.training import Training
from ktrdr.operations.model import MOST_CHILDREN

router = APIRouter()


class TrainingStart(Training):
    """A training, or a campaign of trainings that differ in their seed alone."""

    seeds: int | None = Field(None, ge=1, le=MOST_CHILDREN, description="So many trainings, each with a seed of its own.")
    parallel: int | None = Field(None, ge=1, le=MOST_CHILDREN, description="So many of them at once.")

    def asked(self) -> tuple[str, JSON]:
        """What is started, and with which parameters."""
        training = given(self)
        seeds, parallel = training.pop("seeds", None), training.pop("parallel", None)
        if seeds is not None:
            return "training_campaign", {"seeds": seeds, "parallel": parallel, "training": training}
        if parallel is not None:
            raise Invalid(f"parallel ({parallel}) says how many of several trainings run at once", hint="give seeds too")
        return "training", training


def given(body: BaseModel) -> JSON:
    """What the caller said, without the defaults."""
    return body.model_dump(mode="json", exclude_unset=True)


@router.post("/trainings/start", status_code=202, tags=["trainings"])
async def start_training(body: TrainingStart, operations: Operations, idempotency_key: IdempotencyKey = None) -> StartedTraining:
    """Train a strategy's network on bars; with `seeds`, once for each of them."""
    answer = started(await operations.start(*body.asked(), idempotency_key=idempotency_key))
    return StartedTraining(**answer.model_dump(), task_id=answer.operation_id)


@router.post("/trainings/check", tags=["trainings"])
async def check_training(body: TrainingStart, operations: Operations) -> Answer[JSON]:
    """Check everything a training needs and say what would be trained; nothing is started."""
    return Answer(data=(await operations.check(*body.asked())).metadata)


@router.post("/backtests/start", status_code=202, tags=["backtests"])
async def start_backtest(body: Backtesting, operations: Operations, idempotency_key: IdempotencyKey = None) -> Started:
    """Backtest a trained strategy on past bars."""
    return started(await operations.start("backtesting", given(body), idempotency_key=idempotency_key))


@router.post("/strategies/check", status_code=202, tags=["strategies"])
async def start_check(body: StrategyCheck, operations: Operations, idempotency_key: IdempotencyKey = None) -> Started:
    """Check that nothing in a strategy knows the future."""
    return started(await operations.start("strategy_check", given(body), idempotency_key=idempotency_key))


@router.post("/models/explain", status_code=202, tags=["models"])
async def start_explanation(body: ModelExplanation, operations: Operations, idempotency_key: IdempotencyKey = None) -> Started:
    """Explain a model: its rules, how each has done, and why it decided as it did on a bar."""
    return started(await operations.start("model_explanation", given(body), idempotency_key=idempotency_key))


@router.post("/data/load", status_code=202, tags=["data"])
async def start_load(body: DataLoad, operations: Operations, idempotency_key: IdempotencyKey = None) -> Started:
    """Load bars of a symbol from a provider."""
    return started(await operations.start("data_load", given(body), idempotency_key=idempotency_key))


@router.post("/dummy/start", status_code=202, tags=["operations"])
async def start_dummy(operations: Operations, body: Dummy | None = None, idempotency_key: IdempotencyKey = None) -> Started:
    """Wait for a while, in steps that can be followed and cancelled."""
    return started(await operations.start("dummy", given(body) if body else {}, idempotency_key=idempotency_key))


@router.get("/trainings/{training_id}/performance", tags=["trainings"])
async def training_performance(training_id: str, operations: Operations) -> Answer[dict[str, Any]]:
    """Show the scores of a training beside their baselines."""
    operation = await operations.get(training_id)
    if operation.operation_type != "training":
        raise NotFound(f"{operation.operation_id} is no training but {operation.operation_type}", hint="ktrdr ops --type training")
    result = operation.result_summary
    if result is None:
        raise Conflict(f"{operation.operation_id} is {operation.status} and has no scores", hint=f"ktrdr status {operation.operation_id}")
    shown = ("training_metrics", "test_metrics", "baselines", "model_info", "gate_inputs")
    return Answer(data={"operation_id": operation.operation_id, "status": operation.status.value, **{name: result[name] for name in shown}})
