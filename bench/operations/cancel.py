"""How long a cancel takes, from the request to the answer with the final record and the process gone.

python -m bench.operations cancel --samples 500
"""

from __future__ import annotations

import os
import random
import signal
import time

from bench.operations.world import BUSY, JSON, World, database, quantiles, tell, world


def busy(samples: int, kind: str = "sqlite") -> JSON:
    """A torch training in the middle of its epochs."""
    with database(kind) as settings, world(checkpoint_seconds=3600, **settings) as here:
        return quantiles([one_training(here) for _ in range(samples)])


def one_training(here: World, *, stubborn: bool = False) -> float:
    """Start a training, wait until it works, cancel it."""
    operation_id = here.start("/trainings/start", BUSY)
    here.until(operation_id, lambda o: o["progress"]["context"].get("batch_number") is not None)
    (pid,) = [each["pid"] for each in here.runners() if each["operation_id"] == operation_id]
    time.sleep(random.uniform(0, 0.2))  # at any moment of an epoch, not always at the start of one
    if stubborn:
        os.kill(pid, signal.SIGSTOP)
    return cancel(here, operation_id, [pid])


def stubborn(samples: int) -> JSON:
    """A training whose process is frozen: it hears nothing and has to be killed."""
    with world(checkpoint_seconds=3600) as here:
        return quantiles([one_training(here, stubborn=True) for _ in range(samples)])


def tree(samples: int) -> JSON:
    """A research cycle whose design works."""
    taken = []
    with world(design_candidates=5000) as here:
        for _ in range(samples):
            taken.append(one_cycle(here))
    return quantiles(taken)


def one_cycle(here: World) -> float:
    """Start a cycle, wait until its design works, cancel it."""
    operation_id = here.start("/agent/trigger", {})
    here.until(operation_id, lambda o: "Candidate" in o["progress"]["current_step"])
    pids = [runner["pid"] for runner in here.runners() if "agent" in runner["operation_id"]]
    assert pids
    taken = cancel(here, operation_id, pids)
    children = here.client.get(f"/operations/{operation_id}/children").json()["data"]
    assert [child["status"] for child in children] == ["cancelled"], children
    return taken


def cancel(here: World, operation_id: str, pids: list[int]) -> float:
    """Cancel through HTTP; seconds to the answer, which must be the final record, its processes gone."""
    begun = time.perf_counter()
    response = here.client.post(f"/operations/{operation_id}/cancel")
    taken = time.perf_counter() - begun
    assert response.status_code == 200, response.text
    assert response.json()["data"]["status"] == "cancelled"
    for pid in pids:
        assert not os.path.exists(f"/proc/{pid}"), f"process {pid} is still there"
    return taken


def measure(samples: int) -> bool:
    """All of them, with as many samples each as their claims need."""
    answers = []
    for claim, limit, share, figures in (
        ("cancel of a training, SQLite", 150, 1.0, busy), ("cancel of a cycle and its design", 300, 0.6, tree),
        ("cancel of a frozen training", 300, 0.4, stubborn),
        ("cancel of a training, PostgreSQL", 500, 0.4, lambda n: busy(n, "postgresql")),
    ):  # fmt: skip
        found = figures(max(3, int(share * samples)))
        answers.append(tell(f"{claim}, ms, p99 < {limit}", found, found["p99"] < limit))
    return all(answers)
