"""The way to an OpenTelemetry collector: a thread that nobody waits for. Nothing else imports OpenTelemetry."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from typing import TYPE_CHECKING

from ktrdr import __version__
from ktrdr.log import logger
from ktrdr.telemetry import Span, collector

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

KEPT_SPANS = 4096
"""So many wait for a slow collector; what comes on top is dropped."""
BATCH_SPANS = 256
BATCH_SECONDS = 0.2
"""Spans that end within so long travel together."""
LONGEST_REASON = 300
INSTALL = "pip install 'ktrdr[telemetry]'"
LIBRARY = logging.getLogger("opentelemetry")
"""Where the library says what goes wrong."""
log = logger(__name__)


class Exporter:
    """Sends spans to the collector that the environment names; where that fails it is said once, and nothing else happens."""

    def __init__(self) -> None:
        self._spans: queue.Queue[Span | None] = queue.Queue(KEPT_SPANS)
        self._dropped = 0
        self._outlet: Outlet | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def send(self, span: Span) -> None:
        """Send a span soon; never waits."""
        if self._thread.is_alive():
            try:
                self._spans.put_nowait(span)
            except queue.Full:
                self._dropped += 1

    def close(self, seconds: float) -> None:
        """Send what is left, if that takes no longer than so many seconds."""
        try:
            self._spans.put_nowait(None)
            self._thread.join(seconds)
        except queue.Full:
            pass  # the collector is too slow for what waits already
        self._given_up = True
        if self._thread.is_alive() and self._outlet:
            self._outlet.give_up()

    def _run(self) -> None:
        try:
            outlet = self._outlet = Outlet()
        except ImportError:
            log.warning("traces are wanted and cannot be sent", collector=collector(), hint=INSTALL)
            return
        except (ValueError, OSError, RuntimeError) as error:
            log.warning("traces are wanted and cannot be sent", collector=collector(), reason=str(error), hint="see the OTEL_ variables")
            return
        more = True
        while more and not self._given_up:
            batch, more = self._batch()
            if outlet.export(batch) and self._dropped:
                log.warning("spans were dropped: they came faster than the collector took them", spans=self._dropped)
                self._dropped = 0
        outlet.leave()

    def _batch(self) -> tuple[list[Span], bool]:
        """The next spans, and whether more may come."""
        found: list[Span] = []
        until: float | None = None
        while len(found) < BATCH_SPANS:
            try:
                each = self._spans.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if each is None:
                return found, False
            found.append(each)
            until = until or time.monotonic() + BATCH_SECONDS
        return found, True


class Outlet:
    """OpenTelemetry's exporter, fed with spans whose ids are known beforehand."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        class Given(IdGenerator):
            """The ids of the span that is made next."""

            trace_id = span_id = 0

            def generate_trace_id(self) -> int:
                """Of a span without a parent."""
                return self.trace_id

            def generate_span_id(self) -> int:
                """Of any span."""
                return self.span_id

        self._ids = Given()
        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "ktrdr", "service.version": __version__})
        provider = TracerProvider(ALWAYS_ON, resource, id_generator=self._ids, shutdown_on_exit=False)
        self._tracer = provider.get_tracer("ktrdr", __version__)
        self._trouble = FirstTrouble()
        LIBRARY.propagate = False
        LIBRARY.addHandler(self._trouble)
        self._exporter = OTLPSpanExporter()

    def export(self, batch: list[Span]) -> bool:
        """Send spans; whether the collector has taken them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        made = [self._made(span) for span in batch]
        if not made or self._exporter.export(made) is not SpanExportResult.SUCCESS:
            return False
        self._trouble.over()
        return True

    def leave(self) -> None:
        """Listen to the library no longer."""
        LIBRARY.removeHandler(self._trouble)

    def give_up(self) -> None:
        """Try nothing again."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library declares no types here

    def _made(self, span: Span) -> ReadableSpan:
        """A span as OpenTelemetry has it."""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan

        def context(span_id: str) -> trace.SpanContext:
            return trace.SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(1))

        parent = trace.NonRecordingSpan(context(span.parent_id)) if span.parent_id else trace.INVALID_SPAN
        self._ids.trace_id, self._ids.span_id = int(span.trace_id, 16), int(span.span_id, 16)
        made = self._tracer.start_span(
            span.name, trace.set_span_in_context(parent), attributes=dict(span.attributes), start_time=span.begun,
            links=[trace.Link(context(each)) for each in span.links],
        )  # fmt: skip
        for name, moment, attributes in span.events:
            made.add_event(name, dict(attributes), moment)
        if span.error is not None:
            made.set_status(trace.StatusCode.ERROR, span.error)
        made.end(max(span.begun, span.ended))
        assert isinstance(made, ReadableSpan)
        return made


class FirstTrouble(logging.Handler):
    """Says once that the collector takes nothing, and why; and again only after it has taken something."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = False
        self._thread = threading.get_ident()
        """The thread that sends; what the library says in others is not about this collector."""

    def emit(self, record: logging.LogRecord) -> None:
        """The library has met trouble."""
        if not self._said and record.thread == self._thread:
            self._said = True
            log.warning("traces do not arrive; everything else goes on", collector=collector(), reason=record.getMessage()[:LONGEST_REASON])

    def over(self) -> None:
        """The collector takes spans."""
        if self._said:
            self._said = False
            log.info("traces arrive again", collector=collector())
