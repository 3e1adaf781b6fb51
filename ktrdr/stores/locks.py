"""One writer at a time: a lock on a file that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ktrdr.errors import Conflict

LOCK_SECONDS = 30.0
"""How long to wait for another writer."""


@contextmanager
def locked(file: Path, what: str, seconds: float = LOCK_SECONDS, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file alone, or `shared` with others who look; Conflict, which names the process, when somebody holds it for too long."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        give_up = time.monotonic() + seconds
        while not _try_lock(lock.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() > give_up:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                raise Conflict(
                    f"{what} is being written by process {owner}, for {seconds:g} s now",
                    hint="wait for that load to end, or cancel it, then load again",
                )
            time.sleep(0.02)  # flock cannot wait with a limit
        if not shared:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield


def _try_lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
