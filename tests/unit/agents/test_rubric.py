"""An assessment by fixed rules says what the figures say, and that nobody thought about them."""

from __future__ import annotations

import pytest

from ktrdr.agents.designer import AssessmentContext, Trials
from ktrdr.agents.rubric import judge

GOOD = {"sharpe_ratio": 1.6, "max_drawdown_pct": 0.08, "total_trades": 120}


def context(metrics: dict[str, object] | None = None, probability: float | None = 0.97, held: float | None = 0.4) -> AssessmentContext:
    return AssessmentContext(
        strategy_name="m", strategy_text="", gates=(), training={"accuracy": 0.6, "majority_accuracy": 0.5},
        backtest={"metrics": GOOD | (metrics or {}), "benchmarks": {"buy_and_hold": {"sharpe_ratio": held}}},
        trials=Trials(count=64, deflated_probability=probability),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "promising"),
        ({"held": None}, "promising"),
        ({"probability": 0.5}, "mediocre"),
        ({"probability": None}, "mediocre"),
        ({"held": 2.0}, "mediocre"),
        ({"metrics": {"sharpe_ratio": 0.9}}, "mediocre"),
        ({"metrics": {"max_drawdown_pct": 0.25}}, "mediocre"),
        ({"metrics": {"total_trades": 30}}, "mediocre"),
        ({"metrics": {"total_trades": 5}}, "poor"),
        ({"metrics": {"max_drawdown_pct": 0.31}}, "poor"),
        ({"metrics": {"sharpe_ratio": -0.1}}, "poor"),
        ({"metrics": {"sharpe_ratio": None}}, "poor"),
    ],
)
def test_the_verdict_follows_from_the_figures(changed, verdict):
    assert judge(context(**changed)).verdict == verdict


def test_strengths_and_weaknesses_carry_the_figures():
    said = judge(context({"max_drawdown_pct": 0.25}, probability=0.4))
    assert "Sharpe ratio 1.60 after costs" in said.strengths
    assert "Sharpe ratio 1.60 beside 0.40 for buying and holding" in said.strengths
    assert "test accuracy 60.0%, the majority class alone gives 50.0%" in said.strengths
    assert "largest drawdown 25.0%" in said.weaknesses
    assert "probability 40% that the search's best is more than luck" in said.weaknesses
    assert any("more tries raise the bar" in sentence for sentence in said.suggestions)
    assert said.assessed_by == "fixed rules on the figures — not by a language model"


def test_there_is_always_something_to_do_next():
    assert judge(context()).suggestions
    assert judge(context({"sharpe_ratio": 0.5})).suggestions
    assert judge(context({"sharpe_ratio": -1.0, "total_trades": 3})).suggestions
