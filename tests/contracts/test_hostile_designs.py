"""Hostile answers of a language model: nothing is executed, nothing leaves its folder, a clear error goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ktrdr.agents.tools import PROBLEMS, DesignTools
from ktrdr.errors import KtrdrError
from ktrdr.strategy.load import load_strategy
from tests.contracts.test_claude import BARS, Asking, brief, new_desk
from tests.wire.dialogue import Texts
from tests.wire.hostile import hostile_assessments, hostile_texts
from tests.wire.messages import Wire

JSON = dict[str, Any]
pytestmark = pytest.mark.torch


def test_hostile_documents_save_nothing_that_is_no_strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    desk = new_desk()
    tools = DesignTools(brief(), BARS, desk.library)
    for name, text in hostile_texts():
        answer = tools.save_strategy(text)
        if "errors" in answer:
            assert 0 < len(answer["errors"]) <= PROBLEMS, name
            assert len(json.dumps(answer)) < 20_000, name
        else:
            assert load_strategy(desk.library.saved[answer["saved"]], name).strategy.symbols == ("EURUSD",), name
    assert list(tmp_path.iterdir()) == []


def test_hostile_assessments_are_refused_or_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[JSON] = []
    with Wire(Texts(assessment=lambda _: said[-1])) as wire:
        asking = Asking(wire, monkeypatch, tmp_path / "home")
        work = tmp_path / "work"
        work.mkdir()
        monkeypatch.chdir(work)
        for name, arguments in hostile_assessments():
            said.append(arguments)
            found = outcome(asking)
            assert 0 < len(found) < 30_000, name
    assert list(work.iterdir()) == []


def outcome(asking: Asking) -> str:
    """The assessment, or in at most a thousand characters why there is none."""
    try:
        return asking.assess("honest").model_dump_json()
    except KtrdrError as error:
        return error.message if len(error.message) < 1000 else ""


def test_there_are_hundreds_of_them() -> None:
    assert len(hostile_texts()) + len(hostile_assessments()) >= 300
