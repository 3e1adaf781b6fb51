"""Hostile answers of a language model: nothing is executed, nothing leaves its folder, a clear error goes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.wire.hostile import hostile_assessments, hostile_texts

from ktrdr.agents.tools import PROBLEMS, DesignTools
from ktrdr.strategy.load import load_strategy
from tests.contracts.test_claude import BARS, brief, new_desk

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


def test_there_are_hundreds_of_them() -> None:
    assert len(hostile_texts()) + len(hostile_assessments()) >= 300
