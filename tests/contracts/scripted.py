"""Runners that do what a few lines of Python say; as a module, started in place of `ktrdr.worker`, they are found in the home."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from ktrdr.operations.devices import Gpu
from ktrdr.operations.launch import Runner

SCRIPT = "runner.py"
# Where a script sleeps for a minute, it stays until somebody ends it: leaving by itself would be another case.
PRELUDE = """
import json, os, signal, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[-1]))
lines = channel.makefile("rb")
operation = json.loads(lines.readline())["operation"]
def say(**message): channel.sendall(json.dumps(message).encode() + b"\\n")
def progress(n): say(type="progress", progress={"percentage": n % 100, "current_step": f"step {n}"})
def end(): say(type="end", status="completed", result={"attempt": operation["attempt"]}, error=None)
"""


@dataclass(frozen=True)
class ScriptLauncher:
    """Starts such runners on this machine."""

    script: str

    async def launch(self, profile: str, gpu: Gpu | None = None) -> Runner:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PRELUDE + self.script, str(theirs.fileno()), pass_fds=(theirs.fileno(),), start_new_session=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        return Runner(process.pid, ours, asyncio.ensure_future(process.wait()))

    def drop(self, profile: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is kept."""


if __name__ == "__main__":
    with open(os.path.join(os.environ["KTRDR_HOME"], SCRIPT), encoding="utf-8") as lines:
        exec(compile(PRELUDE + lines.read(), SCRIPT, "exec"))
