"""Strategies of the earlier format load, with a warning for each key that has no effect, and train."""

# ruff: noqa: E501 - a case is a line of the table
from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.sections import moment
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import build_samples

MINIMAL = """
name: v3_minimal
version: "3.0"
training_data:
  symbols: {mode: single, symbol: EURUSD}
  timeframes: {mode: single, timeframe: 1h}
  history_required: 100
indicators:
  rsi_14: {type: rsi, period: 14}
fuzzy_sets:
  rsi_momentum:
    indicator: rsi_14
    oversold: [0, 25, 40]
    overbought: [60, 75, 100]
nn_inputs:
  - fuzzy_set: rsi_momentum
    timeframes: [1h]
model:
  type: mlp
  architecture: {hidden_layers: [32, 16], dropout: 0.2}
decisions: {output_format: classification}
training: {epochs: 10, batch_size: 32, learning_rate: 0.001}
"""
FULL = """
name: everything
description: All that a file of the earlier format may say.
version: "3.0"
scope: universal
training_data:
  symbols:
    mode: multi_symbol
    list: [EURUSD, GBPUSD]
    selection_criteria: {asset_class: forex, volatility_range: {min: 0.1, max: 0.9}}
  timeframes: {mode: multi_timeframe, timeframes: [1h, 4h], base_timeframe: 1h}
  history_required: 200
  date_range: {start: "2024-01-02", end: "2024-02-10"}
context_data:
  - {provider: fred, series: DGS10, frequency: daily, alignment: forward_fill}
  - {provider: ib, symbol: SPY, timeframe: 1d, instrument_type: stock}
deployment:
  target_symbols: {mode: group_restricted, restrictions: {asset_classes: [forex], excluded_symbols: [USDTRY]}}
  target_timeframes: {mode: single, supported: [1h], timeframe: 1h}
indicators:
  rsi_fast: {type: RSI, period: 7, source: close}
  bbands_20: {type: bbands, period: 20, multiplier: 2.0}
  ema_9: {type: ema, period: 9, adjust: true}
  aroon_14: {type: AroonIndicator, period: 14, include_oscillator: true}
  rate_move: {type: roc, period: 5, data_source: fred_DGS10}
fuzzy_sets:
  fast:
    indicator: rsi_fast
    low: {type: trapezoidal, parameters: [0, 0, 30, 45]}
    mid: {type: triangularmf, parameters: [35, 50, 65]}
    high: {type: gaussian, parameters: [80, 10]}
  up_down: {indicator: aroon_14.up, weak: [0, 0, 50], strong: [40, 100, 100]}
  rates: {indicator: rate_move, falling: [-50, -10, 0], rising: [0, 10, 50]}
nn_inputs:
  - {fuzzy_set: fast, timeframes: all}
  - {fuzzy_set: up_down, timeframes: [4h]}
  - {fuzzy_set: rates, timeframes: [1h]}
  - {raw_indicator: bbands_20.lower, timeframes: [1h], normalization: minmax}
model:
  type: mlp
  architecture: {hidden_layers: [8], dropout: 0.1, activation: leaky_relu, output_activation: softmax}
  training: {epochs: 7, optimizer: adam, early_stopping: {patience: 5, min_delta: 0.001, monitor: val_loss}}
decisions:
  output_format: classification
  confidence_threshold: 0.6
  position_awareness: true
  filters: {min_signal_separation: 4, volume_filter: {enabled: false}}
  cost_model: {round_trip_cost: 0.003, min_edge_multiplier: 1.5}
training:
  method: supervised
  epochs: 5
  batch_size: 32
  learning_rate: 0.001
  lr_scheduler: reduce_on_plateau
  fuzzy_regularization: {enabled: true}
  loss: focal
  focal_gamma: 2.0
  data_split: {train: 0.7, validation: 0.15, test: 0.15}
  labels: {source: LABELS}
backtest: {date_range: {start: "2024-02-10", end: "2024-03-01"}}
"""
LABELS = {
    "zigzag": "zigzag, zigzag_threshold: 0.02, label_lookahead: 20",
    "triple_barrier": "triple_barrier, pt: 2.0, sl: 1.5, max_holding_period: 20, vol_span: 50, vol_method: atr, compute_weights: true, cusum_multiplier: 0.5",
    "regime": "regime, macro_atr_mult: 3.0, micro_atr_mult: 1.0, atr_period: 14, vol_lookback: 120, vol_crisis_threshold: 2.0, progression_tolerance: 0.5",
    "context": "context, horizon: 5",
}
NO_EFFECT = {
    "scope", "training_data.symbols.selection_criteria", "context_data[1]", "context_data[1].instrument_type", "indicators.ema_9",
    "indicators.ema_9.adjust", "indicators.aroon_14.include_oscillator", "model.architecture.output_activation",
    "model.training.epochs", "model.training.early_stopping.monitor", "decisions.filters.volume_filter", "decisions.cost_model",
    "training.fuzzy_regularization",
}  # fmt: skip


def walk(symbol: str, timeframe: str, days: int = 60) -> Bars:
    size = Timeframe(timeframe)
    count = days * 86400 // size.seconds
    random = np.random.default_rng(list(f"{symbol} {timeframe}".encode()))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opens = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64("2023-12-15", "us") + np.arange(count) * np.timedelta64(size.seconds, "s")
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
    return Bars.checked(symbol, size, time, open=opens, high=high, low=low, close=close, volume=np.ones(count))


def rows_of(strategy: Strategy) -> dict[str, int]:
    outside = {series.key: series.published(walk(series.symbol, series.timeframe)) for series in strategy.outside}
    bars = {symbol: {size: walk(symbol, size.name) for size in strategy.timeframes} | outside for symbol in strategy.symbols}
    start = strategy.date_range[0] or moment("2024-01-02")
    return build_samples(strategy, bars, start, start + timedelta(days=39)).rows


def test_the_smallest_one_loads_and_trains_and_its_gap_is_named() -> None:
    loaded = load_strategy(MINIMAL, "v3_minimal")
    assert [str(warning) for warning in loaded.warnings] == [
        "line 11, fuzzy_sets.rsi_momentum: no membership covers 40 to 60; the network sees nothing there"
    ]
    assert loaded.strategy.feature_ids == ("1h_rsi_momentum_oversold", "1h_rsi_momentum_overbought")
    assert rows_of(loaded.strategy)["train"] > 300


@pytest.mark.parametrize("label", LABELS)
def test_all_that_one_may_say_is_read_or_named_as_without_effect(label: str) -> None:
    loaded = load_strategy(FULL.replace("LABELS", LABELS[label]), "everything")
    wanted = NO_EFFECT | ({"training.labels.label_lookahead"} if label == "zigzag" else set())
    assert {warning.place for warning in loaded.warnings} == wanted
    assert all(warning.line for warning in loaded.warnings)
    strategy = loaded.strategy
    assert (strategy.training.epochs, strategy.training.early_stopping is not None) == (5, True)
    assert rows_of(strategy)["train"] > 100
    assert load_strategy(strategy.to_yaml(), "again").strategy == strategy


def test_an_earlier_regression_loads_and_trains() -> None:
    text = FULL.replace("{source: LABELS}", "{source: forward_return, horizon: 20}").replace("loss: focal", "loss: huber")
    text = text.replace("focal_gamma: 2.0", "huber_delta: 0.01").replace("output_format: classification", "output_format: regression")
    strategy = load_strategy(text, "regression").strategy
    assert (strategy.task, strategy.classes) == ("regression", ())
    assert rows_of(strategy)["train"] > 300
