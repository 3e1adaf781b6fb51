"""The local backend as the command line starts, shares and stops it: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def begin(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ktrdr.cli", *words], env={**os.environ, **environment}, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ktrdr(*words: str, code: int = 0, **environment: str) -> tuple[str, str]:
    process = begin(*words, **environment)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code, out + errors
    return out, errors


@pytest.fixture
def home(own_home: Path) -> Iterator[Path]:
    yield own_home
    ktrdr("down")


def test_commands_at_the_same_time_start_one_backend_and_share_it(home: Path) -> None:
    together = [begin("ops") for _ in range(3)]
    ended = [process.communicate(timeout=60) for process in together]
    assert [process.returncode for process in together] == [0, 0, 0], ended
    assert all(out == "No operations found\n" for out, _ in ended)
    assert sum("Starting the local backend" in errors for _, errors in ended) == 1
    found = json.loads(ktrdr("up", "--json")[0])
    assert found["pid"] == json.loads((home / "backend.json").read_text(encoding="utf-8"))["pid"]
    assert ktrdr("down")[0] == f"The backend has stopped (process {found['pid']})\n"
    assert ktrdr("down")[0] == "No local backend is running\n"


def test_starting_ends_also_where_the_output_goes_into_a_pipe(home: Path) -> None:
    """The backend holds neither end of it: what reads the pipe sees its end when the command ends."""
    with begin("ops") as process:
        assert process.stdout
        assert process.stdout.read() == "No operations found\n"
        assert process.wait(timeout=5) == 0


def test_a_backend_that_cannot_start_says_why(home: Path) -> None:
    _, errors = ktrdr("ops", code=1, KTRDR_DATABASE_URL="nonsense://")
    assert "Error: the local backend did not start: " in errors
    assert "Hint: such as postgresql://user@host/ktrdr; " in errors
    assert f"; the whole log: {home}/logs/backend.log" in errors
