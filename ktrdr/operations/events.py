"""What happens to operations, told at once to whoever follows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from ktrdr.operations.model import Operation, Parent
from ktrdr.operations.store import Store

KEPT_EVENTS = 64
"""So many of the newest events of an operation are kept for those who were away."""
KEPT_STREAMS = 64
"""So many operations that nobody follows keep their events."""
LOOK_SECONDS = 1.0
"""In silence the row is looked at so often: another backend may have changed it."""


class Audience(Protocol):
    """Who is told what happens to operations."""

    def publish(self, operation: Operation) -> None:
        """An operation is now so."""

    def park(self, parent: Parent) -> None:
        """From now on the parent shows what the children do that it waits for."""

    def unpark(self, parent_id: str) -> None:
        """The parent works itself again."""


@dataclass(frozen=True)
class Event:
    """One change of an operation: `started progress completed failed cancelled`."""

    seq: int
    """Grows with every event of this backend, and beyond those of backends before it."""
    event: str
    operation: Operation


class Stream:
    """The newest events of one operation."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._more = asyncio.Event()
        self.followers = 0

    @property
    def newest(self) -> Event | None:
        """The last event, if there was one."""
        return self._events[-1] if self._events else None

    @property
    def ended(self) -> bool:
        """Whether there will be no more."""
        return self.newest is not None and self.newest.operation.status.ended

    def add(self, event: Event) -> None:
        """Something has happened."""
        self._events.append(event)
        self._more.set()
        self._more = asyncio.Event()

    def after(self, seq: int) -> list[Event]:
        """The events with higher numbers that are still kept; a slow follower misses some progress, and never the end."""
        return [event for event in self._events if event.seq > seq]

    def knows(self, seq: int) -> bool:
        """Whether nothing after this number has been dropped."""
        return bool(self._events) and self._events[0].seq <= seq

    async def more(self, seconds: float) -> bool:
        """Wait for the next event, or so long; whether there was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._more.wait()
        return False


class Hub:
    """Passes on what happens to operations, and to parents through the children that they wait for."""

    def __init__(self, on_end: Callable[[Operation], None] = lambda _: None) -> None:
        self._on_end = on_end
        self._streams: dict[str, Stream] = {}
        self._parents: dict[str, Parent] = {}
        self._seq = 0

    def next_seq(self) -> int:
        """A number above all before it: milliseconds, so that the next backend goes on from there."""
        self._seq = max(self._seq + 1, int(time.time() * 1000))
        return self._seq

    def publish(self, operation: Operation) -> None:
        """An operation is now so; after its end nothing more is told of it."""
        stream = self._stream(operation.operation_id)
        before = stream.newest
        own = self._parents.get(operation.operation_id)
        if own is not None and not operation.status.ended:
            own = self._parents[operation.operation_id] = replace(own, record=operation)
            operation = own.shown()
        if stream.ended or (before is not None and before.operation == operation):
            return
        name = operation.status.value if operation.status.ended else "progress" if before else "started"
        stream.add(Event(self.next_seq(), name, operation))
        above = self._parents.get(operation.parent_operation_id or "")
        if above is not None and operation.operation_id in above.waiting.children:
            self._parents[above.record.operation_id] = above.with_child(operation)
            self.publish(above.record)
        if operation.status.ended:
            self._parents.pop(operation.operation_id, None)
            self._on_end(operation)

    def park(self, parent: Parent) -> None:
        """From now on the parent shows what the children do that it waits for."""
        children = tuple(self._newest(child) for child in parent.children)  # rows have progress four times a second only
        self._parents[parent.record.operation_id] = replace(parent, children=children)
        self.publish(parent.record)

    def unpark(self, parent_id: str) -> None:
        """The parent works itself again."""
        self._parents.pop(parent_id, None)

    def _newest(self, read: Operation) -> Operation:
        """What was told last of an operation, unless its row knows more."""
        stream = self._streams.get(read.operation_id)
        if stream is None or stream.newest is None or read.status.ended or stream.newest.operation.attempt < read.attempt:
            return read
        return stream.newest.operation

    @contextmanager
    def stream(self, operation_id: str) -> Iterator[Stream]:
        """The events of an operation, kept at least as long as somebody follows."""
        stream = self._stream(operation_id)
        stream.followers += 1
        try:
            yield stream
        finally:
            stream.followers -= 1

    def _stream(self, operation_id: str) -> Stream:
        stream = self._streams.get(operation_id)
        if stream is None:
            idle = sorted((known for known, its in self._streams.items() if not its.followers), key=lambda k: not self._streams[k].ended)
            for known in idle[: max(0, len(idle) - KEPT_STREAMS + 1)]:  # the ended and old ones go first
                del self._streams[known]
            stream = self._streams[operation_id] = Stream()
        return stream


async def follow(store: Store, hub: Hub, operation_id: str, after: int | None = None) -> AsyncIterator[Event]:
    """The operation as it is now, then every change of it or of the children it waits for, to its end.

    `after` is the last number heard: what came since is told again, as far as it is kept. Every event carries the whole
    record, so one who was away for long has missed nothing that counts.
    """
    with hub.stream(operation_id) as stream:
        shown = await store.get(operation_id)
        if stream.newest is None and not shown.status.ended:
            hub.publish(shown)
        newest = stream.newest
        if newest is not None and not shown.status.ended:
            shown = newest.operation  # the row has progress four times a second only
        heard = after if after is not None and after < hub.next_seq() else None
        again = stream.after(heard) if heard is not None and stream.knows(heard) else None
        seq = heard or 0
        if again is None or (shown.status.ended and not again):
            seq = newest.seq if newest else hub.next_seq()
            yield Event(seq, shown.status.value if shown.status.ended else "started" if heard is None else "progress", shown)
        while True:
            news = stream.after(seq)
            for event in news:
                shown, seq = event.operation, event.seq
                yield event
            if shown.status.ended:
                return
            if not news:
                await stream.more(LOOK_SECONDS)
                fresh = await store.get(operation_id)
                if fresh != shown and not stream.after(seq):  # what has come meanwhile is newer than the row
                    hub.publish(fresh)
