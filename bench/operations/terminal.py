"""A command at a terminal of its own, for what only happens there: Ctrl+C."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path


class Terminal:
    """One run of `ktrdr` at a pseudo-terminal."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *words: str) -> None:
        self.process, self._screen = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, "-m", "ktrdr.cli", *words], {**environment, "TERM": "xterm"})
        self.seen = ""

    def until(self, text: str, seconds: float = 60) -> None:
        """Read the screen until this stands on it; AssertionError if it never does."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(0.1), f"it ended without {text!r}:\n{self.seen}"

    def press_ctrl_c(self) -> None:
        """What the terminal sends when somebody presses it."""
        os.write(self._screen, b"\x03")

    def end(self, seconds: float = 20) -> int:
        """The exit code once the command has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.05)
            pid, status = os.waitpid(self.process, os.WNOHANG)
            if pid:
                self._read(0)
                os.close(self._screen)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.process, signal.SIGKILL)
        raise AssertionError(f"it did not end:\n{self.seen}")

    def _read(self, seconds: float) -> bool:
        """Take what has been written since; False when nobody will write any more."""
        if select.select([self._screen], [], [], seconds)[0]:
            try:
                self.seen += os.read(self._screen, 65_536).decode(errors="replace")
            except OSError:
                return False
        return True
