"""Takes operations from the queue when an engine has room, keeps leases, and takes lost attempts back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from ktrdr.errors import LostOwnership
from ktrdr.log import logger
from ktrdr.operations.engine import Engine
from ktrdr.operations.events import Hub
from ktrdr.operations.store import Store
from ktrdr.settings import Settings

TICK_SECONDS = 1.0
"""The queue is looked at so often even when nobody says that it has changed."""
log = logger(__name__)


class Dispatcher:
    """The one that claims; there is one per database."""

    def __init__(self, store: Store, engine: Engine, hub: Hub, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._hub = hub
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """The queue or the room in the engine has changed."""
        self._woken.set()

    async def start(self) -> None:
        """Take back what an earlier backend left behind, then begin to claim."""
        await self._take_back(expired_only=False, reason="the backend ended while it ran")
        self._tasks = [
            asyncio.create_task(self._claim_for_ever(), name="claims"),
            asyncio.create_task(self._renew_for_ever(), name="leases"),
        ]

    async def stop(self) -> None:
        """Claim nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim_for_ever(self) -> None:
        while True:
            self._woken.clear()
            for profile, free in self._engine.capacity().items():
                if free > 0:
                    for claim in await self._store.claim(profile, free, self._lease):
                        await self._engine.launch(claim)
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):  # wait_for can swallow a cancel that comes at the same moment
                    await self._woken.wait()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_seconds)
            await self._store.renew(self._engine.running(), self._lease)
            await self._take_back(expired_only=True, reason=f"nobody renewed its lease for {self._settings.lease_seconds:.0f} s")

    async def _take_back(self, *, expired_only: bool, reason: str) -> None:
        for operation_id, attempt in await self._store.leased(expired_only=expired_only):
            try:
                operation = await self._store.lose(operation_id, attempt, reason, self._settings.max_attempts)
            except LostOwnership:
                continue  # it ended in the same moment
            log.warning("attempt lost", operation_id=operation_id, attempt=attempt, reason=reason, status=operation.status)
            self._hub.publish(operation)
