"""Learning: the loop over epochs and batches.

The same rows, strategy and machine give the same bytes: one thread, deterministic algorithms, and every random choice a
function of the seed and the epoch. A run that was resumed cannot be told from one that was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ktrdr.errors import Invalid
from ktrdr.models.predict import Architecture, Singles
from ktrdr.models.scores import History
from ktrdr.models.tsk import word_groups
from ktrdr.strategy.decisions import signals_of
from ktrdr.strategy.spec import Strategy
from ktrdr.training.descent import Descent
from ktrdr.training.networks import Criterion, class_weights_of, forward, initial_weights, shape_of
from ktrdr.training.prune import finished
from ktrdr.training.rules import RuleLearner, initial_rules
from ktrdr.training.state import BatchPosition, Course, EpochFigures, FitState
from ktrdr.training.windows import Samples, Slice

if TYPE_CHECKING:
    from torch import Generator, Tensor

THREADS = 1
SEQUENCES = 1024
"""Looked at together when nothing is learned."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was learned."""

    architecture: Architecture
    weights: dict[str, Singles]
    """Of the epoch with the lowest validation loss."""
    epochs_run: int
    best_epoch: int
    stopped_early: bool
    initial_loss: float
    """On the training slice before the first step, unweighted."""
    history: History


def fit(
    samples: Samples, strategy: Strategy, *, on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[FitState], None],
    resume: FitState | None = None, device: str = "cpu",
) -> Fitted:  # fmt: skip
    """Train the strategy's network on a device that torch knows.

    `on_batch` is called before each batch and `on_epoch` after each epoch with the state to go on from; what they raise
    ends the training. Raises Invalid where the loss is no longer a number.
    """
    with deterministic():
        learner = _Learner(samples, strategy, device)
        state = resume or learner.begin()
        state.must_fit(learner.fingerprint)
        learner.take_up(state)
        training = strategy.training
        while state.course.epochs_run < training.epochs and not state.course.stopped:
            figures = learner.epoch(state.course, on_batch)
            course = state.course.after(figures, training.lr_scheduler, training.early_stopping)
            weights = learner.descent.weights()
            best = weights if course.best_epoch == course.epochs_run else state.best
            state = FitState(course, weights, best, learner.descent.memory(), learner.fingerprint, device)
            on_epoch(state)
        course, last = state.course, BatchPosition(state.course.epochs_run, training.epochs, 1, 1)
        architecture, weights = learner.kept(state.best, lambda: on_batch(last))
    return Fitted(
        architecture=architecture,
        weights=weights,
        epochs_run=course.epochs_run,
        best_epoch=course.best_epoch,
        stopped_early=course.stopped and course.epochs_run < training.epochs,
        initial_loss=course.initial_loss,
        history=course.history,
    )


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread and repeatable algorithms while it lasts."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


class _Tensors(NamedTuple):
    values: Tensor
    targets: Tensor
    ends: Tensor
    weights: Tensor | None


class _Learner:
    """The tensors of one training."""

    def __init__(self, samples: Samples, strategy: Strategy, device: str) -> None:
        import torch

        self.device = device
        self.training, self.dropout = strategy.training, strategy.model.architecture.dropout
        classes = len(samples.classes) if samples.task == "classification" else 1
        self.architecture = shape_of(strategy.model, len(samples.feature_ids), classes, word_groups(strategy))
        self.alone = self.architecture.sequence_length == 1
        self.back = torch.arange(1 - self.architecture.sequence_length, 1, device=device)
        seen = f"{strategy.content_hash} {samples.digest()}"
        self.fingerprint = hashlib.sha256(seen.encode()).hexdigest()
        self.scale = 1.0
        weights = None
        if samples.task == "classification":
            weights = torch.from_numpy(class_weights_of(samples.train.targets, classes)).to(device)
        else:
            self.scale = float(np.sqrt(np.mean(samples.train.targets**2))) or 1.0
        self.criterion = Criterion(self.training, weights, self.scale)
        self.train, self.validation = self._tensors(samples.train), self._tensors(samples.validation)
        self.samples, self.strategy = samples, strategy

    def _tensors(self, rows: Slice) -> _Tensors:
        import torch

        targets = rows.targets if rows.targets.dtype == np.int64 else (rows.targets / self.scale).astype(np.float32)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        weights = None if rows.weights is None else tensor(rows.weights)
        return _Tensors(tensor(rows.values), tensor(targets), tensor(rows.ends), weights)

    def begin(self) -> FitState:
        """The state before the first epoch."""
        weights = self._initial_weights()
        known = {name: np.zeros_like(weights[name]) for name in weights if name == "answers.weight"}  # found in the rows: that is learning
        self.descent = Descent(self.training, weights | known, {}, self.device)
        initial, _ = self._evaluate(self.train)
        if not np.isfinite(initial):
            raise Invalid("some features are too large for a network", hint="give raw_indicator inputs `normalization: zscore`")
        if self.criterion.class_weights is None:  # a forecast is measured against forecasting zero
            targets = self.train.targets
            initial = self.criterion.judge(targets.new_zeros(len(targets), 1), targets).loss.item() / len(targets)
        course = Course(learning_rate=self.training.learning_rate, initial_loss=initial)
        return FitState(course, weights, weights, {}, self.fingerprint, self.device)

    def _initial_weights(self) -> dict[str, Singles]:
        if isinstance(self.architecture, RuleLearner):
            rows = self.samples.train
            return initial_rules(self.architecture, rows.values[rows.ends], rows.targets)
        return initial_weights(self.architecture, self.training.seed)

    def take_up(self, state: FitState) -> None:
        """Put a state's weights and optimizer in place; the order of the layers is the architecture's, not the file's."""
        weights = {name: state.weights[name] for name in self.architecture.shapes()}
        self.descent = Descent(self.training, weights, state.optimizer, self.device)

    def epoch(self, course: Course, on_batch: Callable[[BatchPosition], None]) -> EpochFigures:
        """Pass once over the training rows, then look at the validation rows."""
        import torch

        random, training = _generator(self.training.seed, course.epochs_run, self.device), self.training
        order = torch.randperm(len(self.train.targets), generator=random, device=self.device)
        y, ends = self.train.targets[order], self.train.ends[order]
        counts = self.train.weights if self.train.weights is None else self.train.weights[order]
        x = self._read(self.train, ends) if self.alone else None  # all sequences at once would take too much memory
        batches = -(-len(y) // training.batch_size)
        loss, hits = (torch.zeros((), dtype=kind, device=self.device) for kind in (torch.float64, torch.int64))
        for batch in range(batches):
            on_batch(BatchPosition(course.epochs_run + 1, training.epochs, batch + 1, batches))
            rows = slice(batch * training.batch_size, (batch + 1) * training.batch_size)
            read = self._read(self.train, ends[rows]) if x is None else x[rows]
            outputs = forward(self.descent.tensors, self.architecture, read, self.dropout, random)
            judged = self.criterion.judge(outputs, y[rows], counts if counts is None else counts[rows])
            self.descent.step(judged.objective, course.learning_rate, course.epochs_run * batches + batch + 1)
            loss += judged.loss
            hits += judged.hits
        val_loss, val_accuracy = self._evaluate(self.validation)
        train_loss = loss.item() / len(y)
        if not (np.isfinite(train_loss) and np.isfinite(val_loss)):
            raise Invalid(
                f"the training diverged in epoch {course.epochs_run + 1}: its loss is no longer a number",
                hint=f"lower training.learning_rate (now {training.learning_rate:g})",
            )
        return EpochFigures(train_loss, hits.item() / len(y), val_loss, val_accuracy, course.learning_rate)

    def in_returns(self, weights: dict[str, Singles]) -> dict[str, Singles]:
        """The weights with the scale of the targets put into the last layer."""
        last = f"{self.architecture.last}."
        return {name: array * np.float32(self.scale) if name.startswith(last) else array for name, array in weights.items()}

    def kept(self, best: dict[str, Singles], check: Callable[[], None]) -> tuple[Architecture, dict[str, Singles]]:
        """What a model is made of: the weights in returns; of rules those that pruning leaves."""
        weights, architecture = self.in_returns(best), self.architecture
        if not isinstance(architecture, RuleLearner):
            return architecture, weights
        rules, meaning = self.strategy.decisions, self.strategy.label.signals
        return finished(
            architecture, weights, self.samples.train, self.samples.validation, lambda scores: signals_of(scores, rules, meaning)[0], check
        )  # fmt: skip

    def _read(self, rows: _Tensors, ends: Tensor) -> Tensor:
        """The rows of an mlp, or the sequences that end with them."""
        return rows.values[ends] if self.alone else rows.values[ends[:, None] + self.back]

    def _evaluate(self, rows: _Tensors) -> tuple[float, float]:
        """Loss and accuracy, without dropout."""
        import torch

        at_once = len(rows.ends) if self.alone else SEQUENCES
        with torch.no_grad():
            parts = [
                self.criterion.judge(forward(self.descent.tensors, self.architecture, self._read(rows, ends)), targets)
                for ends, targets in zip(torch.split(rows.ends, at_once), torch.split(rows.targets, at_once), strict=True)
            ]
        loss, hits = (sum(part.item() for part in column) for column in zip(*((p.loss, p.hits) for p in parts), strict=True))
        return loss / len(rows.ends), hits / len(rows.ends)


def _generator(seed: int, epoch: int, device: str) -> Generator:
    import torch

    return torch.Generator(device).manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1))
