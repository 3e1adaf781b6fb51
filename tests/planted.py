"""Bars in which two rules are planted, and the strategy whose words can say them.

After a bar at which `change_3` has fallen by more than 0.12 % while `change_24` has risen by more than 0.6 %, the price
nearly always jumps up; after the opposite it jumps down; after any other bar it hardly moves, and slowly back to 100.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

HOUR = Timeframe("1h")
START = datetime(2020, 1, 1, tzinfo=UTC)
USUAL, WICK, JUMP, OBEYED = 0.001, 0.002, 0.016, 0.95
SHORT, LONG = 0.12, 0.6
"""The planted thresholds, in percent."""
TEXT = """
name: planted
training_data: {symbols: [AAA], timeframes: [1h], history_required: 500}
indicators:
  roc_3: {type: roc, period: 3}
  roc_24: {type: roc, period: 24}
  rsi_9: {type: rsi, period: 9}
fuzzy_sets:
  change_3: {indicator: roc_3, down: [-100, -100, -0.3, 0], flat: [-0.2, 0, 0.2], up: [0, 0.3, 1000, 1000]}
  change_24: {indicator: roc_24, down: [-100, -100, -1, 0], flat: [-0.6, 0, 0.6], up: [0, 1, 1000, 1000]}
  strength: {indicator: rsi_9, falling: [0, 0, 30, 50], balanced: [35, 50, 65], rising: [50, 70, 100, 100]}
nn_inputs:
  - {fuzzy_set: change_3, timeframes: all}
  - {fuzzy_set: change_24, timeframes: all}
  - {fuzzy_set: strength, timeframes: all}
model: NETWORK
decisions: {output_format: classification, allow_short_from_flat: true, filters: {min_signal_separation: 0}}
training:
  epochs: 20
  learning_rate: 0.01
  batch_size: 128
  labels: {source: triple_barrier, pt: 2, sl: 2, max_holding_period: 1, vol_span: 50}
"""
NETWORKS = {"tsk": "{type: tsk}", "mlp": "{type: mlp, architecture: {hidden_layers: [32, 16], dropout: 0.0}}"}


def planted_strategy(network: str = "tsk", **changes: str) -> Strategy:
    text = TEXT.replace("NETWORK", NETWORKS.get(network, network))
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return load_strategy(text, "planted").strategy


def planted_bars(count: int = 6000, seed: int = 1, symbol: str = "AAA") -> Bars:
    random = np.random.default_rng(seed)
    close = np.full(count, 100.0)
    for t in range(1, count):
        move = random.normal(0, USUAL) - 0.003 * np.log(close[t - 1] / 100)
        if t > 24:
            short, long = (100 * (close[t - 1] / close[t - 1 - n] - 1) for n in (3, 24))
            up, down = short < -SHORT and long > LONG, short > SHORT and long < -LONG
            if (up or down) and random.random() < OBEYED:
                move += JUMP if up else -JUMP
            elif random.random() < 0.01:
                move += JUMP * random.choice((-1, 1))
        close[t] = close[t - 1] * (1 + move)
    opens = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(count) * np.timedelta64(1, "h")
    high, low = np.maximum(opens, close) * (1 + WICK), np.minimum(opens, close) * (1 - WICK)
    return Bars.checked(symbol, HOUR, time, open=opens, high=high, low=low, close=close, volume=np.ones(count), provider="synthetic")


def end_of(bars: Bars) -> datetime:
    return START + timedelta(hours=len(bars))
