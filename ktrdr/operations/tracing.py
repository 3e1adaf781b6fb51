"""Operations as spans.

Their ids follow from the ids of operations and attempts, and what they show from rows and history: a trace goes on after any
process was killed, because nothing about it is kept in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime

from ktrdr.operations.model import Happening, Operation, Status
from ktrdr.telemetry import Attributes, Span, SpanContext, plain

ENDS = frozenset({"parked", "drained", "lost", "completed", "failed", "cancelled"})
"""What happens at the end of an attempt."""
MOST_EVENTS = 100
SHOWN = ("strategy_name", "symbol", "timeframe", "start_date", "end_date", "designer", "model")
"""Metadata that is worth searching for."""
BROKEN = frozenset({"lost", "failed"})


def context_of(operation_id: str, traceparent: str | None) -> SpanContext:
    """The span of an operation; `traceparent` is what its row says, None makes it the first of a trace."""
    above = SpanContext.parse(traceparent)
    return SpanContext(above.trace_id if above else digest(f"trace of {operation_id}", 32), digest(operation_id, 16))


def attempt_of(operation_id: str, attempt: int, traceparent: str | None) -> SpanContext:
    """The span of an attempt."""
    return SpanContext(context_of(operation_id, traceparent).trace_id, digest(f"{operation_id} attempt {attempt}", 16))


def resumed_below(before_id: str, traceparent: str | None, caller: SpanContext | None) -> str:
    """The traceparent of an operation that goes on where another has ended: in its trace, below the command that asked for it."""
    before = context_of(before_id, traceparent)
    return SpanContext(before.trace_id, caller.span_id if caller else before.span_id).traceparent


def spans_of(operation: Operation, traceparent: str | None, history: Sequence[Happening], phase: str | None = None) -> list[Span]:
    """An operation that has ended, its part in a cycle if it has one, and its attempts."""
    above, own = SpanContext.parse(traceparent), context_of(operation.operation_id, traceparent)
    ended = operation.completed_at or operation.created_at
    events = [(each.event, nanoseconds(each.at), plain(each.detail)) for each in history if each.event not in {"started", "parked"}]
    links = (digest(operation.resumed_from["operation_id"], 16),) if operation.resumed_from else ()
    failed = operation.error.message if operation.error and operation.status is Status.FAILED else None
    whole = Span(
        operation.operation_type, *own, above.span_id if above else None, nanoseconds(operation.created_at), nanoseconds(ended),
        shown(operation, phase), failed, events[-MOST_EVENTS:], links,
    )  # fmt: skip
    return [whole, *attempts(operation, traceparent, history)]


def attempts(operation: Operation, traceparent: str | None, history: Sequence[Happening]) -> Iterator[Span]:
    """The attempts that had a process."""
    below = context_of(operation.operation_id, traceparent).span_id
    begun: dict[int, Happening] = {}
    for each in history:
        if each.event == "started":
            begun[each.attempt] = each
        elif each.event in ENDS and each.attempt in begun:
            start = begun.pop(each.attempt)
            own = attempt_of(operation.operation_id, each.attempt, traceparent)
            seen = plain(
                {"operation.id": operation.operation_id, "attempt": each.attempt, "end": each.event, **start.detail, **each.detail}
            )
            wrong = str(each.detail.get("reason") or each.detail.get("code") or each.event) if each.event in BROKEN else None
            yield Span(f"attempt {each.attempt}", *own, below, nanoseconds(start.at), nanoseconds(each.at), seen, wrong)


def shown(operation: Operation, phase: str | None) -> Attributes:
    """What to search for, and how it ended."""
    error, result = operation.error, operation.result_summary or {}
    return plain({
        "operation.id": operation.operation_id, "operation.type": operation.operation_type, "operation.status": operation.status.value,
        "operation.attempts": operation.attempt, "error.type": error.code if error else None, "verdict": result.get("verdict"),
        "parent.id": operation.parent_operation_id, "phase": phase, "warnings": len(operation.warnings),
        **{name: operation.metadata.get(name) for name in SHOWN},
    })  # fmt: skip


def digest(text: str, digits: int) -> str:
    """Hexadecimal digits that follow from a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def nanoseconds(moment: datetime) -> int:
    """Since 1970."""
    return int(moment.timestamp() * 1_000_000) * 1000
