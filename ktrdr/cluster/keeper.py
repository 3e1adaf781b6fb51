"""Keeps the lease of one attempt by itself, and passes on to its guardian what it is told over PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ktrdr.errors import LostOwnership, Unavailable
from ktrdr.log import logger
from ktrdr.operations.guardian import Guardian
from ktrdr.operations.store import Store
from ktrdr.settings import Settings

DRAIN_SECONDS = 30.0
"""Time a runner has to keep what it has and leave."""
AGAIN_SECONDS = 0.5
"""A renewal that failed is tried again after so long."""
log = logger(__name__)


class Keeper:
    """Renews until it cannot; then it ends the runner before the lease ends, so that two attempts never run at once."""

    def __init__(self, store: Store, operation_id: str, attempt: int, owner: str, settings: Settings) -> None:
        self._store = store
        self._key = operation_id, attempt
        self._owner = owner
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._every = settings.renew_seconds
        self._patience = settings.renew_fails_seconds
        self._limit = 0.0
        """The moment when the runner must end unless the lease has been renewed."""
        self._soon = asyncio.Event()
        self._guardian: Guardian | None = None
        self._told: set[str] = set()

    def begun(self, guardian: Guardian) -> None:
        """There is a runner now; its guardian hears what was said before."""
        self._guardian = guardian
        for word in self._told:
            self._tell(word)

    def hear(self, _: str, payload: str) -> None:
        """Something was said to some attempt."""
        mine = f"{self._key[0]} {self._key[1]} "
        if payload.startswith(mine):
            self._tell(payload.removeprefix(mine))

    def missed(self) -> None:
        """Something may have been said that was not heard: the row knows."""
        self._soon.set()

    def _tell(self, word: str) -> None:
        self._told.add(word)
        if self._guardian is None:
            return
        match word:
            case "cancel":
                self._guardian.cancel()
            case "drain":
                self._guardian.drain(DRAIN_SECONDS)
            case "let go":
                self._guardian.let_go()

    async def keep(self) -> None:
        """Renew again and again, until the attempt is another's or nothing can be renewed."""
        clock = asyncio.get_running_loop().time
        self._limit = clock() + self._patience
        while clock() < self._limit:
            begun, pause = clock(), AGAIN_SECONDS
            self._soon.clear()
            try:
                async with asyncio.timeout_at(self._limit):
                    asked_to_stop = await self._store.hold(*self._key, self._lease, self._owner)
            except (Unavailable, TimeoutError) as error:
                log.warning("lease not renewed", operation_id=self._key[0], attempt=self._key[1], reason=str(error))
            except LostOwnership as lost:
                log.warning("ownership lost", operation_id=self._key[0], attempt=self._key[1], reason=str(lost))
                break
            else:
                self._limit, pause = begun + self._patience, self._every
                if asked_to_stop:
                    self._tell("cancel")
            try:
                async with asyncio.timeout_at(min(clock() + pause, self._limit)):
                    await self._soon.wait()
            except TimeoutError:
                continue
        else:
            log.error("the lease could not be renewed in time", operation_id=self._key[0], attempt=self._key[1], seconds=self._patience)
        self._tell("let go")
