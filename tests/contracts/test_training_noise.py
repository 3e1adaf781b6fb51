"""What a training says of itself where there is nothing to learn, and where there is."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.scores import SliceScores
from ktrdr.strategy.load import load_strategy
from ktrdr.training.run import train_model

pytestmark = pytest.mark.torch
HOUR = Timeframe("1h")
TEXT = """
name: small
training_data: {symbols: [AAA], timeframes: [1h], history_required: 500}
indicators: {roc_12: {type: roc, period: 12}, rsi_14: {type: rsi, period: 14}}
fuzzy_sets:
  change: {indicator: roc_12, down: [-90, -90, -1, 0], level: [-1, 0, 1], up: [0, 1, 90, 90]}
  strength: {indicator: rsi_14, low: [0, 0, 35, 50], middle: [35, 50, 65], high: [50, 65, 100, 100]}
nn_inputs: [{fuzzy_set: change, timeframes: all}, {fuzzy_set: strength, timeframes: all}]
model: {type: mlp, architecture: {hidden_layers: [16], dropout: 0.0}}
decisions: {output_format: classification}
training: {epochs: 5, learning_rate: 0.01, batch_size: 256, seed: %d, labels: {source: %s}}
"""
LABELS = ("triple_barrier, pt: 2.0, sl: 2.0, max_holding_period: 24", "zigzag, zigzag_threshold: 0.02")


def bars_of(returns: np.ndarray) -> Bars:
    close = 100 * np.exp(np.cumsum(returns))
    opened = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64("2015-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
    return Bars.checked("AAA", HOUR, time, open=opened, high=high, low=low, close=close, volume=np.ones(len(close)))


def judged(returns: np.ndarray, seed: int, label: str = LABELS[0]) -> SliceScores:
    bars = bars_of(returns)
    strategy = load_strategy(TEXT % (seed, label), "test").strategy
    ends = as_datetime(bars.time[0]), as_datetime(bars.known_at[-1])
    return train_model(strategy, {"AAA": {HOUR: bars}}, *ends, lambda _: None, lambda _: None).scores.test


@pytest.mark.parametrize("label", LABELS)
def test_noise_is_called_no_better_than_baseline(label: str) -> None:
    verdicts = [judged(np.random.default_rng(seed).normal(0, 0.004, 2000), seed, label).verdict for seed in range(20)]
    assert verdicts.count("no better than baseline") >= 19, verdicts


def test_an_edge_is_called_one() -> None:
    """Prices that rise and fall within a day: the newest label that is known is one of another hour."""
    random = np.random.default_rng(3)
    found = judged(0.003 * np.sin(np.arange(5000) * 2 * np.pi / 24) + random.normal(0, 0.004, 5000), 3)
    assert found.verdict == "better than every baseline"
    assert found.advantage is not None
    assert found.advantage > 0.05
