"""The engine of a cluster: Ray places a guardian for each attempt, an actor that outlives this process.

Ray holds nothing that matters: no queue, no retries, and whether an attempt lives its lease says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ktrdr.log import logger
from ktrdr.operations.channels import Channels
from ktrdr.operations.claims import Claim
from ktrdr.operations.engine import Draining, Room
from ktrdr.operations.fleet import Node
from ktrdr.operations.machines import ORDINARY, Machine, Use, best_for, next_for, parts_free
from ktrdr.operations.model import CPU, GPU, Signal
from ktrdr.settings import Resources

NAMESPACE = "ktrdr"
PREFIX = "op-"
FREED_SECONDS = 0.3
"""So long after an actor's end Ray may still count its resources as used."""
DOUBT_SECONDS = 120.0
"""By then a lease has decided what a machine that is silent was doing."""
Key = tuple[str, int]
log = logger(__name__)


class RayEngine:
    """Attempts on the nodes of a Ray cluster: what their type needs of one, and of a GPU if they were claimed for one."""

    outlives = True

    def __init__(
        self, actor: type, arguments: tuple[Any, ...], channels: Channels, on_end: Callable[[], None],
        draining: Draining, *, needs: Mapping[str, Resources],
    ) -> None:  # fmt: skip
        self._actor = ray.remote(max_restarts=0, max_task_retries=0)(actor)
        self._arguments = arguments
        """What every guardian is made with, beside its claim."""
        self._channels = channels
        self._on_end = on_end
        self._draining = draining
        self._watches: dict[Key, asyncio.Task[None]] = {}
        self._needs = needs
        """What an attempt of each type takes; nothing here if they all take the same."""
        self._kept: tuple[str, str] | None = None
        """A node, and the type that it is kept for."""
        self._hopeless: frozenset[str] = frozenset()
        """Types of which was said that no node would do for them."""
        self._used: dict[Key, Use] = {}
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
            here = [use for use in self._used.values() if use.node == id]
            cpus, gpus = has.get("CPU", 0.0), has.get("GPU", 0.0)
            found.append(Machine(
                id, named(node), node["NodeManagerAddress"], cpus, gpus,
                max(0.0, min(cpus - sum(use.cpus for use in here), free.get("CPU", 0.0))),
                max(0.0, min(gpus - sum(use.gpus for use in here), free.get("GPU", 0.0))),
                parts_free(int(gpus), here), node.get("Labels") or {},
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

    async def places(self) -> list[str]:
        """`cpu`, and before it `gpu` where a node has one."""
        return [GPU, CPU] if any(m.gpus for m in await self._open()) else [CPU]

    async def room(self, place: str, turn: str | None) -> Room:
        """How many attempts Ray can place now: all of them if they take the same, else one after the other."""
        machines, gpu = await self._open(), place == GPU
        if not self._needs:
            return Room(sum(m.room(ORDINARY, gpu=gpu) for m in machines))
        self._kept = self._keep(machines, turn, gpu=gpu) if turn else None
        fit = {name for name, wanted in self._needs.items() if any(m.room(wanted, gpu=gpu) for m in self._fair(machines, name))}
        never = frozenset(name for name, wanted in self._needs.items() if not any(m.could(wanted, gpu=gpu) for m in machines))
        if not gpu:
            never = self._hopeless = self._said(never, turn)
        return Room(min(1, len(fit)), frozenset(self._needs) - fit, never)

    def _keep(self, machines: list[Machine], turn: str, *, gpu: bool) -> tuple[str, str] | None:
        """The machine that others leave to the type whose turn it is, for that fits nowhere now: the one that will soonest have room."""
        wanted = self._needs.get(turn, ORDINARY)
        if any(m.room(wanted, gpu=gpu) for m in machines):
            return None
        soonest = next_for(machines, wanted, gpu=gpu)
        return (soonest.id, turn) if soonest else None

    def _said(self, never: frozenset[str], turn: str | None) -> frozenset[str]:
        """Of the types that no node would do for those of which one has been in the queue: that is said, once."""
        if turn in never and turn not in self._hopeless:
            log.warning("no node has what an operation needs", operation_type=turn, **self._needs[turn].model_dump(mode="json"))
            return (self._hopeless & never) | {turn}
        return self._hopeless & never

    def _fair(self, machines: list[Machine], name: str) -> list[Machine]:
        """The machines that are not kept for another type."""
        return [m for m in machines if self._kept is None or self._kept[0] != m.id or self._kept[1] == name]

    # --- attempts

    async def launch(self, claim: Claim) -> None:
        """Have Ray start a guardian on the node with most room; of nodes with GPUs only those that need one get one."""
        key = claim.operation.operation_id, claim.operation.attempt
        name, gpu = claim.operation.operation_type, claim.place == GPU
        wanted = self._needs.get(name, ORDINARY)
        gpus = wanted.gpus if gpu else 0.0
        machines = await self._open()
        best = best_for(self._fair(machines, name), wanted, gpu=gpu) or next_for(machines, wanted, gpu=gpu)
        if best is None:  # the only node has left since it was claimed
            self._ended(key, certain=True)
            return
        create = self._actor.options(
            name=name_of(key), namespace=NAMESPACE, lifetime="detached", num_cpus=wanted.cpus, num_gpus=gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(best.id, soft=False),
        )  # fmt: skip
        self._used[key] = Use(best.id, wanted.cpus, gpus)
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
                gone = handle.run.remote()  # does nothing if it runs
                self._used[key] = Use(*await handle.place.remote())
                await gone
            except ActorUnavailableError:
                await asyncio.sleep(1)  # Ray is not sure; nor are we
                continue
            except RayError as error:
                log.debug("guardian gone", operation_id=key[0], attempt=key[1], reason=str(error))
            break
        nodes = await asyncio.to_thread(ray.nodes)
        there = {node["NodeID"] for node in nodes if node["Alive"]}
        self._ended(key, certain=key in self._used and self._used[key].node in there)

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
