"""How soon a backend answers that a command has to start first, and how much memory an idle one holds.

python -m bench.operations start
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.operations.listing import resident
from bench.operations.world import quantiles, tell, world


def cold(samples: int) -> list[float]:
    """Seconds of `ktrdr ops` in an empty home."""
    taken = []
    for _ in range(samples):
        with tempfile.TemporaryDirectory(prefix="ktrdr-bench-") as folder:
            own = {"KTRDR_HOME": f"{folder}/home", "KTRDR_LEDGER": f"{folder}/trials.sqlite", "KTRDR_PORT": "0"}
            command = [sys.executable, "-m", "ktrdr.cli"]
            begun = time.perf_counter()
            subprocess.run([*command, "ops"], env={**os.environ, **own}, check=True, capture_output=True)
            taken.append(time.perf_counter() - begun)
            subprocess.run([*command, "down"], env={**os.environ, **own}, check=True, capture_output=True)
    return taken


def idle() -> float:
    """Memory of a backend and all its processes, MB, after a training whose preloaded process has been dropped."""
    with world(preload_minutes=0.02) as here:
        operation_id = here.start("/trainings/start", {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-06-01"})
        here.until(operation_id, lambda o: o["status"] == "completed")
        deadline = time.monotonic() + 30
        while here.processes():  # the preloaded ones leave when they have been idle
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert here.process
        return sum(proportional(pid) for pid in [here.process.pid, *here.processes()])


def proportional(pid: int) -> float:
    """Memory of a process, pages shared with others counted in part, MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resident(pid)
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def measure(samples: int = 10) -> bool:
    """Both."""
    started, held = quantiles(cold(samples)), round(idle(), 1)
    return all([
        tell("cold start by a command to its answer, ms, p50 < 2500", started, started["p50"] < 2500),
        tell("idle backend, MB, < 120", {"memory_mb": held}, held < 120),
    ])  # fmt: skip
