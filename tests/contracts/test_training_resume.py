"""A training taken up from a checkpoint file ends with the model folder of one that was never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.models.manifest import to_files
from ktrdr.models.model import Model
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.run import train_model
from ktrdr.training.state import FitState
from tests.contracts.test_training_run import END, NETWORKS, START, bars, text_of

pytestmark = pytest.mark.torch
OPERATION = "op_training_20260101_000000_00000000"
ROUGH = (
    "epochs: 20, learning_rate: 0.2, early_stopping: {patience: 4, min_delta: 0.001}, "
    "lr_scheduler: {type: reduce_on_plateau, patience: 2, gamma: 0.5}"
)
"""The loss jumps, so that the rate is cut and the training stops early."""


def strategy_of(network: str) -> Strategy:
    return load_strategy(text_of(network).replace("epochs: 3, learning_rate: 0.01", ROUGH), "test").strategy


def trained(strategy: Strategy, resume: FitState | None = None) -> tuple[Model, list[FitState]]:
    states: list[FitState] = []
    return train_model(strategy, bars(), START, END, lambda _: None, states.append, resume), states


@pytest.mark.parametrize("network", NETWORKS)
def test_resumed_at_three_places_it_writes_the_same_folder(network: str, tmp_path: Path) -> None:
    strategy, store = strategy_of(network), CheckpointStore(tmp_path)
    whole, states = trained(strategy)
    assert whole.training.stopped_early
    assert len(set(whole.scores.history.learning_rate)) > 1
    assert whole.training.best_epoch < whole.training.epochs_run
    for place in (0, len(states) // 2, len(states) - 2):
        kept = store.write(OPERATION, states[place].position, *states[place].to_parts())
        checkpoint = store.read(kept.path)
        again, _ = trained(strategy, FitState.from_parts(checkpoint.state, checkpoint.tensors))
        assert to_files(again) == to_files(whole), states[place].position
