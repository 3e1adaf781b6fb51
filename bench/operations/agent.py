"""The research agent against a local provider: its runners killed, its cycles cancelled, its designs mended.

python -m bench.operations agent --samples 100
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bench.operations.world import ENDED, JSON, World, quantiles, tell, world
from tests.wire.asked import Asked
from tests.wire.dialogue import Texts, honest
from tests.wire.faults import PERSONAS
from tests.wire.messages import Wire
from tests.wire.reply import Answer
from tests.wire.texts import MISTAKES, momentum

GOAL = {"brief": "find a momentum edge in SPY on 1d bars", "designer": "claude"}
LENIENT = {
    "gate_min_accuracy": 0, "gate_max_loss": 9, "gate_min_loss_decrease": -9, "gate_min_win_rate": 0, "gate_max_drawdown": 1,
    "gate_min_sharpe": -99, "budget_day_usd": 10_000, "budget_day_tokens": 10**10,
}  # fmt: skip
NUMBERS = itertools.count(1)


def quick(asked: Asked) -> str:
    """A strategy that is trained in a second, each time another one."""
    text = momentum(asked).replace("epochs: 20", "epochs: 1").replace("batch_size: 256", "batch_size: 2048")
    return text.replace("confidence_threshold: 0.5", "confidence_threshold: 0.0")


def slow(asked: Asked) -> str:
    """A strategy that is trained for a minute."""
    return momentum(asked).replace("epochs: 20", "epochs: 5000")


@contextmanager
def agent(persona: str, wire: Wire, **settings: object) -> Iterator[World]:
    """A backend whose language model is a persona."""
    address = wire.url(persona, f"bench-{next(NUMBERS)}")
    os.environ |= {"ANTHROPIC_API_KEY": "a key for benchmarks", "ANTHROPIC_BASE_URL": address}
    with world(**LENIENT, **settings) as here:
        yield here


def runner(here: World, kind: str) -> int | None:
    return next((each["pid"] for each in here.runners() if kind in each["operation_id"] and each["pid"]), None)


def kills(samples: int) -> bool:
    """Kill the runner of design or assessment at a random moment; nothing answered is asked again, and the end is the same."""
    ends: Counter[str] = Counter()
    twice = 0
    chance = random.Random(5)
    with Wire(Texts(strategy=quick)) as wire, agent("late:0.15", wire, max_attempts=9) as here:
        for number in range(samples):
            before = len(wire.records)
            operation_id = here.start("/agent/trigger", GOAL)
            kind = "agent_design" if number % 2 else "agent_assessment"
            while (pid := runner(here, kind)) is None and here.get(operation_id)["status"] not in ENDED:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 1.5 if number % 2 else 1.0))  # any instant of the attempt
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    ends["already gone"] += 1
            record = here.until(operation_id, lambda o: o["status"] in ENDED)
            ends[f"{record['status']} {(record['result_summary'] or {}).get('verdict')}"] += 1
            answered = Counter(each.body_hash for each in wire.records[before:] if each.whole)
            twice += sum(count - 1 for count in answered.values())
    good = ends["completed mediocre"] == samples and twice == 0
    return tell("kill -9 of design and assessment: answers asked for again", {"samples": samples, "twice": twice, **ends}, good)


def cancels(samples: int) -> bool:
    """Cancel in every phase and in the middle of an answer: the time to the final record, the connection closed."""
    held = []
    phases = {
        "designing, no answer yet": ("hang", "designing", quick), "designing, in mid-stream": ("slow_stream", "designing", quick),
        "training": ("honest", "training", slow), "assessing": ("judge_hangs", "assessing", quick),
    }  # fmt: skip
    for name, (persona, phase, text) in phases.items():
        taken, after = [], 0
        with Wire(Texts(strategy=text)) as wire:
            wire.personas["judge_hangs"] = judge_hangs
            with agent(persona, wire) as here:
                for _ in range(max(3, samples // len(phases))):
                    taken.append(one(here, wire, phase))
                    seen = len(wire.records)
                    time.sleep(0.05)  # long enough for a request that should not come
                    after += len(wire.records) - seen
        figures = {**quantiles(taken), "requests afterwards": after}
        held.append(tell(f"cancel while {name}, ms, p99 < 500", figures, figures["p99"] < 500 and after == 0))
    return all(held)


def one(here: World, wire: Wire, phase: str) -> float:
    operation_id = here.start("/agent/trigger", GOAL)
    asking = phase != "training"
    before = len(wire.records)
    here.until(operation_id, lambda o: o["metadata"]["phase"] == phase and bool(here.runners()))
    if asking:
        while len(wire.records) == before or wire.records[-1].ended_at is not None:
            time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))  # any instant of the phase
    begun = time.perf_counter()
    response = here.client.delete("/agent/cancel")
    taken = time.perf_counter() - begun
    assert response.json()["success"], response.text
    records: list[JSON] = [here.get(operation_id), *here.client.get(f"/operations/{operation_id}/children").json()["data"]]
    assert {each["status"] for each in records} <= {"cancelled", "completed"}, records
    assert records[0]["status"] == "cancelled"
    deadline = time.monotonic() + 2
    while asking and not wire.records[-1].settled:
        assert time.monotonic() < deadline, "the connection is still open"
        time.sleep(0.002)
    return taken


def judge_hangs(asked: Asked, texts: Texts) -> Answer:
    """Designs honestly, and never judges."""
    return (PERSONAS["hang"] if "save_assessment" in asked.tools else honest)(asked, texts)


def dialogues(samples: int) -> bool:
    """Designs that begin with a mistake: how many are valid after at most one repair."""
    valid = 0
    kinds = [None, *MISTAKES]
    with Wire(Texts(strategy=quick)) as wire:
        for number in range(samples):
            mistake = kinds[number % len(kinds)]
            with agent(f"repairs_once:{mistake}" if mistake else "honest", wire) as here:
                operation_id = here.start("/agent/trigger", GOAL)
                record = here.until(operation_id, lambda o: o["metadata"]["phase"] != "designing" or o["status"] in ENDED)
                valid += record["metadata"]["phase"] != "designing"
                if record["status"] not in ENDED:
                    here.client.delete("/agent/cancel")
    return tell(
        "designs that are valid after at most one repair, at least 95 %", {"samples": samples, "valid": valid}, valid >= 0.95 * samples
    )


def measure(samples: int) -> bool:
    """All of them, with as many samples each as their claims need."""
    return all([kills(samples), cancels(2 * samples), dialogues(max(6, int(0.4 * samples)))])
