"""What happens to operations, told at once to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ktrdr.operations.model import Operation, with_child
from ktrdr.operations.store import Store


@dataclass(frozen=True)
class Event:
    """One change of an operation: `started progress completed failed cancelled`."""

    seq: int
    event: str
    operation: Operation


class Subscription:
    """What one listener has not heard yet: the newest record of each operation, in the order in which they came."""

    def __init__(self) -> None:
        self._news: dict[str, Operation] = {}
        self._arrived = asyncio.Event()

    def tell(self, operation: Operation) -> None:
        """Newer progress takes the place of older, so that a slow listener holds nothing up; an end is never replaced."""
        before = self._news.get(operation.operation_id)
        if before is None or not before.status.ended:
            self._news[operation.operation_id] = operation
            self._arrived.set()

    async def heard(self) -> list[Operation]:
        """Wait for news and take it."""
        await self._arrived.wait()
        self._arrived.clear()
        news, self._news = list(self._news.values()), {}
        return news


class Hub:
    """Passes changes on to those who follow an operation or its parent; it keeps nothing."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Subscription]] = {}

    def publish(self, operation: Operation) -> None:
        """An operation has changed."""
        for followed in (operation.operation_id, operation.parent_operation_id):
            for subscription in self._listeners.get(followed or "", ()):
                subscription.tell(operation)

    @contextmanager
    def subscribe(self, operation_id: str) -> Iterator[Subscription]:
        """Listen to an operation and its children."""
        subscription = Subscription()
        self._listeners.setdefault(operation_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            listeners = self._listeners[operation_id]
            listeners.discard(subscription)
            if not listeners:
                del self._listeners[operation_id]


async def follow(store: Store, hub: Hub, operation_id: str, after: int | None = None) -> AsyncIterator[Event]:
    """The operation as it is now, then every change of it or of the child it waits for, to its end.

    Every event carries the whole record, so one who was away has missed nothing; `after` is the last number heard, and
    numbers go on from there.
    """
    with hub.subscribe(operation_id) as subscription:
        shown = await store.get(operation_id)
        seq = (after or 0) + 1
        yield Event(seq, shown.status.value if shown.status.ended else "progress" if after else "started", shown)
        while not shown.status.ended:
            for news in await subscription.heard():
                fresh = news
                if news.operation_id != operation_id:
                    parent, waiting = await store.waiting(operation_id)
                    follows = waiting is not None and waiting.operation_id == news.operation_id
                    fresh = with_child(parent, waiting, news) if waiting and follows else parent
                if fresh != shown and not shown.status.ended:
                    shown, seq = fresh, seq + 1
                    yield Event(seq, shown.status.value if shown.status.ended else "progress", shown)
