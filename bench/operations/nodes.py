"""A Ray cluster on this machine: a head without places and nodes with declared ones, every process of it known and ended."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "KTRDR_TEST_NODE"
TUNED = {
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3", "RAY_worker_niceness": "0",
}  # fmt: skip
OBJECTS = 80_000_000
GUARDIAN = "ray::Attempt"
TRIES = 4
JOIN_SECONDS = 90


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """A head and its nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = secrets.token_hex(6)
        self.port = free_port()
        self.token = secrets.token_hex(32)
        self.host = "127.0.0.1"
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._given: dict[str, tuple[int, int, str]] = {}

    @property
    def address(self) -> str:
        """What RAY_ADDRESS says."""
        return f"{self.host}:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        """What a process needs in its environment to join."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_ADDRESS": self.address}

    def _environment(self, name: str) -> dict[str, str]:
        left_out = ("KTRDR_", "RAY_", "CUDA_VISIBLE", "OTEL_", "PYTEST_")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        own = {
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            MARK: f"{self.mark}-{name}",
            "NUMBA_CACHE_DIR": str(self.folder / "numba"),
        }
        return {**clean, **TUNED, **own, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def _start(self, name: str, *words: str) -> None:
        """Start Ray's processes and wait until it says that they run; on a busy machine this may need several tries."""
        ray = Path(sys.executable).with_name("ray")
        for _ in range(TRIES):
            log = (self.folder / f"{name}.log").open("ab")
            self._started[name] = process = subprocess.Popen(
                [str(ray), "start", "--block", "--disable-usage-stats", "--object-store-memory", str(OBJECTS), *words],
                env=self._environment(name), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            begun, offset = time.monotonic(), log.tell()
            log.close()
            while process.poll() is None and time.monotonic() - begun < JOIN_SECONDS:
                if b"Ray runtime started" in (self.folder / f"{name}.log").read_bytes()[offset:]:
                    return
                time.sleep(0.1)  # what it prints is all that says so
            self.end(name)
        raise TimeoutError((self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-3000:])

    def start_head(self) -> None:
        """The head, which runs no operations."""
        self._start(
            "head", "--head", "--port", str(self.port), "--node-ip-address", self.host, "--num-cpus", "0", "--num-gpus", "0",
            "--node-name", "head", "--include-dashboard", "false", "--temp-dir", str(self.folder / "ray"),
        )  # fmt: skip

    def start_node(self, name: str, cpus: int = 2, gpus: int = 0, labels: str = "") -> None:
        """A node that declares so many cores and GPUs, and labels such as `zone=a,disk=fast`."""
        self._given[name] = cpus, gpus, labels
        self._start(
            name, "--address", self.address, "--node-ip-address", self.host, "--num-cpus", str(cpus), "--num-gpus", str(gpus),
            "--node-name", name, *(["--labels", labels] if labels else []),
        )  # fmt: skip

    def again(self, name: str) -> None:
        """A node or the head that was ended starts anew."""
        self.end(name)
        if name == "head":
            self.start_head()
        else:
            self.start_node(name, *self._given[name])

    def processes(self, name: str, part: str = "") -> list[int]:
        """What belongs to a node, runners included; of it those whose command line holds a word."""
        wanted = f"{MARK}={self.mark}-{name}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    state = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
                    mine = wanted in (folder / "environ").read_bytes().split(b"\0")
                    if mine and state != "Z" and part.encode() in (folder / "cmdline").read_bytes():
                        found.append(int(folder.name))
        return found

    def signal(self, name: str, number: signal.Signals, part: str = "") -> None:
        """Send a signal to all of a node's processes, or to those whose command line holds a word."""
        for pid in self.processes(name, part):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def guardians(self) -> list[int]:
        """The actors that watch over attempts."""
        return [pid for name in self._given for pid in self.processes(name, GUARDIAN)]

    def end_guardians(self) -> None:
        """Kill all of them; their runners leave."""
        while found := self.guardians():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)  # one that was just being started is found the next time

    def end(self, name: str) -> None:
        """Kill whatever there is of a node."""
        while self.processes(name):
            self.signal(name, signal.SIGKILL)
            time.sleep(0.02)  # as above
        if name in self._started:
            self._started.pop(name).wait()


@contextmanager
def nodes(**cpus: int) -> Iterator[Nodes]:
    """A cluster with nodes of these names and cores, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kr", dir="/tmp"))  # short: Ray puts sockets below it
    made = Nodes(folder)
    try:
        made.start_head()
        for name, number in cpus.items():
            made.start_node(name, number)
        yield made
    finally:
        for name in [*cpus, "head"]:
            made.end(name)
        shutil.rmtree(folder, ignore_errors=True)
