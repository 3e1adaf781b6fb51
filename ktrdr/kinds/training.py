"""Training: learn a strategy's network from bars and keep it as a model."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

from pydantic import Field

from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.course import Course
from ktrdr.kinds.given import Saver, given_range, given_strategy, read_tape, require_tape, unscored_trial, warn_of_bars, written
from ktrdr.kinds.meter import meter_of
from ktrdr.models.model import Model
from ktrdr.operations.job import Drained, Job
from ktrdr.operations.model import Needs
from ktrdr.stores.models import SavedModel
from ktrdr.strategy.load import load_strategy
from ktrdr.training.run import learn
from ktrdr.training.score import detailed_analytics
from ktrdr.training.state import FitState
from ktrdr.training.windows import build_samples

JSON = dict[str, Any]


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
            require_tape(workspace, settled, symbol, dates)
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
        bars = {symbol: read_tape(workspace, strategy, symbol, end) for symbol in strategy.symbols}
        for symbol in strategy.symbols:
            warn_of_bars(job, bars[symbol][strategy.base_timeframe], (start, end))
        job.report(0, "Computing features and labels")
        samples = build_samples(strategy, bars, start, end)
        device, resumed = device_given(job), self._resumed(job, workspace)
        if resumed and resumed.device != device:
            job.warn(
                f"it began on {resumed.device} and is continued on {device}: its last digits may differ from those of a run on one of them"
            )
        course = Course(job, Saver(job, workspace), meter_of(device))
        try:
            model = learn(samples, strategy, course.on_batch, course.on_epoch, resumed, device)
        except Drained:
            course.saver.flush()
            raise
        finally:
            course.meter.close()
        saved = workspace.models.save(model, strategy.name, job.operation_id)
        record_trial(job, model)
        course.ended(model.training.epochs_run)
        analytics = {"analytics": detailed_analytics(model, samples)} if self.detailed_analytics else {}
        return result_of(model, saved) | analytics

    def unscored(self) -> list[JSON]:
        """One trial per symbol."""
        timeframe, dates = (self.timeframes or ("",))[0], (self.start_date, self.end_date)
        return [unscored_trial("training", self.strategy, symbol, timeframe, dates) for symbol in self.symbols or ()]

    def _resumed(self, job: Job, workspace: Workspace) -> FitState | None:
        if job.resumed is None:
            return None
        checkpoint = workspace.checkpoints.read(job.resumed.path)
        return FitState.from_parts(checkpoint.state, checkpoint.tensors)


def device_given(job: Job) -> str:
    """The GPU that this process may use, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if given := os.environ.get("CUDA_VISIBLE_DEVICES"):
        job.warn(f"it was given the GPU {given}, but torch {torch.__version__} sees none and trains on the CPU; KTRDR_GPUS=0 gives none")
    return "cpu"


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
        "verdict": scores.test.verdict,
        "test_metrics": scores.test.model_dump(mode="json"),
        "split_metrics": {name: getattr(scores, name).model_dump(mode="json") for name in ("train", "validation", "test")},
        "baselines": scores.baselines.model_dump(mode="json") if scores.baselines else None,
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
