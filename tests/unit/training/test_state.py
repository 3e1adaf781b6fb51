"""What follows from an epoch for the next."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ktrdr.errors import Conflict
from ktrdr.strategy.sections import EarlyStopping, LRScheduler
from ktrdr.training.state import BatchPosition, Course, EpochFigures, FitState

BEGIN = Course(learning_rate=0.1, initial_loss=1.1)


def course(losses: list[float], scheduler: LRScheduler | None = None, stopping: EarlyStopping | None = None) -> Course:
    now = BEGIN
    for loss in losses:
        if not now.stopped:
            now = now.after(EpochFigures(1.0, 0.5, loss, 0.5, now.learning_rate), scheduler, stopping)
    return now


def test_the_best_epoch_is_the_one_with_the_lowest_loss() -> None:
    found = course([1.0, 0.8, 0.9, 0.79999, 0.9])
    assert (found.best_epoch, found.best_loss, found.epochs_run) == (4, 0.79999, 5)
    assert found.history.val_loss == (1.0, 0.8, 0.9, 0.79999, 0.9)


def test_of_equal_epochs_the_first_is_kept() -> None:
    assert course([0.8, 0.8]).best_epoch == 1


def test_patience_ends_after_epochs_without_a_fall_of_min_delta() -> None:
    found = course([1.0, 0.95, 0.91, 0.89, 0.88], stopping=EarlyStopping(patience=2, min_delta=0.1))
    assert (found.stopped, found.epochs_run, found.best_epoch) == (True, 3, 3)


def test_small_falls_add_up_to_one_that_counts() -> None:
    assert not course([1.0, 0.94, 0.88, 0.82, 0.76], stopping=EarlyStopping(patience=2, min_delta=0.1)).stopped


@pytest.mark.parametrize(("scheduler", "rates"), [
    (None, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
    (LRScheduler(type="step", gamma=0.5, step_size=2), [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]),
    (LRScheduler(type="exponential", gamma=0.5), [0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125]),
    (LRScheduler(type="reduce_on_plateau", gamma=0.5, patience=2), [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]),
])  # fmt: skip
def test_the_learning_rate_follows_its_scheduler(scheduler: LRScheduler | None, rates: list[float]) -> None:
    assert course([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], scheduler).history.learning_rate == pytest.approx(rates)


def test_a_better_epoch_ends_a_plateau() -> None:
    scheduler = LRScheduler(type="reduce_on_plateau", gamma=0.5, patience=2)
    assert course([1.0, 1.1, 0.9, 1.1, 0.8, 1.0], scheduler).learning_rate == 0.1


def test_a_state_survives_being_written() -> None:
    array = np.arange(3, dtype=np.float32)
    state = FitState(course([1.0, 0.8]), {"a": array}, {"a": array + 1}, {"mean": array + 2}, "mine", "cuda")
    written, tensors = state.to_parts()
    again = FitState.from_parts(json.loads(json.dumps(written, allow_nan=False)), tensors)
    assert again.course == state.course
    assert (again.weights["a"].tolist(), again.best["a"].tolist(), again.optimizer["mean"].tolist()) == ([0, 1, 2], [1, 2, 3], [2, 3, 4])
    assert (again.position, again.device) == ("epoch 2", "cuda")
    again.must_fit("mine")
    with pytest.raises(Conflict, match="other bars or another strategy"):
        again.must_fit("yours")


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(Conflict, match="version 9"):
        FitState.from_parts({"version": 9}, {})


def test_a_position_counts_batches_over_all_epochs() -> None:
    assert BatchPosition(3, 10, 5, 20).items == (45, 200)
