"""Each key of a strategy with a change of it that must change a result; `test_every_key.py` walks the schema and runs them.

A case is two sets of values by place: what the document needs for the key to matter, and the change. GONE removes a key.
A new key of the grammar is a new line here.
"""

# ruff: noqa: E501 - a case is a line of the table
from __future__ import annotations

from typing import Any

GONE = object()
Values = dict[str, Any]
FORECAST: Values = {
    "decisions": {"output_format": "regression", "cost_model": {"round_trip_cost": 0.00001, "min_edge_multiplier": 1.0}},
    "training.labels": {"source": "forward_return", "horizon": 4},
}  # fmt: skip
BOTH: Values = {"training_data.timeframes": {"mode": "multi_timeframe", "list": ["1h", "4h"]}}
RAW: Values = {"nn_inputs[1]": {"raw_indicator": "up.line", "timeframes": "all", "normalization": "zscore"}}
RATE: Values = {
    "context_data": [{"provider": "fred", "symbol": "RATE", "timeframe": "1d", "id": "rate"}],
    "indicators.outer": {"type": "roc", "period": 1, "data_source": "rate"},
    "nn_inputs[1]": {"raw_indicator": "outer", "timeframes": ["1h"]},
}  # fmt: skip
SERIES: Values = {
    **RATE,
    "context_data[0].symbol": GONE,
    "context_data[0].series": "RATE",
    "context_data[0].timeframe": GONE,
    "context_data[0].frequency": "daily",
}
LSTM: Values = {"model": {"type": "lstm", "architecture": {"hidden_size": 3, "num_layers": 2, "dropout": 0.2, "sequence_length": 4}}}
LONG: Values = {"training.epochs": 8, "training.learning_rate": 0.3}
DROPPED: Values = {"model.architecture.dropout": 0.2}
SURE: Values = {"decisions.confidence_threshold": 0.34}

CASES: dict[str, tuple[Values, Values]] = {
    "training_data.symbols.mode": ({"training_data.symbols": {"mode": "single", "symbol": "AAA"}}, {"training_data.symbols.mode": "multi_symbol"}),
    "training_data.symbols.symbol": ({"training_data.symbols": {"mode": "single", "symbol": "AAA"}}, {"training_data.symbols.symbol": "BBB"}),
    "training_data.symbols.list": ({"training_data.symbols": {"mode": "multi_symbol", "list": ["AAA", "BBB"]}}, {"training_data.symbols.list": ["BBB"]}),
    "training_data.symbols.symbols": ({"training_data.symbols": {"symbols": ["AAA"]}}, {"training_data.symbols.symbols": ["BBB"]}),
    "training_data.timeframes.mode": ({"training_data.timeframes": {"mode": "single", "timeframe": "1h"}}, {"training_data.timeframes.mode": "multi_timeframe"}),
    "training_data.timeframes.timeframe": ({"training_data.timeframes": {"mode": "single", "timeframe": "1h"}}, {"training_data.timeframes.timeframe": "2h"}),
    "training_data.timeframes.list": (BOTH, {"training_data.timeframes.list": ["1h", "2h"]}),
    "training_data.timeframes.timeframes": ({"training_data.timeframes": {"timeframes": ["1h", "4h"]}}, {"training_data.timeframes.timeframes": ["1h", "2h"]}),
    "training_data.timeframes.base_timeframe": ({"training_data.timeframes": ["1h", "2h"]}, {"training_data.timeframes": {"list": ["1h", "2h"], "base_timeframe": "2h"}}),
    "training_data.history_required": ({}, {"training_data.history_required": 5000}),
    "training_data.start_date": ({}, {"training_data.start_date": "2024-01-03"}),
    "training_data.end_date": ({}, {"training_data.end_date": "2024-01-24"}),
    "training_data.date_range": ({"training_data.start_date": GONE, "training_data.end_date": GONE, "training_data.date_range": {"start": "2024-01-02", "end": "2024-01-25"}}, {"training_data.date_range": GONE}),
    "training_data.date_range.start": ({"training_data.start_date": GONE, "training_data.end_date": GONE, "training_data.date_range": {"start": "2024-01-02", "end": "2024-01-25"}}, {"training_data.date_range.start": "2024-01-03"}),
    "training_data.date_range.end": ({"training_data.start_date": GONE, "training_data.end_date": GONE, "training_data.date_range": {"start": "2024-01-02", "end": "2024-01-25"}}, {"training_data.date_range.end": "2024-01-24"}),
    "context_data[].provider": (RATE, {"context_data[0].provider": "ib"}),
    "context_data[].symbol": (RATE, {"context_data[0].symbol": "OTHER"}),
    "context_data[].series": (SERIES, {"context_data[0].series": "OTHER"}),
    "context_data[].timeframe": (RATE, {"context_data[0].timeframe": "4h"}),
    "context_data[].frequency": (SERIES, {"context_data[0].frequency": "weekly"}),
    "context_data[].delay_hours": (RATE, {"context_data[0].delay_hours": 5}),
    "context_data[].id": (RATE, {"context_data[0].id": "another"}),
    "indicators.*.type": ({}, {"indicators.strength.type": "cci"}),
    "indicators.*.data_source": (RATE, {"indicators.outer.data_source": GONE}),
    "fuzzy_sets.*.indicator": ({}, {"fuzzy_sets.force.indicator": "up"}),
    "fuzzy_sets.*.partition": ({}, {"fuzzy_sets.force": {"indicator": "strength", "partition": {"count": 3}}}),
    "fuzzy_sets.*.partition.count": ({"fuzzy_sets.force": {"indicator": "strength", "partition": {"count": 3}}}, {"fuzzy_sets.force.partition.count": 2}),
    "fuzzy_sets.*.*.type": ({"fuzzy_sets.force.low": {"type": "gaussian", "parameters": [30, 20]}}, {"fuzzy_sets.force.low.type": "sigmoid"}),
    "fuzzy_sets.*.*.parameters": ({"fuzzy_sets.force.low": {"type": "gaussian", "parameters": [30, 20]}}, {"fuzzy_sets.force.low.parameters": [31, 20]}),
    "nn_inputs[].fuzzy_set": ({"fuzzy_sets.other": {"indicator": "up", "up": [0, 1, 2]}}, {"nn_inputs[0].fuzzy_set": "other"}),
    "nn_inputs[].raw_indicator": (RAW, {"nn_inputs[1].raw_indicator": "up.signal"}),
    "nn_inputs[].timeframes": (BOTH, {"nn_inputs[0].timeframes": ["1h"]}),
    "nn_inputs[].normalization": (RAW, {"nn_inputs[1].normalization": "minmax"}),
    "model.type": (LSTM, {"model.type": "gru"}),
    "model.training": ({"training.epochs": GONE}, {"model.training": {"epochs": 1}}),
    "model.architecture.hidden_layers": ({}, {"model.architecture.hidden_layers": [5]}),
    "model.architecture.dropout": (DROPPED, {"model.architecture.dropout": 0.6}),
    "model.architecture.activation": ({}, {"model.architecture.activation": "tanh"}),
    "model.architecture.hidden_size": (LSTM, {"model.architecture.hidden_size": 4}),
    "model.architecture.num_layers": (LSTM, {"model.architecture.num_layers": 1}),
    "model.architecture.sequence_length": (LSTM, {"model.architecture.sequence_length": 5}),
    "decisions.output_format": ({}, {"decisions.output_format": "regression"}),
    "decisions.confidence_threshold": (SURE, {"decisions.confidence_threshold": 0.95}),
    "decisions.position_awareness": (SURE, {"decisions.position_awareness": False}),
    "decisions.filters": (SURE, {"decisions.filters": {"min_signal_separation": 48}}),
    "decisions.filters.min_signal_separation": ({**SURE, "decisions.filters": {"min_signal_separation": 0}}, {"decisions.filters.min_signal_separation": 48}),
    "decisions.allow_short_from_flat": (SURE, {"decisions.allow_short_from_flat": True}),
    "decisions.cost_model": (FORECAST, {"decisions.cost_model": GONE}),
    "decisions.cost_model.round_trip_cost": (FORECAST, {"decisions.cost_model.round_trip_cost": 0.5}),
    "decisions.cost_model.min_edge_multiplier": (FORECAST, {"decisions.cost_model.min_edge_multiplier": 50000.0}),
    "decisions.costs": (SURE, {"decisions.costs": {"commission": 0.01}}),
    "decisions.costs.commission": ({**SURE, "decisions.costs": {"commission": 0.001}}, {"decisions.costs.commission": 0.002}),
    "decisions.costs.slippage": ({**SURE, "decisions.costs": {"slippage": 0.001}}, {"decisions.costs.slippage": 0.002}),
    "training.epochs": ({}, {"training.epochs": 3}),
    "training.learning_rate": ({}, {"training.learning_rate": 0.02}),
    "training.batch_size": ({}, {"training.batch_size": 33}),
    "training.optimizer": ({}, {"training.optimizer": "sgd"}),
    "training.weight_decay": ({}, {"training.weight_decay": 0.1}),
    "training.loss": ({}, {"training.loss": "focal"}),
    "training.focal_gamma": ({"training.loss": "focal"}, {"training.focal_gamma": 5.0}),
    "training.huber_delta": ({**FORECAST, "training.loss": "huber"}, {"training.huber_delta": 0.0001}),
    "training.early_stopping": (LONG, {"training.early_stopping": {"patience": 1, "min_delta": 1.0}}),
    "training.early_stopping.patience": ({**LONG, "training.early_stopping": {"patience": 1, "min_delta": 1.0}}, {"training.early_stopping.patience": 3}),
    "training.early_stopping.min_delta": ({**LONG, "training.early_stopping": {"patience": 1, "min_delta": 0.0}}, {"training.early_stopping.min_delta": 9.0}),
    "training.lr_scheduler": ({}, {"training.lr_scheduler": "exponential"}),
    "training.lr_scheduler.type": ({"training.lr_scheduler": {"type": "step"}}, {"training.lr_scheduler.type": "exponential"}),
    "training.lr_scheduler.gamma": ({"training.lr_scheduler": {"type": "exponential"}}, {"training.lr_scheduler.gamma": 0.1}),
    "training.lr_scheduler.step_size": ({"training.lr_scheduler": {"type": "step", "step_size": 1}}, {"training.lr_scheduler.step_size": 5}),
    "training.lr_scheduler.patience": ({**LONG, "training.lr_scheduler": {"type": "reduce_on_plateau", "patience": 1}}, {"training.lr_scheduler.patience": 50}),
    "training.seed": ({}, {"training.seed": 8}),
    "training.data_split": ({}, {"training.data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}}),
    "training.data_split.train": ({"training.data_split": {"train": 0.7, "validation": 0.15, "test": 0.15}}, {"training.data_split.train": 0.6, "training.data_split.test": 0.25}),
    "training.data_split.validation": ({"training.data_split": {"train": 0.7, "validation": 0.15, "test": 0.15}}, {"training.data_split.validation": 0.1, "training.data_split.test": 0.2}),
    "training.data_split.test": ({"training.data_split": {"train": 0.7, "validation": 0.15, "test": 0.15}}, {"training.data_split.test": 0.1}),
    "training.labels": ({}, {"training.labels": GONE}),
    "training.labels.source": ({}, {"training.labels": {"source": "triple_barrier", "max_holding_period": 6, "vol_span": 10}}),
    "backtest.date_range": ({}, {"backtest.date_range": {"start": "2024-01-26", "end": "2024-01-29"}}),
    "backtest.date_range.start": ({}, {"backtest.date_range.start": "2024-01-27"}),
    "backtest.date_range.end": ({}, {"backtest.date_range.end": "2024-01-28"}),
}  # fmt: skip

WORDS = {
    "name": "under which it is kept, and which its model carries",
    "description": "words about it",
    "version": "of the grammar, of which there is one",
    "hypothesis": "words about it",
    "deployment": "where it is meant to be used; nothing here deploys",
}
"""Keys that say something about a strategy and change nothing in it, and what they say."""
SECTIONS = {
    "training_data", "training_data.symbols", "training_data.timeframes", "context_data", "indicators", "fuzzy_sets", "nn_inputs", "model",
    "model.architecture", "decisions", "training", "backtest",
}  # fmt: skip
"""Keys that hold other keys, each of which has its case."""
ONE_VALUE = {"training.method": "unsupervised", "context_data[].alignment": "back_fill"}
"""Keys of which one value is known, with another that must be refused."""
