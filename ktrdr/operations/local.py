"""The engine of one machine: attempts are child processes, their guardians tasks of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ktrdr.operations.attend import attend
from ktrdr.operations.claims import Claim
from ktrdr.operations.devices import Gpu
from ktrdr.operations.engine import Room, Slot
from ktrdr.operations.fleet import Node
from ktrdr.operations.guardian import Doors, Guardian
from ktrdr.operations.launch import Launcher
from ktrdr.operations.model import GPU, Signal

DRAIN_SECONDS = 10.0


class LocalEngine:
    """Attempts on this machine, in a fixed number of slots per profile and one for each GPU."""

    outlives = far = False

    def __init__(
        self, slots: dict[str, int], launcher: Launcher, doors: Doors, on_end: Callable[[], None], *,
        gpus: Sequence[Gpu] = (), idle_seconds: float = 600.0,
    ) -> None:  # fmt: skip
        self._slots = ({GPU: len(gpus)} if gpus else {}) | slots
        self._gpus = gpus
        self._given: dict[tuple[str, int], Gpu] = {}
        self._launcher = launcher
        self._doors = doors
        self._on_end = on_end
        """Called whenever a slot is free again."""
        self._guardians: dict[tuple[str, int], Guardian] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._places: dict[tuple[str, int], str] = {}
        self._given_up: set[tuple[str, int]] = set()
        self._idle_seconds = idle_seconds
        self._dropping: dict[str, asyncio.TimerHandle] = {}

    async def places(self) -> list[str]:
        """The sorts of slots."""
        return list(self._slots)

    async def room(self, place: str, turn: str | None) -> Room:
        """How many slots of a sort are free."""
        return Room(self._slots[place] - list(self._places.values()).count(place))

    async def nodes(self) -> list[Node]:
        """None but this one."""
        return []

    async def launch(self, claim: Claim) -> None:
        """Start an attempt and its guardian."""
        key = claim.operation.operation_id, claim.operation.attempt
        self._places[key] = claim.place
        if claim.place == GPU:
            self._given[key] = next(gpu for gpu in self._gpus if gpu not in self._given.values())
        self._tasks[key] = asyncio.create_task(self._run(key, claim), name=f"guardian of {key[0]} attempt {key[1]}")

    async def _run(self, key: tuple[str, int], claim: Claim) -> None:
        def begun(guardian: Guardian) -> None:
            self._guardians[key] = guardian

        try:
            await attend(claim, self._launcher.launch(claim.profile, self._given.get(key)), self._doors, begun)
        finally:
            self._guardians.pop(key, None)
            self._places.pop(key, None)
            self._given.pop(key, None)
            self._tasks.pop(key, None)
            self._given_up.discard(key)
            self._drop_later(claim.profile)
            self._on_end()

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell an attempt to stop or to give its slot back."""
        guardian = self._guardians.get((operation_id, attempt))
        if guardian is None:
            return self._stop_launch((operation_id, attempt))
        if signal == "cancel":
            guardian.cancel()
        else:
            guardian.drain(DRAIN_SECONDS)
        return True

    def _stop_launch(self, key: tuple[str, int]) -> bool:
        """Give up an attempt that has no process yet; once, for its end is being written then."""
        launching = self._tasks.get(key)
        if launching is not None and key not in self._given_up:
            self._given_up.add(key)
            launching.cancel()
        return launching is not None

    async def gone(self, operation_id: str, attempt: int) -> None:
        """Return when an attempt has left."""
        task = self._tasks.get((operation_id, attempt))
        if task is not None:
            await asyncio.wait([task])

    async def running(self) -> list[tuple[str, int]]:
        """The attempts that hold a slot."""
        return list(self._places)

    async def dead(self) -> dict[tuple[str, int], bool]:
        """None: guardians are tasks of this process."""
        return {}

    async def slots(self) -> list[Slot]:
        """Every slot, with what runs in it."""
        found = []
        for place, most in self._slots.items():
            holders: list[tuple[str, int] | None] = [key for key, its in self._places.items() if its == place]
            if place == GPU:
                having = {gpu: key for key, gpu in self._given.items()}
                holders = [having.get(gpu) for gpu in self._gpus]
            for number in range(most):
                key = holders[number] if number < len(holders) else None
                guardian = self._guardians.get(key) if key else None
                pid, gpu = guardian.pid if guardian else None, self._gpus[number].name if place == GPU else None
                operation_id, attempt = key or (None, None)
                found.append(Slot(f"local-{place}-{number + 1}", place, operation_id, attempt, pid, gpu))
        return found

    def abandon(self, operation_id: str, attempt: int) -> None:
        """It ends when its guardian next writes, and learns that it is another's."""

    async def wrong(self) -> str | None:
        """What keeps it from running anything."""
        return None if self._slots else "it has no places"

    async def close(self) -> None:
        """Drain all attempts; what stays longer is killed, and goes on from its checkpoint another time."""
        for dropping in self._dropping.values():
            dropping.cancel()
        for key in list(self._places):
            self.signal(*key, "drain")
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=DRAIN_SECONDS + 5)
        await self._launcher.close()

    def _drop_later(self, profile: str) -> None:
        """Free the memory of a preloaded process after a while without work for it."""
        before = self._dropping.pop(profile, None)
        if before:
            before.cancel()
        self._dropping[profile] = asyncio.get_running_loop().call_later(self._idle_seconds, self._drop, profile)

    def _drop(self, profile: str) -> None:
        if profile not in self._places.values():
            self._launcher.drop(profile)
