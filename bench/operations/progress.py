"""How long news of a runner takes to a follower, and that followers miss nothing.

python -m bench.operations progress
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import httpx

from bench.operations.world import JSON, World, quantiles, tell, world


def events(here: World, operation_id: str, last: str | None = None) -> Iterator[tuple[int, JSON, float]]:
    """Number, record and time of arrival of each event."""
    headers = {"Last-Event-ID": last} if last else {}
    client = httpx.Client(base_url=here.client.base_url, timeout=60, trust_env=False)
    with client, client.stream("GET", f"/operations/{operation_id}/events", headers=headers) as response:
        number = 0
        for line in response.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                yield number, json.loads(line[6:]), time.time()


def lag(here: World, seconds: float) -> list[float]:
    """Seconds from a step's end to its arrival: the dummy's steps end at known times."""
    iterations = int(seconds * 10)
    operation_id = here.start("/dummy/start", {"duration": seconds, "iterations": iterations})
    found, first = [], None
    for _, record, arrived in events(here, operation_id):
        done = record["progress"]["steps_completed"]
        if record["status"] == "running" and done:
            due = arrived - done * seconds / iterations
            first = due if first is None else min(first, due)
            found.append(due)
    assert first is not None
    return [due - first for due in found]


def started_to_shown(here: World, samples: int) -> list[float]:
    """Seconds from the end of a short operation, as its row has it, to the terminal event."""
    found = []
    for _ in range(samples):
        operation_id = here.start("/dummy/start", {"duration": 0.2, "iterations": 2})
        for _, record, arrived in events(here, operation_id):
            if record["completed_at"]:
                found.append(arrived - datetime.fromisoformat(record["completed_at"]).timestamp())
    return found


def many(here: World, followers: int, seconds: float) -> int:
    """How many of so many followers saw numbers without order, or no end; each reconnects once on its way."""
    operation_id = here.start("/dummy/start", {"duration": seconds, "iterations": int(seconds * 10)})
    wrong: list[str] = []

    def follow() -> None:
        last, ended, steps = 0, False, 0
        while not ended:
            for count, (number, record, _) in enumerate(events(here, operation_id, str(last) if last else None)):
                if number <= last:
                    wrong.append(f"{number} after {last}")
                last, steps, ended = number, record["progress"]["steps_completed"] or 0, record["status"] == "completed"
                if count == 5 and not ended:
                    break  # away for a moment, then back with the last number heard
        if steps != int(seconds * 10):
            wrong.append(f"ended at step {steps}")

    threads = [threading.Thread(target=follow) for _ in range(followers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return len(wrong) + sum(thread.is_alive() for thread in threads)


def measure(samples: int = 100, followers: int = 50) -> bool:
    """Lag of progress and of the end with one follower; order and completeness with many."""
    with world() as here:
        progress, ends, wrong = (
            quantiles(lag(here, samples / 10)),
            quantiles(started_to_shown(here, max(3, samples // 4))),
            many(here, followers, 4),
        )
    return all([
        tell("progress from runner to follower beyond the quickest, ms, p99 < 50", progress, progress["p99"] < 50),
        tell("end of the row to the terminal event, ms, p99 < 50", ends, ends["p99"] < 50),
        tell("followers that reconnect and miss something", {"followers": followers, "wrong": wrong}, wrong == 0),
    ])  # fmt: skip
