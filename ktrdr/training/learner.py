"""One network's part in a training: its rows on the device, what it strives for, and its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ktrdr.errors import Invalid
from ktrdr.models.predict import Architecture, Floats, Singles
from ktrdr.models.tsk import word_groups
from ktrdr.strategy.decisions import Classes, signals_of
from ktrdr.strategy.spec import Strategy
from ktrdr.training.networks import Criterion, Judged, class_weights_of, forward, initial_weights, shape_of
from ktrdr.training.prune import finished
from ktrdr.training.rules import RuleLearner, initial_rules
from ktrdr.training.state import Course, EpochFigures, FitState
from ktrdr.training.windows import Samples, Slice

if TYPE_CHECKING:
    from torch import Tensor

SEQUENCES = 1024
"""Looked at together when nothing is learned."""


class Rows(NamedTuple):
    """A slice on the device."""

    values: Tensor
    targets: Tensor
    ends: Tensor
    weights: Tensor
    """What each row counts in what the gradient descends."""


class Learner:
    """What a network learns from, and how well it does."""

    def __init__(self, samples: Samples, strategy: Strategy, device: str) -> None:
        import torch

        self.device = device
        self.training, self.dropout = strategy.training, strategy.model.architecture.dropout
        classes = len(samples.classes) if samples.task == "classification" else 1
        self.architecture = shape_of(strategy.model, len(samples.feature_ids), classes, word_groups(strategy))
        self._samples, self._strategy = samples, strategy
        self.alone = self.architecture.sequence_length == 1
        self._back = torch.arange(1 - self.architecture.sequence_length, 1, device=device)
        seen = f"{strategy.content_hash} {samples.digest()}"
        self.fingerprint = hashlib.sha256(seen.encode()).hexdigest()
        self.scale, self._class_weights = 1.0, None
        if samples.task == "classification":
            balanced = self.training.class_weights == "balanced"
            self._class_weights = class_weights_of(samples.train.targets, classes) if balanced else np.ones(classes, np.float32)
        else:
            self.scale = float(np.sqrt(np.mean(samples.train.targets**2))) or 1.0
        self.criterion = Criterion(self.training, classification=samples.task == "classification", target_scale=self.scale)
        self.train, self.validation = self._rows(samples.train), self._rows(samples.validation)

    def _rows(self, rows: Slice) -> Rows:
        import torch

        targets, weights = rows.targets, np.ones(len(rows), np.float32) if rows.weights is None else rows.weights.astype(np.float32)
        if self._class_weights is None:
            targets = (targets / self.scale).astype(np.float32)
        else:
            weights = weights * self._class_weights[targets]
        arrays = (rows.values, targets, rows.ends, weights)
        return Rows(*(torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays))

    @property
    def batches(self) -> int:
        """Of all epochs."""
        return self.training.epochs * -(-len(self.train.targets) // self.training.batch_size)

    def begin(self) -> FitState:
        """The state before the first epoch."""
        import torch

        weights = self._initial_weights()
        unlearned = {name: np.zeros_like(array) if name == "answers.weight" else array for name, array in weights.items()}
        initial, _ = self.evaluate({name: torch.from_numpy(array).to(self.device) for name, array in unlearned.items()}, self.train)
        if not np.isfinite(initial):
            raise Invalid("some features are too large for a network", hint="give raw_indicator inputs `normalization: zscore`")
        if not self.criterion.classification:  # a forecast is measured against forecasting zero
            targets = self.train.targets
            initial = self.criterion.judge(targets.new_zeros(len(targets), 1), targets).loss.item() / len(targets)
        course = Course(learning_rate=self.training.learning_rate, initial_loss=initial)
        return FitState(course, weights, weights, {}, self.fingerprint, self.device)

    def _initial_weights(self) -> dict[str, Singles]:
        """Random ones; the answers of rules are found in the rows, which is learning already."""
        if isinstance(self.architecture, RuleLearner):
            rows = self._samples.train
            return initial_rules(self.architecture, rows.values[rows.ends], rows.targets)
        return initial_weights(self.architecture, self.training.seed)

    def read(self, rows: Rows, ends: Tensor) -> Tensor:
        """The rows of an mlp, or the sequences that end with them."""
        return rows.values[ends] if self.alone else rows.values[ends[:, None] + self._back]

    def evaluate(self, weights: Mapping[str, Tensor], rows: Rows) -> tuple[float, float]:
        """Loss and accuracy, without dropout."""
        import torch

        at_once = len(rows.ends) if self.alone else SEQUENCES
        with torch.no_grad():
            parts = [
                self.criterion.judge(forward(weights, self.architecture, self.read(rows, ends)), targets)
                for ends, targets in zip(torch.split(rows.ends, at_once), torch.split(rows.targets, at_once), strict=True)
            ]
        loss, hits = (sum(part.item() for part in column) for column in zip(*((p.loss, p.hits) for p in parts), strict=True))
        return loss / len(rows.ends), hits / len(rows.ends)

    def figures(self, course: Course, told: Judged, weights: Mapping[str, Tensor]) -> EpochFigures:
        """Those of an epoch, from what its batches came to and a look at the validation rows; Invalid where they are no numbers."""
        val_loss, val_accuracy = self.evaluate(weights, self.validation)
        rows, rate = len(self.train.targets), course.learning_rate
        train_loss = told.loss.item() / rows
        if not (np.isfinite(train_loss) and np.isfinite(val_loss)):
            raise Invalid(
                f"the training diverged in epoch {course.epochs_run + 1}: its loss is no longer a number",
                hint=f"lower training.learning_rate (now {self.training.learning_rate:g})",
            )
        return EpochFigures(train_loss, told.hits.item() / rows, val_loss, val_accuracy, rate)

    def in_returns(self, weights: Mapping[str, Singles]) -> dict[str, Singles]:
        """The weights with the scale of the targets put into the last layer."""
        last = f"{self.architecture.last}."
        return {name: array * np.float32(self.scale) if name.startswith(last) else array for name, array in weights.items()}

    def kept(self, best: Mapping[str, Singles], check: Callable[[], None]) -> tuple[Architecture, dict[str, Singles]]:
        """What a model is made of: the weights in returns; of rules those that pruning leaves. `check` may end the work."""
        weights, architecture = self.in_returns(best), self.architecture
        if not isinstance(architecture, RuleLearner):
            return architecture, weights
        return finished(architecture, weights, self._samples.train, self._samples.validation, self._signals, check)

    def _signals(self, answers: Floats) -> Classes:
        return signals_of(answers, self._strategy.decisions, self._strategy.label.signals)[0]
