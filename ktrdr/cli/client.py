"""The HTTP client of the command line: requests, following an operation, cancelling it. It knows no kind of work."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ktrdr.cli import backend
from ktrdr.cli.answers import RETRIES, TEMPORARY, ApiError, answer_of, unreachable
from ktrdr.cli.events import read_events
from ktrdr.cli.interrupt import Interrupt
from ktrdr.operations.model import Status
from ktrdr.telemetry import SpanContext, collector

if TYPE_CHECKING:
    from ktrdr.cli.operation_adapters import OperationAdapter

JSON = dict[str, Any]
POLL_SECONDS = 0.3
MOST_WORDS = 1000
LAST_WORD_SECONDS = 0.5
NO_STREAM = frozenset({404, 405, 406, 501})
logger = logging.getLogger("ktrdr.cli.client")


class Notice(Enum):
    """What happens beside progress while an operation is followed."""

    CONNECTION_LOST = auto()
    CONNECTED_AGAIN = auto()
    CANCELLING = auto()
    CANCEL_SENT = auto()


class NoEventStream(Exception):
    """The backend does not stream this operation's events."""


def ignore(_: object) -> None:
    """Hear nothing."""


class AsyncCLIClient:
    """A connection to the backend.

        async with AsyncCLIClient() as client:
            result = await client.execute_operation(TrainingOperationAdapter(strategy={"strategy_name": "momentum"}))
            print(result["operation_id"], result["status"])

    Without `base_url` it talks to the backend that `KTRDR_API_URL` names, else to the local one, which it starts if need be.
    """

    def __init__(self, base_url: str | None = None, *, timeout: float = 30.0, patience: float = 120.0, command: str = "") -> None:
        self._named = base_url
        self._timeout = timeout
        self._patience = patience
        """Seconds that a followed operation may stay out of reach."""
        self._command = command
        """What the first span of a trace is called."""
        self._begun = time.monotonic()
        self._started: list[str] = []
        """Operations whose traces begin with this command."""

    async def __aenter__(self) -> Self:
        import httpx

        url = backend.normalised(self._named) if self._named else await asyncio.to_thread(backend.ensure)
        self._url = url
        # A proxy of the environment must not come between us and this machine.
        self._http = httpx.AsyncClient(timeout=self._timeout, trust_env=not backend.is_here(url), headers=backend.credentials())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for operation_id in self._started:
            await self._end_trace(operation_id, repr(error)[:MOST_WORDS] if error else None)
        await self._http.aclose()

    @property
    def url(self) -> str:
        """The API address that it talks to."""
        return self._url

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """What the backend answers to a GET; tried again where the connection or the backend fails for a moment."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return await self._request("GET", path, repeatable=True, params=given)

    async def post(self, path: str, json: JSON | None = None, *, idempotency_key: str | None = None, traceparent: str | None = None) -> Any:
        """What the backend answers to a POST; tried again only with an idempotency key, so that nothing starts twice."""
        said = {"Idempotency-Key": idempotency_key, "traceparent": traceparent}
        headers = {name: value for name, value in said.items() if value}
        return await self._request("POST", path, repeatable=idempotency_key is not None, json=json or {}, headers=headers)

    async def delete(self, path: str) -> Any:
        """What the backend answers to a DELETE."""
        return await self._request("DELETE", path, repeatable=False)

    async def start_operation(self, adapter: OperationAdapter) -> str:
        """Start what the adapter describes, once, and return the operation's id."""
        traceparent = SpanContext.new().traceparent if collector() else None
        payload = adapter.get_start_payload()
        answer = await self.post(adapter.get_start_endpoint(), payload, idempotency_key=uuid.uuid4().hex, traceparent=traceparent)
        operation_id = adapter.parse_start_response(answer)
        if traceparent:
            self._started.append(operation_id)
        return operation_id

    async def _end_trace(self, operation_id: str, error: str | None) -> None:
        """Let the backend tell the collector of this command; it is not worth waiting for, nor a word to the user."""
        import httpx

        said = {"command": self._command or "client", "seconds": time.monotonic() - self._begun, "error": error}
        try:
            await self._http.post(f"{self._url}/operations/{operation_id}/command", json=said, timeout=LAST_WORD_SECONDS)
        except httpx.HTTPError as failure:
            logger.info("%s while the trace of %s was ended", type(failure).__name__, operation_id)

    async def execute_operation(
        self, adapter: OperationAdapter, on_progress: Callable[[JSON], None] | None = None, *, on_notice: Callable[[Notice], None] = ignore
    ) -> JSON:
        """Start what the adapter describes and follow it to its end; Ctrl+C cancels it. The final record, as a dict.

        `on_progress` receives the operation's record, `progress.context` included, each time it changes.
        """
        with Interrupt() as interrupt:
            operation_id = await self.start_operation(adapter)
            watching = asyncio.create_task(self._watch(operation_id, on_progress or ignore, on_notice))
            try:
                if await interrupt.pressed_before(watching):
                    on_notice(Notice.CANCELLING)
                    await self._cancel_if_running(operation_id)
                    on_notice(Notice.CANCEL_SENT)
                return await watching
            finally:
                watching.cancel()

    async def follow_operation(
        self, operation_id: str, on_progress: Callable[[JSON], None] | None = None, *, on_notice: Callable[[Notice], None] = ignore
    ) -> JSON | None:
        """Follow a running operation to its end; Ctrl+C leaves it alone and returns None."""
        with Interrupt() as interrupt:
            watching = asyncio.create_task(self._watch(operation_id, on_progress or ignore, on_notice))
            try:
                if await interrupt.pressed_before(watching):
                    return None
                return await watching
            finally:
                watching.cancel()

    async def cancel_operation(self, operation_id: str, reason: str | None = None) -> JSON:
        """Stop an operation and its children; the record once it has ended."""
        record = await self._ask_to_stop(operation_id, reason)
        return record if Status(record["status"]).ended else await self._watch(record["operation_id"], ignore, ignore)

    async def _ask_to_stop(self, operation_id: str, reason: str | None = None) -> JSON:
        body = {"reason": reason} if reason else {}
        # Asking twice is the same as asking once, so this may be repeated.
        answer = await self._request("POST", f"/operations/{operation_id}/cancel", repeatable=True, json=body)
        record: JSON = answer["data"]
        return record

    async def _cancel_if_running(self, operation_id: str) -> None:
        try:
            await self._ask_to_stop(operation_id)
        except ApiError as error:
            if error.status != 409:
                raise  # 409: it ended in the same moment, and the stream tells how

    async def _watch(self, operation_id: str, on_progress: Callable[[JSON], None], on_notice: Callable[[Notice], None]) -> JSON:
        import httpx

        last_id: str | None = None
        lost_at: float | None = None
        streams = True
        while True:
            try:
                async for event_id, operation in self._changes(operation_id, last_id) if streams else self._polls(operation_id):
                    if lost_at is not None:
                        on_notice(Notice.CONNECTED_AGAIN)
                    last_id, lost_at = event_id or last_id, None
                    on_progress(operation)
                    if Status(operation["status"]).ended:
                        return operation
            except NoEventStream:
                streams = False
                continue
            except httpx.TransportError as error:
                logger.info("%s while following %s", type(error).__name__, operation_id)
            if lost_at is None:
                lost_at = time.monotonic()
                on_notice(Notice.CONNECTION_LOST)
            if time.monotonic() - lost_at > self._patience:
                raise unreachable(self._url, f"the operation goes on when the backend does: ktrdr up, then ktrdr follow {operation_id}")
            await asyncio.sleep(POLL_SECONDS)
            self._url = backend.recorded_url() or self._url if self._named is None else self._url

    async def _changes(self, operation_id: str, last_id: str | None) -> AsyncIterator[tuple[str | None, JSON]]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        async with self._http.stream("GET", f"{self._url}/operations/{operation_id}/events", headers=headers) as response:
            if response.status_code in NO_STREAM or not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise NoEventStream
            async for event in read_events(response.aiter_lines()):
                record = json.loads(event.data)
                yield event.id, record.get("operation", record)

    async def _polls(self, operation_id: str) -> AsyncIterator[tuple[None, JSON]]:
        before: JSON | None = None
        while True:
            response = await self._http.get(f"{self._url}/operations/{operation_id}")
            record: JSON = answer_of(response.status_code, str(response.url), response.content)["data"]
            if record != before:
                yield None, record
            before = record
            await asyncio.sleep(POLL_SECONDS)

    async def _request(self, method: str, path: str, *, repeatable: bool, **content: Any) -> Any:
        import httpx

        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                begun = time.monotonic()
                response = await self._http.request(method, self._url + path.removeprefix("/api/v1"), **content)
                logger.info("%s %s: %s in %.0f ms", method, path, response.status_code, 1000 * (time.monotonic() - begun))
                if last or not repeatable or response.status_code not in TEMPORARY:
                    return answer_of(response.status_code, str(response.url), response.content)
            except httpx.TransportError as error:
                logger.info("%s %s: %s", method, path, type(error).__name__)
                # A connection that was never made has started nothing.
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise unreachable(self._url) from error
            await asyncio.sleep(0.1 * 2**attempt + random.uniform(0, 0.1))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")
