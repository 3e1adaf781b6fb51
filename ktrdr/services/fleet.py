"""Where operations run: the places of this machine or of a cluster, what runs in them, and emptying them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from ktrdr.errors import Invalid
from ktrdr.operations.claims import Placed
from ktrdr.operations.dispatch import Dispatcher
from ktrdr.operations.engine import Reach, Slot
from ktrdr.operations.fleet import Fleet, Node, Whole
from ktrdr.operations.model import CPU, GPU
from ktrdr.operations.store import Store

UNPLACED = "unplaced"
LEFT_SECONDS = 2.0
"""So long an answer waits for what was asked to leave."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Places:
    """Where operations can run."""

    engine: str
    draining: bool
    """Whether nothing new is taken anywhere."""
    slots: Sequence[Slot]
    nodes: Sequence[Node] = field(default_factory=list)
    dispatcher: str = "ok"
    """`ok`, or why nothing is taken from the queue."""


@dataclass(frozen=True)
class Drained:
    """What a request to drain, or to undo that, met."""

    draining: bool
    nodes: Sequence[str]
    told: Sequence[str]
    """Operations that were asked to give their place back."""
    left: Sequence[str]
    """Those of them that have."""


class FleetService(Protocol):
    """What can be asked of places, wherever they are."""

    async def places(self) -> Places:
        """Every place, and what runs there."""

    async def drain(self, node: str | None) -> Drained:
        """Take nothing new, and ask what runs to keep what it has and go back to the queue."""

    async def undrain(self, node: str | None) -> Drained:
        """Take operations again."""


class ThisMachine:
    """The places of this machine."""

    def __init__(self, engine: Reach, dispatcher: Dispatcher) -> None:
        self._engine = engine
        self._dispatcher = dispatcher

    async def places(self) -> Places:
        """Every place, and what runs there."""
        stopped = await self._dispatcher.wrong() or "ok"
        return Places("local", self._dispatcher.draining, await self._engine.slots(), dispatcher=stopped)

    async def drain(self, node: str | None) -> Drained:
        """Take nothing new, and ask what runs to keep what it has and go back to the queue."""
        self._here(node)
        told = await self._dispatcher.drain()
        left: list[str] = []

        async def leaves(operation_id: str, attempt: int) -> None:
            await self._engine.gone(operation_id, attempt)
            left.append(operation_id)

        with suppress(TimeoutError):
            async with asyncio.timeout(LEFT_SECONDS):
                await asyncio.gather(*(leaves(*attempt) for attempt in told))
        return Drained(draining=True, nodes=[], told=[operation_id for operation_id, _ in told], left=left)

    async def undrain(self, node: str | None) -> Drained:
        """Take operations again."""
        self._here(node)
        self._dispatcher.undrain()
        return Drained(draining=False, nodes=[], told=[], left=[])

    def _here(self, node: str | None) -> None:
        if node is not None:
            hint = "ktrdr drain, without a name, empties it"
            raise Invalid(f"there is no node {node!r}: operations run on this machine alone", hint=hint)


class ManyMachines:
    """The machines of a cluster."""

    def __init__(self, store: Store, engine: Reach) -> None:
        self._store = store
        self._fleet: Fleet = store.fleet()
        self._engine = engine

    async def places(self) -> Places:
        """Every place of every machine, and what runs there."""
        whole, nodes, running = await self._fleet.whole(), await self._fleet.nodes(), await self._store.placed()
        return Places("ray", whole.draining, cluster_slots(nodes, running), nodes, dispatcher_of(whole))

    async def drain(self, node: str | None) -> Drained:
        """Let a machine take nothing new, or all of them, and ask what runs there to keep what it has and go back to the queue."""
        names = [marked.name for marked in await self._fleet.drain(node)]
        told = [(row.operation_id, row.attempt) for row in await self._store.placed() if node is None or row.node == node]
        for attempt in told:
            self._engine.signal(*attempt, "drain")
        staying = set(told)
        for _ in range(round(LEFT_SECONDS / LOOK_SECONDS)):
            if not staying:
                break
            await asyncio.sleep(LOOK_SECONDS)
            staying &= {(row.operation_id, row.attempt) for row in await self._store.placed()}
        left = [operation_id for operation_id, attempt in told if (operation_id, attempt) not in staying]
        return Drained(draining=True, nodes=names, told=[operation_id for operation_id, _ in told], left=left)

    async def undrain(self, node: str | None) -> Drained:
        """Let a machine take operations again, or all of them."""
        names = [marked.name for marked in await self._fleet.undrain(node)]
        return Drained(draining=False, nodes=names, told=[], left=[])


def dispatcher_of(whole: Whole) -> str:
    """Whether a dispatcher takes operations from the queue."""
    if not whole.silent:
        return "ok"
    if whole.reported_at is None:
        return "none has ever been there: ktrdr dispatcher starts one"
    return f"silent for {(datetime.now(UTC) - whole.reported_at).total_seconds():,.0f} s: nothing new starts, what runs goes on"


def cluster_slots(nodes: Iterable[Node], running: Iterable[Placed]) -> list[Slot]:
    """Every place by machine: first what runs there, then its free GPUs and whole CPUs; last what has no machine yet, or a silent one."""
    left = list(running)
    places: list[Slot] = []
    for node in nodes:
        here = [row for row in left if row.node == node.name]
        left = [row for row in left if row.node != node.name]
        free = [GPU] * int(node.gpus_free) + [CPU] * int(node.cpus_free)
        places += [_taken(f"{node.name}-{number}", row) for number, row in enumerate(here, 1)]
        places += [Slot(f"{node.name}-{number}", place, node=node.name) for number, place in enumerate(free, len(here) + 1)]
    return places + [_taken(f"{row.node or UNPLACED}-{number}", row) for number, row in enumerate(left, 1)]


def _taken(worker: str, row: Placed) -> Slot:
    return Slot(worker, GPU if row.device else row.profile, row.operation_id, row.attempt, row.pid, row.device, row.node)
