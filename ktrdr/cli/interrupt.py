"""Ctrl+C, in one place."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType
from typing import Self


class Interrupt:
    """Ctrl+C as something to await. A second one ends the program; the handler of before is put back at the end.

    Python hands signals to the main thread alone: anywhere else this hears nothing and changes nothing.
    """

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._count = 0
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)

    async def pressed_before(self, work: asyncio.Task[object]) -> bool:
        """Wait for the work or for Ctrl+C; true where the keys came first."""
        waiting = asyncio.create_task(self._event.wait())
        try:
            await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return self._event.is_set() and not work.done()

    def _pressed(self, _signal: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._event.set)
