"""A cluster as a backend sees it: through PostgreSQL alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ktrdr.errors import Unavailable
from ktrdr.log import logger
from ktrdr.operations.channels import NEWS, QUEUE
from ktrdr.operations.engine import Slot
from ktrdr.operations.events import Hub
from ktrdr.operations.model import GPU, Signal
from ktrdr.operations.store import Store

LOOK_SECONDS = 0.25
"""Whoever waits for an attempt to leave looks at its row so often, and tells it again."""
NOBODY = "no dispatcher takes operations from the queue"
log = logger(__name__)


class Cluster:
    """Reaches attempts wherever they run, and passes on what happens to them."""

    far = True

    def __init__(self, store: Store, hub: Hub, missed: Callable[[], None]) -> None:
        self._store = store
        self._hub = hub
        self._lead = store.lead()
        self._channels = store.channels()
        self._missed = missed
        """Called whenever news may have been missed."""
        self._changed: dict[str, None] = {}
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen from now on."""
        self._tasks = [
            asyncio.create_task(self._channels.listen([NEWS], self._hear, self._missed), name="news"),
            asyncio.create_task(self._pass_on(), name="rows that have changed"),
        ]

    async def stop(self) -> None:
        """Listen no longer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channels.settle()

    async def close(self) -> None:
        """What runs is not ours: it goes on."""

    def wake(self) -> None:
        """The queue has changed: tell the dispatcher."""
        self._channels.send(QUEUE)

    async def wrong(self) -> str | None:
        """Why nothing is taken from the queue, if nobody does."""
        try:
            return None if await self._lead.taken() else NOBODY
        except Unavailable as error:
            return error.message

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell the guardian of an attempt; whether it hears it, its row will say."""
        self._channels.signal(operation_id, attempt, signal)
        return True

    async def gone(self, operation_id: str, attempt: int) -> None:
        """Return when an attempt has its operation no longer; until then it is told again that it is to stop."""
        with self._hub.stream(operation_id) as stream:
            while True:
                seen = stream.newest
                if not await self._store.owned(operation_id, attempt):
                    return
                if stream.newest is seen and not await stream.more(LOOK_SECONDS):
                    self.signal(operation_id, attempt, "cancel")

    async def slots(self) -> list[Slot]:
        """What runs, and where."""
        return [
            Slot(each.node or "starting", GPU if each.device else each.profile, each.operation_id, each.attempt, each.pid, each.device)
            for each in await self._store.placed()
        ]

    def _hear(self, _: str, operation_id: str) -> None:
        self._changed[operation_id] = None
        self._more.set()

    async def _pass_on(self) -> None:
        """Read again what has changed, all of it at once, and what waits for it."""
        while True:
            await self._more.wait()
            self._more.clear()
            changed, self._changed = list(self._changed), {}
            try:
                while changed:
                    found = await self._store.some(changed)
                    for operation in found:
                        self._hub.publish(operation)
                    changed = list({each.parent_operation_id for each in found if each.parent_operation_id})
            except Unavailable as error:
                log.warning("news were missed", reason=error.message)
                self._missed()
