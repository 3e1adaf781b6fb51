"""From bars to a model folder: the same bytes twice, and a model that answers as it was judged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ktrdr.fuzzy.sets import Membership
from ktrdr.kinds.backtesting import decisions
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.manifest import to_files
from ktrdr.models.model import Model
from ktrdr.stores.models import ModelStore
from ktrdr.strategy.load import load_strategy
from ktrdr.training.run import train_model

pytestmark = pytest.mark.torch

TEXT = """
name: small
training_data: {symbols: [AAA, BBB], timeframes: [1h, 4h], history_required: 500}
indicators:
  roc_5: {type: roc, period: 5}
fuzzy_sets:
  change: {indicator: roc_5, down: [-9, -3, 0], level: [-3, 0, 3], up: [0, 3, 9]}
nn_inputs:
  - {fuzzy_set: change, timeframes: all}
  - {raw_indicator: roc_5, timeframes: [1h], normalization: minmax}
model: {type: mlp, architecture: {hidden_layers: [8]}}
decisions: {output_format: classification}
training: {epochs: 3, learning_rate: 0.01, labels: {source: triple_barrier, max_holding_period: 10}}
"""
NETWORKS = {
    "mlp": "{type: mlp, architecture: {hidden_layers: [8]}}",
    "lstm": "{type: lstm, architecture: {hidden_size: 6, num_layers: 2, sequence_length: 6}}",
    "gru": "{type: gru, architecture: {hidden_size: 6, num_layers: 1, sequence_length: 4}}",
    "tsk": "{type: tsk}",
}
RAW = "  - {raw_indicator: roc_5, timeframes: [1h], normalization: minmax}\n"
START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1000)


def series(symbol: str, timeframe: str, count: int, seed: int) -> Bars:
    random, step = np.random.default_rng(seed), Timeframe(timeframe)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opens = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(step.seconds, "s")
    high, low = np.maximum(opens, close) * 1.003, np.minimum(opens, close) * 0.997
    return Bars.checked(symbol, step, time, open=opens, high=high, low=low, close=close, volume=np.ones(count))


def bars() -> dict[str, dict[Timeframe, Bars]]:
    return {s: {Timeframe(tf): series(s, tf, n, seed) for tf, n in (("1h", 1000), ("4h", 250))} for s, seed in (("AAA", 1), ("BBB", 2))}


def text_of(network: str) -> str:
    """The strategy with another network; rules ask for words, so a tsk reads no raw number."""
    assert NETWORKS["mlp"] in TEXT
    assert RAW in TEXT
    text = TEXT.replace(NETWORKS["mlp"], NETWORKS[network])
    return text.replace(RAW, "") if network == "tsk" else text


def train(network: str = "mlp") -> Model:
    strategy = load_strategy(text_of(network), "test").strategy
    return train_model(strategy, bars(), START, END, lambda _: None, lambda _: None)


@pytest.mark.parametrize("network", NETWORKS)
def test_two_trainings_write_the_same_bytes(network: str, tmp_path: Path) -> None:
    assert to_files(train(network)) == to_files(train(network))
    saved = [ModelStore(tmp_path / home).save(train(network), "small", f"op_training_20260101_00000{home}_00000000") for home in "12"]
    assert (saved[0].path / "manifest.json").read_bytes() == (saved[1].path / "manifest.json").read_bytes()


def test_the_record_says_what_it_was_trained_on() -> None:
    record = train().training
    assert (record.symbols, record.timeframes, record.seed) == (("AAA", "BBB"), ("1h", "4h"), 7)
    assert set(record.bars) == {"AAA 1h", "AAA 4h", "BBB 1h", "BBB 4h"}
    assert (record.start, record.end) == ("2024-01-01T00:00:00+00:00", END.isoformat())
    assert record.label["source"] == "triple_barrier"
    assert record.rows["train"] > record.rows["test"] > 100
    assert record.threads == 1
    assert record.versions.keys() == {"ktrdr", "numpy", "torch"}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_loaded_model_answers_on_bars_as_it_was_judged(network: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    model = store.load(store.save(train(network), "small", "op_training_20260101_000000_00000000").path)
    own = bars()["AAA"]
    features = model.features(own)
    answers = model.predict(features)
    assert answers.shape == (1000, 3)
    first = int(np.argmax(features.known)) + model.architecture.sequence_length - 1
    np.testing.assert_array_equal(np.isfinite(answers).all(axis=1), np.arange(1000) >= first)
    for count in (500, 999):
        early = {timeframe: series.rows(slice(0, count * len(series) // 1000)) for timeframe, series in own.items()}
        np.testing.assert_array_equal(model.predict(model.features(early)), answers[:count])
    late = model.predict(features, 700)
    assert np.isnan(late[:700]).all()
    np.testing.assert_allclose(late[700:], answers[700:], atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_decisions_of_a_backtest_know_nothing_of_later_bars(network: str) -> None:
    model, own = train(network), bars()["AAA"]
    whole, _, all_decided = decisions(model, model.strategy, own, (START + timedelta(hours=400), END))
    shorter = {timeframe: series.between(None, START + timedelta(hours=800)) for timeframe, series in own.items()}
    part, _, decided = decisions(model, model.strategy, shorter, (START + timedelta(hours=400), START + timedelta(hours=800)))
    assert (len(whole), len(part)) == (600, 400)
    np.testing.assert_array_equal(decided.targets, all_decided.targets[:400])
    np.testing.assert_array_equal(decided.confidence, all_decided.confidence[:400])
    assert np.isfinite(decided.confidence).all()  # bars before the range are there to be looked back on


def test_the_words_that_were_fitted_come_back_with_the_model(tmp_path: Path) -> None:
    written = "down: [-9, -3, 0], level: [-3, 0, 3], up: [0, 3, 9]"
    assert written in TEXT
    strategy = load_strategy(TEXT.replace(written, "partition: {count: 3}"), "test").strategy
    model = train_model(strategy, bars(), START, END, lambda _: None, lambda _: None)
    store = ModelStore(tmp_path)
    saved = store.save(model, "small", "op_training_20260101_000000_00000000")
    again = store.load(saved.path)
    assert again.scaling == model.scaling
    assert to_files(again) == to_files(model)
    (first, *_) = json.loads((saved.path / "manifest.json").read_bytes())["features"]
    fitted = model.scaling["1h_change_low"]
    assert isinstance(fitted, Membership)
    assert first["membership"] == {"name": "low", "type": "left", "parameters": list(fitted.parameters)}
    own = bars()["BBB"]
    np.testing.assert_array_equal(again.predict(again.features(own)), model.predict(model.features(own)))
    assert np.isfinite(again.predict(again.features(own))).any()
