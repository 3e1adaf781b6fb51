"""`ktrdr dispatcher`, where a cluster cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.process
WELL = {
    "KTRDR_ENGINE": "ray", "KTRDR_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none", "RAY_ADDRESS": "127.0.0.1:6379",
    "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32,
}  # fmt: skip
WRONG = [
    ({"KTRDR_ENGINE": "local"}, "KTRDR_ENGINE is local", "set KTRDR_ENGINE=ray"),
    ({"KTRDR_DATABASE_URL": "sqlite+aiosqlite:///x.db"}, "PostgreSQL", "KTRDR_DATABASE_URL"),
    ({"KTRDR_ENGINE": "rey"}, "KTRDR_ENGINE cannot be 'rey'", "ktrdr config"),
    ({"KTRDR_NEEDS": '{"trainings": {"cpus": 2}}'}, "KTRDR_NEEDS names 'trainings', which is no type of operation", "training"),
    ({"RAY_ADDRESS": ""}, "RAY_ADDRESS", "10.0.0.5:6379"),
    ({"RAY_ADDRESS": "auto"}, "RAY_ADDRESS", "10.0.0.5:6379"),
    ({"RAY_AUTH_MODE": ""}, "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=token"),
]


def asked(**given: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "ktrdr.cli", "dispatcher"]
    return subprocess.run(words, env={**os.environ, **WELL, **given}, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("given", "why", "hint"), WRONG)
def test_it_says_what_is_wrong_and_what_to_do(given: dict[str, str], why: str, hint: str) -> None:
    done = asked(**given)
    if find_spec("ray") is None and "KTRDR_ENGINE" not in given:
        why, hint = "needs the package ray", "pip install 'ktrdr[cluster]'"
    assert done.returncode == 1
    error, told = done.stderr.strip().splitlines()[-2:]
    assert error.startswith("Error: ")
    assert why in error, done.stderr
    assert told.startswith("Hint: ")
    assert hint in told, done.stderr
