from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ktrdr.errors import Invalid, NotFound
from ktrdr.models.manifest import MANIFEST_FILE, WEIGHTS_FILE, load, to_files
from ktrdr.models.model import Model


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    for name, content in to_files(model).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, object]], object]) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    edit(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def test_a_model_comes_back_as_it_was(model: Model, folder: Path) -> None:
    again = load(folder)
    assert again.strategy.content_hash == model.strategy.content_hash
    assert (again.feature_ids, again.architecture, again.scaling) == (model.feature_ids, model.architecture, model.scaling)
    assert (again.training, again.scores) == (model.training, model.scores)
    for name, array in model.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)


def test_a_recurrent_model_comes_back_as_it_was(recurrent: Model, tmp_path: Path) -> None:
    for name, content in to_files(recurrent).items():
        (tmp_path / name).write_bytes(content)
    again = load(tmp_path)
    assert (again.architecture, again.strategy.content_hash) == (recurrent.architecture, recurrent.strategy.content_hash)
    assert again.architecture.sequence_length == 3
    assert to_files(again) == to_files(recurrent)


def test_the_same_model_gives_the_same_bytes(model: Model, folder: Path) -> None:
    assert to_files(model) == to_files(model) == to_files(load(folder))


def test_the_manifest_tells_what_each_input_is_made_of(model: Model, folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    assert [feature["id"] for feature in manifest["features"]] == list(model.feature_ids)
    first, last = manifest["features"][0], manifest["features"][-1]
    assert first["membership"] == {"name": "low", "type": "triangular", "parameters": [0.0, 20.0, 45.0]}
    assert (first["indicator"], first["type"], first["parameters"]["period"]) == ("rsi_14", "rsi", 14)
    assert (last["timeframe"], last["normalization"]) == ("1h", "zscore")


def test_the_manifest_knows_no_clock_operation_path_or_duration(folder: Path) -> None:
    text = (folder / MANIFEST_FILE).read_text()
    for word in ("created", "operation", "seconds", "duration", str(folder), "/home", "/tmp"):
        assert word not in text


def test_weights_carry_one_key_of_metadata(folder: Path) -> None:
    content = (folder / WEIGHTS_FILE).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["architecture"]


def test_a_flipped_bit_is_found(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(Invalid, match=r"model.safetensors is damaged: the sha256 of its content"):
        load(folder)


def test_a_changed_strategy_text_is_found(folder: Path) -> None:
    change(folder, lambda m: m["strategy"].update(text=m["strategy"]["text"].replace("14", "15")))
    with pytest.raises(Invalid, match="the sha256 of the strategy's text"):
        load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(NotFound, match=r"model.safetensors is missing"):
        load(folder)
    (folder / MANIFEST_FILE).unlink()
    with pytest.raises(NotFound, match=r"holds no model: manifest.json is missing"):
        load(folder)
    with pytest.raises(NotFound, match="holds no model"):
        load(folder / "nowhere")


def test_an_unknown_schema_is_refused_with_its_number(folder: Path) -> None:
    change(folder, lambda m: m.update(schema_version=99))
    with pytest.raises(Invalid, match="schema version 99; this ktrdr reads version 1"):
        load(folder)


@pytest.mark.parametrize("section", ["files", "strategy", "architecture", "features", "scaling", "training", "scores"])
def test_a_manifest_without_a_section_is_damaged(folder: Path, section: str) -> None:
    change(folder, lambda m: m.pop(section))
    with pytest.raises(Invalid, match=f"is damaged: KeyError '{section}'"):
        load(folder)


def test_what_is_no_json_is_damaged(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_text("{")
    with pytest.raises(Invalid, match="it is not JSON"):
        load(folder)


def test_inputs_that_are_not_the_strategys_are_refused(folder: Path) -> None:
    change(folder, lambda m: m["features"].reverse())
    with pytest.raises(Invalid, match="input 1 of the model is '1h_roc_2_raw'"):
        load(folder)


def test_layers_that_are_not_the_architectures_are_refused(folder: Path) -> None:
    change(folder, lambda m: m["architecture"].update(hidden=[6]))
    with pytest.raises(Invalid, match="does not have the layers"):
        load(folder)
