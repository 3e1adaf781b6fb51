"""Words that are fitted: to the training slice alone, the same in training and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.fuzzy.sets import Membership
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.reports.explain import explain
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy
from ktrdr.training.windows import Samples, build_samples

TEXT = """\
name: words
training_data: {symbols: [AAA], timeframes: [1h, 4h], history_required: 50}
indicators:
  roc_2: {type: roc, period: 2}
fuzzy_sets:
  change: {indicator: roc_2, partition: {count: 3}}
  tail: {indicator: roc_2, up: {type: right, parameters: [0, 3]}, rising: {type: sigmoid, parameters: [0, 2]}}
nn_inputs:
  - {fuzzy_set: change, timeframes: all}
  - {fuzzy_set: tail, timeframes: [1h]}
model: {type: mlp, architecture: {hidden_layers: [4]}}
decisions: {output_format: regression, cost_model: {round_trip_cost: 0.001, min_edge_multiplier: 1.5}}
training: {epochs: 2, labels: {source: forward_return, horizon: 5}}
"""
STRATEGY = load_strategy(TEXT, "words").strategy
H1, H4 = Timeframe("1h"), Timeframe("4h")
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
WORDS = tuple(f"{timeframe}_change_{word}" for timeframe in ("1h", "4h") for word in ("low", "middle", "high"))
Build = Callable[..., Bars]


@pytest.fixture
def bars(bars_of: Build) -> dict[Timeframe, Bars]:
    return {H1: bars_of(count=700), H4: bars_of(count=175, seed=2, timeframe="4h")}


def samples(bars: dict[Timeframe, Bars]) -> Samples:
    return build_samples(STRATEGY, {"AAA": bars}, START, END)


def test_each_word_is_an_input_on_each_timeframe_with_a_shape_of_its_own(bars: dict[Timeframe, Bars]) -> None:
    found = samples(bars)
    assert STRATEGY.feature_ids == (*WORDS, "1h_tail_up", "1h_tail_rising")
    assert tuple(found.scaling) == WORDS
    assert [found.scaling[name].type for name in WORDS[:3]] == ["left", "triangular", "right"]
    assert found.scaling["1h_change_low"] != found.scaling["4h_change_low"]


def test_the_words_are_centred_at_quantiles_of_the_training_slice(bars: dict[Timeframe, Bars]) -> None:
    found = samples(bars)
    middle = found.scaling["1h_change_middle"]
    assert isinstance(middle, Membership)
    rates = STRATEGY.indicators["roc_2"].build().compute(bars[H1])["value"]
    in_training = rates[np.isin(bars[H1].time, found.train.time)]
    np.testing.assert_allclose(middle.parameters, np.quantile(in_training, [1 / 6, 1 / 2, 5 / 6]), rtol=1e-6, atol=1e-6)


def test_bars_after_the_training_slice_change_no_word(bars: dict[Timeframe, Bars]) -> None:
    first = samples(bars)
    after = np.searchsorted(bars[H1].time, np.datetime64(first.split.train_end[:19], "us"))
    factor = np.where(np.arange(700) < after, 1.0, np.exp(np.random.default_rng(9).normal(0, 0.3, 700)))
    prices = {name: getattr(bars[H1], name) * factor for name in ("open", "high", "low", "close")}
    wild = {**bars, H1: Bars.checked("AAA", H1, bars[H1].time, **prices, volume=np.ones(700))}
    second = samples(wild)
    assert second.scaling == first.scaling
    assert not np.array_equal(second.test.values, first.test.values)


def test_the_features_of_a_backtest_are_those_of_training(bars: dict[Timeframe, Bars]) -> None:
    found = samples(bars)
    later = compute_features(STRATEGY, bars, found.scaling)
    for part in (found.train, found.validation, found.test):
        np.testing.assert_array_equal(later.values[np.isin(later.time, part.time)], part.values)


def test_degrees_lie_between_zero_and_one_and_are_unknown_in_warm_up_alone(bars: dict[Timeframe, Bars]) -> None:
    features = compute_features(STRATEGY, bars, samples(bars).scaling)
    known = ~np.isnan(features.values)
    assert np.all((features.values[known] >= 0) & (features.values[known] <= 1))
    assert features.known[int(np.argmax(features.known)) :].all()
    assert np.argmax(features.known) == 11  # the third 4h bar closes with base bar 11
    np.testing.assert_allclose(features.values[20:, :3].sum(axis=1), 1, rtol=1e-6)


def test_words_that_were_never_fitted_are_an_error(bars: dict[Timeframe, Bars]) -> None:
    with pytest.raises(Invalid, match="1h_change_low is fitted in training, and the model has nothing for it"):
        compute_features(STRATEGY, bars, {})


def test_an_indicator_with_too_few_values_is_named(bars: dict[Timeframe, Bars]) -> None:
    text = TEXT.replace("{type: roc, period: 2}", "{type: supertrend, period: 2}").replace(
        "indicator: roc_2, part", "indicator: roc_2.direction, part"
    )
    with pytest.raises(Invalid, match=r"fuzzy set change \(1h_change_low\): 3 words need 3 different centres") as caught:
        build_samples(load_strategy(text, "words").strategy, {"AAA": bars}, START, END)
    assert caught.value.hint is not None


def test_a_partition_is_part_of_what_a_strategy_is() -> None:
    again = load_strategy(STRATEGY.to_yaml(), "again").strategy
    assert again == STRATEGY
    other = load_strategy(TEXT.replace("count: 3", "count: 4"), "other").strategy
    assert other.content_hash != STRATEGY.content_hash
    assert "roc (2) (on 1h, 4h): low, middle, high (about equally common in training)" in "\n".join(explain(STRATEGY))
    assert "up (> 0), rising (above about 0)" in "\n".join(explain(STRATEGY))
