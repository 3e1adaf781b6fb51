"""Gates say yes or no to measured numbers, and say why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.agents.gates import (
    DEFAULTS,
    Thresholds,
    backtest_checks,
    check_backtest_gate,
    check_training_gate,
    gate_report,
    training_checks,
)  # fmt: skip
from ktrdr.settings import Settings

GOOD_TRAINING = {"accuracy": 0.6, "final_loss": 0.7, "initial_loss": 1.1, "loss_decrease": 0.3}
GOOD_BACKTEST = {"win_rate": 0.5, "max_drawdown_pct": 0.1, "sharpe_ratio": 1.0, "total_trades": 40}
NOT_NUMBERS = [None, math.nan, math.inf, -math.inf, "0.9", True, np.float64("nan")]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, "passed"),
        ({"accuracy": 0.45, "final_loss": 0.8, "loss_decrease": 0.2}, "passed"),
        ({"accuracy": 0.423}, "accuracy_below_threshold (42.3% < 45.0%)"),
        ({"final_loss": 0.9}, "loss_too_high (0.900 > 0.800)"),
        ({"loss_decrease": 0.12}, "insufficient_loss_decrease (12.0% < 20.0%)"),
        ({"loss_decrease": -0.5}, "insufficient_loss_decrease (-50.0% < 20.0%)"),
        ({"accuracy": 0.1, "final_loss": 5.0, "loss_decrease": 0.0}, "accuracy_below_threshold (10.0% < 45.0%)"),
        ({"final_loss": 5.0, "loss_decrease": 0.0}, "loss_too_high (5.000 > 0.800)"),
        ({"accuracy": 0.44999}, "accuracy_below_threshold (44.999% < 45.000%)"),
        ({"accuracy": np.float32(0.6)}, "passed"),
    ],
)
def test_the_training_gate_checks_accuracy_then_loss_then_its_decrease(changed, reason):
    assert check_training_gate(GOOD_TRAINING | changed) == (reason == "passed", reason)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, "passed"),
        ({"win_rate": 0.45, "max_drawdown_pct": 0.40, "sharpe_ratio": -0.5}, "passed"),
        ({"win_rate": 0.4}, "win_rate_too_low (40.0% < 45.0%)"),
        ({"max_drawdown_pct": 0.452}, "drawdown_too_high (45.2% > 40.0%)"),
        ({"sharpe_ratio": -0.8}, "sharpe_too_low (-0.80 < -0.50)"),
        ({"win_rate": 0.1, "max_drawdown_pct": 0.9, "sharpe_ratio": -3.0}, "win_rate_too_low (10.0% < 45.0%)"),
        ({"max_drawdown_pct": 0.9, "sharpe_ratio": -3.0}, "drawdown_too_high (90.0% > 40.0%)"),
    ],
)
def test_the_backtest_gate_checks_win_rate_then_drawdown_then_sharpe(changed, reason):
    assert check_backtest_gate(GOOD_BACKTEST | changed) == (reason == "passed", reason)


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("name", ["accuracy", "final_loss", "loss_decrease"])
def test_a_training_figure_that_is_no_finite_number_is_refused(name, value):
    if name == "loss_decrease" and value is None:
        return  # unknown; the first loss stands in for it
    passed, reason = check_training_gate(GOOD_TRAINING | {name: value})
    assert not passed
    assert "nan" not in reason.lower()


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("name", ["win_rate", "max_drawdown_pct", "sharpe_ratio"])
def test_a_backtest_figure_that_is_no_finite_number_is_refused(name, value):
    passed, reason = check_backtest_gate(GOOD_BACKTEST | {name: value})
    assert not passed
    assert "nan" not in reason.lower()


def test_a_figure_that_is_missing_is_refused():
    assert check_training_gate({}) == (False, "accuracy_below_threshold (no accuracy was measured)")
    assert check_training_gate({"accuracy": 0.9}) == (False, "loss_too_high (no loss was measured)")
    assert check_backtest_gate({}) == (False, "win_rate_too_low (no win rate was measured)")


def test_a_backtest_without_trades_is_refused_in_words():
    metrics = {"win_rate": None, "max_drawdown_pct": 0.0, "sharpe_ratio": None, "total_trades": 0}
    assert check_backtest_gate(metrics) == (False, "win_rate_too_low (nothing was traded, so there is no win rate)")


def test_the_decrease_of_the_loss_is_checked_only_where_a_first_loss_is_known():
    assert check_training_gate({"accuracy": 0.6, "final_loss": 0.7}) == (True, "passed")
    assert check_training_gate({"accuracy": 0.6, "final_loss": 0.7, "initial_loss": None}) == (True, "passed")
    assert check_training_gate({"accuracy": 0.6, "final_loss": 0.7, "initial_loss": 1.0}) == (True, "passed")
    refused = check_training_gate({"accuracy": 0.6, "final_loss": 0.704, "initial_loss": 0.8})
    assert refused == (False, "insufficient_loss_decrease (12.0% < 20.0%)")
    assert not check_training_gate({"accuracy": 0.6, "final_loss": 0.7, "initial_loss": 0.0})[0]


def test_a_drawdown_in_money_is_not_taken_for_a_share():
    assert check_backtest_gate(GOOD_BACKTEST | {"max_drawdown": 12_000.0}) == (True, "passed")
    asked = {"win_rate": 0.5, "sharpe_ratio": 1.0, "max_drawdown": 0.452}
    assert check_backtest_gate(asked) == (False, "drawdown_too_high (45.2% > 40.0%)")


def test_the_thresholds_come_from_the_settings():
    strict = Thresholds.of(Settings(gate_min_accuracy=0.7, gate_min_sharpe=2.0))
    assert check_training_gate(GOOD_TRAINING, strict) == (False, "accuracy_below_threshold (60.0% < 70.0%)")
    assert check_backtest_gate(GOOD_BACKTEST, strict) == (False, "sharpe_too_low (1.00 < 2.00)")
    assert Thresholds.of(Settings()) == DEFAULTS


def test_a_report_lists_every_check_beside_what_knowing_nothing_gives():
    metrics = {"accuracy": 0.4, "final_loss": 0.9, "majority_accuracy": 0.5, "majority_loss": 0.78, "loss_decrease": 0.3}
    report = gate_report("training", training_checks(metrics))
    assert report["gate"] == "training"
    assert report["passed"] is False
    assert report["reason"] == "accuracy_below_threshold (40.0% < 45.0%)"
    assert [(c["check"], c["passed"], c["baseline"]) for c in report["checks"]] == [
        ("accuracy", False, 0.5), ("loss", False, 0.78), ("loss_decrease", True, 0.0),
    ]  # fmt: skip
    held = GOOD_BACKTEST | {"buy_and_hold_sharpe_ratio": 0.2, "buy_and_hold_max_drawdown_pct": 0.6}
    checks = backtest_checks(held)
    assert [(c.name, c.baseline) for c in checks] == [("win_rate", None), ("max_drawdown", 0.6), ("sharpe_ratio", 0.2)]


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["accuracy", "final_loss", "initial_loss", "loss_decrease"], numbers)))
def test_whatever_is_measured_a_model_passes_only_with_every_figure_in_order(metrics):
    passed, reason = check_training_gate(metrics)
    assert passed == (reason == "passed")
    if passed:
        assert metrics["accuracy"] >= 0.45
        assert metrics["final_loss"] <= 0.8


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["win_rate", "max_drawdown", "sharpe_ratio", "total_trades"], numbers)))
def test_whatever_is_measured_a_backtest_passes_only_with_every_figure_in_order(metrics):
    passed, reason = check_backtest_gate(metrics)
    assert passed == (reason == "passed")
    if passed:
        assert metrics["win_rate"] >= 0.45
        assert metrics["max_drawdown"] <= 0.4
        assert metrics["sharpe_ratio"] >= -0.5
