"""Operations as spans: made from a row and its history alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ktrdr.operations.model import ErrorRecord, Happening, Operation, Status
from ktrdr.operations.tracing import MOST_EVENTS, attempt_of, context_of, nanoseconds, resumed_below, spans_of
from ktrdr.telemetry import SpanContext

BORN = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
ID = "op_training_20260101_120000_1a2b3c4d"


def at(seconds: float) -> datetime:
    return BORN + timedelta(seconds=seconds)


def happened(event: str, seconds: float, attempt: int = 1, **detail: Any) -> Happening:
    return Happening(at=at(seconds), event=event, attempt=attempt, detail=detail)


def ended(status: Status = Status.COMPLETED, **fields: Any) -> Operation:
    return Operation(
        operation_id=ID, operation_type="training", status=status, created_at=BORN, started_at=at(1), completed_at=at(9), **fields
    )


KILLED = [
    happened("queued", 0, 0), happened("started", 1, pid=41), happened("checkpoint", 2, position="epoch 1"),
    happened("lost", 3, reason="the runner was killed (signal 9)"), happened("started", 4, 2, pid=42),
    happened("parked", 5, 2, child="op_b"), happened("woken", 7, 2), happened("started", 8, 3, pid=43), happened("completed", 9, 3),
]  # fmt: skip


def test_every_attempt_hangs_below_its_operation_with_the_way_it_ended() -> None:
    whole, *attempts = spans_of(ended(attempt=3, metadata={"symbol": "EURUSD"}), CALLER.traceparent, KILLED, "training")
    assert (whole.name, whole.trace_id, whole.parent_id) == ("training", CALLER.trace_id, CALLER.span_id)
    assert (whole.begun, whole.ended) == (nanoseconds(BORN), nanoseconds(at(9)))
    assert whole.attributes["operation.id"] == ID
    assert (whole.attributes["operation.attempts"], whole.attributes["phase"], whole.attributes["symbol"]) == (3, "training", "EURUSD")
    assert [event[0] for event in whole.events] == ["queued", "checkpoint", "lost", "woken", "completed"]
    assert [span.name for span in attempts] == ["attempt 1", "attempt 2", "attempt 3"]
    assert {span.parent_id for span in attempts} == {whole.span_id}
    assert [span.attributes["end"] for span in attempts] == ["lost", "parked", "completed"]
    assert [span.error for span in attempts] == ["the runner was killed (signal 9)", None, None]
    moments = [(nanoseconds(at(begun)), nanoseconds(at(ended))) for begun, ended in ((1, 3), (4, 5), (8, 9))]
    assert [(span.begun, span.ended) for span in attempts] == moments


def test_a_runner_and_whoever_tells_of_its_end_name_the_attempt_alike() -> None:
    for traceparent in (None, CALLER.traceparent):
        told = spans_of(ended(attempt=3), traceparent, KILLED)
        assert [(s.trace_id, s.span_id) for s in told[1:]] == [attempt_of(ID, number, traceparent) for number in (1, 2, 3)]
        assert (told[0].trace_id, told[0].span_id) == context_of(ID, traceparent)
        assert len({span.span_id for span in told}) == 4


def test_without_a_caller_an_operation_is_the_first_of_its_own_trace() -> None:
    whole = spans_of(ended(), None, [])[0]
    assert whole.parent_id is None
    assert whole.trace_id != context_of("op_another", None).trace_id
    assert SpanContext.parse(context_of(ID, None).traceparent) == (whole.trace_id, whole.span_id)


def test_a_resumed_operation_stays_in_the_trace_below_whoever_asked() -> None:
    first = context_of(ID, CALLER.traceparent)
    asked = SpanContext.new()
    assert SpanContext.parse(resumed_below(ID, CALLER.traceparent, asked)) == (CALLER.trace_id, asked.span_id)
    assert SpanContext.parse(resumed_below(ID, CALLER.traceparent, None)) == first
    assert SpanContext.parse(resumed_below(ID, None, None)) == context_of(ID, None)
    again = ended(resumed_from={"operation_id": ID, "checkpoint_id": None})
    assert spans_of(again, None, [])[0].links == (first.span_id,)


def test_a_failure_is_an_error_and_a_cancel_is_none() -> None:
    failed = spans_of(ended(Status.FAILED, error=ErrorRecord(code="no_data", message="there are no bars")), None, [])[0]
    assert (failed.error, failed.attributes["error.type"]) == ("there are no bars", "no_data")
    cancelled = spans_of(ended(Status.CANCELLED, error=ErrorRecord(code="cancelled", message="Cancelled by user")), None, [])[0]
    assert (cancelled.error, cancelled.attributes["operation.status"]) == (None, "cancelled")


def test_of_a_long_history_the_newest_is_shown() -> None:
    history = [happened("checkpoint", number, position=f"epoch {number}") for number in range(1000)]
    events = spans_of(ended(), None, history)[0].events
    assert len(events) == MOST_EVENTS
    assert events[-1][2]["position"] == "epoch 999"
