"""The strategy as one value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ktrdr.errors import InvalidStrategy
from ktrdr.labels.zigzag import ZigZag
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import Loaded, load_strategy
from ktrdr.strategy.sections import moment
from ktrdr.strategy.spec import Strategy, checked

Load = Callable[..., Loaded]


def test_it_names_what_it_is_about(load: Load) -> None:
    strategy = load().strategy
    assert strategy.symbols == ("EURUSD",)
    assert strategy.timeframes == (Timeframe("1h"), Timeframe("4h"))
    assert strategy.base_timeframe == Timeframe("1h")
    assert strategy.date_range == (datetime(2012, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
    assert strategy.backtest_range == (None, None)
    assert strategy.label == ZigZag(zigzag_threshold=0.01)
    assert strategy.task == "classification"


def test_features_are_in_the_order_of_inputs_then_timeframes_then_memberships(load: Load) -> None:
    assert load().strategy.feature_ids == (
        "1h_strength_low", "1h_strength_mid", "1h_strength_high",
        "4h_strength_low", "4h_strength_mid", "4h_strength_high",
        "1h_macd_1.signal_raw",
    )  # fmt: skip


def test_the_base_timeframe_may_be_another_than_the_first(load: Load) -> None:
    strategy = load(("[1h, 4h]", "{mode: multi_timeframe, list: [1h, 4h], base_timeframe: 4h}")).strategy
    assert strategy.base_timeframe == Timeframe("4h")


def test_defaults_are_those_of_the_grammar(load: Load) -> None:
    strategy = load().strategy
    assert (strategy.training.learning_rate, strategy.training.batch_size, strategy.training.seed) == (0.001, 32, 7)
    assert strategy.training.data_split.model_dump() == {"train": 0.7, "validation": 0.15, "test": 0.15}
    assert strategy.decisions.filters.min_signal_separation == 4
    assert strategy.training_data.history_required == 200
    assert load(("  labels: {source: zigzag, zigzag_threshold: 0.01}\n", "")).strategy.label == ZigZag()


def test_a_backtest_range_is_read(load: Load) -> None:
    strategy = load(("decisions:\n", "backtest: {date_range: {start: 2015-01-01, end: 2016-01-01T12:00:00+02:00}}\ndecisions:\n")).strategy
    assert strategy.backtest_range == (datetime(2015, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, 10, tzinfo=UTC))


def test_it_survives_json_and_yaml(load: Load) -> None:
    strategy = load().strategy
    assert Strategy.model_validate(strategy.model_dump(mode="json")) == strategy
    assert Strategy.model_validate_json(strategy.model_dump_json()) == strategy
    again = load_strategy(strategy.to_yaml(), "again").strategy
    assert again == strategy
    assert again.content_hash == strategy.content_hash
    assert again.to_yaml() == strategy.to_yaml()


SAME = {
    "description": ("A strategy for tests.", "Another description."),
    "name": ("name: sample", "name: other"),
    "alias of a type": ("type: rsi", "type: RSI"),
    "default written out": ("period: 14", "period: 14, source: close"),
    "training dates": ("2012-01-01", "2011-01-01"),
    "symbols": ("[EURUSD]", "[GBPUSD, EURUSD]"),
    "split": ("epochs: 10", "epochs: 10\n  data_split: {train: 0.6, validation: 0.2, test: 0.2}"),
    "number written otherwise": ("[30, 50, 70]", "[30.0, 5e1, 70]"),
    "backtest dates": ("decisions:\n", "backtest: {date_range: {start: 2015-01-01}}\ndecisions:\n"),
}
OTHER = {
    "parameter": ("period: 14", "period: 15"),
    "membership": ("[30, 50, 70]", "[30, 50, 71]"),
    "order of memberships": ("    mid: [30, 50, 70]\n    high: [60, 100, 100]\n", "    high: [60, 100, 100]\n    mid: [30, 50, 70]\n"),
    "network": ("[16, 8]", "[16, 9]"),
    "epochs": ("epochs: 10", "epochs: 11"),
    "seed": ("epochs: 10", "seed: 8"),
    "labels": ("zigzag_threshold: 0.01", "zigzag_threshold: 0.011"),
    "timeframes": ("[1h, 4h]", "[1h, 1d]"),
    "decisions": ("output_format: classification", "confidence_threshold: 0.6"),
}


@pytest.mark.parametrize("kind", SAME)
def test_words_and_where_it_is_applied_do_not_change_its_identity(kind: str, load: Load) -> None:
    assert load(SAME[kind]).strategy.content_hash == load().strategy.content_hash


@pytest.mark.parametrize("kind", OTHER)
def test_what_it_learns_and_decides_is_its_identity(kind: str, load: Load) -> None:
    assert load(OTHER[kind]).strategy.content_hash != load().strategy.content_hash


def test_overrides_change_what_they_name_and_nothing_else(load: Load) -> None:
    strategy = load().strategy
    assert strategy.with_overrides() == strategy
    start, end = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 6, 1, tzinfo=UTC)
    other = strategy.with_overrides(symbols=["AAPL"], start=start, end=end)
    assert (other.symbols, other.date_range) == (("AAPL",), (start, end))
    assert other.content_hash == strategy.content_hash
    assert other.feature_ids == strategy.feature_ids


def test_a_validation_split_leaves_the_proportion_of_the_others(load: Load) -> None:
    split = load().strategy.with_overrides(validation_split=0.32).training.data_split
    assert split.validation == 0.32
    assert split.train == pytest.approx(0.68 * 0.7 / 0.85)
    assert split.train + split.validation + split.test == pytest.approx(1)


def test_other_timeframes_take_the_inputs_with_them(load: Load) -> None:
    single = load(("[1h, 4h]", "[1h]")).strategy
    other = single.with_overrides(timeframes=["1d"])
    assert other.timeframes == (Timeframe("1d"),)
    assert other.feature_ids[-1] == "1d_macd_1.signal_raw"
    assert single.content_hash != other.content_hash


def test_an_override_that_cannot_be_is_an_error_with_its_place(load: Load) -> None:
    with pytest.raises(InvalidStrategy, match=r"sample: 1 mistake .*\n.*nn_inputs\[1\].timeframes: there is no timeframe"):
        load().strategy.with_overrides(timeframes=["4h", "1d"])
    with pytest.raises(InvalidStrategy, match="which is not before its end"):
        load().strategy.with_overrides(start=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidStrategy, match="must be less than 1"):
        load().strategy.with_overrides(validation_split=1.0)


def test_a_document_that_is_no_mapping_is_an_error() -> None:
    with pytest.raises(InvalidStrategy, match="must be a mapping"):
        checked(["name"], "list")


def test_a_strategy_cannot_be_changed(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().strategy.name = "other"


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment("2012-01-01T05:00:00") == datetime(2012, 1, 1, 5, tzinfo=UTC)
    assert moment("2012-01-01T05:00:00Z") == datetime(2012, 1, 1, 5, tzinfo=UTC)


def test_information_may_be_carried_along(load: Load) -> None:
    strategy = load(
        ("description:", "version: 3.0\nhypothesis: Swings go on.\ndeployment: {target_symbols: {mode: universal}}\ndescription:")
    ).strategy
    assert (strategy.version, strategy.hypothesis) == ("3.0", "Swings go on.")
    assert strategy.deployment == {"target_symbols": {"mode": "universal"}}
