"""Processes that wait at a start line, so that they do what they do at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

Process = subprocess.Popen[str]
Launch = Callable[..., Process]
CEILING = 60.0
"""Seconds after which such a process is lost."""


@contextmanager
def racers() -> Iterator[Launch]:
    """Starts processes by script, arguments and environment (this one's unless given); none outlives the block."""
    with ExitStack() as processes:

        def launch(script: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Process:
            pipe, words = subprocess.PIPE, [sys.executable, "-c", script, *map(str, arguments)]
            process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
            processes.enter_context(process)
            processes.callback(process.kill)
            assert process.stdout
            assert process.stdout.readline() == "ready\n", process.communicate()
            return process

        yield launch


def go(*processes: Process) -> list[str]:
    """Let them all run, and give what they print."""
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = []
    for process in processes:
        out, error = process.communicate(timeout=CEILING)
        assert process.returncode == 0, error
        said.append(out)
    return said
