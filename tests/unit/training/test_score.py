"""Figures and baselines against values worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ktrdr.agents.gates import check_training_gate
from ktrdr.models.model import Model
from ktrdr.models.predict import Perceptron
from ktrdr.models.scores import History, SliceScores
from ktrdr.strategy.spec import Strategy
from ktrdr.training.fit import Fitted
from ktrdr.training.score import calibration_error, confusion, cross_entropy, detailed_analytics, forecast_loss, score
from ktrdr.training.windows import Samples, Slice, Split

TRIPLE = "{source: triple_barrier}"
StrategyOf = Callable[..., Strategy]


def passing_on(outputs: int) -> Fitted:
    """A network that gives its inputs (times a large number) as outputs."""
    shape = Perceptron(inputs=outputs, hidden=(2 * outputs,), outputs=outputs, activation="relu")
    one, last = np.eye(outputs, dtype=np.float32), 1.0 if outputs == 1 else 50.0
    weights = {
        "layers.0.weight": np.concatenate([one, -one]),
        "layers.0.bias": np.zeros(2 * outputs, np.float32),
        "layers.1.weight": np.concatenate([one, -one], axis=1) * np.float32(last),
        "layers.1.bias": np.zeros(outputs, np.float32),
    }
    return Fitted(shape, weights, epochs_run=1, best_epoch=1, stopped_early=False, initial_loss=1.0, history=History())


def rows(values: list[list[float]], targets: list[float], dtype: type) -> Slice:
    return Slice(np.array(values, np.float32), np.array(targets, dtype), np.array([], "datetime64[us]"), np.arange(len(values)))


def samples_of(train: Slice, test: Slice, task: str) -> Samples:
    split = Split(train_end="", validation_start="", validation_end="", test_start="", embargo_rows=0, purged_rows=0)
    return Samples((), task, train, test, test, {}, split, "", "", {})


BUY, HOLD, SELL = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
TRAIN = rows([BUY, BUY, SELL], [0, 0, 2], np.int64)
TEST = rows([BUY, BUY, SELL, SELL], [0, 2, 2, 2], np.int64)
"""Answers buy buy sell sell; right are buy sell sell sell."""


def test_figures_of_a_slice(strategy_of: StrategyOf) -> None:
    test = score(passing_on(3), samples_of(TRAIN, TEST, "classification"), strategy_of(labels=TRIPLE).training).test
    assert test.accuracy == 0.75
    assert test.precision == pytest.approx((1 / 2 + 1) / 2)
    assert test.recall == pytest.approx((1 + 2 / 3) / 2)
    assert test.f1_score == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert test.loss == pytest.approx(-math.log(1e-15) / 4)


def test_baselines_know_the_training_slice_only(strategy_of: StrategyOf) -> None:
    baselines = score(passing_on(3), samples_of(TRAIN, TEST, "classification"), strategy_of(labels=TRIPLE).training).baselines
    assert (baselines.majority_class, baselines.majority_accuracy) == ("buy", 0.25)
    assert baselines.majority_loss == pytest.approx(-(0.25 * math.log(3 / 6) + 0.75 * math.log(2 / 6)))
    assert baselines.shuffled_accuracy == pytest.approx(0.5 * 0.25 + 0.5 * 0.75)
    assert baselines.class_shares == {"buy": 0.25, "hold": 0.0, "sell": 0.75}


def test_the_decrease_is_measured_from_before_the_first_step(strategy_of: StrategyOf) -> None:
    found = score(passing_on(3), samples_of(TRAIN, TEST, "classification"), strategy_of(labels=TRIPLE).training)
    assert found.initial_loss == 1.0
    assert found.final_train_loss == pytest.approx(0.0, abs=1e-9)
    assert found.loss_decrease == pytest.approx(1.0)
    assert found.gate_inputs()["loss_decrease"] == found.loss_decrease


def test_forecasts_are_judged_by_direction(strategy_of: StrategyOf) -> None:
    train = rows([[0.1], [0.1], [-0.1]], [0.01, 0.02, -0.03], np.float64)
    test = rows([[0.01], [0.01], [-0.01], [0.01]], [0.02, -0.02, -0.01, 0.0], np.float64)
    found = score(passing_on(1), samples_of(train, test, "regression"), strategy_of().training)
    assert found.directional_accuracy == found.test.accuracy == pytest.approx(2 / 3)
    assert found.test.loss == pytest.approx((0.01**2 + 0.03**2 + 0 + 0.01**2) / 4)
    assert found.test.mean_absolute_error == pytest.approx(0.05 / 4)
    assert found.test.precision is None
    assert (found.baselines.majority_class, found.baselines.majority_accuracy) == ("up", pytest.approx(1 / 3))
    assert found.baselines.majority_loss == pytest.approx((0.02**2 + 0.02**2 + 0.01**2) / 4)
    assert found.baselines.shuffled_accuracy == pytest.approx(1 / 3 * 2 / 3 + 2 / 3 * 1 / 3)


def test_where_nothing_moved_there_is_no_direction(strategy_of: StrategyOf) -> None:
    flat = rows([[0.1]], [0.0], np.float64)
    found = score(passing_on(1), samples_of(flat, flat, "regression"), strategy_of().training)
    assert found.test.accuracy is None
    assert found.baselines.majority_accuracy is None
    assert (found.test.verdict, found.test.not_scored) == ("not scored", "none of its rows moved")


def test_huber_is_square_near_and_straight_far(strategy_of: StrategyOf) -> None:
    huber = strategy_of().training.model_copy(update={"loss": "huber", "huber_delta": 0.1})
    assert forecast_loss(np.array([0.05]), np.array([0.0]), huber) == pytest.approx(0.5 * 0.05**2)
    assert forecast_loss(np.array([1.0]), np.array([0.0]), huber) == pytest.approx(0.1 * (1.0 - 0.05))


def test_cross_entropy_of_even_odds_is_the_log_of_the_classes() -> None:
    assert cross_entropy(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 2])) == pytest.approx(math.log(3))


def test_the_confusion_matrix_has_what_was_in_rows() -> None:
    assert confusion(np.array([0, 2, 2, 1]), np.array([0, 0, 2, 1]), 3).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


def analytics(strategy: Strategy, fitted: Fitted, samples: Samples) -> dict[str, object]:
    model = Model(strategy, (), fitted.architecture, fitted.weights, {}, None, None)
    found = detailed_analytics(model, samples)
    json.dumps(found, allow_nan=False)
    return found


def test_analytics_go_class_by_class(strategy_of: StrategyOf) -> None:
    found = analytics(strategy_of(labels=TRIPLE), passing_on(3), samples_of(TRAIN, TEST, "classification"))
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 0, 0], [1, 0, 2]]
    assert found["per_class"]["hold"] == {"precision": None, "recall": None, "f1_score": None, "rows": 0}
    assert found["per_class"]["sell"]["recall"] == pytest.approx(2 / 3)
    assert found["calibration"] == [{"from": 0.9, "to": 1.0, "rows": 4, "confidence": 1.0, "accuracy": 0.75}]


def test_analytics_of_forecasts_are_by_direction(strategy_of: StrategyOf) -> None:
    test = rows([[0.01], [0.01], [-0.01], [0.01]], [0.02, -0.02, -0.01, 0.0], np.float64)
    found = analytics(strategy_of(), passing_on(1), samples_of(replace(test), test, "regression"))
    assert found["classes"] == ["up", "down"]
    assert found["confusion_matrix"] == [[1, 0], [1, 1]]


def long(count: int, seed: int, right: float, previous: np.ndarray | None = None) -> Slice:
    """Rows of two classes in random order, of which the network answers a share as they are."""
    random = np.random.default_rng(seed)
    targets = random.choice([0, 2], count)
    said = np.where(random.random(count) < right, targets, 2 - targets)
    found = rows([BUY if one == 0 else SELL for one in said], targets.tolist(), np.int64)
    return replace(found, previous=previous)


def figures(test: Slice, strategy_of: StrategyOf, span: tuple[int, int] = (0, 0)) -> SliceScores:
    samples = replace(samples_of(TRAIN, test, "classification"), label_span=span)
    return score(passing_on(3), samples, strategy_of(labels=TRIPLE).training).test


def test_intervals_hold_what_they_are_about(strategy_of: StrategyOf) -> None:
    """Of slices that are drawn anew, about 95 of 100 intervals hold the true accuracy of 70 %."""
    found = [figures(long(200, seed, 0.7), strategy_of) for seed in range(100)]
    inside = sum(one.accuracy_interval.low <= 0.7 <= one.accuracy_interval.high for one in found)
    assert 89 <= inside <= 99
    assert all(one.loss_interval.low < one.loss < one.loss_interval.high for one in found)
    assert found[0] == figures(long(200, 0, 0.7), strategy_of)


def test_an_edge_is_said_and_a_coin_is_not(strategy_of: StrategyOf) -> None:
    assert figures(long(400, 1, 0.7), strategy_of).verdict == "better than every baseline"
    coins = [figures(long(400, seed, 0.5), strategy_of).verdict for seed in range(40)]
    assert coins.count("no better than baseline") >= 38


def test_neighbours_that_agree_are_no_evidence_of_their_own(strategy_of: StrategyOf) -> None:
    """Each answer stands 20 times in a row, as labels do that look 20 bars ahead."""
    few = long(40, 2, 0.75)
    many = Slice(np.repeat(few.values, 20, axis=0), np.repeat(few.targets, 20), np.array([], "datetime64[us]"), np.arange(800))
    blind, seeing = figures(many, strategy_of), figures(many, strategy_of, (20, 20))
    assert blind.accuracy == seeing.accuracy
    wide, narrow = (one.accuracy_interval.high - one.accuracy_interval.low for one in (seeing, blind))
    assert wide > 3 * narrow


def test_a_label_that_is_known_already_is_a_baseline(strategy_of: StrategyOf) -> None:
    targets = long(400, 3, 0.7).targets.astype(float)
    for known, verdict in ((targets, "no better than baseline"), (np.full(400, np.nan), "better than every baseline")):
        found = figures(long(400, 3, 0.7, previous=known), strategy_of)
        assert found.verdict == verdict
        assert found.baselines.previous_accuracy == (1.0 if verdict.startswith("no") else None)
        assert found.advantage == pytest.approx(found.accuracy - found.baselines.best[1])


def test_a_slice_of_one_class_is_said_and_not_scored(strategy_of: StrategyOf) -> None:
    one = rows([BUY, SELL], [0, 0], np.int64)
    found = score(passing_on(3), samples_of(one, one, "classification"), strategy_of(labels=TRIPLE).training)
    assert found.test.not_scored == "all of its rows are 'buy'"
    assert (found.test.accuracy, found.test.loss, found.test.verdict, found.loss_decrease) == (None, None, "not scored", None)
    passed, reason = check_training_gate(found.gate_inputs())
    assert not passed
    assert "accuracy_below_threshold" in reason


def test_loss_and_confidence_have_a_scale(strategy_of: StrategyOf) -> None:
    found = score(passing_on(3), samples_of(TRAIN, TEST, "classification"), strategy_of(labels=TRIPLE).training).test
    assert found.relative_loss == pytest.approx(found.loss / math.log(3))
    assert found.calibration_error == pytest.approx(1 - 0.75, abs=1e-6)
    assert calibration_error(np.array([0.55, 0.55, 0.95, 0.95]), np.array([True, False, True, True])) == pytest.approx(0.05)
    assert found.per_class["buy"].model_dump() == {
        "rows": 1,
        "answered": 2,
        "precision": 0.5,
        "recall": 1.0,
        "f1_score": pytest.approx(2 / 3),
    }
    assert (found.accuracy_interval, found.verdict) == (None, "not scored")  # four rows are no evidence of anything
