"""Traces: what happened when, as spans for an OpenTelemetry collector.

Off unless the standard variables name a collector. Commands and runners only say what they did; the backend alone sends it
(`ktrdr.services.collector`), so that nothing else imports OpenTelemetry or waits for a collector.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
LONGEST_TEXT = 1000
LARGEST_NUMBER = 2**63 - 1
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
Attributes = Mapping[str, Any]


def collector() -> str | None:
    """The collector that the environment names; None means that nothing is traced."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    return next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)


class SpanContext(NamedTuple):
    """A span and its trace, as they are named on the way from one process to another."""

    trace_id: str
    span_id: str

    @classmethod
    def new(cls) -> SpanContext:
        """The first span of a new trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @classmethod
    def parse(cls, traceparent: str | None) -> SpanContext | None:
        """What a `traceparent` of the W3C names; None for anything else."""
        found = TRACEPARENT.fullmatch(traceparent or "")
        return cls(found[1], found[2]) if found and int(found[1], 16) and int(found[2], 16) else None

    @property
    def traceparent(self) -> str:
        """The form of the W3C's header `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass(frozen=True)
class Span:
    """Something that began and ended; plain values only, so that it can be sent as JSON."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    begun: int
    """Nanoseconds since 1970."""
    ended: int
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None
    """What went wrong, if it did."""
    events: Sequence[tuple[str, int, Attributes]] = ()
    """What happened meanwhile: name, moment, attributes."""
    links: Sequence[str] = ()
    """Spans of the same trace that this one goes on from."""


class Way:
    """Where the spans of this process go, and below which span they hang; nowhere, unless somebody has said so."""

    send: Callable[[Span], None] | None = None
    below: SpanContext | None = None


_way = Way()
_inside: ContextVar[SpanContext | None] = ContextVar("span", default=None)


@contextmanager
def telling(send: Callable[[Span], None], below: SpanContext | None) -> Iterator[None]:
    """The spans of this process go to `send` meanwhile, those of any thread below `below`; with None nothing is traced."""
    before = _way.send, _way.below
    if below is not None:
        _way.send, _way.below = send, below
    try:
        yield
    finally:
        _way.send, _way.below = before


def here() -> SpanContext | None:
    """The span that this code is part of."""
    return _inside.get() or _way.below


@contextmanager
def within(context: SpanContext | None) -> Iterator[None]:
    """What happens meanwhile is part of a span of another process."""
    token = _inside.set(context)
    try:
        yield
    finally:
        _inside.reset(token)


class OpenSpan:
    """A span that begins and ends with a `with` block."""

    def __init__(self, name: str, attributes: Attributes) -> None:
        self._name = name
        self._attributes = dict(attributes)
        self._parent: SpanContext | None = None

    def set(self, attributes: Attributes | None = None, /, **more: Any) -> None:
        """Add what has become known."""
        self._attributes |= {**(attributes or {}), **more}

    def __enter__(self) -> Self:
        self._parent = here() if _way.send else None
        if self._parent:
            self._own = SpanContext(self._parent.trace_id, secrets.token_hex(8))
            self._begun = time.time_ns()
            self._token: Token[SpanContext | None] = _inside.set(self._own)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._parent and _way.send:
            _inside.reset(self._token)
            wrong = None if error is None else f"{type(error).__name__}: {error}"[:LONGEST_TEXT]
            known = plain(self._attributes)
            _way.send(Span(self._name, *self._own, self._parent.span_id, self._begun, time.time_ns(), known, wrong))


def span(name: str, attributes: Attributes | None = None, /, **more: Any) -> OpenSpan:
    """A span around a `with` block, below the one around it, else below the attempt that this runner does.

    with telemetry.span("chat", {"gen_ai.request.model": model}) as call:
        answer = ask(model)
        call.set({"gen_ai.usage.output_tokens": answer.usage.output_tokens})

    Costs next to nothing where nothing is traced.
    """
    return OpenSpan(name, {**(attributes or {}), **more})


def record(name: str, begun: int, attributes: Attributes | None = None, /, **more: Any) -> None:
    """A span that began at `begun` (of `time.time_ns`) and ends now."""
    parent = here()
    if _way.send and parent:
        known = plain({**(attributes or {}), **more})
        _way.send(Span(name, parent.trace_id, secrets.token_hex(8), parent.span_id, begun, time.time_ns(), known))


def plain(attributes: Attributes) -> dict[str, str | bool | int | float]:
    """Attributes as a collector takes them: short texts and finite numbers; what is None is left out."""
    return {str(name): _plain(value) for name, value in attributes.items() if value is not None}


def _plain(value: object) -> str | bool | int | float:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_NUMBER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return str(value)[:LONGEST_TEXT]
