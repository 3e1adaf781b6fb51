"""Bars and strategies small enough to follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

TEXT = """
name: small
training_data:
  symbols: {symbols}
  timeframes: [1h]
  history_required: 50
indicators:
  roc_2: {{type: roc, period: 2}}
fuzzy_sets:
  change: {{indicator: roc_2, down: [-9, -3, 0], level: [-3, 0, 3], up: [0, 3, 9]}}
nn_inputs:
  - {{fuzzy_set: change, timeframes: all}}
  - {{raw_indicator: roc_2, timeframes: all, normalization: zscore}}
model: {model}
decisions: {decisions}
training: {{epochs: 2, labels: {labels}{more}}}
"""
MLP = "{type: mlp, architecture: {hidden_layers: [4]}}"
REGRESSION = "{output_format: regression, cost_model: {round_trip_cost: 0.001, min_edge_multiplier: 1.5}}"


@pytest.fixture
def strategy_of() -> Callable[..., Strategy]:
    """A strategy by symbols, label, further training keys and network."""

    def build(
        symbols: str = "[AAA]", labels: str = "{source: forward_return, horizon: 5}", more: str = "", model: str = MLP
    ) -> Strategy:  # fmt: skip
        forecast = "forward_return" in labels
        extra = (", loss: mse" if forecast else "") + (f", {more}" if more else "")
        text = TEXT.format(
            symbols=symbols,
            decisions=REGRESSION if forecast else "{output_format: classification}",
            labels=labels,
            more=extra,
            model=model,
        )
        return load_strategy(text, "test").strategy

    return build


@pytest.fixture
def bars_of() -> Callable[..., Bars]:
    """A random walk of hourly bars."""

    def build(symbol: str = "AAA", count: int = 400, seed: int = 1, start: str = "2024-01-01", timeframe: str = "1h") -> Bars:
        random, step = np.random.default_rng(seed), Timeframe(timeframe)
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
        opens = np.concatenate(([100.0], close[:-1]))
        time = np.datetime64(start, "us") + np.arange(count) * np.timedelta64(step.seconds, "s")
        high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
        return Bars.checked(symbol, step, time, open=opens, high=high, low=low, close=close, volume=np.ones(count))

    return build
