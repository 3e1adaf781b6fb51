"""Checkpoints: whole or not at all, and the one before where the newest is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ktrdr.errors import Invalid, NotFound
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.stores.shared import Artefacts

OPERATION = "op_training_20260101_000000_00000000"


@pytest.fixture
def store(tmp_path: Path, artefacts: Artefacts) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", artefacts)


def test_what_was_written_is_read_again(store: CheckpointStore) -> None:
    tensors = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array([7], dtype=np.int64)}
    kept = store.write(OPERATION, "epoch 5", {"best": 0.1, "none": None}, tensors)
    assert kept.checkpoint_id == "chk_training_20260101_000000_00000000_1"
    assert (store.root / kept.path).stat().st_size == kept.size_bytes
    read = store.read(kept.path)
    assert (read.position, read.state) == ("epoch 5", {"best": 0.1, "none": None})
    assert {name: (a.dtype, a.tolist()) for name, a in read.tensors.items()} == {n: (a.dtype, a.tolist()) for n, a in tensors.items()}


def test_the_same_state_makes_the_same_bytes(tmp_path: Path) -> None:
    states = [{"a": 1, "b": 2}, {"b": 2, "a": 1}]
    digests = {CheckpointStore(tmp_path / str(i)).write(OPERATION, "x", state).sha256 for i, state in enumerate(states)}
    assert len(digests) == 1


@pytest.mark.parametrize("artefacts", ["home"], indirect=True)  # a shared place mends what is damaged here
def test_two_are_kept_and_a_damaged_one_gives_way_to_the_one_before(store: CheckpointStore) -> None:
    kept = [store.write(OPERATION, f"epoch {n}", {"n": n}) for n in range(1, 5)]
    files = sorted((store.root / OPERATION).iterdir())
    assert [path.name[:6] for path in files] == ["000003", "000004"]
    newest = store.root / kept[-1].path
    for damage in (newest.read_bytes()[:-3], b"", b"\x00" * 400):
        newest.write_bytes(damage)
        assert store.read(kept[-1].path).state == {"n": 3}
    newest.unlink()
    assert store.read(kept[-1].path).state == {"n": 3}
    (store.root / kept[-2].path).write_bytes(b"broken too")
    with pytest.raises(NotFound, match="damaged or gone"):
        store.read(kept[-1].path)


def test_a_half_written_file_is_no_checkpoint(store: CheckpointStore) -> None:
    kept = store.write(OPERATION, "epoch 1", {"n": 1})
    (store.root / OPERATION / "000002.tmp").write_bytes(b"half")
    assert store.read(kept.path).state == {"n": 1}
    assert store.write(OPERATION, "epoch 2", {"n": 2}).checkpoint_id.endswith("_2")


def test_nothing_outside_the_folder_is_touched(store: CheckpointStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("../outside", "/etc", "a/b", "", ".", ".."):
        for act in (store.delete, lambda n: store.write(n, "x", {})):
            with pytest.raises(Invalid):
                act(name)
    for path in ("../outside/x", "/etc/passwd"):
        with pytest.raises(Invalid):
            store.read(path)
    for path in (f"{OPERATION}/../../outside/x", f"{OPERATION}/plain.txt"):
        with pytest.raises((Invalid, NotFound)):
            store.read(path)
    assert outside.is_dir()


def test_a_state_that_is_not_json_is_refused_and_nothing_is_written(store: CheckpointStore) -> None:
    for state in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            store.write(OPERATION, "x", state)
    assert not list(store.root.rglob("*.safetensors"))


def test_deleting_removes_all_of_an_operation(store: CheckpointStore) -> None:
    kept = store.write(OPERATION, "x", {})
    store.delete(OPERATION)
    store.delete(OPERATION)
    with pytest.raises(NotFound):
        store.read(kept.path)
