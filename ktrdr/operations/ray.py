"""The engine of a cluster: Ray places a guardian for each attempt, an actor that outlives this process.

Ray holds nothing that matters: no queue, no retries, and whether an attempt lives its lease says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ktrdr.log import logger
from ktrdr.operations.channels import Channels
from ktrdr.operations.claims import Claim
from ktrdr.operations.engine import Draining
from ktrdr.operations.fleet import Node
from ktrdr.operations.model import CPU, GPU, Signal

NAMESPACE = "ktrdr"
PREFIX = "op-"
FREED_SECONDS = 0.3
"""So long after an actor's end Ray may still count its resources as used."""
DOUBT_SECONDS = 120.0
"""By then a lease has decided what a machine that is silent was doing."""
Key = tuple[str, int]
log = logger(__name__)


@dataclass(frozen=True)
class Machine:
    """A node that Ray says is there, with whole places."""

    id: str
    name: str
    address: str
    cpus: int
    gpus: int
    cpus_free: int
    gpus_free: int
    labels: Mapping[str, str]


class RayEngine:
    """Attempts on the nodes of a Ray cluster: one CPU each, and a GPU for those that were claimed for one."""

    outlives = True

    def __init__(
        self, actor: type, arguments: tuple[Any, ...], channels: Channels, on_end: Callable[[], None],
        draining: Draining,
    ) -> None:  # fmt: skip
        self._actor = ray.remote(max_restarts=0, max_task_retries=0)(actor)
        self._arguments = arguments
        """What every guardian is made with, beside its claim."""
        self._channels = channels
        self._on_end = on_end
        self._draining = draining
        self._watches: dict[Key, asyncio.Task[None]] = {}
        self._used: dict[Key, tuple[str, int]] = {}
        """The node of an attempt, and how many GPUs it has."""
        self._dead: dict[Key, tuple[bool, float]] = {}

    # --- where

    async def machines(self) -> list[Machine]:
        """The nodes that are there, and what they have free: what Ray says, less what it does not know of yet."""
        nodes, available = await asyncio.to_thread(lambda: (ray.nodes(), available_by_node()))
        found = []
        for node in nodes:
            if not node["Alive"]:
                continue
            id, has, free = node["NodeID"], node["Resources"], available.get(node["NodeID"], {})
            mine = [gpus for where, gpus in self._used.values() if where == id]
            cpus, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
            found.append(Machine(
                id, named(node), node["NodeManagerAddress"], cpus, gpus,
                max(0, min(cpus - len(mine), int(free.get("CPU", 0)))), max(0, min(gpus - sum(mine), int(free.get("GPU", 0)))),
                node.get("Labels") or {},
            ))  # fmt: skip
        return found

    async def _open(self) -> list[Machine]:
        """The nodes that take attempts."""
        machines, closed = await self.machines(), await self._draining()
        return [machine for machine in machines if machine.name not in closed]

    async def nodes(self) -> list[Node]:
        """The nodes that are there, as others are told of them."""
        return [
            Node(m.name, m.address, "ray", m.cpus, m.gpus, m.cpus_free, m.gpus_free, dict(m.labels)) for m in await self.machines()
        ]  # fmt: skip

    async def capacity(self) -> dict[str, int]:
        """How many attempts Ray can place now, with a GPU and without."""
        machines = await self._open()
        gpus = {GPU: sum(min(m.cpus_free, m.gpus_free) for m in machines)} if any(m.gpus for m in machines) else {}
        return gpus | {CPU: sum(m.cpus_free for m in machines)}

    # --- attempts

    async def launch(self, claim: Claim) -> None:
        """Have Ray start a guardian on the node with most room; of nodes with GPUs only those that need one get one."""
        key = claim.operation.operation_id, claim.operation.attempt
        gpus = int(claim.place == GPU)
        fitting = [m for m in await self._open() if m.cpus_free and m.gpus_free >= gpus]
        best = max(fitting, key=lambda m: (not m.gpus or bool(gpus), m.cpus_free, m.name), default=None)
        where = NodeAffinitySchedulingStrategy(best.id, soft=False) if best else "DEFAULT"
        create = self._actor.options(
            name=name_of(key), namespace=NAMESPACE, lifetime="detached", num_cpus=1, num_gpus=gpus, scheduling_strategy=where
        )
        if best:
            self._used[key] = best.id, gpus
        try:
            handle = await asyncio.to_thread(partial(create.remote, claim, *self._arguments))
        except (RayError, ValueError) as error:  # ValueError: there is one of this name
            log.warning("no guardian was started", operation_id=key[0], attempt=key[1], reason=str(error))
            self._ended(key, certain=True)
            return
        self._watch(key, handle)

    async def running(self) -> list[Key]:
        """The attempts that have a guardian; those that another dispatcher started are watched from now on."""
        names = await asyncio.to_thread(ray.util.list_named_actors)
        for key in {key_of(name) for name in names if name.startswith(PREFIX)} - set(self._watches) - set(self._dead):
            try:
                handle = await asyncio.to_thread(ray.get_actor, name_of(key), namespace=NAMESPACE)
            except ValueError:
                continue  # it has left
            log.info("guardian adopted", operation_id=key[0], attempt=key[1])
            self._watch(key, handle)
        return list(self._watches)

    def _watch(self, key: Key, handle: Any) -> None:
        self._watches[key] = asyncio.create_task(self._until_gone(key, handle), name=f"watch of {name_of(key)}")

    async def _until_gone(self, key: Key, handle: Any) -> None:
        """Stay until Ray says that a guardian is gone: quicker than its lease, and never in its stead."""
        while True:
            try:
                if key not in self._used:
                    self._used[key] = await handle.place.remote()
                await handle.run.remote()  # does nothing if it runs
            except ActorUnavailableError:
                await asyncio.sleep(1)  # Ray is not sure; nor are we
                continue
            except RayError as error:
                log.debug("guardian gone", operation_id=key[0], attempt=key[1], reason=str(error))
            break
        nodes = await asyncio.to_thread(ray.nodes)
        there = {node["NodeID"] for node in nodes if node["Alive"]}
        self._ended(key, certain=key in self._used and self._used[key][0] in there)

    def _ended(self, key: Key, *, certain: bool) -> None:
        self._watches.pop(key, None)
        self._used.pop(key, None)
        self._dead[key] = certain, time.monotonic()
        self._on_end()
        asyncio.get_running_loop().call_later(FREED_SECONDS, self._on_end)

    async def dead(self) -> dict[Key, bool]:
        """Guardians that are gone, and whether their node lives, which makes it certain; the certain ones are told of once."""
        found = {key: certain for key, (certain, _) in self._dead.items()}
        old = time.monotonic() - DOUBT_SECONDS
        self._dead = {key: (certain, since) for key, (certain, since) in self._dead.items() if not certain and since > old}
        return found

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell a guardian, which listens to PostgreSQL and not to us."""
        self._channels.signal(operation_id, attempt, signal)
        return True

    def abandon(self, operation_id: str, attempt: int) -> None:
        """End what is left of a guardian."""
        key = operation_id, attempt
        self._dead.pop(key, None)
        self._used.pop(key, None)
        watch = self._watches.pop(key, None)
        if watch:
            watch.cancel()
            asyncio.get_running_loop().run_in_executor(None, end, name_of(key))

    async def close(self) -> None:
        """Watch no longer; what runs goes on."""
        for watch in self._watches.values():
            watch.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)


def end(name: str) -> None:
    """Kill an actor, if there is one of this name; one on a silent node ends when that is heard of again."""
    try:
        ray.kill(ray.get_actor(name, namespace=NAMESPACE))
    except ValueError:
        return  # it has left
    except RayError as error:
        log.warning("a guardian could not be ended", actor=name, reason=str(error))


def available_by_node() -> dict[str, dict[str, float]]:
    """What is free on each node, by its id."""
    from ray._private.state import available_resources_per_node  # Ray has no public way to ask for this

    found: dict[str, dict[str, float]] = available_resources_per_node()
    return found


def named(node: Mapping[str, Any]) -> str:
    """The name a node was started with; else its address and the beginning of its id, for a machine may have several."""
    name, address = str(node["NodeName"]), str(node["NodeManagerAddress"])
    return name if name != address else f"{address}-{node['NodeID'][:6]}"


def name_of(key: Key) -> str:
    """What the guardian of an attempt is called."""
    return f"{PREFIX}{key[0]}-{key[1]}"


def key_of(name: str) -> Key:
    """The attempt that a guardian's name stands for."""
    operation_id, _, attempt = name.removeprefix(PREFIX).rpartition("-")
    return operation_id, int(attempt)
