"""Bundled strategies with one thing wrong: each mistake is said with its line and place, its value and the nearest valid one."""

# ruff: noqa: E501 - a mistake is a line of the table
from __future__ import annotations

from importlib.resources import files

import pytest

from ktrdr.errors import InvalidStrategy
from ktrdr.strategy.load import load_strategy

M, R, T = "momentum", "mean_reversion", "trend_momentum"
# file, old text, new text, what is said (without the list of what is known), value, nearest
MUTATIONS = [
    (M, 'type: rsi, period: 14', 'type: rsi, period: 140', 'line 17, indicators.rsi_14.period: 140 must be at most 100', '140', '100'),
    (M, 'type: rsi, period: 14', 'type: rsi, period: 14.0', "line 17, indicators.rsi_14.period: must be a whole number, is '14.0'", '14.0', '14'),
    (M, 'type: rsi', 'type: rsii', "line 17, indicators.rsi_14.type: there is no indicator called 'rsii'", 'rsii', 'rsi'),
    (M, 'type: roc, period: 24', 'type: roc, periods: 24', "line 18, indicators.roc_24.periods: there is no key 'periods' here", '24', 'period'),
    (M, 'type: adx', 'type: ADX, source: close', "line 19, indicators.adx_14.source: there is no key 'source' here", 'close', None),
    (R, 'ma_type: SMA', 'ma_type: WMA', "line 17, indicators.distance_48.ma_type: 'WMA' is not one of SMA, EMA", 'WMA', 'SMA'),
    (M, 'indicator: roc_24', 'indicator: roc_42', "line 29, fuzzy_sets.day_move.indicator: there is no indicator called 'roc_42'", 'roc_42', 'roc_24'),
    (T, 'aroon_25.oscillator', 'aroon_25.oscilator', "line 25, fuzzy_sets.extremes.indicator: aroon has no output 'oscilator'; it has up, down, oscillator", 'aroon_25.oscilator', 'aroon_25.oscillator'),
    (M, 'indicator: rsi_14', 'indicator: rsi_14.value', "line 24, fuzzy_sets.strength.indicator: rsi has one output; write 'rsi_14' without `.value`", 'rsi_14.value', 'rsi_14'),
    (M, 'falling: [0, 0, 30, 50]', 'falling: [0, 30, 0, 50]', 'line 25, fuzzy_sets.strength.falling: trapezoidal [0.0, 30.0, 0.0, 50.0]: the numbers must not fall (a <= b <= c <= d)', '[0, 30, 0, 50]', '[0, 0, 30, 50]'),
    (M, 'balanced: [35, 50, 65]', 'balanced: [50, 50, 50]', 'line 26, fuzzy_sets.strength.balanced: triangular [50.0, 50.0, 50.0]: covers a single point', '[50, 50, 50]', None),
    (M, 'flat: [-0.4, 0, 0.4]', 'flat: [-0.4, 0.4]', 'line 31, fuzzy_sets.day_move.flat: 2 numbers given: a membership is 3 numbers (triangular) or 4 (trapezoidal)', '[-0.4, 0.4]', None),
    (M, 'flat: [-0.4, 0, 0.4]', 'flat: {type: triangel, parameters: [-0.4, 0, 0.4]}', "line 31, fuzzy_sets.day_move.flat.type: 'triangel' is not one of triangular, trapezoidal, gaussian, sigmoid, left, right", 'triangel', 'triangular'),
    (M, 'flat: [-0.4, 0, 0.4]', 'flat: {type: gaussian, parameters: [0, -1]}', 'line 31, fuzzy_sets.day_move.flat: gaussian [0.0, -1.0]: sigma must be above 0', None, None),
    (M, 'flat: [-0.4, 0, 0.4]', 'flat: [-0.4, 0, .inf]', "line 31, fuzzy_sets.day_move.flat.parameters[2]: must be a finite number, is 'inf'", 'inf', None),
    (M, '{fuzzy_set: trend, timeframes: all}', '{fuzzy_set: trends, timeframes: all}', "line 42, nn_inputs[2].fuzzy_set: there is no fuzzy set called 'trends'", 'trends', 'trend'),
    (M, '{fuzzy_set: trend, timeframes: all}', '{fuzzy_set: strength, timeframes: all}', 'line 42, nn_inputs[2]: gives features that are there already: 1h_strength_falling, 1h_strength_balanced, 1h_strength_rising', '1h_strength_falling, 1h_strength_balanced, 1h_strength_rising', None),
    (M, '{fuzzy_set: trend, timeframes: all}', '{fuzzy_set: trend, timeframes: [4h]}', "line 42, nn_inputs[2].timeframes: there is no timeframe of training_data called '4h'", '4h', '1h'),
    (M, '{fuzzy_set: trend, timeframes: all}', '{fuzzy_set: trend}', 'line 42, nn_inputs[2].timeframes: is missing', None, None),
    (M, '{fuzzy_set: trend, timeframes: all}', '{raw_indicator: adx_14.plus_id, timeframes: all}', "line 42, nn_inputs[2].raw_indicator: adx has no output 'plus_id'; it has adx, plus_di, minus_di", 'adx_14.plus_id', 'adx_14.plus_di'),
    (M, '{fuzzy_set: trend, timeframes: all}', '{fuzzy_set: trend, timeframes: all, normalization: zscore}', 'line 42, nn_inputs[2]: normalization is for raw_indicator; a fuzzy set is between 0 and 1 already', None, None),
    (M, '{fuzzy_set: trend, timeframes: all}', '{raw_indicator: adx_14, timeframes: all, normalization: z_score}', "line 42, nn_inputs[2].normalization: 'z_score' is not one of minmax, zscore, none", 'z_score', 'zscore'),
    (M, 'symbols: [EURUSD]', 'symbols: [EURUSD, EURUSD]', 'line 10, training_data.symbols: EURUSD is listed more than once', None, None),
    (M, 'symbols: [EURUSD]', 'symbols: {mode: multi_symbols, list: [EURUSD]}', "line 10, training_data.symbols.mode: 'multi_symbols' is not one of single, multi_symbol", 'multi_symbols', 'multi_symbol'),
    (M, 'timeframes: [1h]', 'timeframes: [3h]', "line 11, training_data.timeframes[0]: '3h' is not a timeframe", '3h', '4h'),
    (M, 'timeframes: [1h]', 'timeframes: {list: [1h, 4h], base_timeframe: 5h}', "line 11, training_data.timeframes.base_timeframe: base_timeframe '5h' is not one of the timeframes used: 1h, 4h", '5h', '4h'),
    (M, 'timeframes: [1h]', 'timeframes: {mode: multi_timeframe, list: [1h]}', 'line 11, training_data.timeframes: mode multi_timeframe needs at least 2 timeframes, has 1; use mode single', None, None),
    (M, 'history_required: 500', 'history_required: 5', 'line 12, training_data.history_required: 5 must be at least 50', '5', '50'),
    (M, 'end_date: 2017-01-01', 'end_date: 2017-02-30', "line 14, training_data.end_date: '2017-02-30' is not a date such as 2012-01-01", '2017-02-30', None),
    (M, 'start_date: 2012-01-01', 'start_date: 2018-01-01', 'line 9, training_data: the range starts on 2018-01-01, which is not before its end 2017-01-01', None, None),
    (M, 'start_date: 2012-01-01', 'start: 2012-01-01', "line 13, training_data.start: there is no key 'start' here", '2012-01-01', 'start_date'),
    (M, '[32, 16]', '[32, 0]', 'line 46, model.architecture.hidden_layers[1]: 0 must be at least 1', '0', '1'),
    (M, 'dropout: 0.1', 'dropout: 1', 'line 46, model.architecture.dropout: 1 must be less than 1', '1', None),
    (M, 'activation: relu', 'activation: rely', "line 46, model.architecture.activation: 'rely' is not one of relu, tanh, sigmoid, leaky_relu", 'rely', 'relu'),
    (M, 'hidden_layers: [32, 16], ', '', 'line 46, model.architecture.hidden_layers: is missing', None, None),
    (M, 'output_format: classification', 'output_format: regression', 'line 48, decisions.cost_model: regression needs cost_model with round_trip_cost and min_edge_multiplier, both above 0', None, None),
    (M, 'confidence_threshold: 0.5', 'confidence_threshold: 50', 'line 50, decisions.confidence_threshold: 50 must be at most 1', '50', '1'),
    (M, 'allow_short_from_flat: true', 'allow_shorts_from_flat: true', "line 51, decisions.allow_shorts_from_flat: there is no key 'allow_shorts_from_flat' here", 'true', 'allow_short_from_flat'),
    (M, 'allow_short_from_flat: true', 'allow_short_from_flat: "yes"', "line 51, decisions.allow_short_from_flat: must be true or false, is 'yes'", 'yes', 'true'),
    (M, 'min_signal_separation: 4', 'min_signal_separation: -4', 'line 52, decisions.filters.min_signal_separation: -4 must be at least 0', '-4', '0'),
    (M, 'epochs: 20', 'epoch: 20', "line 55, training.epoch: there is no key 'epoch' here", '20', 'epochs'),
    (M, 'epochs: 20', 'epochs: 0', 'line 55, training.epochs: 0 must be at least 1', '0', '1'),
    (M, 'learning_rate: 0.001', 'learning_rate: 0', 'line 56, training.learning_rate: 0 must be more than 0', '0', None),
    (M, 'batch_size: 256', 'batch_size: 256\n  optimizer: adamw', "line 58, training.optimizer: 'adamw' is not one of adam, sgd, rmsprop", 'adamw', 'adam'),
    (M, 'batch_size: 256', 'batch_size: 256\n  data_split: {train: 0.7, validation: 0.2, test: 0.2}', 'line 58, training.data_split: train 0.7 + validation 0.2 + test 0.2 is 1.1, not 1', None, None),
    (M, 'batch_size: 256', 'batch_size: 256\n  loss: huber', 'line 58, training.loss: huber is not a loss for classification; use cross_entropy or focal', 'huber', 'cross_entropy'),
    (M, 'source: zigzag', 'source: zig_zag', "line 58, training.labels.source: there is no label called 'zig_zag'", 'zig_zag', 'zigzag'),
    (M, 'zigzag_threshold: 0.005', 'zigzag_threshold: 5', 'line 58, training.labels.zigzag_threshold: 5 must be less than 1', '5', None),
    (R, 'max_holding_period: 48', 'max_holding: 48', "line 58, training.labels.max_holding: there is no key 'max_holding' here", '48', 'max_holding_period'),
    (R, 'pt: 2.0', 'pt: 0', 'line 58, training.labels.pt: 0 must be more than 0', '0', None),
    (M, '{source: zigzag, zigzag_threshold: 0.005}', '{source: forward_return}', 'line 58, training.labels.source: forward_return labels are for regression, and decisions.output_format is classification; use zigzag, triple_barrier, regime or context', 'forward_return', 'zigzag'),
    (M, 'backtest:', 'backtests:', "line 60, backtests: there is no key 'backtests' here", None, 'backtest'),
    (M, 'date_range: {start: 2017-01-01, end: 2019-01-01}', 'date_range: {start: 2017-01-01, stop: 2019-01-01}', "line 61, backtest.date_range.stop: there is no key 'stop' here", '2019-01-01', None),
    (M, 'name: momentum', 'name: my momentum', "line 1, name: 'my momentum' must be a name: letters, digits, _ and -, no blanks or dots", 'my momentum', None),
    (M, 'decisions:', 'risk_management: {stop_loss: 0.02}\ndecisions:', "line 48, risk_management: there is no key 'risk_management' here: a strategy that counts on its stops must not run without them, and none are read from here", None, None),
    (M, 'indicators:', 'context_data: [{provider: ib, symbol: SPY, timeframe: 1d, delay_hours: -1}]\nindicators:', 'line 16, context_data[0].delay_hours: -1 must be at least 0', '-1', '0'),
    (M, 'type: rsi, period: 14', 'type: rsi, period: 14, data_source: ib_SPY', "line 17, indicators.rsi_14.data_source: there is no outside series called 'ib_SPY'; context_data names none", 'ib_SPY', None),
    (R, 'below: [-100, -100, -0.5, 0]', 'partition: {count: 9}', 'line 23, fuzzy_sets.distance: has a partition and memberships (near, above); it takes one of them', None, None),
]  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(MUTATIONS) >= 40
    assert len({(name, new) for name, _, new, *_ in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize(
    ("name", "old", "new", "said", "value", "nearest"), MUTATIONS, ids=[new[:50] or "gone" for _, _, new, *_ in MUTATIONS]
)
def test_a_mutated_file_is_explained(name: str, old: str, new: str, said: str, value: str | None, nearest: str | None) -> None:
    text = (files("ktrdr.sample") / "strategies" / f"{name}.yaml").read_text(encoding="utf-8")
    assert load_strategy(text, name)
    assert old in text
    with pytest.raises(InvalidStrategy) as caught:
        load_strategy(text.replace(old, new, 1), name)
    problem = caught.value.problems[0]
    near = f" (did you mean {nearest!r}?)" if nearest else ""
    assert str(problem).split("; known:")[0].removesuffix(near) == said
    assert str(problem).endswith(near)
    assert (problem.value, problem.nearest) == (value, nearest)
    assert caught.value.message.startswith(f"{name}: ")
    assert said in caught.value.message
