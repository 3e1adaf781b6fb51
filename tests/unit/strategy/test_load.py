"""Every mistake a strategy can have is found, placed and explained."""

# ruff: noqa: E501 - a mistake is a line of the table
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ktrdr.errors import InvalidStrategy, NotFound, Problem
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import Loaded, load_and_validate_strategy, load_strategy

Load = Callable[..., Loaded]
Problems = Callable[..., list[Problem]]

REGRESSION = (
    ("output_format: classification", "output_format: regression\n  cost_model: {round_trip_cost: 0.003, min_edge_multiplier: 1.5}"),
    ("{source: zigzag, zigzag_threshold: 0.01}", "{source: forward_return, horizon: 20}"),
)


def test_a_right_strategy_has_no_mistakes_and_no_doubts(load: Load) -> None:
    assert load().warnings == ()


# old text, new text, line, place, what is said, nearest valid
MISTAKES = {
    "unknown top-level key": ("decisions:\n", "risk_management: {}\ndecisions:\n", 26, "risk_management", "there is no key", None),
    "mistyped key": ("  epochs: 10", "  epoch: 10", 29, "training.epoch", "there is no key 'epoch' here; known: method, epochs", "epochs"),
    "mistyped section": ("decisions:\n", "decision:\n", 26, "decision", "there is no key", "decisions"),
    "unknown key of a nested section": ("{hidden_layers: [16, 8]}", "{hidden_layers: [16, 8], dropuot: 0.1}", 25, "model.architecture.dropuot", "there is no key", "dropout"),
    "unknown key of an optional section": ("epochs: 10", "early_stopping: {patiance: 3}", 29, "training.early_stopping.patiance", "known: patience, min_delta", "patience"),
    "unknown scheduler": ("epochs: 10", "lr_scheduler: plateau", 29, "training.lr_scheduler.type", "'plateau' is not one of step, exponential, reduce_on_plateau", "reduce_on_plateau"),
    "missing section": ("model:\n  type: mlp\n  architecture: {hidden_layers: [16, 8]}\n", "", None, "model", "is missing", None),
    "missing key": ("{hidden_layers: [16, 8]}", "{dropout: 0.1}", 25, "model.architecture.hidden_layers", "is missing", None),
    "wrong type": ("epochs: 10", "epochs: ten", 29, "training.epochs", "must be a whole number, is 'ten'", None),
    "fraction for a whole number": ("epochs: 10", "epochs: 10.0", 29, "training.epochs", "must be a whole number, is '10.0'", "10"),
    "out of bounds": ("epochs: 10", "epochs: 0", 29, "training.epochs", "0 must be at least 1", "1"),
    "not finite": ("epochs: 10", "learning_rate: .nan", 29, "training.learning_rate", "must be a finite number", None),
    "name with blanks": ("name: sample", "name: my strategy", 1, "name", "must be a name", None),
    "name that is a path": ("name: sample", "name: ../sample", 1, "name", "must be a name", None),
    "symbol that is a path": ("[EURUSD]", "[../EURUSD]", 4, "training_data.symbols[0]", "must be a name", None),
    "symbol that YAML reads as something else": ("[EURUSD]", "[EURUSD, NO]", 4, "training_data.symbols[1]", "must be text (put it in quotes)", None),
    "symbol twice": ("[EURUSD]", "[EURUSD, EURUSD]", 4, "training_data.symbols", "EURUSD is listed more than once", None),
    "no symbols": ("[EURUSD]", "[]", 4, "training_data.symbols.list", "must have at least 1, has 0", None),
    "unknown timeframe": ("[1h, 4h]", "[1h, 4x]", 5, "training_data.timeframes[1]", "'4x' is not a timeframe; known: 1m", "4h"),
    "base timeframe not listed": ("[1h, 4h]", "{mode: multi_timeframe, list: [1h, 4h], base_timeframe: 4d}", 5, "training_data.timeframes.base_timeframe", "base_timeframe '4d' is not one of the timeframes used: 1h, 4h", "4h"),
    "many timeframes of which there is one": ("[1h, 4h]", "{mode: multi_timeframe, list: [1h]}", 5, "training_data.timeframes", "needs at least 2 timeframes, has 1", None),
    "single timeframe without a value": ("[1h, 4h]", "{mode: single}", 5, "training_data.timeframes", "mode single takes `timeframe`", None),
    "many symbols without a list": ("[EURUSD]", "{mode: multi_symbol, symbol: EURUSD}", 4, "training_data.symbols", "takes `list`", None),
    "unknown mode": ("[EURUSD]", "{mode: multi, list: [EURUSD]}", 4, "training_data.symbols.mode", "'multi' is not one of single, multi_symbol", "multi_symbol"),
    "date that is none": ("2012-01-01", "2012-13-01", 6, "training_data.start_date", "'2012-13-01' is not a date", None),
    "date before all dates": ("2012-01-01", "0001-01-01T00:00:00+14:00", 6, "training_data.start_date", "is not a date", None),
    "symbol of letters that only look right": ("[EURUSD]", "[eurusı]", 4, "training_data.symbols[0]", "must be a name", None),
    "number in another base": ("epochs: 10", "epochs: 010", 29, "training.epochs", "must be a whole number, is '010'", "10"),
    "membership name without end": ("    mid:", f"    {'m' * 65}:", 15, f"fuzzy_sets.strength.{'m' * 65}", "should have at most 64", None),
    "range that ends before it starts": ("2014-01-01", "2011-01-01", 3, "training_data", "starts on 2012-01-01, which is not before its end 2011-01-01", None),
    "too little history": ("  end_date", "  history_required: 10\n  end_date", 7, "training_data.history_required", "10 must be at least 50", "50"),
    "outside series without a name": ("decisions:\n", "context_data: [{provider: fred, timeframe: 1d}]\ndecisions:\n", 26, "context_data[0].symbol", "is missing", None),
    "spread of two outside series": ("decisions:\n", "context_data: [{provider: fred, series: [DGS10, DGS2], timeframe: 1d}]\ndecisions:\n", 26, "context_data[0].series", "name each by itself", None),
    "outside series of months": ("decisions:\n", "context_data: [{provider: fred, series: CPI, frequency: monthly}]\ndecisions:\n", 26, "context_data[0].frequency", "bars are daily or weekly", None),
    "calendar of events": ("decisions:\n", "context_data: [{provider: calendar, currencies: [USD]}]\ndecisions:\n", 26, "context_data[0].currencies", "a calendar of events has no bars", None),
    "delay that takes time back": ("decisions:\n", "context_data: [{provider: fred, symbol: DGS10, timeframe: 1d, delay_hours: -1}]\ndecisions:\n", 26, "context_data[0].delay_hours", "-1 must be at least 0", "0"),
    "two outside series of one name": ("decisions:\n", "context_data: [{provider: ib, symbol: SPY, timeframe: 1d}, {provider: ib, symbol: SPY, timeframe: 1h}]\ndecisions:\n", 26, "context_data[1]", "2 series are called 'ib_SPY'; give each an `id`", None),
    "indicator of no outside series": ("{type: rsi, period: 14}", "{type: rsi, period: 14, data_source: ib_SPY}", 9, "indicators.rsi_14.data_source", "there is no outside series called 'ib_SPY'; context_data names none", None),
    "indicator of a misspelt outside series": ("indicators:\n  rsi_14: {", "context_data: [{provider: ib, symbol: SPY, timeframe: 1d}]\nindicators:\n  rsi_14: {data_source: ib_SPX, ", 10, "indicators.rsi_14.data_source", "there is no outside series called 'ib_SPX'; known: ib_SPY", "ib_SPY"),
    "outside series on every timeframe": ("indicators:\n  rsi_14: {", "context_data: [{provider: ib, symbol: SPY, timeframe: 1d}]\nindicators:\n  rsi_14: {data_source: ib_SPY, ", 20, "nn_inputs[0].timeframes", "reads ib_SPY, of which each 1h bar knows one value; write timeframes: [1h]", "1h"),
    "inputs of the network in two places": ("type: mlp", "type: mlp\n  features: {lookback_periods: 2}", 25, "model.features", "there is no key 'features' here: the inputs of the network come from nn_inputs alone", None),
    "regression without its costs in full": ("output_format: classification", "output_format: regression\n  cost_model: {round_trip_cost: 0, min_edge_multiplier: 1}", 28, "decisions.cost_model.round_trip_cost", "0 must be more than 0", None),
    "unknown indicator": ("type: rsi,", "type: rsii,", 9, "indicators.rsi_14.type", "there is no indicator called 'rsii'; known: adline, adx", "rsi"),
    "indicator without a type": ("{type: rsi, period: 14}", "{period: 14}", 9, "indicators.rsi_14.type", "is missing", None),
    "unknown parameter": ("period: 14", "perid: 14", 9, "indicators.rsi_14.perid", "known: period, source", "period"),
    "parameter out of bounds": ("period: 14", "period: 1000", 9, "indicators.rsi_14.period", "1000 must be at most 100", "100"),
    "parameter as text": ("period: 14", 'period: "14"', 9, "indicators.rsi_14.period", "must be a whole number, is '14'", "14"),
    "parameters that do not go together": ("{type: macd}", "{type: macd, fast_period: 30}", 10, "indicators.macd_1", "fast_period 30 must be below slow_period 26", None),
    "unknown source price": ("period: 14", "source: closing", 9, "indicators.rsi_14.source", "'closing' is not one of open, high, low, close", "close"),
    "indicator that is no mapping": ("{type: macd}", "macd", 10, "indicators.macd_1", "must be a mapping", None),
    "no indicators": ("indicators:\n  rsi_14: {type: rsi, period: 14}\n  macd_1: {type: macd}", "indicators: {}", 8, "indicators", "must have at least 1", None),
    "set of an unknown indicator": ("indicator: rsi_14", "indicator: rsi_15", 13, "fuzzy_sets.strength.indicator", "there is no indicator called 'rsi_15'; known: rsi_14, macd_1", "rsi_14"),
    "output of a single-output indicator": ("indicator: rsi_14", "indicator: rsi_14.value", 13, "fuzzy_sets.strength.indicator", "rsi has one output; write 'rsi_14'", "rsi_14"),
    "unknown output": ("macd_1.signal", "macd_1.singal", 20, "nn_inputs[1].raw_indicator", "macd has no output 'singal'; it has line, signal, histogram", "macd_1.signal"),
    "set without memberships": ("    low: [0, 0, 40]\n    mid: [30, 50, 70]\n    high: [60, 100, 100]\n", "", 12, "fuzzy_sets.strength", "has no memberships", None),
    "set without an indicator": ("    indicator: rsi_14\n", "", 12, "fuzzy_sets.strength.indicator", "is missing", None),
    "membership out of order": ("[30, 50, 70]", "[70, 50, 30]", 15, "fuzzy_sets.strength.mid", "the numbers must not fall (a <= b <= c)", "[30, 50, 70]"),
    "membership of a wrong length": ("[30, 50, 70]", "[30, 70]", 15, "fuzzy_sets.strength.mid", "2 numbers given", None),
    "unknown shape": ("[30, 50, 70]", "{type: trapezoid, parameters: [1, 2, 3, 4]}", 15, "fuzzy_sets.strength.mid.type", "'trapezoid' is not one of triangular, trapezoidal, gaussian", "trapezoidal"),
    "membership name with a blank": ("    mid:", "    in the middle:", 15, "fuzzy_sets.strength.in the middle", "must be a name", None),
    "input of an unknown set": ("fuzzy_set: strength", "fuzzy_set: strengh", 18, "nn_inputs[0].fuzzy_set", "there is no fuzzy set called 'strengh'; known: strength", "strength"),
    "input of an unknown indicator": ("macd_1.signal", "macd_2.signal", 20, "nn_inputs[1].raw_indicator", "there is no indicator called 'macd_2'", "macd_1"),
    "input of a timeframe not trained on": ("timeframes: [1h]", "timeframes: [1d]", 21, "nn_inputs[1].timeframes", "no timeframe of training_data called '1d'; known: 1h, 4h", "1h"),
    "input of both kinds": ("raw_indicator: macd_1.signal", "raw_indicator: macd_1.signal\n    fuzzy_set: strength", 20, "nn_inputs[1]", "has both fuzzy_set and raw_indicator", None),
    "input of neither kind": ("  - raw_indicator: macd_1.signal\n    timeframes: [1h]", "  - timeframes: [1h]", 20, "nn_inputs[1]", "has neither fuzzy_set nor raw_indicator", None),
    "input without timeframes": ("  - fuzzy_set: strength\n    timeframes: all", "  - fuzzy_set: strength", 18, "nn_inputs[0].timeframes", "is missing", None),
    "timeframes that are no list": ("timeframes: all", "timeframes: 4", 19, "nn_inputs[0].timeframes", "must be `all` or a list of timeframes", None),
    "scaled fuzzy set": ("timeframes: all", "timeframes: all\n    normalization: zscore", 18, "nn_inputs[0]", "normalization is for raw_indicator", None),
    "unknown normalization": ("zscore", "z-score", 22, "nn_inputs[1].normalization", "'z-score' is not one of minmax, zscore, none", "zscore"),
    "feature twice": ("timeframes: all", "timeframes: all\n  - {fuzzy_set: strength, timeframes: [4h]}", 20, "nn_inputs[1]", "gives features that are there already: 4h_strength_low, 4h_strength_mid, 4h_strength_high", None),
    "no inputs": ("  - fuzzy_set: strength\n    timeframes: all\n  - raw_indicator: macd_1.signal\n    timeframes: [1h]\n    normalization: zscore\n", "  []\n", 17, "nn_inputs", "must have at least 1", None),
    "unknown network": ("type: mlp", "type: mpl", 24, "model.type", "'mpl' is not one of mlp, lstm, gru", "mlp"),
    "network without a type": ("  type: mlp\n", "", 23, "model.type", "is missing", None),
    "network that is no mapping": ("model:\n  type: mlp\n  architecture: {hidden_layers: [16, 8]}\n", "model: lstm\n", 23, "model", "must be a mapping", None),
    "layer without neurons": ("[16, 8]", "[16, 0]", 25, "model.architecture.hidden_layers[1]", "0 must be at least 1", "1"),
    "too many layers": ("[16, 8]", "[1, 2, 3, 4, 5, 6, 7, 8, 9]", 25, "model.architecture.hidden_layers", "must have at most 8", None),
    "layers that are no list": ("[16, 8]", "16", 25, "model.architecture.hidden_layers", "must be a list, is '16'", None),
    "unknown output format": ("output_format: classification", "output_format: classifier", 27, "decisions.output_format", "is not one of classification, regression", "classification"),
    "unknown filter": ("output_format: classification", "filters: {min_signal_seperation: 2}", 27, "decisions.filters.min_signal_seperation", "known: min_signal_separation", "min_signal_separation"),
    "truth as text": ("output_format: classification", 'position_awareness: "yes"', 27, "decisions.position_awareness", "must be true or false, is 'yes'", "true"),
    "negative cost": ("output_format: classification", "costs: {commission: -0.1}", 27, "decisions.costs.commission", "-0.1 must be at least 0", "0"),
    "split that does not make one": ("  epochs: 10", "  data_split: {train: 0.8, validation: 0.15, test: 0.15}", 29, "training.data_split", "is 1.1, not 1", None),
    "unknown loss": ("  epochs: 10", "  loss: crossentropy", 29, "training.loss", "is not one of cross_entropy", "cross_entropy"),
    "unknown label": ("source: zigzag, zigzag_threshold: 0.01", "source: zigzak", 30, "training.labels.source", "there is no label called 'zigzak'; known: context, forward_return, regime, triple_barrier, zigzag", "zigzag"),
    "unknown label parameter": ("zigzag_threshold: 0.01", "zigzag_treshold: 0.02", 30, "training.labels.zigzag_treshold", "known: zigzag_threshold", "zigzag_threshold"),
    "label parameter out of bounds": ("zigzag_threshold: 0.01", "zigzag_threshold: 2", 30, "training.labels.zigzag_threshold", "2 must be less than 1", None),
    "labels of the other task": ("{source: zigzag, zigzag_threshold: 0.01}", "{source: forward_return}", 30, "training.labels.source", "forward_return labels are for regression", "zigzag"),
    "loss of the other task": ("  epochs: 10", "  loss: huber", 29, "training.loss", "huber is not a loss for classification; use cross_entropy or focal", "cross_entropy"),
    "regression without a cost model": ("output_format: classification", "output_format: regression", 26, "decisions.cost_model", "regression needs cost_model", None),
    "key twice": ("  epochs: 10", "  epochs: 10\n  epochs: 11", 30, "training.epochs", "is written twice; the first time on line 29", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_explained_with_its_line_and_place(kind: str, problems: Problems) -> None:
    old, new, line, place, said, near = MISTAKES[kind]
    found = {p.place: p for p in problems((old, new))}
    assert place in found, found
    assert said in found[place].message
    assert (found[place].line, found[place].nearest) == (line, near)


NETWORK = "  type: mlp\n  architecture: {hidden_layers: [16, 8]}\n"
RECURRENT_MISTAKES = {
    "no sequence length": ("lstm", "{hidden_size: 8}", "model.architecture.sequence_length", "is missing", None),
    "keys of an mlp": ("gru", "{hidden_layers: [8], sequence_length: 9}", "model.architecture.hidden_layers", "there is no key 'hidden_layers' here; known: hidden_size, num_layers, dropout, sequence_length", "num_layers"),
    "misspelt key": ("lstm", "{hidden_siz: 8, sequence_length: 9}", "model.architecture.hidden_siz", "there is no key", "hidden_size"),
    "misspelt type": ("lstmm", "{hidden_size: 8, sequence_length: 9}", "model.type", "'lstmm' is not one of mlp, lstm, gru", "lstm"),
    "sequence of one bar": ("lstm", "{sequence_length: 1}", "model.architecture.sequence_length", "1 must be at least 2", "2"),
    "endless sequence": ("lstm", "{sequence_length: 501}", "model.architecture.sequence_length", "501 must be at most 500", "500"),
    "no units": ("gru", "{hidden_size: 0, sequence_length: 9}", "model.architecture.hidden_size", "0 must be at least 1", "1"),
    "too many units": ("gru", "{hidden_size: 1025, sequence_length: 9}", "model.architecture.hidden_size", "1025 must be at most 1024", "1024"),
    "units as a list": ("lstm", "{hidden_size: [8], sequence_length: 9}", "model.architecture.hidden_size", "must be a whole number", None),
    "no layers": ("lstm", "{num_layers: 0, sequence_length: 9}", "model.architecture.num_layers", "0 must be at least 1", "1"),
    "too many layers": ("lstm", "{num_layers: 5, sequence_length: 9}", "model.architecture.num_layers", "5 must be at most 4", "4"),
    "everything dropped": ("lstm", "{dropout: 1.0, sequence_length: 9}", "model.architecture.dropout", "1.0 must be less than 1", None),
    "sequence of an mlp": ("mlp", "{hidden_layers: [8], sequence_length: 9}", "model.architecture.sequence_length", "there is no key 'sequence_length' here; known: hidden_layers, dropout, activation", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECURRENT_MISTAKES)
def test_a_mistake_in_a_recurrent_network_is_explained_as_any_other(kind: str, problems: Problems) -> None:
    name, architecture, place, said, near = RECURRENT_MISTAKES[kind]
    (found,) = problems((NETWORK, f"  type: {name}\n  architecture: {architecture}\n"))
    assert (found.place, found.nearest, found.line) == (place, near, 24 if place == "model.type" else 25)
    assert said in found.message


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_recurrent_network_needs_its_sequence_length_alone(name: str, load: Load) -> None:
    strategy = load((NETWORK, f"  type: {name}\n  architecture: {{sequence_length: 30}}\n")).strategy
    document = strategy.model_dump(mode="json")["model"]
    assert document == {"type": name, "architecture": {"hidden_size": 64, "num_layers": 2, "dropout": 0.2, "sequence_length": 30}}
    assert load_strategy(strategy.to_yaml(), "again").strategy == strategy


def test_every_key_of_a_recurrent_network_makes_another_strategy(load: Load) -> None:
    whole = "  type: lstm\n  architecture: {hidden_size: 64, num_layers: 2, dropout: 0.2, sequence_length: 30}\n"
    changes = [("lstm", "lstm"), ("lstm", "gru"), ("64", "32"), ("layers: 2", "layers: 1"), ("0.2", "0.1"), ("30", "31")]
    assert len({load((NETWORK, whole.replace(*change))).strategy.content_hash for change in changes}) == len(changes)


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_text(problems: Problems) -> None:
    found = problems(
        ("type: rsi,", "type: rsii,"), ("macd_1.signal", "macd_9.signal"), ("epochs: 10", "epochs: 0"), ("[30, 50, 70]", "[3, 2, 1]")
    )
    assert [p.place for p in found] == [
        "indicators.rsi_14.type",
        "fuzzy_sets.strength.mid",
        "nn_inputs[1].raw_indicator",
        "training.epochs",
    ]
    assert [p.line for p in found] == [9, 15, 20, 29]


def test_a_mistake_inside_an_indicator_does_not_make_its_name_unknown(problems: Problems) -> None:
    assert [p.place for p in problems(("period: 14", "period: 1"))] == ["indicators.rsi_14.period"]


def test_a_mistake_in_hyperparameters_of_the_model_section_is_placed_there(problems: Problems) -> None:
    (found,) = problems(("  type: mlp", "  type: mlp\n  training: {batch_size: 0}"))
    assert (found.place, found.line) == ("model.training.batch_size", 25)


def test_a_mistake_in_a_date_range_is_placed_where_it_is_written(problems: Problems) -> None:
    written = "  start_date: 2012-01-01\n  end_date: 2014-01-01\n"
    (found,) = problems((written, "  date_range: {start: soon, end: 2014-01-01}\n"))
    assert (found.place, found.line) == ("training_data.date_range.start", 6)


def test_the_message_lists_the_mistakes_and_says_what_to_do(text: str) -> None:
    with pytest.raises(InvalidStrategy) as caught:
        load_strategy(text.replace("epochs: 10", "epoch: 10"), "sample.yaml")
    assert caught.value.message.startswith(
        "sample.yaml: 1 mistake in the strategy\n  - line 29, training.epoch: there is no key 'epoch' here"
    )
    assert caught.value.message.endswith("(did you mean 'epochs'?)")
    assert caught.value.details["problems"][0]["nearest"] == "epochs"


def test_a_version_2_strategy_is_told_to_migrate(problems: Problems) -> None:
    old = "indicators:\n  rsi_14: {type: rsi, period: 14}\n  macd_1: {type: macd}\n"
    (found,) = problems((old, "indicators:\n  - {name: rsi, feature_id: rsi_14, period: 14}\n"))
    assert "version 2 strategy and needs migration; run `ktrdr migrate" in found.message
    assert found.line == 8


DOUBTS = {
    "unused indicator": (("  macd_1:", "  extra: {type: sma}\n  macd_1:"), "indicators.extra", 10, "no fuzzy set and no input uses"),
    "unused fuzzy set": (("fuzzy_sets:\n", "fuzzy_sets:\n  more: {indicator: rsi_14, low: [0, 50, 100]}\n"), "fuzzy_sets.more", 12, "no input uses"),
    "dead zone": (("[30, 50, 70]", "[45, 50, 55]"), "fuzzy_sets.strength", 12, "no membership covers 55 to 60"),
    "cost model of a classification": (("output_format: classification", "cost_model: {round_trip_cost: 0.1, min_edge_multiplier: 1}"), "decisions.cost_model", 27, "has no effect"),
    "gamma without focal loss": (("epochs: 10", "focal_gamma: 3"), "training.focal_gamma", 29, "has no effect with loss cross_entropy"),
    "delta without huber loss": (("epochs: 10", "huber_delta: 3"), "training.huber_delta", 29, "huber reads it"),
    "scheduler key of another scheduler": (("epochs: 10", "lr_scheduler: {type: step, patience: 3}"), "training.lr_scheduler.patience", 29, "has no effect with step"),
    "outside series that nothing reads": (("decisions:\n", "context_data: [{provider: ib, symbol: SPY, timeframe: 1d}]\ndecisions:\n"), "context_data[0]", 26, "no indicator reads ib_SPY"),
    "kind of instrument": (("decisions:\n", "context_data: [{provider: ib, symbol: SPY, timeframe: 1d, instrument_type: etf}]\ndecisions:\n"), "context_data[0].instrument_type", 26, "has no effect"),
    "scope of an earlier document": (("decisions:\n", "scope: universal\ndecisions:\n"), "scope", 26, "has no effect"),
    "selection of symbols": (("[EURUSD]", "{symbol: EURUSD, selection_criteria: {asset_class: forex}}"), "training_data.symbols.selection_criteria", 4, "has no effect"),
    "output activation": (("{hidden_layers: [16, 8]}", "{hidden_layers: [16, 8], output_activation: softmax}"), "model.architecture.output_activation", 25, "has no effect"),
    "volume filter": (("output_format: classification", "filters: {volume_filter: {enabled: true}}"), "decisions.filters.volume_filter", 27, "has no effect"),
    "fuzzy regularization": (("epochs: 10", "fuzzy_regularization: {enabled: true}"), "training.fuzzy_regularization", 29, "has no effect"),
    "monitor of early stopping": (("epochs: 10", "early_stopping: {patience: 5, monitor: val_loss}"), "training.early_stopping.monitor", 29, "has no effect"),
    "lookahead of a zigzag": (("zigzag_threshold: 0.01", "zigzag_threshold: 0.01, label_lookahead: 20"), "training.labels.label_lookahead", 30, "has no effect"),
    "lookahead of the default labels": (("{source: zigzag, zigzag_threshold: 0.01}", "{label_lookahead: 20}"), "training.labels.label_lookahead", 30, "has no effect"),
    "two places for one hyperparameter": (("type: mlp", "type: mlp\n  training: {epochs: 50}"), "model.training.epochs", 25, "50 is not used: training.epochs says 10"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOUBTS)
def test_what_is_allowed_but_doubtful_is_a_warning(kind: str, load: Load) -> None:
    change, place, line, said = DOUBTS[kind]
    found = {p.place: p for p in load(change).warnings}
    assert said in found[place].message
    assert found[place].line == line


def test_a_confidence_threshold_has_no_effect_with_regression(load: Load) -> None:
    loaded = load(*REGRESSION, ("  output_format", "  confidence_threshold: 0.7\n  output_format"))
    assert [w.place for w in loaded.warnings] == ["decisions.confidence_threshold"]
    assert load(*REGRESSION).warnings == ()


def test_a_strategy_written_out_in_full_gives_no_new_warnings(load: Load) -> None:
    strategy = load(*REGRESSION).strategy
    again = load_strategy(strategy.to_yaml(), "again")
    assert again.strategy == strategy
    assert again.warnings == ()


def test_a_file_gives_its_symbols_timeframes_and_strategy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sample.yaml"
    path.write_text(text, encoding="utf-8")
    symbols, timeframes, strategy = load_and_validate_strategy(path)
    assert (symbols, timeframes) == (("EURUSD",), (Timeframe("1h"), Timeframe("4h")))
    assert strategy.training.epochs == 10


def test_a_bar_size_has_one_name_however_it_is_written(load: Load) -> None:
    other = "timeframes: {mode: multi_timeframe, list: [60m, 4H], base_timeframe: 1hour}"
    strategy = load(("timeframes: [1h, 4h]", other), ("timeframes: [1h]", "timeframes: [1H]")).strategy
    assert (strategy.timeframes, strategy.base_timeframe) == ((Timeframe("1h"), Timeframe("4h")), Timeframe("1h"))
    assert strategy.nn_inputs[1].timeframes == ("1h",)


def test_symbols_and_timeframes_of_a_file_may_be_overridden(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sample.yaml"
    path.write_text(text, encoding="utf-8")
    symbols, timeframes, strategy = load_and_validate_strategy(str(path), symbol_override=["AAPL", "msft"], timeframe_override="1h")
    assert symbols == strategy.symbols == ("AAPL", "MSFT")
    assert timeframes == strategy.timeframes == (Timeframe("1h"),)


def test_a_name_is_looked_for_here_then_in_the_home_then_in_the_product(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KTRDR_HOME", str(tmp_path / "home"))
    assert load_and_validate_strategy("momentum")[2].training.epochs == 20
    (tmp_path / "home" / "strategies").mkdir(parents=True)
    (tmp_path / "home" / "strategies" / "momentum.yaml").write_text(text.replace("epochs: 10", "epochs: 11"), encoding="utf-8")
    assert load_and_validate_strategy("momentum")[2].training.epochs == 11
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "momentum.yaml").write_text(text, encoding="utf-8")
    assert load_and_validate_strategy("momentum")[2].training.epochs == 10
    with pytest.raises(NotFound, match="there is no strategy file nothing"):
        load_and_validate_strategy("nothing")


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no strategy file"):
        load_and_validate_strategy(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidStrategy, match="cannot be read"):
        load_and_validate_strategy(tmp_path / "binary.yaml")
    with pytest.raises(InvalidStrategy, match="cannot be read"):
        load_and_validate_strategy(tmp_path)
