"""From a strategy and bars to a model: the one way down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np

import ktrdr
from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model, TrainingRecord
from ktrdr.strategy.spec import Strategy
from ktrdr.training.fit import THREADS, Fitted, fit, fit_together
from ktrdr.training.score import score
from ktrdr.training.state import BatchPosition, FitState
from ktrdr.training.windows import Samples, build_samples


def train_model(  # noqa: PLR0917 - the one call that has it all
    strategy: Strategy, bars: Mapping[str, Mapping[Timeframe, Bars]], start: datetime, end: datetime,
    on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[FitState], None], resume: FitState | None = None,
    device: str = "cpu",
) -> Model:  # fmt: skip
    """Build the rows of [start, end), learn from them and judge what was learned."""
    return learn(build_samples(strategy, bars, start, end), strategy, on_batch, on_epoch, resume, device)


def learn(  # noqa: PLR0917 - rows in, model out, and the two it speaks to
    samples: Samples, strategy: Strategy, on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[FitState], None],
    resume: FitState | None = None, device: str = "cpu",
) -> Model:  # fmt: skip
    """The model of a strategy, from rows."""
    return _model(samples, strategy, fit(samples, strategy, on_batch=on_batch, on_epoch=on_epoch, resume=resume, device=device), device)


def learn_together(tasks: Sequence[tuple[Samples, Strategy]], on_batch: Callable[[BatchPosition], None]) -> list[Model | Invalid]:
    """The models of several strategies, trained at once, each as if it were alone; Invalid for one that cannot be trained."""
    found = fit_together(tasks, on_batch=on_batch, on_epoch=lambda *_: None)
    return [one if isinstance(one, Invalid) else _model(*task, one, "cpu") for task, one in zip(tasks, found, strict=True)]


def _model(samples: Samples, strategy: Strategy, fitted: Fitted, device: str) -> Model:
    return Model(
        strategy=strategy,
        feature_ids=samples.feature_ids,
        architecture=fitted.architecture,
        weights=fitted.weights,
        scaling=samples.scaling,
        training=_record(samples, strategy, fitted, device),
        scores=score(fitted, samples, strategy.training),
    )


def _record(samples: Samples, strategy: Strategy, fitted: Fitted, device: str) -> TrainingRecord:
    import torch

    labels = strategy.training.labels
    return TrainingRecord(
        symbols=strategy.symbols,
        timeframes=tuple(timeframe.name for timeframe in strategy.timeframes),
        start=samples.start,
        end=samples.end,
        split=samples.split,
        seed=strategy.training.seed,
        label={"source": labels.source, **strategy.label.model_dump(mode="json")},
        label_span=samples.label_span,
        rows=samples.rows,
        bars=samples.bars,
        adjustments=samples.adjustments,
        versions={"ktrdr": ktrdr.__version__, "numpy": np.__version__, "torch": torch.__version__},
        threads=THREADS,
        cpu=torch.backends.cpu.get_cpu_capability(),
        gpu=torch.cuda.get_device_name(device) if device != "cpu" else None,
        epochs_run=fitted.epochs_run,
        best_epoch=fitted.best_epoch,
        stopped_early=fitted.stopped_early,
    )
