"""A model put together by hand: random weights and made-up records."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.models.model import Model, Split, TrainingRecord
from ktrdr.models.predict import Architecture, Perceptron, Recurrent
from ktrdr.models.scores import Baselines, History, Scores, SliceScores
from ktrdr.strategy.features import Scaling
from ktrdr.strategy.load import load_strategy

TEXT = """
name: small
training_data:
  symbols: [EURUSD]
  timeframes: [1h, 4h]
indicators:
  rsi_14: {type: rsi, period: 14}
  roc_2: {type: roc, period: 2}
fuzzy_sets:
  rsi: {indicator: rsi_14, low: [0, 20, 45], high: [55, 80, 100]}
nn_inputs:
  - {fuzzy_set: rsi, timeframes: all}
  - {raw_indicator: roc_2, timeframes: [1h], normalization: zscore}
model: {type: mlp, architecture: {hidden_layers: [6, 5], activation: tanh}}
decisions: {output_format: classification}
training: {epochs: 2}
"""


def scores() -> Scores:
    shares = {"buy": 0.4, "hold": 0.2, "sell": 0.4}
    base = Baselines(majority_class="buy", majority_accuracy=0.4, majority_loss=1.05, shuffled_accuracy=0.36, class_shares=shares)
    found = SliceScores(rows=10, accuracy=0.5, loss=0.9, precision=0.4, recall=0.5, f1_score=0.45, baselines=base)
    return Scores(
        task="classification",
        train=found,
        validation=found,
        test=found,
        initial_loss=1.2,
        final_train_loss=0.9,
        loss_decrease=0.25,
        history=History(train_loss=(1.0,), train_accuracy=(0.4,), val_loss=(0.9,), val_accuracy=(0.5,), learning_rate=(0.001,)),
    )


def record() -> TrainingRecord:
    moment = "2017-01-01T00:00:00+00:00"
    split = Split(train_end=moment, validation_start=moment, validation_end=moment, test_start=moment, embargo_rows=1, purged_rows=2)
    return TrainingRecord(
        symbols=("EURUSD",),
        timeframes=("1h", "4h"),
        start="2012-01-01T00:00:00+00:00",
        end=moment,
        split=split,
        seed=7,
        label={"source": "zigzag"},
        rows={"train": 10, "validation": 10, "test": 10},
        bars={"EURUSD 1h": "0" * 64},
        versions={"ktrdr": "0"},
        threads=1,
        cpu="any",
        epochs_run=1,
        best_epoch=1,
        stopped_early=False,
    )


MLP = "{type: mlp, architecture: {hidden_layers: [6, 5], activation: tanh}}"
RECURRENT = "{type: gru, architecture: {hidden_size: 4, num_layers: 2, sequence_length: 3}}"


def model_of(text: str, shape: Architecture) -> Model:
    strategy, random = load_strategy(text, "test").strategy, np.random.default_rng(5)
    weights = {name: random.normal(0, 0.5, size).astype(np.float32) for name, size in shape.shapes().items()}
    scaling = {"1h_roc_2_raw": Scaling(offset=0.1, scale=2.0)}
    return Model(strategy, strategy.feature_ids, shape, weights, scaling, record(), scores())


@pytest.fixture
def model() -> Model:
    return model_of(TEXT, Perceptron(inputs=5, hidden=(6, 5), outputs=3, activation="tanh"))


@pytest.fixture
def recurrent() -> Model:
    """It looks at the last three bars."""
    return model_of(TEXT.replace(MLP, RECURRENT), Recurrent(kind="gru", inputs=5, hidden=(4, 4), outputs=3, sequence_length=3))
