"""Takes operations from the queue when an engine has room, keeps leases, and takes lost attempts back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from ktrdr.errors import LostOwnership, Unavailable
from ktrdr.log import logger
from ktrdr.operations.engine import Engine
from ktrdr.operations.events import Audience
from ktrdr.operations.model import GPU
from ktrdr.operations.store import Store
from ktrdr.settings import Settings

TICK_SECONDS = 1.0
"""The queue is looked at so often even when nobody says that it has changed."""
START_SECONDS = 60.0
"""So long an attempt may take to begin that is started on another machine; then its guardian renews its lease."""
SLACK_SECONDS = 2.0
"""A renewal may be late by so much."""
log = logger(__name__)


class Dispatcher:
    """Takes from the queue, as long as no other backend of this database does."""

    def __init__(self, store: Store, engine: Engine, hub: Audience, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._hub = hub
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._first_lease = max(self._lease, timedelta(seconds=START_SECONDS)) if engine.outlives else self._lease
        silent = settings.renew_seconds + SLACK_SECONDS
        self._left_in_doubt = max(timedelta(0), self._lease - timedelta(seconds=silent))
        """A lease with less left than this was not renewed when it should have been."""
        self._owner = f"{socket.gethostname()}:{settings.home.absolute()}"
        """A home has one backend, so whoever starts as this owner knows that its earlier attempts have nobody."""
        self._lead = store.lead()
        self._leads = False
        self._woken = asyncio.Event()
        self._fleet = store.fleet()
        self._reported = -TICK_SECONDS
        self.tasks: list[asyncio.Task[None]] = []
        """They end by an error of ours or of the engine only."""
        self._claiming = asyncio.Lock()
        self._never: dict[str, frozenset[str]] = {}
        """Types that no place of a sort would do for, as it was when that was last looked at."""
        self.draining = False
        """Whether it claims nothing; another backend of this database may."""

    def wake(self) -> None:
        """The queue or the room in the engine has changed."""
        self._woken.set()

    async def drain(self) -> list[tuple[str, int]]:
        """Claim nothing more, and ask what runs to give its place back; which attempts were asked."""
        self.draining = True
        async with self._claiming:  # what is being claimed at this moment is asked too
            told = list(await self._engine.running())
            for attempt in told:
                self._engine.signal(*attempt, "drain")
        return told

    def undrain(self) -> None:
        """Claim again."""
        self.draining = False
        self.wake()

    async def wrong(self) -> str | None:
        """Why nothing is taken from the queue, if that is so."""
        ended = [task for task in self.tasks if task.done()]
        if self.tasks and not ended:
            return None
        return f"it has stopped: {ended[0].exception()!r}" if ended and not ended[0].cancelled() else "it has stopped"

    async def start(self) -> None:
        """Take back what an earlier backend left behind, if that ended with it; then begin to claim."""
        if not self._engine.outlives:
            await self._take_back(await self._store.leased(self._owner), "the backend ended while it ran")
        self.tasks = [
            asyncio.create_task(self._again_and_again(self._claim, self._until_woken), name="claims"),
            asyncio.create_task(self._again_and_again(self._renew, self._until_due), name="leases"),
        ]

    async def stop(self) -> None:
        """Claim nothing more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
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
            led, self._leads = self._leads, not self.draining and await self._lead.held()
            if self.draining:
                await self._lead.release()
            if self._leads and self._engine.outlives:
                await self._look_after(adopt=not led)
            if self._leads:
                await self._fill()

    async def _fill(self) -> None:
        """Claim what there is room for."""
        places = await self._engine.places()
        gpu_wait = timedelta(seconds=self._settings.gpu_wait_seconds if GPU in places else 0)
        for place in places:
            while await self._claim_some(place, gpu_wait):
                continue  # what was launched has changed what fits

    async def _claim_some(self, place: str, gpu_wait: timedelta) -> bool:
        """Claim what fits at a sort of place; whether there may be more."""
        limits = self._settings.running_limits
        possible = {**limits, **dict.fromkeys(self._never.get(place, ()), 0)}
        turn = await self._store.turn(place, possible, gpu_wait) if self._settings.needs else None
        room = await self._engine.room(place, turn)
        self._never[place] = room.never
        most = room.most
        if self._settings.running_limit:
            most = min(most, self._settings.running_limit - len(await self._engine.running()))
        if most <= 0:
            return False
        fitting = {**limits, **dict.fromkeys(room.without, 0)}
        claims = await self._store.claim(place, most, self._first_lease, self._owner, fitting, gpu_wait)
        for claim in claims:
            await self._engine.launch(claim)
        return len(claims) == most

    async def _look_after(self, *, adopt: bool) -> None:
        """Tell which machines there are, find the attempts that run already, and take those back whose guardian is known to be dead."""
        await self._report()
        if adopt:
            unbegun = await self._store.unbegun()
            running = await self._engine.running()
            log.info("leads", running=len(running))
            await self._take_back([each for each in unbegun if each not in running], "nobody started it before its dispatcher ended")
        dead = await self._engine.dead()
        # What has not begun will not: whoever tries finds that it is another's.
        past_doubt = {*await self._store.leased(left=self._left_in_doubt), *await self._store.unbegun()} if dead else set()
        lost = [each for each, certain in dead.items() if (certain or each in past_doubt) and await self._store.owned(*each)]
        await self._take_back(lost, "its guardian died")

    async def _report(self) -> None:
        """Say which machines there are, and have those that drain give back what they run."""
        if time.monotonic() - self._reported < TICK_SECONDS:
            return
        self._reported = time.monotonic()
        await self._fleet.report(await self._engine.nodes())
        for attempt in await self._fleet.to_be_drained():
            self._engine.signal(*attempt, "drain")

    async def _renew(self) -> None:
        if not self._engine.outlives:
            await self._store.renew(await self._engine.running(), self._lease)
        elif not self._leads:
            return
        reason = f"nobody renewed its lease for {self._settings.lease_seconds:.0f} s"
        await self._take_back(await self._store.leased(), reason)

    async def _take_back(self, attempts: list[tuple[str, int]], reason: str) -> None:
        for operation_id, attempt in attempts:
            try:
                operation = await self._store.lose(operation_id, attempt, reason, self._settings.max_attempts)
            except LostOwnership:
                continue  # it ended in the same moment
            self._engine.abandon(operation_id, attempt)
            log.warning("attempt lost", operation_id=operation_id, attempt=attempt, reason=reason, status=operation.status)
            self._hub.publish(operation)
