"""Starting runner processes: forked from a preloaded server where the system can, else started afresh."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from ktrdr.errors import Unavailable
from ktrdr.log import logger
from ktrdr.operations.devices import Gpu

READY_SECONDS = 60.0
LEAVE_SECONDS = 1.0
log = logger(__name__)


@dataclass(eq=False)
class Runner:
    """A runner process, and our end of the socket to it."""

    pid: int
    channel: socket.socket
    gone: asyncio.Future[int] = field(repr=False)
    """Its exit status, negative for a signal, once the process is gone."""

    def kill(self) -> None:
        """End the whole process group at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it left by itself


class Launcher(Protocol):
    """Starts runners of a profile."""

    async def launch(self, profile: str, gpu: Gpu | None = None) -> Runner:
        """Start a runner that waits for its first message; it sees this GPU or none."""

    def drop(self, profile: str) -> None:
        """Let go of what was preloaded for a profile; it comes back with the next launch."""

    async def close(self) -> None:
        """Let go of what was preloaded."""


class SpawnLauncher:
    """A fresh interpreter for each runner, which is that much nicer to others than this process."""

    def __init__(self, environment: dict[str, str], module: str = "ktrdr.worker", nicer: int = 0) -> None:
        self._environment = environment
        self._module = module
        self._nicer = nicer

    async def launch(self, profile: str, gpu: Gpu | None = None) -> Runner:
        """Start an interpreter with the runner's end of a socket."""
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, "--runner", str(theirs.fileno()), pass_fds=(theirs.fileno(),),
            start_new_session=True, stdin=subprocess.DEVNULL, env={**self._environment, "CUDA_VISIBLE_DEVICES": gpu.id if gpu else ""},
        )  # fmt: skip
        theirs.close()
        if self._nicer:
            with suppress(ProcessLookupError):  # it has left already
                os.setpriority(os.PRIO_PGRP, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + self._nicer))
        return Runner(process.pid, ours, asyncio.ensure_future(process.wait()))

    def drop(self, profile: str) -> None:
        """Nothing is kept between two launches."""

    async def close(self) -> None:
        """Nothing is kept between two launches."""


class Zygote:
    """A process that has loaded what runners of a profile need, and forks one when asked."""

    def __init__(self, profile: str, environment: dict[str, str]) -> None:
        self.profile = profile
        self._runners: dict[int, asyncio.Future[int]] = {}
        self._asked: asyncio.Queue[asyncio.Future[tuple[int, asyncio.Future[int]]]] = asyncio.Queue()
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ktrdr.worker", "--zygote", profile, str(theirs.fileno())], pass_fds=(theirs.fileno(),),
            start_new_session=True, stdin=subprocess.DEVNULL, env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        theirs.close()
        self._loop.add_reader(self._control.fileno(), self._hear)

    @property
    def alive(self) -> bool:
        """Whether it can still fork."""
        return self.process.poll() is None

    async def fork(self) -> Runner:
        """A new runner."""
        await asyncio.wait_for(asyncio.shield(self.ready), READY_SECONDS)
        async with self._lock:
            ours, theirs = socket.socketpair()
            born: asyncio.Future[tuple[int, asyncio.Future[int]]] = self._loop.create_future()
            self._asked.put_nowait(born)
            try:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
                pid, gone = await born
            finally:
                theirs.close()
                if not born.done() or born.cancelled() or born.exception():
                    ours.close()
        return Runner(pid, ours, gone)

    def _hear(self) -> None:
        try:
            packet = self._control.recv(4096)
        except BlockingIOError:
            return
        if not packet:
            self._lost()
            return
        said = json.loads(packet)
        match said["type"]:
            case "ready":
                self.ready.set_result(None)
            case "born":
                gone = self._runners[said["pid"]] = self._loop.create_future()
                asked = self._asked.get_nowait()
                if not asked.cancelled():  # else nobody wants it any more; it leaves when its socket is closed
                    asked.set_result((said["pid"], gone))
            case "gone":
                self._runners.pop(said["pid"]).set_result(said["status"])

    def _lost(self) -> None:
        """The zygote is gone; so are its runners, as far as we can tell, for they hear the end of their own sockets."""
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        error = Unavailable(f"the {self.profile} fork server ended unexpectedly", hint="the backend's log tells why")
        waiting = [self._asked.get_nowait() for _ in range(self._asked.qsize())]
        if not self.ready.done():
            self.ready.set_exception(error)
        for born in waiting:
            if not born.done():
                born.set_exception(error)
        for pid, gone in self._runners.items():
            Runner(pid, self._control, gone).kill()
            gone.set_result(-signal.SIGKILL)
        self._runners.clear()

    def close(self) -> None:
        """Let it leave: it does when its socket closes, unless it is still loading."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
        try:
            self.process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class ForkLauncher:
    """One preloaded fork server per profile, started when first needed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._zygotes: dict[str, Zygote] = {}

    async def launch(self, profile: str, gpu: Gpu | None = None) -> Runner:
        """Fork a runner, starting the server first if there is none; a fork cannot use a GPU, so with one it is started afresh."""
        if gpu is not None:
            return await SpawnLauncher(self._environment).launch(profile, gpu)
        zygote = self._zygotes.get(profile)
        if zygote is None or not zygote.alive:
            zygote = self._zygotes[profile] = Zygote(profile, self._environment)
            log.info("fork server started", profile=profile, pid=zygote.process.pid)
        return await zygote.fork()

    def drop(self, profile: str) -> None:
        """End the server of a profile, for its memory."""
        zygote = self._zygotes.pop(profile, None)
        if zygote is not None:
            zygote.close()

    async def close(self) -> None:
        """End all servers."""
        for profile in list(self._zygotes):
            self.drop(profile)


def suitable_launcher(environment: dict[str, str]) -> Launcher:
    """The launcher that suits this system: forking is safe on Linux only."""
    return ForkLauncher(environment) if sys.platform == "linux" else SpawnLauncher(environment)
