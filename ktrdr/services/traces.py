"""Tells the collector of operations that have ended, and of the commands that started them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ktrdr.errors import Unavailable
from ktrdr.log import logger
from ktrdr.operations.model import Operation
from ktrdr.operations.store import Store
from ktrdr.operations.tracing import spans_of
from ktrdr.services.figures import phase_of
from ktrdr.telemetry import Span, SpanContext, plain

log = logger(__name__)


class OperationTraces:
    """The spans of operations, made when they end from what the database says of them."""

    def __init__(self, store: Store, send: Callable[[Span], None]) -> None:
        self._store = store
        self._send = send
        self._telling: set[asyncio.Task[None]] = set()

    def ended(self, operation: Operation) -> None:
        """An operation has ended."""
        telling = asyncio.get_running_loop().create_task(self._tell(operation), name=f"spans of {operation.operation_id}")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, operation: Operation) -> None:
        try:
            traceparent = await self._store.traceparent(operation.operation_id)
            history = await self._store.history(operation.operation_id)
        except Unavailable as error:
            log.warning("no spans of an operation", operation_id=operation.operation_id, reason=error.message)
            return
        for span in spans_of(operation, traceparent, history, phase_of(operation)):
            self._send(span)

    async def command(self, operation_id: str, name: str, seconds: float, error: str | None) -> None:
        """The command that started an operation has taken so long."""
        own = SpanContext.parse(await self._store.traceparent(operation_id))
        if own is not None:
            now = time.time_ns()
            attributes = plain({"cli.command": name, "operation.id": operation_id})
            self._send(Span(f"ktrdr {name}", *own, None, now - int(seconds * 1e9), now, attributes, error))

    async def settle(self, seconds: float) -> None:
        """Wait until the spans of what has ended are on their way, no longer than so many seconds."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=seconds)
