"""Hostile strategies are refused in plain words, and nothing in them is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.wire.hostile import MAY_LOAD, hostile_assessments, hostile_texts
from tests.wire.loading import SECONDS
from tests.wire.payloads import CANARY

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 192 * 2**20
"""Bytes that loading may take beside what the process holds before."""
LONGEST = 30_000
"""Most characters of a message; fifty mistakes fit."""
Found = dict[str, dict[str, Any]]


def loaded_in(folder: Path) -> Found:
    """What became of each text, in one process with bounded memory that stands in a folder of its own."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.wire.loading", str(MEMORY)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.pop("text"): line for line in map(json.loads, done.stdout.splitlines())}


def family(name: str) -> str:
    return name.partition("-")[0]


def test_there_are_hundreds_of_them_and_no_two_are_the_same() -> None:
    texts, assessments = hostile_texts(), hostile_assessments()
    assert len(texts) >= 300
    assert len(assessments) >= 100
    for pairs in (texts, assessments):
        assert [name for name, times in Counter(name for name, _ in pairs).items() if times > 1] == []
    bodies = Counter(text for _, text in texts)
    assert [name for name, text in texts if bodies[text] > 1] == []


def every_one_is_loaded_or_refused_in_time_and_memory(found: Found) -> None:
    assert set(found) == {name for name, _ in hostile_texts()}
    assert {name: case for name, case in found.items() if case["outcome"] not in ("loaded", "refused")} == {}
    assert {name: case["seconds"] for name, case in found.items() if case["seconds"] > SECONDS} == {}


def what_must_be_refused_is_refused_and_what_is_odd_but_right_is_loaded(found: Found) -> None:
    loaded = {name for name, case in found.items() if case["outcome"] == "loaded"}
    assert {name for name in loaded if family(name) not in MAY_LOAD} == set()
    assert {name for name in found if family(name) == "harmless"} <= loaded


def a_refusal_is_a_short_plain_message(found: Found) -> None:
    refusals = {name: case for name, case in found.items() if case["outcome"] == "refused"}
    for name, case in refusals.items():
        first, *listed = case["message"].split("\n")
        assert first.startswith("the strategy: "), name
        assert listed, name
        assert all(line.startswith("  - ") and line.isprintable() for line in listed), (name, listed)
        assert len(case["message"]) <= LONGEST, name
        assert case["size"] <= 3 * LONGEST, name


@pytest.mark.process
def test_they_are_refused_plainly_and_quickly_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    found = loaded_in(folder)
    every_one_is_loaded_or_refused_in_time_and_memory(found)
    what_must_be_refused_is_refused_and_what_is_odd_but_right_is_loaded(found)
    a_refusal_is_a_short_plain_message(found)
    assert list(folder.parent.rglob(CANARY)) == []
