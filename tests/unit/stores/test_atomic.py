from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.stores import atomic


def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert atomic.write_new(path, b"first")
    assert not atomic.write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write(path, b"first")
    atomic.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        atomic.write_new(tmp_path / "file" / "below", b"")
