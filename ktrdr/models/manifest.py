"""The folder of a model: `model.safetensors` and `manifest.json`, the same bytes for the same training.

The manifest names every file with its sha256 and holds the strategy's text, the inputs in order with their fuzzy
parameters, what was fitted, labels, split, seed, versions and scores. It holds no clock, operation, path or duration.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ktrdr.errors import Invalid, NotFound
from ktrdr.models.model import Model, TrainingRecord, check_features
from ktrdr.models.predict import Architecture
from ktrdr.models.scores import Scores
from ktrdr.strategy.features import Fitted
from ktrdr.strategy.load import load_strategy

JSON = dict[str, Any]
FITTED: TypeAdapter[dict[str, Fitted]] = TypeAdapter(dict[str, Fitted])
SCHEMA_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
MANIFEST_FILE = "manifest.json"
RETRAIN = "train the strategy again: ktrdr train <name>"


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def to_files(model: Model) -> dict[str, bytes]:
    """The files of a model's folder, by name."""
    from safetensors.numpy import save

    label = json.dumps(model.architecture.model_dump(mode="json"), sort_keys=True)
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in sorted(model.weights.items())}
    weights = save(arrays, metadata={"architecture": label})  # with more keys the order, and so the bytes, would vary
    text = model.strategy.to_yaml()
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "files": {WEIGHTS_FILE: {"sha256": _sha256(weights), "size_bytes": len(weights)}},
        "strategy": {
            "name": model.strategy.name,
            "content_hash": model.strategy.content_hash,
            "sha256": _sha256(text.encode()),
            "text": text,
        },
        "architecture": model.architecture.model_dump(mode="json"),
        "features": _features(model),
        "scaling": {name: how.model_dump(mode="json") for name, how in model.scaling.items()},
        "training": model.training.model_dump(mode="json"),
        "scores": model.scores.model_dump(mode="json"),
    }
    return {WEIGHTS_FILE: weights, MANIFEST_FILE: canonical(manifest).encode()}


def read_manifest(folder: Path) -> JSON:
    """The manifest of a model's folder; raises where there is none or it cannot be understood."""
    path = folder / MANIFEST_FILE
    try:
        manifest: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} holds no model: {MANIFEST_FILE} is missing", hint="ktrdr list models") from None
    except ValueError:
        raise Invalid(f"{path} is damaged: it is not JSON", hint=RETRAIN) from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise Invalid(f"{path} has schema version {version!r}; this ktrdr reads version {SCHEMA_VERSION}", hint=RETRAIN)
    return dict(manifest)


def load(folder: Path) -> Model:
    """The model in a folder, every file checked against the manifest."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    manifest = read_manifest(folder)
    try:
        files = {name: _verified(folder / name, entry["sha256"]) for name, entry in manifest["files"].items()}
        architecture: Architecture = TypeAdapter(Architecture).validate_python(manifest["architecture"])
        weights = load_arrays(files[WEIGHTS_FILE])
        written = manifest["strategy"]
        _same(written["sha256"], _sha256(written["text"].encode()), folder / MANIFEST_FILE, "the strategy's text")
        strategy = load_strategy(written["text"], str(folder / MANIFEST_FILE)).strategy
        feature_ids = tuple(entry["id"] for entry in manifest["features"])
        scaling = FITTED.validate_python(manifest["scaling"])
        training = TrainingRecord.model_validate(manifest["training"])
        scores = Scores.model_validate(manifest["scores"])
    except (KeyError, TypeError, AttributeError, ValidationError, SafetensorError) as error:
        raise Invalid(f"{folder} is damaged: {type(error).__name__} {error}", hint=RETRAIN) from None
    check_features(feature_ids, strategy.feature_ids)
    if {name: array.shape for name, array in weights.items()} != architecture.shapes() or architecture.inputs != len(feature_ids):
        raise Invalid(f"{folder / WEIGHTS_FILE} does not have the layers that {MANIFEST_FILE} names", hint=RETRAIN)
    return Model(strategy, feature_ids, architecture, weights, scaling, training, scores)


def _features(model: Model) -> list[JSON]:
    """Each input in order, with what it is computed from."""
    strategy, found = model.strategy, list[JSON]()
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        spec = strategy.indicators[reference.partition(".")[0]]
        source = {"indicator": reference, "type": spec.type, "parameters": spec.build().model_dump(mode="json")}
        source |= {"data_source": spec.data_source} if spec.data_source else {}
        for timeframe in strategy.timeframes_of(entry):
            common = {**source, "timeframe": timeframe.name}
            if fuzzy_set:
                ids = {word: f"{timeframe}_{entry.fuzzy_set}_{word}" for word in fuzzy_set.words}
                shapes = {word: fuzzy_set.memberships.get(word) or model.scaling[name] for word, name in ids.items()}
                found += [{**common, "membership": {"name": word, **shape.model_dump(mode="json")}} for word, shape in shapes.items()]
            else:
                found.append({**common, "normalization": entry.normalization})
    return [{"id": name, **feature} for name, feature in zip(model.feature_ids, found, strict=True)]


def _verified(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} is missing from the model's folder", hint=RETRAIN) from None
    _same(expected, _sha256(content), path, "its content")
    return content


def _same(expected: str, found: str, path: Path, what: str) -> None:
    if expected != found:
        raise Invalid(f"{path} is damaged: the sha256 of {what} is {found[:12]}…, the manifest says {expected[:12]}…", hint=RETRAIN)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
