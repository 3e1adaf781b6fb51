"""Ctrl+C at a terminal on everything that is followed: how soon the request leaves, how it ends, and what is left.

python -m bench.operations interrupt --samples 100
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

from bench.operations.terminal import Terminal
from bench.operations.world import ENDED, YEARS, World, quantiles, slow_strategy, tell, world

FOLLOWED = {
    "train": ("train", "slow.yaml", "--start", "2008-01-01", "--end", "2016-01-01", "--follow"),
    "backtest": ("backtest", "momentum", "--start", "2007-02-01", "--end", "2018-12-01", "--follow"),
    "research": ("research", "momentum in EURUSD", "--tries", "5000", "--follow"),
    "data load": ("data", "load", "MADE", "--timeframe", "1m", "--mode", "full", "--provider", "synthetic", "--start", "1990-01-01",
                  "--end", "2020-01-01"),
    "dummy": ("dummy", "start", "--duration", "60", "--iterations", "600"),
    "resume": ("resume", "OPERATION", "--follow"),
}  # fmt: skip


def one(here: World, words: tuple[str, ...]) -> tuple[float, int, str]:
    """Seconds from the key to the word that the request has left, the exit code, and the status of the operation."""
    terminal = Terminal(here.folder, here.environment, *words)
    terminal.until("Status: running")
    time.sleep(random.uniform(0, 0.2))  # at any moment, not always right after a line
    begun = time.perf_counter()
    terminal.press_ctrl_c()
    terminal.until("ancellation sent")
    taken = time.perf_counter() - begun
    code = terminal.end()
    newest = here.client.get("/operations", params={"limit": 1}).json()["data"][0]
    return taken, code, newest["status"]


def press(samples: int) -> tuple[list[float], Counter[str]]:
    """How long it took, and how it ended; an operation that ended before the key was pressed is started again."""
    names = tuple(FOLLOWED)
    taken: list[float] = []
    ends: Counter[str] = Counter()
    with world(checkpoint_seconds=0) as here:
        here.environment["KTRDR_API_URL"] = str(here.client.base_url)
        slow_strategy(here.folder)
        here.until(here.start("/trainings/start", dict(YEARS)), lambda o: o["status"] in ENDED)
        words = FOLLOWED["train"][:-1]
        kept = Terminal(here.folder, here.environment, *words)
        assert kept.end() == 0, kept.seen
        stopped = here.client.get("/operations", params={"limit": 1}).json()["data"][0]["operation_id"]
        here.until(stopped, lambda o: o["checkpoint"] is not None)
        here.client.post(f"/operations/{stopped}/cancel").raise_for_status()
        for turn in range(samples):
            name = names[turn % len(names)]
            while True:
                try:
                    seconds, code, status = one(here, tuple(stopped if word == "OPERATION" else word for word in FOLLOWED[name]))
                    break
                except AssertionError as quick:
                    if "completed" not in str(quick):
                        raise
                    ends["too quick to be stopped"] += 1
            taken.append(seconds)
            ends["exit 130, cancelled" if (code, status) == (130, "cancelled") else f"{name}: exit {code}, {status}"] += 1
            left = [worker["pid"] for worker in here.runners() if worker["pid"] and os.path.exists(f"/proc/{worker['pid']}")]
            if left:
                ends[f"{name}: runner left"] += 1
    return taken, ends


def measure(samples: int) -> bool:
    """So many times in all."""
    taken, ends = press(samples)
    found = quantiles(taken)
    good = set(ends) <= {"exit 130, cancelled", "too quick to be stopped"}
    return all([
        tell("Ctrl+C: key to the word that the cancel was sent, ms, p99 < 300", found, found["p99"] < 300),
        tell("Ctrl+C: how it ended", dict(ends), good),
    ])  # fmt: skip
