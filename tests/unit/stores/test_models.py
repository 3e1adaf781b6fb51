from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ktrdr.errors import Invalid, NotFound
from ktrdr.models.model import Model, Split, TrainingRecord
from ktrdr.models.predict import Perceptron
from ktrdr.models.scores import Baselines, History, Scores, SliceScores
from ktrdr.stores.models import ModelStore
from ktrdr.stores.shared import Artefacts
from ktrdr.strategy.load import load_strategy

TEXT = """
name: small
training_data: {symbols: [EURUSD], timeframes: [1h]}
indicators: {rsi_14: {type: rsi}}
fuzzy_sets: {rsi: {indicator: rsi_14, low: [0, 20, 45], high: [55, 80, 100]}}
nn_inputs: [{fuzzy_set: rsi, timeframes: all}]
model: {type: mlp, architecture: {hidden_layers: [3]}}
decisions: {output_format: classification}
training: {epochs: 2}
"""
EARLY, LATE = "op_training_20260101_000000_ffffffff", "op_training_20260102_000000_00000000"


def trained(text: str = TEXT, seed: int = 1) -> Model:
    strategy, random = load_strategy(text, "test").strategy, np.random.default_rng(seed)
    shape = Perceptron(inputs=2, hidden=(3,), outputs=3, activation="relu")
    weights = {name: random.normal(0, 0.5, size).astype(np.float32) for name, size in shape.shapes().items()}
    base = Baselines(majority_class="buy", majority_accuracy=0.4, majority_loss=1.0, shuffled_accuracy=0.3, class_shares={})
    figures = SliceScores(rows=10, accuracy=0.5, loss=0.9, baselines=base)
    split = Split(train_end="a", validation_start="b", validation_end="c", test_start="d", embargo_rows=0, purged_rows=0)
    record = TrainingRecord(
        symbols=("EURUSD",), timeframes=("1h",), start="a", end="z", split=split, seed=7, label={}, rows={}, bars={}, versions={},
        threads=1, cpu="any", epochs_run=1, best_epoch=1, stopped_early=False,
    )  # fmt: skip
    scores = Scores(
        task="classification", train=figures, validation=figures, test=figures, initial_loss=1.1, final_train_loss=0.9,
        loss_decrease=0.2, history=History(),
    )  # fmt: skip
    return Model(strategy, strategy.feature_ids, shape, weights, {}, record, scores)


@pytest.fixture
def store(tmp_path: Path, artefacts: Artefacts) -> ModelStore:
    return ModelStore(tmp_path / "models", artefacts)


def test_a_model_has_a_folder_by_strategy_and_operation(store: ModelStore) -> None:
    saved = store.save(trained(), "small", EARLY)
    assert saved.path == store.root / "small" / EARLY
    assert sorted(file.name for file in saved.path.iterdir()) == ["manifest.json", "model.safetensors"]
    assert saved.size_bytes == sum(file.stat().st_size for file in saved.path.iterdir())
    assert (saved.strategy_name, saved.symbols, saved.timeframes, saved.test_accuracy) == ("small", ("EURUSD",), ("1h",), 0.5)


def test_a_model_is_loaded_by_its_path_or_its_place_in_the_store(store: ModelStore) -> None:
    model, saved = trained(), store.save(trained(), "small", EARLY)
    for path in (saved.path, str(saved.path), f"small/{EARLY}"):
        np.testing.assert_array_equal(store.load(path).weights["layers.0.weight"], model.weights["layers.0.weight"])


def test_the_latest_is_the_newest_training_of_the_same_strategy(store: ModelStore) -> None:
    store.save(trained(), "small", LATE)
    store.save(trained(), "small", EARLY)
    assert store.latest(trained().strategy).operation_id == LATE
    assert [saved.operation_id for saved in store.list()] == [LATE, EARLY]


def test_a_changed_strategy_has_no_model_of_its_own(store: ModelStore) -> None:
    store.save(trained(), "small", EARLY)
    changed = load_strategy(TEXT.replace("45", "40"), "test").strategy
    with pytest.raises(NotFound, match=f"it was changed since its newest model {EARLY}") as caught:
        store.latest(changed)
    assert caught.value.hint == "train it: ktrdr train small"


def test_a_strategy_never_trained_says_how_to_train_it(store: ModelStore) -> None:
    with pytest.raises(NotFound, match="there is no trained model of small: it was never trained") as caught:
        store.latest(trained().strategy)
    assert caught.value.hint == "train it: ktrdr train small"
    assert store.list() == []


def test_saving_again_replaces_the_folder_and_leaves_nothing_behind(store: ModelStore) -> None:
    first = store.save(trained(), "small", EARLY)
    bytes_before = (first.path / "manifest.json").read_bytes()
    assert (store.save(trained(), "small", EARLY).path / "manifest.json").read_bytes() == bytes_before
    store.save(trained(seed=2), "small", EARLY)
    assert store.load(first.path).weights["layers.0.weight"].tolist() == trained(seed=2).weights["layers.0.weight"].tolist()
    assert [folder.name for folder in first.path.parent.iterdir()] == [EARLY]


def test_a_broken_folder_hides_no_other(store: ModelStore) -> None:
    store.save(trained(), "small", EARLY)
    for operation_id, content in ((LATE, "{"), ("op_x", '{"schema_version": 1}'), ("op_y", '{"schema_version": 7}')):
        (store.root / "small" / operation_id).mkdir()
        (store.root / "small" / operation_id / "manifest.json").write_text(content)
    assert [saved.operation_id for saved in store.list()] == [EARLY]


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden"])
def test_no_name_leads_out_of_the_store(store: ModelStore, name: str) -> None:
    with pytest.raises(Invalid, match="cannot name a model's folder"):
        store.save(trained(), name, EARLY)
    with pytest.raises(Invalid, match="cannot name a model's folder"):
        store.save(trained(), "small", name)
