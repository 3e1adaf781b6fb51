"""What processes on one PostgreSQL tell each other at once; whatever is lost here, rows and leases say again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from ktrdr.log import logger
from ktrdr.operations.model import Operation, Parent, Signal

CONTROL = "ktrdr_control"
"""`<operation id> <attempt> cancel|drain`, to the guardian of that attempt."""
NEWS = "ktrdr_news"
"""`<operation id>`: its row has changed, whoever shows it reads it again."""
QUEUE = "ktrdr_queue"
"""Something was queued, or a place is free."""
NEWS_SECONDS = 0.2
"""Least time between two pieces of news of one operation; its end is told at once."""
PROBE_SECONDS = 5.0
"""A connection on which nothing is heard is tried so often."""
AGAIN_SECONDS = 0.25
LONGEST_AGAIN_SECONDS = 2.0
log = logger(__name__)


class Channels:
    """Speaks and listens on the channels of a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._speaking: set[asyncio.Task[None]] = set()

    def send(self, channel: str, payload: str = "") -> None:
        """Say something soon; never waits."""
        task = asyncio.get_running_loop().create_task(self._send(channel, payload), name=f"word on {channel}")
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> None:
        """Tell the guardian of an attempt something, wherever it is."""
        self.send(CONTROL, f"{operation_id} {attempt} {signal}")

    async def _send(self, channel: str, payload: str) -> None:
        try:
            async with self._engine.begin() as connection:  # a transaction of its own: those that notify wait for each other
                await connection.execute(text("SET LOCAL synchronous_commit = off"))
                await connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})
        except (DBAPIError, NoFreeConnection) as error:
            log.warning("a word was not sent", channel=channel, payload=payload, reason=str(error))

    async def settle(self) -> None:
        """Wait until what was to be said is said."""
        if self._speaking:
            await asyncio.wait(self._speaking)

    async def listen(self, channels: Sequence[str], hear: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        """Hear for ever, on a connection of its own that is made again when it is lost; `missed` is called when it has been made."""
        pause = AGAIN_SECONDS
        while True:
            begun = time.monotonic()
            try:
                await self._listen(channels, hear, missed)
            except (DBAPIError, NoFreeConnection, OSError, driver_error()) as error:
                log.warning("not listening", channels=" ".join(channels), reason=str(error).strip())
            pause = AGAIN_SECONDS if time.monotonic() - begun > PROBE_SECONDS else min(2 * pause, LONGEST_AGAIN_SECONDS)
            await asyncio.sleep(pause)

    async def _listen(self, channels: Sequence[str], hear: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        async with self._engine.connect() as connection:
            try:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                for channel in channels:
                    await connection.execute(text(f"LISTEN {channel}"))
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                missed()
                while True:
                    async for word in raw.notifies(timeout=PROBE_SECONDS):
                        hear(word.channel, word.payload)
                    async with asyncio.timeout(PROBE_SECONDS):
                        await raw.execute("SELECT 1")  # a connection whose other end is gone is silent too
            finally:
                with suppress(DBAPIError, driver_error()):
                    await connection.invalidate()  # one that listens is of no use to others


def driver_error() -> type[Exception]:
    """What the PostgreSQL driver raises by itself."""
    import psycopg

    return psycopg.Error


class News:
    """Tells all backends what happens to operations: that a row has changed, at most five times a second each."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._told: dict[str, float] = {}
        self._due: dict[str, asyncio.TimerHandle] = {}

    def publish(self, operation: Operation) -> None:
        """An operation is now so."""
        named, now = operation.operation_id, time.monotonic()
        wait = 0.0 if operation.status.ended else self._told.get(named, 0.0) + NEWS_SECONDS - now
        if wait <= 0:
            self._tell(named)
            if operation.status.ended:
                del self._told[named]
        elif named not in self._due:
            self._due[named] = asyncio.get_running_loop().call_later(wait, self._tell, named)

    def park(self, parent: Parent) -> None:
        """A parent waits for children from now on; its row says so."""
        self.publish(parent.record)

    def unpark(self, parent_id: str) -> None:
        """The parent works itself again; its row says so."""

    def _tell(self, operation_id: str) -> None:
        due = self._due.pop(operation_id, None)
        if due:
            due.cancel()
        self._told[operation_id] = time.monotonic()
        self._channels.send(NEWS, operation_id)
