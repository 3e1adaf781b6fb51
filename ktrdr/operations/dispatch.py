"""Takes operations from the queue when an engine has room, keeps leases, and takes lost attempts back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from ktrdr.errors import LostOwnership, Unavailable
from ktrdr.log import logger
from ktrdr.operations.engine import Engine
from ktrdr.operations.events import Hub
from ktrdr.operations.model import GPU
from ktrdr.operations.store import Store
from ktrdr.settings import Settings

TICK_SECONDS = 1.0
"""The queue is looked at so often even when nobody says that it has changed."""
log = logger(__name__)


class Dispatcher:
    """Takes from the queue, as long as no other backend of this database does."""

    def __init__(self, store: Store, engine: Engine, hub: Hub, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._hub = hub
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._owner = f"{socket.gethostname()}:{settings.home.absolute()}"
        """A home has one backend, so whoever starts as this owner knows that its earlier attempts have nobody."""
        self._lead = store.lead()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._claiming = asyncio.Lock()
        self.draining = False
        """Whether it claims nothing; another backend of this database may."""

    def wake(self) -> None:
        """The queue or the room in the engine has changed."""
        self._woken.set()

    async def drain(self) -> list[tuple[str, int]]:
        """Claim nothing more, and ask what runs to give its place back; which attempts were asked."""
        self.draining = True
        async with self._claiming:  # what is being claimed at this moment is asked too
            told = list(self._engine.running())
            for attempt in told:
                self._engine.signal(*attempt, "drain")
        return told

    def undrain(self) -> None:
        """Claim again."""
        self.draining = False
        self.wake()

    @property
    def alive(self) -> bool:
        """Whether it does its work."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def start(self) -> None:
        """Take back what an earlier backend left behind, then begin to claim."""
        await self._take_back(await self._store.leased(self._owner), "the backend ended while it ran")
        self._tasks = [
            asyncio.create_task(self._again_and_again(self._claim, self._until_woken), name="claims"),
            asyncio.create_task(self._again_and_again(self._renew, self._until_due), name="leases"),
        ]

    async def stop(self) -> None:
        """Claim nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lead.release()

    async def _again_and_again(self, work: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Unavailable as error:
                log.warning("waiting for the database", reason=error.message)
            await pause()

    async def _until_woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):  # wait_for can swallow a cancel that comes at the same moment
                await self._woken.wait()

    async def _until_due(self) -> None:
        await asyncio.sleep(self._settings.renew_seconds)

    async def _claim(self) -> None:
        self._woken.clear()
        for attempt in await self._store.to_be_cancelled():
            self._engine.signal(*attempt, "cancel")  # asked for through another backend; of others' attempts the engine knows nothing
        async with self._claiming:
            if self.draining:
                await self._lead.release()
            elif await self._lead.held():
                await self._fill()

    async def _fill(self) -> None:
        """Claim what there is room for."""
        room = self._settings.running_limit - len(self._engine.running()) if self._settings.running_limit else None
        capacity = self._engine.capacity()
        gpu_wait = timedelta(seconds=self._settings.gpu_wait_seconds if GPU in capacity else 0)
        for place, free in capacity.items():
            most = free if room is None else min(free, room)
            if most <= 0:
                continue
            for claim in await self._store.claim(place, most, self._lease, self._owner, self._settings.running_limits, gpu_wait):
                await self._engine.launch(claim)
                room = None if room is None else room - 1

    async def _renew(self) -> None:
        await self._store.renew(self._engine.running(), self._lease)
        reason = f"nobody renewed its lease for {self._settings.lease_seconds:.0f} s"
        await self._take_back(await self._store.leased(), reason)

    async def _take_back(self, attempts: list[tuple[str, int]], reason: str) -> None:
        for operation_id, attempt in attempts:
            try:
                operation = await self._store.lose(operation_id, attempt, reason, self._settings.max_attempts)
            except LostOwnership:
                continue  # it ended in the same moment
            log.warning("attempt lost", operation_id=operation_id, attempt=attempt, reason=reason, status=operation.status)
            self._hub.publish(operation)
