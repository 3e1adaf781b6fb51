"""Random `kill -9` of runners and backends: every operation still ends as one that nobody disturbed.

python -m bench.operations kill --samples 200
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.operations.world import ENDED, JSON, YEARS, World, tell, world

VICTIMS = ("runner", "backend", "both")
SETTINGS = {"checkpoint_seconds": 0, "max_attempts": 5}


@dataclass(frozen=True)
class Workload:
    """One kind of work: how it starts, and what must be the same at the end."""

    path: str
    body: Callable[[int], JSON]
    digest: Callable[[World, JSON], str]


def sha(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def files(folder: str, *names: str) -> bytes:
    return b"\0".join((Path(folder) / name).read_bytes() for name in names)


def of_training(here: World, record: JSON) -> str:
    result = record["result_summary"]
    return sha(files(result["model_path"], "model.safetensors", "manifest.json"), paid(here, record))


def of_backtest(here: World, record: JSON) -> str:
    result = record["result_summary"]
    written = [Path(result["files"][name]).read_bytes() for name in ("trades", "equity")]
    return sha(*written, json.dumps(result["metrics"], sort_keys=True).encode(), paid(here, record))


def of_load(here: World, record: JSON) -> str:
    symbol = record["metadata"]["symbol"]
    rows = here.client.get(f"/data/{symbol}/1h", params={"limit": 100_000}).raise_for_status().json()["data"]
    return sha(json.dumps(rows).encode())


def of_research(here: World, record: JSON) -> str:
    result = {
        name: value for name, value in record["result_summary"].items() if name not in ("files", "model_path", "training", "backtest")
    }
    metrics = (record["result_summary"]["backtest"] or {}).get("metrics")
    children = here.client.get(f"/operations/{record['operation_id']}/children").json()["data"]
    steps = [child["operation_type"] for child in children]
    return sha(json.dumps([result["verdict"], result["gates"], result["strategy_name"], metrics, steps], sort_keys=True).encode(),
               *(paid(here, child) for child in children))  # fmt: skip


def paid(here: World, record: JSON) -> bytes:
    """How many entries of the trial ledger an operation has made."""
    trials = here.client.get("/trials", params={"limit": 10_000}).json()["data"]
    return str(sum(trial["operation_id"] == record["operation_id"] for trial in trials)).encode()


DECADE = {"strategy_name": "momentum", "start_date": "2007-02-01", "end_date": "2018-12-01", "model_path": ""}
MADE = {"timeframe": "1h", "provider": "synthetic", "mode": "full", "start_date": "2000-01-01", "end_date": "2008-01-01"}
WORKLOADS = {
    "training": Workload("/trainings/start", lambda _: dict(YEARS), of_training),
    "backtesting": Workload("/backtests/start", lambda _: dict(DECADE), of_backtest),
    "data_load": Workload("/data/load", lambda n: {"symbol": f"MADE{n}", **MADE}, of_load),
    "agent_research": Workload("/agent/trigger", lambda _: {"tries": 3}, of_research),
}


def run(here: World, name: str, number: int, model_path: str) -> tuple[str, JSON]:
    """Start a workload."""
    body = WORKLOADS[name].body(number)
    if "model_path" in body:
        body["model_path"] = model_path
    operation_id = here.start(WORKLOADS[name].path, body)
    return operation_id, body


def strike(here: World, operation_id: str, victim: str) -> bool:
    """Kill; whether there was anything to kill."""
    if victim in ("runner", "both"):
        pids = [runner["pid"] for runner in here.runners() if runner["pid"]]
        for pid in pids:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if victim == "runner":
            return bool(pids)
    here.kill()
    here.up()
    return True


def measure(samples: int, seed: int = 7, names: tuple[str, ...] = tuple(WORKLOADS)) -> bool:
    """Disturb so many operations and compare each end with that of an undisturbed one."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    attempts = 0
    with world(**SETTINGS) as calm, world(**SETTINGS) as here:
        models = {}
        for place in (calm, here):
            operation_id, _ = run(place, "training", 0, "")
            models[place] = place.until(operation_id, lambda o: o["status"] in ENDED)["result_summary"]["model_path"]
        expected: dict[tuple[str, int], tuple[str, float]] = {}
        for turn in range(samples):
            name = names[turn % len(names)]
            number = turn if name == "data_load" else 0
            if (name, number) not in expected:
                operation_id, _ = run(calm, name, number, models[calm])
                record = calm.until(operation_id, lambda o: o["status"] in ENDED)
                expected[name, number] = (WORKLOADS[name].digest(calm, record), record["duration_seconds"])
            wanted, seconds = expected[name, number]
            operation_id, _ = run(here, name, number, models[here])
            time.sleep(chance.uniform(0, seconds))  # at any moment of the life that an undisturbed one has
            victim = chance.choice(VICTIMS)
            if strike(here, operation_id, victim):
                struck[victim] += 1
            record = here.until(operation_id, lambda o: o["status"] in ENDED)
            attempts += record["attempt"]
            same = WORKLOADS[name].digest(here, record) == wanted if record["result_summary"] else False
            outcomes[f"{name} {'same' if same else 'DIFFERENT'}"] += 1
            if not same:
                print(f"      {name} after the {victim} was killed: {record['status']}, {record['error_message']}", flush=True)
        figures = {
            "samples": samples,
            **dict(sorted(outcomes.items())),
            **{f"{v} killed": n for v, n in struck.items()},
            "attempts": attempts,
        }
    return tell("every killed operation ends as an undisturbed one", figures, not any("DIFFERENT" in name for name in outcomes))
