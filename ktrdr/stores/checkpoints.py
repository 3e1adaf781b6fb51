"""Checkpoints on disk: a JSON state and its tensors in one file, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ktrdr.errors import Invalid, NotFound
from ktrdr.stores import atomic
from ktrdr.stores.shared import ALONE, Artefacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

JSON = dict[str, Any]
KEPT = 2
"""The newest, and the one before it in case the newest is damaged."""
FILE = re.compile(r"(\d{6})\.([0-9a-f]{64})\.safetensors")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Kept:
    """A checkpoint that is on the disk: its name, and where to find it."""

    checkpoint_id: str
    position: str
    created_at: datetime
    path: str
    """Relative to the store's folder."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What an operation had when it was kept."""

    position: str
    state: JSON
    tensors: Tensors


class CheckpointStore:
    """The checkpoints of one home, in a folder per operation; each file's name carries its sha256."""

    def __init__(self, root: Path, artefacts: Artefacts = ALONE) -> None:
        self.root, self._artefacts = root, artefacts

    def write(self, operation_id: str, position: str, state: JSON, tensors: Mapping[str, NDArray[Any]] | None = None) -> Kept:
        """Keep a state; when this returns it is on the disk and published, and older ones but the last are gone."""
        from safetensors.numpy import save

        folder = self._folder(operation_id)
        head = json.dumps({"position": position, "state": state}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        content = save(dict(tensors or {}), metadata={"checkpoint": head})
        digest = hashlib.sha256(content).hexdigest()

        def keep() -> Path:
            # One that is damaged and could not be fetched has its number as well.
            taken = [path.name for path in self._files(folder)] + [*(self._artefacts.notes(folder) or ())]
            path = folder / f"{max((int(name[:6]) for name in taken), default=0) + 1:06d}.{digest}.safetensors"
            atomic.write(path, content)
            for old in self._files(folder)[KEPT:]:
                old.unlink()
            return path

        if not folder.exists():
            self._artefacts.look(self.root)  # what others deleted goes here as well
        path = self._artefacts.changing(folder, keep, lenient=True)
        return Kept(
            checkpoint_id=f"chk_{operation_id.removeprefix('op_')}_{int(path.name[:6])}", position=position, created_at=datetime.now(UTC),
            path=str(path.relative_to(self.root)), sha256=digest, size_bytes=len(content),
        )  # fmt: skip

    def read(self, relative: str) -> Checkpoint:
        """What the checkpoint at a path below the store's folder holds; if its file is damaged or gone, what the one before it holds.

        Raises NotFound when neither is whole.
        """
        folder = self._folder(Path(relative).parts[0])
        with self._artefacts.reading(folder, lenient=True):
            wanted = [self.root / relative, *(path for path in self._files(folder) if path.name < Path(relative).name)]
            for path in wanted:
                whole = _whole(path)
                if whole is not None:
                    return _opened(whole)
        raise NotFound(f"the checkpoint {relative} is damaged or gone, and there is none before it", hint="start the operation again")

    def operations(self) -> list[str]:
        """The operations that have a folder here."""
        self._artefacts.look(self.root)
        found = self.root.iterdir() if self.root.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir() and NAME.fullmatch(path.name))

    def delete(self, operation_id: str) -> None:
        """Remove all checkpoints of an operation."""
        folder = self._folder(operation_id)
        self._artefacts.remove(folder, for_ever=True)
        if folder.exists():
            shutil.rmtree(folder)

    def _folder(self, operation_id: str) -> Path:
        if not NAME.fullmatch(operation_id):
            raise Invalid(f"{operation_id!r} cannot name a folder of checkpoints")
        return self.root / operation_id

    def _files(self, folder: Path) -> list[Path]:
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted((path for path in found if FILE.fullmatch(path.name)), reverse=True)


def _whole(path: Path) -> bytes | None:
    """A file's content, if it is what its name says."""
    named = FILE.fullmatch(path.name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content if named and hashlib.sha256(content).hexdigest() == named[2] else None


def _opened(content: bytes) -> Checkpoint:
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    head = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["checkpoint"])
    return Checkpoint(head["position"], head["state"], load(content))
