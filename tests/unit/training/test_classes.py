"""Labels of other classes than buy, hold and sell: learned, judged and decided on by their own names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.market.bars import Bars
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.spec import Strategy
from ktrdr.training.run import learn
from ktrdr.training.score import detailed_analytics
from ktrdr.training.windows import build_samples

START = datetime(2024, 1, 1, tzinfo=UTC)
LABELS = {
    "regime": ("{source: regime, vol_lookback: 30, atr_period: 5}", ("trending_up", "trending_down", "ranging", "volatile")),
    "context": ("{source: context, horizon: 3}", ("bullish", "bearish", "neutral")),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", LABELS)
def test_a_network_has_an_output_for_each_class(name: str, strategy_of: Callable[..., Strategy], bars_of: Callable[..., Bars]) -> None:
    labels, classes = LABELS[name]
    strategy, bars = strategy_of(labels=labels), bars_of(count=800)
    samples = build_samples(strategy, {"AAA": {bars.timeframe: bars}}, START, START + timedelta(hours=800))
    model = learn(samples, strategy, lambda _: None, lambda _: None)
    assert samples.classes == strategy.classes == classes
    assert model.architecture.outputs == len(classes)
    assert set(model.scores.baselines.class_shares) == set(classes)
    assert detailed_analytics(model, samples)["classes"] == list(classes)
    answers = model.predict(model.features({bars.timeframe: bars}))
    assert answers.shape == (800, len(classes))
    assert decide(answers, strategy, bars.time).targets.shape == (800,)


@pytest.mark.parametrize(("name", "signals"), [("regime", [BUY, SELL, HOLD, HOLD]), ("context", [BUY, SELL, HOLD])])
def test_each_class_is_the_signal_that_its_label_says(name: str, signals: list[int], strategy_of: Callable[..., Strategy]) -> None:
    strategy = strategy_of(labels=LABELS[name][0])
    hours = np.datetime64("2024-01-01", "us") + np.arange(len(signals)) * np.timedelta64(10, "h")
    found = decide(np.eye(len(signals)), strategy, hours)
    assert found.signals.tolist() == signals
    assert found.targets.tolist() == [1, 0, *[0] * (len(signals) - 2)]
