"""The product as a user meets it: the real command, the real backend, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.operations.world import slow_strategy

pytestmark = pytest.mark.process
ENDED = {"completed", "failed", "cancelled"}


@dataclass
class User:
    """Somebody at a terminal with a home of their own."""

    home: Path
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {"KTRDR_HOME": str(self.home), "KTRDR_LEDGER": str(self.home.parent / "trials.sqlite"), "KTRDR_PORT": "0", "COLUMNS": "80"}
        dropped = {"KTRDR_API_URL", "KTRDR_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"}
        return {**{k: v for k, v in os.environ.items() if k not in dropped}, **own, **self.extra}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ktrdr.cli", *arguments], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str, code: int | tuple[int, ...] = 0, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"ktrdr {' '.join(arguments)} did not end in {timeout} s\n{out}\n{err}") from None
        codes = code if isinstance(code, tuple) else (code,)
        assert process.returncode in codes, f"ktrdr {' '.join(arguments)} ended with {process.returncode}\n{out}\n{err}\n{self.log()}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str, code: int | tuple[int, ...] = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def lines(self, *arguments: str, code: int | tuple[int, ...] = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).stdout.splitlines()]

    def backend(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "backend.json").read_text(encoding="utf-8"))
        return found

    def log(self) -> str:
        path = self.home / "logs" / "backend.log"
        return path.read_text(encoding="utf-8")[-3000:] if path.exists() else "(no log)"

    def wait(self, operation_id: str, until: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Ask for an operation by the command, which starts a backend where there is none, then look until it is as wanted."""
        operation: dict[str, Any] = self.json("status", operation_id)
        return operation if until(operation) else self.catch(operation_id, until, seconds, pause=0.1)

    def record(self, operation_id: str) -> dict[str, Any]:
        """An operation, asked for over HTTP: quicker than a command."""
        with urllib.request.urlopen(f"{self.backend()['url']}/api/v1/operations/{operation_id}", timeout=30) as response:
            found: dict[str, Any] = json.load(response)["data"]
        return found

    def cancel(self, operation_id: str) -> dict[str, Any]:
        """Cancel over HTTP, for what is over soon; the record in the answer."""
        url = f"{self.backend()['url']}/api/v1/operations/{operation_id}"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30) as response:
            found: dict[str, Any] = json.load(response)["data"]
        return found

    def catch(
        self, operation_id: str, until: Callable[[dict[str, Any]], bool], seconds: float = 60, pause: float = 0.01
    ) -> dict[str, Any]:  # fmt: skip
        """Look very often until an operation is as wanted, for what is over soon."""
        deadline = time.monotonic() + seconds
        while not until(operation := self.record(operation_id)):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain; last seen: {operation}\n{self.log()}"
            time.sleep(pause)
        return operation

    def slow_strategy(self, epochs: int = 60) -> str:
        """The file of a strategy that trains for a while on any machine."""
        return str(slow_strategy(self.folder, epochs))

    def kill_backend(self) -> None:
        os.kill(self.backend()["pid"], signal.SIGKILL)


@contextmanager
def somebody(folder: Path) -> Iterator[User]:
    """A user with a home and a folder of their own, whose backend is stopped in the end."""
    work = folder / "work"
    work.mkdir(parents=True)
    one = User(folder / "home", work)
    yield one
    subprocess.run([sys.executable, "-m", "ktrdr.cli", "down"], env=one.environment, cwd=work, capture_output=True, timeout=60, check=False)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with somebody(tmp_path) as one:
        yield one


@pytest.fixture
def another_user(tmp_path: Path) -> Iterator[User]:
    with somebody(tmp_path / "elsewhere") as one:
        yield one


@pytest.fixture(scope="module")
def regular(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody whose backend runs already, for tests that leave it as they find it."""
    with somebody(tmp_path_factory.mktemp("regular")) as one:
        yield one
