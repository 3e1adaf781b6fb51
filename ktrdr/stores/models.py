"""Model folders on disk: `{strategy}/{operation_id}/`."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Invalid, KtrdrError, NotFound
from ktrdr.models.manifest import MANIFEST_FILE, WEIGHTS_FILE, load, read_manifest, to_files
from ktrdr.models.model import Model
from ktrdr.stores.shared import ALONE, Artefacts
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
STARTED = re.compile(r"\d{8}_\d{6}")
"""The moment in an operation's id."""


class SavedModel(BaseModel):
    """One model in the store."""

    model_config = ConfigDict(frozen=True)

    path: Path
    strategy_name: str
    operation_id: str
    """The training it comes from."""
    content_hash: str
    """Of the strategy."""
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    start: str
    end: str
    test_accuracy: float | None
    size_bytes: int


SavedModels = list[SavedModel]


class ModelStore:
    """The models of one home."""

    def __init__(self, root: Path, artefacts: Artefacts = ALONE) -> None:
        self.root, self._artefacts = root, artefacts

    def save(self, model: Model, name: str, operation_id: str) -> SavedModel:
        """Write a model's folder, whole or not at all; the same training writes the same bytes."""
        for part in (name, operation_id):
            if not NAME.fullmatch(part):
                raise Invalid(f"{part!r} cannot name a model's folder", hint="letters, digits, _ and -")
        folder, files = self.root / name / operation_id, to_files(model)
        self._artefacts.changing(folder, lambda: _put(folder, files), lenient=True)
        return self._saved(folder)

    def folder(self, path: str | Path) -> Path:
        """The folder that a path names; a relative one is below the store's, such as `momentum/op_training_…`."""
        return self._artefacts.here(self.root / path)

    def load(self, path: str | Path) -> Model:
        """The model in a folder, verified."""
        folder = self.folder(path)
        with self._held(folder):
            return load(folder)

    def manifest(self, path: str | Path) -> JSON:
        """The manifest of the model in a folder."""
        folder = self.folder(path)
        with self._held(folder):
            return read_manifest(folder)

    def latest(self, strategy: Strategy) -> SavedModel:
        """The newest model of this very strategy: same name and same content."""
        named = [saved for saved in self.list() if saved.strategy_name == strategy.name]
        same = [saved for saved in named if saved.content_hash == strategy.content_hash]
        if same:
            return same[0]
        why = f"it was changed since its newest model {named[0].operation_id}" if named else "it was never trained"
        raise NotFound(f"there is no trained model of {strategy.name}: {why}", hint=f"train it: ktrdr train {strategy.name}")

    def list(self) -> SavedModels:
        """All models that are whole, the newest first."""
        found = []
        self._artefacts.look(self.root, lambda file: file == MANIFEST_FILE)
        for manifest in self.root.glob(f"*/*/{MANIFEST_FILE}"):
            try:
                found.append(self._saved(manifest.parent))
            except (KtrdrError, KeyError, OSError):
                continue
        return sorted(found, key=_age, reverse=True)

    def _held(self, folder: Path) -> AbstractContextManager[None]:
        """A folder of this store may have to be fetched; any other is as it is."""
        return self._artefacts.reading(folder) if folder.is_relative_to(self.root) else nullcontext()

    def _saved(self, folder: Path) -> SavedModel:
        manifest = read_manifest(folder)
        training = manifest["training"]
        return SavedModel(
            path=folder,
            strategy_name=manifest["strategy"]["name"],
            operation_id=folder.name,
            content_hash=manifest["strategy"]["content_hash"],
            symbols=training["symbols"],
            timeframes=training["timeframes"],
            start=training["start"],
            end=training["end"],
            test_accuracy=manifest["scores"]["test"]["accuracy"],
            size_bytes=(folder / MANIFEST_FILE).stat().st_size + manifest["files"][WEIGHTS_FILE]["size_bytes"],
        )


def _age(saved: SavedModel) -> tuple[str, int]:
    started = STARTED.search(saved.operation_id)
    return (started.group() if started else "", (saved.path / MANIFEST_FILE).stat().st_mtime_ns)


def _put(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder in the place of an older one, if there is one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        fresh.mkdir()
        for file, content in files.items():
            _write(fresh / file, content)
        _sync(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        _sync(folder.parent)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
