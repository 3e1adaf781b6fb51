from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.cli.strategy_argument import LARGEST, strategy_argument
from ktrdr.errors import Invalid, NotFound


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").mkdir()
    return tmp_path


def test_a_name_is_left_to_the_backend() -> None:
    assert strategy_argument("momentum") == {"strategy_name": "momentum"}


def test_a_name_found_in_the_callers_strategies_sends_the_text(folder: Path) -> None:
    (folder / "strategies" / "mine.yaml").write_text("name: mine\n", encoding="utf-8")
    assert strategy_argument("mine") == {"strategy": "name: mine\n", "source": "strategies/mine.yaml"}


@pytest.mark.parametrize("named", ["mine.yaml", "./mine.yaml", "strategies/mine.yml"])
def test_a_path_sends_the_text(folder: Path, named: str) -> None:
    (folder / named).write_text("name: mine\n", encoding="utf-8")
    assert strategy_argument(named) == {"strategy": "name: mine\n", "source": named}


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(NotFound, match=r"there is no file gone\.yaml"):
        strategy_argument("gone.yaml")


def test_a_folder_is_no_strategy() -> None:
    with pytest.raises(Invalid, match="strategies cannot be read: Is a directory") as caught:
        strategy_argument("./strategies")
    assert caught.value.hint


def test_a_file_that_is_not_text_is_said(folder: Path) -> None:
    (folder / "model.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid, match="not a text file"):
        strategy_argument("model.yaml")


def test_a_file_that_is_too_large_is_said(folder: Path) -> None:
    (folder / "bars.yaml").write_bytes(b" " * (LARGEST + 1))
    with pytest.raises(Invalid, match="1,000,001 bytes"):
        strategy_argument("bars.yaml")
