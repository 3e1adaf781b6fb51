"""Everything a training needs to go on after an epoch as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Conflict
from ktrdr.models.predict import Singles
from ktrdr.models.scores import History, Part
from ktrdr.strategy.sections import EarlyStopping, LRScheduler

JSON = dict[str, Any]
VERSION = 2


class BatchPosition(NamedTuple):
    """Where a training is; all numbers from 1."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    before: int = 0
    """Batches of networks that were trained before, of several."""
    after: int = 0
    """And of those that will be."""

    @property
    def items(self) -> tuple[int, int]:
        """Batches begun and batches in all."""
        return self.before + (self.epoch - 1) * self.batches + self.batch, self.before + self.epochs * self.batches + self.after


class Course(Part):
    """How a training has gone so far, and what follows from that for the next epoch."""

    epochs_run: int = 0
    learning_rate: float
    initial_loss: float
    best_loss: float | None = None
    """Lowest validation loss."""
    best_epoch: int = 0
    plateau: int = 0
    """Epochs without a lower validation loss since the last one or the last cut of the learning rate."""
    milestone: float | None = None
    """The validation loss from which early stopping counts a fall of `min_delta`."""
    stalled: int = 0
    """Epochs since that fall."""
    stopped: bool = False
    """Whether early stopping has ended it."""
    history: History = History()

    def after(self, epoch: EpochFigures, scheduler: LRScheduler | None, stopping: EarlyStopping | None) -> Course:
        """The course with one more epoch."""
        better = self.best_loss is None or epoch.val_loss < self.best_loss
        delta = stopping.min_delta if stopping else 0.0
        fell = self.milestone is None or epoch.val_loss < self.milestone - delta
        stalled = 0 if fell else self.stalled + 1
        epochs_run, plateau = self.epochs_run + 1, 0 if better else self.plateau + 1
        rate = self.learning_rate
        if scheduler is not None:
            due = {
                "step": epochs_run % scheduler.step_size == 0,
                "exponential": True,
                "reduce_on_plateau": plateau >= scheduler.patience,
            }[scheduler.type]
            rate = rate * scheduler.gamma if due else rate
            plateau = 0 if due and scheduler.type == "reduce_on_plateau" else plateau
        return Course(
            epochs_run=epochs_run,
            learning_rate=rate,
            initial_loss=self.initial_loss,
            best_loss=epoch.val_loss if better else self.best_loss,
            best_epoch=epochs_run if better else self.best_epoch,
            plateau=plateau,
            milestone=epoch.val_loss if fell else self.milestone,
            stalled=stalled,
            stopped=stopping is not None and stalled >= stopping.patience,
            history=History(**{name: (*past, getattr(epoch, name)) for name, past in self.history}),
        )


class EpochFigures(NamedTuple):
    """What one epoch measured."""

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float


@dataclass(frozen=True, eq=False)
class FitState:
    """A training after a whole epoch.

    Order of rows and dropout of an epoch are a function of the seed and the epoch's number, so that no generator needs
    to be kept.
    """

    course: Course
    weights: dict[str, Singles]
    best: dict[str, Singles]
    """The weights of the epoch with the lowest validation loss."""
    optimizer: dict[str, Singles]
    """What the optimizer remembers, by name."""
    fingerprint: str
    """Of the strategy and the rows; a state goes on with these alone."""
    device: str = "cpu"
    """What it was trained on; another goes on with it, but to other last digits."""

    @property
    def position(self) -> str:
        """Where it is, in words."""
        return f"epoch {self.course.epochs_run}"

    def to_parts(self) -> tuple[JSON, dict[str, NDArray[Any]]]:
        """JSON and arrays for a checkpoint."""
        state = {"version": VERSION, "fingerprint": self.fingerprint, "device": self.device}
        state["course"] = self.course.model_dump(mode="json")
        groups = {"weights": self.weights, "best": self.best, "optimizer": self.optimizer}
        return state, {f"{group}/{name}": array for group, arrays in groups.items() for name, array in arrays.items()}

    @classmethod
    def from_parts(cls, state: JSON, tensors: dict[str, NDArray[Any]]) -> FitState:
        """The state that `to_parts` gave."""
        if state.get("version") != VERSION:
            raise Conflict(
                f"the checkpoint has version {state.get('version')!r}; this ktrdr reads version {VERSION}", hint="start the training anew"
            )
        groups: dict[str, dict[str, NDArray[Any]]] = {"weights": {}, "best": {}, "optimizer": {}}
        for key, array in tensors.items():
            group, _, name = key.partition("/")
            groups[group][name] = np.asarray(array)
        return cls(Course.model_validate(state["course"]), **groups, fingerprint=state["fingerprint"], device=state["device"])

    def must_fit(self, fingerprint: str) -> None:
        """Raise Conflict where the state belongs to other rows or another strategy."""
        if self.fingerprint != fingerprint:
            raise Conflict(
                "the checkpoint belongs to other bars or another strategy than this training",
                hint="start the training anew; a resumed one must see the same bars",
            )
