"""Training: learn a strategy's network from bars and keep it as a model."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import Field

from ktrdr import telemetry
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.given import Saver, given_range, given_strategy, read_bars, require_bars, warn_of_bars, written
from ktrdr.models.model import Model
from ktrdr.operations.job import Drained, Job
from ktrdr.operations.model import Needs
from ktrdr.stores.models import SavedModel
from ktrdr.strategy.load import load_strategy
from ktrdr.training.run import learn
from ktrdr.training.score import detailed_analytics
from ktrdr.training.state import BatchPosition, FitState
from ktrdr.training.windows import build_samples

JSON = dict[str, Any]
MOST_EPOCH_SPANS = 100
"""A trace shows so many epochs of a training; of more, every second one, or every third."""


@KINDS.add
class Training(Kind):
    """Train a strategy's network on bars."""

    profile: ClassVar[Profile] = "torch"
    needs: ClassVar[Needs] = "gpu"

    strategy_name: str | None = None
    strategy: str | None = None
    """The strategy's text; an operation keeps it and never reads the file again."""
    source: str | None = None
    """Where the text comes from, for messages."""
    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None
    start_date: str | None = None
    end_date: str | None = None
    validation_split: float | None = Field(None, gt=0, lt=1)
    detailed_analytics: bool = False
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle the strategy with everything that overrides it, and see that its bars are there."""
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        dates = given_range(self.start_date, self.end_date, found.date_range, f"training {found.name}")
        own = tuple(timeframe.name for timeframe in found.timeframes)
        settled = found.with_overrides(self.symbols, self.timeframes if self.timeframes != own else None, *dates, self.validation_split)
        for symbol in settled.symbols:
            for timeframe in settled.timeframes:
                require_bars(workspace, symbol, timeframe, dates)
        return self.model_copy(update={
            "strategy_name": settled.name, "strategy": settled.to_yaml(), "source": self.source or settled.name,
            "symbols": settled.symbols, "timeframes": tuple(timeframe.name for timeframe in settled.timeframes),
            "start_date": written(dates[0]), "end_date": written(dates[1]),
        })  # fmt: skip

    def metadata(self) -> JSON:
        """What is trained, on what, and how."""
        how: JSON = {}
        if self.strategy is not None:
            settled = load_strategy(self.strategy, self.source or "the given strategy").strategy
            how = {
                "features": len(settled.feature_ids), "epochs": settled.training.epochs, "seed": settled.training.seed,
                "validation_split": settled.training.data_split.validation,
            }  # fmt: skip
        return {
            "strategy_name": self.strategy_name, "symbol": ", ".join(self.symbols or ()), "timeframe": ", ".join(self.timeframes or ()),
            "start_date": self.start_date, "end_date": self.end_date,
            "parameters": {**how, "detailed_analytics": self.detailed_analytics},
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Read the bars, learn, save the model and return its scores beside their baselines."""
        job.limit(self.time_limit_minutes)
        strategy = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        start, end = given_range(None, None, strategy.date_range, f"training {strategy.name}")
        job.report(0, "Reading bars")
        bars = read_bars(workspace, strategy, end)
        for symbol in strategy.symbols:
            warn_of_bars(job, bars[symbol][strategy.base_timeframe], (start, end))
        job.report(0, "Computing features and labels")
        samples = build_samples(strategy, bars, start, end)
        device, resumed = device_given(job), self._resumed(job, workspace)
        if resumed and resumed.device != device:
            job.warn(
                f"it began on {resumed.device} and is continued on {device}: its last digits may differ from those of a run on one of them"
            )
        course = Course(job, Saver(job, workspace), usage_of(device))
        try:
            model = learn(samples, strategy, course.on_batch, course.on_epoch, resumed, device)
        except Drained:
            course.saver.flush()
            raise
        saved = workspace.models.save(model, strategy.name, job.operation_id)
        record_trial(job, model)
        job.report(100, "Model saved", **course.shown(model.training.epochs_run))
        analytics = {"analytics": detailed_analytics(model, samples)} if self.detailed_analytics else {}
        return result_of(model, saved) | analytics

    def _resumed(self, job: Job, workspace: Workspace) -> FitState | None:
        if job.resumed is None:
            return None
        checkpoint = workspace.checkpoints.read(job.resumed.path)
        return FitState.from_parts(checkpoint.state, checkpoint.tensors)


@dataclass
class Course:
    """Shows a training's progress and keeps its checkpoints."""

    job: Job
    saver: Saver
    usage: JSON
    """The device, as progress shows it."""
    metrics: JSON | None = None
    """Of the last whole epoch."""
    epochs: int = 0
    begun: int = 0
    """When the present epoch began, in nanoseconds."""

    def on_batch(self, at: BatchPosition) -> None:
        """Show the batch that begins; raises when the job is to end."""
        self.epochs = at.epochs
        if at.batch == 1:
            self.begun = time.time_ns()
        begun, total = at.items
        self.job.report(
            100 * (begun - 1) / total, f"Epoch {at.epoch}/{at.epochs} · Batch {at.batch}/{at.batches}",
            steps=(at.epoch, at.epochs), items=(begun, total), batch_number=at.batch, batch_total_per_epoch=at.batches,
            **self.shown(at.epoch),
        )  # fmt: skip

    def on_epoch(self, state: FitState) -> None:
        """Note the figures of an epoch that has ended, and offer its state as a checkpoint."""
        self.metrics = {name: values[-1] for name, values in state.course.history if values}
        epoch = state.course.epochs_run
        if epoch % math.ceil(self.epochs / MOST_EPOCH_SPANS) == 0:
            telemetry.record("epoch", self.begun, epoch=epoch, **self.metrics)
        self.saver.offer(state.position, state.to_parts)

    def shown(self, epoch: int) -> JSON:
        """The context of a progress report."""
        known = {"epoch_index": epoch, "total_epochs": self.epochs, "resource_usage": self.usage}
        return known | ({"epoch_metrics": self.metrics} if self.metrics else {})


def device_given(job: Job) -> str:
    """The GPU that this process may use, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if given := os.environ.get("CUDA_VISIBLE_DEVICES"):
        job.warn(f"it was given the GPU {given}, but torch {torch.__version__} sees none and trains on the CPU; KTRDR_GPUS=0 gives none")
    return "cpu"


def usage_of(device: str) -> JSON:
    """What progress says about a device."""
    import torch

    return {"gpu_used": False} if device == "cpu" else {"gpu_used": True, "gpu_name": torch.cuda.get_device_name(device)}


def record_trial(job: Job, model: Model) -> None:
    """One trial per symbol: a model that was judged on its test slice, but not traded."""
    accuracy = model.scores.test.accuracy
    reason = f"trained, not traded; test accuracy {accuracy:.1%}" if accuracy is not None else "trained, not traded"
    for symbol in model.strategy.symbols:
        job.write(
            "append_trial", f"trained {symbol}", kind="training", symbol=symbol, timeframe=model.strategy.base_timeframe.name,
            start=model.training.split.test_start, end=model.training.end, content_hash=model.strategy.content_hash,
            score=None, reason=reason,
        )  # fmt: skip


def result_of(model: Model, saved: SavedModel) -> JSON:
    """The result of a training."""
    scores, record = model.scores, model.training
    return {
        "strategy_name": saved.strategy_name,
        "content_hash": saved.content_hash,
        "model_path": str(saved.path),
        "model_size_bytes": saved.size_bytes,
        "training_metrics": {
            "epochs_completed": record.epochs_run,
            "best_epoch": record.best_epoch,
            "stopped_early": record.stopped_early,
            "initial_loss": scores.initial_loss,
            "final_train_loss": scores.final_train_loss,
            "final_train_accuracy": scores.train.accuracy,
            "final_val_loss": scores.validation.loss,
            "final_val_accuracy": scores.validation.accuracy,
            "loss_decrease": scores.loss_decrease,
            "history": scores.history.model_dump(mode="json"),
        },
        "test_metrics": scores.test.model_dump(mode="json"),
        "baselines": scores.baselines.model_dump(mode="json"),
        "gate_inputs": scores.gate_inputs(),
        "model_info": {
            "architecture": model.architecture.model_dump(mode="json"),
            "parameters_count": model.parameters_count,
            "features": list(model.feature_ids),
            "model_path": str(saved.path),
            "model_size_bytes": saved.size_bytes,
        },
        "data_summary": {
            "symbols": list(record.symbols),
            "timeframes": list(record.timeframes),
            "start_date": record.start,
            "end_date": record.end,
            "rows": record.rows,
            "split": record.split.model_dump(mode="json"),
            "bars": record.bars,
            "adjustments": record.adjustments,
        },
        "seed": record.seed,
        "epochs_run": record.epochs_run,
    }
