from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.models.model import Model
from ktrdr.models.predict import Perceptron, outputs_of
from ktrdr.strategy.features import Features


def features_of(model: Model, count: int) -> Features:
    values = np.random.default_rng(1).normal(0, 1, (count, len(model.feature_ids))).astype(np.float32)
    return Features(model.feature_ids, np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "h"), values)


def test_probabilities_are_those_of_the_formula(model: Model) -> None:
    features, weights = features_of(model, 3), model.weights
    x = features.values.astype(np.float64)
    for i in range(3):
        x = x @ weights[f"layers.{i}.weight"].astype(np.float64).T + weights[f"layers.{i}.bias"]
        x = np.tanh(x) if i < 2 else x
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(features), expected, atol=1e-6)


def test_rows_with_a_gap_have_no_answer(model: Model) -> None:
    features = features_of(model, 4)
    features.values[1, 2] = np.nan
    answers = model.predict(features)
    assert np.isnan(answers[1]).all()
    np.testing.assert_allclose(answers[[0, 2, 3]].sum(axis=1), 1.0)
    assert np.isnan(model.predict(replace(features, values=features.values * np.nan))).all()


@pytest.mark.parametrize("kept", [1, 5, 4095, 4096, 4097])
def test_a_row_is_answered_alike_however_many_follow(model: Model, kept: int) -> None:
    values, rows = features_of(model, 4096 + 50).values, np.arange(4096 + 50)
    whole = outputs_of(model.architecture, model.weights, values, rows)
    np.testing.assert_array_equal(outputs_of(model.architecture, model.weights, values[:kept], rows[:kept]), whole[:kept])


def test_features_in_another_order_are_refused_by_name(model: Model) -> None:
    features = features_of(model, 2)
    swapped = replace(features, ids=(features.ids[0], features.ids[2], features.ids[1], *features.ids[3:]))
    with pytest.raises(Invalid, match="input 2 of the model is '1h_rsi_high', the features give '4h_rsi_low'"):
        model.predict(swapped)
    with pytest.raises(Invalid, match="input 5 of the model is '1h_roc_2_raw', the features give 'nothing more'"):
        model.predict(replace(features, ids=features.ids[:4]))


def test_it_counts_its_parameters(model: Model) -> None:
    assert model.parameters_count == 5 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3


def test_the_gate_reads_test_figures_beside_the_majority(model: Model) -> None:
    assert model.scores.gate_inputs() == {
        "accuracy": 0.5, "final_loss": 0.9, "initial_loss": 1.2, "loss_decrease": 0.25, "majority_accuracy": 0.4, "majority_loss": 1.05,
    }  # fmt: skip
    assert model.scores.directional_accuracy is None


@pytest.mark.parametrize(("activation", "expected"), [
    ("relu", [0.0, 2.0]), ("leaky_relu", [-0.02, 2.0]), ("tanh", np.tanh([-2.0, 2.0])), ("sigmoid", 1 / (1 + np.exp([2.0, -2.0]))),
])  # fmt: skip
def test_every_activation(activation: str, expected: list[float]) -> None:
    shape = Perceptron(inputs=2, hidden=(2,), outputs=2, activation=activation)
    one, zero = np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32)
    weights = {"layers.0.weight": one, "layers.0.bias": zero, "layers.1.weight": one, "layers.1.bias": zero}
    found = outputs_of(shape, weights, np.array([[-2.0, 2.0]], dtype=np.float32), np.array([0]))
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_a_sequence_with_a_gap_has_no_answer(recurrent: Model) -> None:
    features = features_of(recurrent, 9)
    features.values[4, 2] = np.nan
    answers = recurrent.predict(features)
    assert np.isfinite(answers).all(axis=1).tolist() == [False, False, True, True, False, False, False, True, True]
    np.testing.assert_allclose(answers[[2, 3, 7, 8]].sum(axis=1), 1.0)


def test_a_sequence_is_its_own_bars_alone(recurrent: Model) -> None:
    features = features_of(recurrent, 8)
    other = replace(features, values=features.values.copy())
    other.values[4] += 1
    changed = np.abs(recurrent.predict(features) - recurrent.predict(other)).max(axis=1)
    assert (changed[[2, 3, 7]] == 0).all()
    assert (changed[[4, 5, 6]] > 1e-4).all()


@pytest.mark.parametrize("kept", [3, 255, 256, 257, 258, 259])
def test_a_sequence_is_answered_alike_however_many_rows_follow(recurrent: Model, kept: int) -> None:
    features = features_of(recurrent, 600)
    early = replace(features, time=features.time[:kept], values=features.values[:kept])
    np.testing.assert_array_equal(recurrent.predict(early), recurrent.predict(features)[:kept])


def test_fewer_bars_than_a_sequence_have_no_answer(recurrent: Model) -> None:
    assert np.isnan(recurrent.predict(features_of(recurrent, 2))).all()
    assert recurrent.predict(features_of(recurrent, 0)).shape == (0, 3)


def test_a_recurrent_model_counts_its_parameters(recurrent: Model) -> None:
    assert recurrent.parameters_count == (12 * 5 + 12 * 4 + 24) + (12 * 4 + 12 * 4 + 24) + 4 * 3 + 3
