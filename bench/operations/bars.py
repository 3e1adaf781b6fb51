"""Random `kill -9` of loads of bars: no torn file, no lost bar, and the same load again completes; two at once end with both's bars.

python -m bench.operations bars --samples 200
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.operations.world import tell
from ktrdr.kinds.data_load import DataLoad
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.operations.model import Operation
from ktrdr.providers.base import PROVIDERS
from ktrdr.settings import Settings
from ktrdr.stores import atomic
from ktrdr.stores.bars import BarStore
from ktrdr.workspace import open_workspace

SIZE = Timeframe("15m")
SYMBOL = "MADEUSDT"
FIRST, LAST = 2010, 2014
"""A load of so many years stores a file for each."""


class Told:
    """A guardian's end of the pipe that writes down which part a load is at."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def send(self, message: Any) -> None:
        done = message.get("progress", {}).get("steps_completed")
        if done is not None:
            os.write(self._pipe, bytes([done]))

    def ask(self, message: Any) -> None: ...

    def interruption(self) -> None: ...


def load(home: Path, first: int, last: int, pipe: int, mode: str) -> None:
    """Load [first, last) year by year, in this process."""
    workspace = open_workspace(Settings(home=home, ledger=home / "trials.sqlite"))
    kind = DataLoad(
        symbol=SYMBOL, timeframe=SIZE.name, provider="synthetic", mode=mode, start_date=f"{first}-01-01", end_date=f"{last}-01-01"
    ).prepare(workspace)  # fmt: skip
    operation = Operation(operation_id=f"op_data_load_{os.getpid()}", operation_type="data_load", created_at=datetime.now(UTC))
    kind.run(Job(operation, Told(pipe)), workspace)


@contextmanager
def loading(home: Path, first: int = FIRST, last: int = LAST, mode: str = "full") -> Iterator[tuple[int, int]]:
    """A load in a process of its own: its id, and the end of the pipe at which it tells how far it is."""
    listen, speak = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            load(home, first, last, speak, mode)
            code = 0
        finally:
            os._exit(code)
    os.close(speak)
    try:
        yield child, listen
    finally:
        os.close(listen)


def expected() -> Bars:
    """What an undisturbed load stores."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (FIRST, LAST))
    return PROVIDERS.get("synthetic")().fetch(SYMBOL, SIZE, start=start, end=end, on_progress=lambda _: None)


def wrong(home: Path, whole: Bars, parts_done: int) -> str | None:
    """What is not as it must be after a load was killed with so many parts stored; runs in a process of its own."""
    store = BarStore(home / "bars")
    found = store.stored(SYMBOL, SIZE, "synthetic")
    bars = store.read(SYMBOL, SIZE) if found else whole.rows(slice(0, 0))  # a torn file is an error
    if found and found.bars != len(bars):
        return "the catalogue counts other bars than there are"
    if not np.all(np.isin(bars.time, whole.time)):
        return "a bar is there that was never loaded"
    at = np.searchsorted(whole.time, bars.time)
    if not all(np.array_equal(getattr(bars, name), getattr(whole, name)[at]) for name in COLUMNS):
        return "a bar has other values"
    stored_before = datetime(FIRST + parts_done, 1, 1, tzinfo=UTC)
    if not np.all(np.isin(whole.between(None, stored_before).time, bars.time)):
        return f"bars of the {parts_done} parts that were told of as stored are gone"
    return None


def in_child(work: Any) -> str | None:
    """The answer of a function that runs in a process of its own, so that this one stays fit to fork."""
    listen, speak = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(speak, (work() or "right").encode()[:4000])
        except BaseException as failure:  # whatever it is, the parent must hear of it: this process leaves by _exit
            os.write(speak, f"{type(failure).__name__}: {failure}".encode()[:4000])
        finally:
            os._exit(0)
    os.close(speak)
    with os.fdopen(listen, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return None if said == "right" else said or "the process died"


def again(home: Path, whole: Bars) -> str | None:
    """The same load once more: it completes, and leaves nothing unfinished."""
    load(home, FIRST, LAST, os.open(os.devnull, os.O_WRONLY), "full")
    store = BarStore(home / "bars")
    if store.read(SYMBOL, SIZE).digest() != whole.digest():
        return "the same load again does not complete the series"
    if store.revisions(SYMBOL, SIZE, "synthetic"):
        return "a revision is on record that was none"
    return "an unfinished file is left" if list(store.folder(SYMBOL, SIZE, "synthetic").path.glob(f"{atomic.PREFIX}*")) else None


def strike(chance: random.Random, whole: Bars, seconds: float) -> tuple[str, bool]:
    """Kill one load at a random moment: what is wrong then or after the same load again, and whether it was still running."""
    home = Path(tempfile.mkdtemp(prefix="ktrdr-bars-"))
    try:
        with loading(home) as (child, listen):
            time.sleep(chance.uniform(0, seconds))  # any instant of the load
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            parts = list(os.read(listen, 4096))
        fault = in_child(lambda: wrong(home, whole, max(parts, default=0))) or in_child(lambda: again(home, whole))
        return fault or "right", os.WIFSIGNALED(status)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def both(whole: Bars) -> str | None:
    """Two loads of one series at once, which overlap: it ends with the bars of both."""
    home = Path(tempfile.mkdtemp(prefix="ktrdr-bars-"))
    middle = (FIRST + LAST) // 2
    try:
        with loading(home, FIRST, middle + 1) as (one, _), loading(home, middle - 1, LAST) as (other, _):
            statuses = [os.waitpid(child, 0)[1] for child in (one, other)]
        if any(statuses):
            return f"a load ended with {statuses}"
        return in_child(lambda: None if BarStore(home / "bars").read(SYMBOL, SIZE).digest() == whole.digest() else "bars are lost")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(samples: int, seed: int = 7) -> bool:
    """Kill so many loads, and let a tenth as many run two at a time."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    chance, whole = random.Random(seed), expected()
    home = Path(tempfile.mkdtemp(prefix="ktrdr-bars-"))
    begun = time.monotonic()
    with loading(home) as (child, _):
        assert os.waitpid(child, 0)[1] == 0
    seconds = time.monotonic() - begun
    shutil.rmtree(home)
    found, running = Counter[str](), 0
    for _ in range(samples):
        fault, was_running = strike(chance, whole, seconds)
        found[fault] += 1
        running += was_running
    pairs = Counter(both(whole) or "right" for _ in range(max(1, samples // 10)))
    figures = {"samples": samples, "killed while running": running, **found, "pairs": sum(pairs.values()), "pairs right": pairs["right"]}
    return tell(
        "a load that is killed tears and loses nothing, and completes", figures,
        found["right"] == samples and pairs["right"] == sum(pairs.values()),
    )  # fmt: skip
