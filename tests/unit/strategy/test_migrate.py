"""Version 2 strategies as version 3."""

from __future__ import annotations

import pytest

from ktrdr.errors import Invalid
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.migrate import migrate

OLD = """\
name: old
version: "2.0"
scope: universal
training_data:
  symbols: {mode: single, symbol: EURUSD}
  timeframes: {mode: single, timeframe: 1h}
indicators:
  - {name: RSI, feature_id: rsi_14, period: 14, source: close}
  - {name: BollingerBands, period: 20, multiplier: 2.0}
fuzzy_sets:
  rsi_14:
    low: {type: triangular, parameters: [0, 20, 40]}
    high: [30, 80, 100]
model:
  type: mlp
  architecture: {hidden_layers: [32], output_activation: softmax}
  features: {lookback_periods: 3}
  training: {epochs: 5, fuzzy_regularization: true}
decisions: {output_format: classification, filters: {volume_filter: true, min_signal_separation: 4}}
training: {method: supervised, labels: {source: zigzag, zigzag_threshold: 0.03}}
"""
UNREAD = (
    "scope: universal\n",
    ", output_activation: softmax",
    "  features: {lookback_periods: 3}\n",
    ", fuzzy_regularization: true",
    "volume_filter: true, ",
)


def test_a_version_2_strategy_becomes_one_that_runs() -> None:
    strategy = load_strategy(migrate(OLD, "old.yaml").text, "new").strategy
    assert strategy.version == "3.0"
    assert {name: spec.type for name, spec in strategy.indicators.items()} == {"rsi_14": "rsi", "bollingerbands": "bollingerbands"}
    assert strategy.fuzzy_sets["rsi_14"].indicator == "rsi_14"
    assert strategy.feature_ids == ("1h_rsi_14_low", "1h_rsi_14_high")
    assert strategy.training.epochs == 5


def test_what_nothing_reads_is_left_out_and_named() -> None:
    assert set(migrate(OLD, "old.yaml").dropped) == {
        "scope",
        "model.features",
        "model.architecture.output_activation",
        "decisions.filters.volume_filter",
        "training.fuzzy_regularization",
    }


def test_a_strategy_with_nothing_to_leave_out_is_only_rewritten() -> None:
    text = OLD
    for unread in UNREAD:
        text = text.replace(unread, "")
    assert migrate(text, "old").dropped == ()


def test_what_else_is_wrong_is_left_for_loading_to_explain() -> None:
    text = migrate(
        OLD.replace("period: 14", "periode: 14").replace("  - {name: BollingerBands, period: 20, multiplier: 2.0}", "  - odd"), "old"
    ).text
    with pytest.raises(Invalid, match=r"indicators\.rsi_14\.periode") as caught:
        load_strategy(text, "new")
    assert "indicators.indicator_1: must be a mapping" in caught.value.message


def test_a_version_3_strategy_is_not_migrated(text: str) -> None:
    with pytest.raises(Invalid, match="is not a version 2 strategy"):
        migrate(text, "sample.yaml")
