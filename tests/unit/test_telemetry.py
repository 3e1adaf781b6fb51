"""What a process says of its spans, and where they hang."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr import telemetry
from ktrdr.telemetry import Span, SpanContext

ATTEMPT = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def said() -> Iterator[list[Span]]:
    spans: list[Span] = []
    with telemetry.telling(spans.append, ATTEMPT):
        yield spans


def test_spans_hang_below_the_one_around_them_and_the_outermost_below_the_attempt(said: list[Span]) -> None:
    with telemetry.span("outer", symbol="EURUSD") as outer, telemetry.span("inner", {"gen_ai.request.model": "a"}, tries=1):
        outer.set(trades=42)
    telemetry.record("after", time.time_ns())
    inner, around, after = said
    assert [span.name for span in said] == ["inner", "outer", "after"]
    assert inner.parent_id == around.span_id
    assert around.parent_id == after.parent_id == ATTEMPT.span_id
    assert {span.trace_id for span in said} == {ATTEMPT.trace_id}
    assert len({span.span_id for span in said}) == 3
    assert around.attributes == {"symbol": "EURUSD", "trades": 42}
    assert inner.attributes == {"gen_ai.request.model": "a", "tries": 1}
    assert around.begun <= inner.begun <= inner.ended <= around.ended


def test_a_thread_that_knows_of_no_span_works_for_the_attempt(said: list[Span]) -> None:
    def work(number: int) -> None:
        with telemetry.span("thread", number=number):
            time.sleep(0.001)

    with telemetry.span("outer"), ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(50)))
    assert {span.parent_id for span in said} == {ATTEMPT.span_id}
    assert sorted(span.attributes["number"] for span in said if span.name == "thread") == list(range(50))


def test_what_goes_wrong_is_said_and_goes_on(said: list[Span]) -> None:
    with pytest.raises(ZeroDivisionError), telemetry.span("division"):
        1 / 0  # noqa: B018
    assert said[0].error == "ZeroDivisionError: division by zero"


def test_a_span_that_ends_well_inside_a_handler_has_no_error(said: list[Span]) -> None:
    try:
        raise ValueError("another matter")
    except ValueError:
        with telemetry.span("clean-up"):
            pass
    assert said[0].error is None


def test_a_span_can_be_sent_as_json_whatever_is_said_of_it(said: list[Span]) -> None:
    with telemetry.span("odd", none=None, nan=math.nan, huge=10**30, long="x" * 5000, many=[1, 2], yes=True):
        pass
    sent = json.loads(json.dumps(asdict(said[0]), allow_nan=False))
    assert Span(**sent).attributes == {"nan": "nan", "huge": str(10**30), "long": "x" * 1000, "many": "[1, 2]", "yes": True}


def test_without_a_place_to_send_them_spans_cost_nothing_and_say_nothing() -> None:
    assert telemetry.here() is None
    with telemetry.span("unheard") as span:
        span.set(anything=object())
        assert telemetry.here() is None
    telemetry.record("unheard", 0)


@given(st.text() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_a_traceparent_is_understood_or_ignored(text: str) -> None:
    found = SpanContext.parse(text)
    if found is not None:
        assert found.traceparent[:-2] == text[:-2]
        assert SpanContext.parse(found.traceparent) == found
        assert int(found.trace_id, 16) > 0 < int(found.span_id, 16)


@pytest.mark.parametrize("wrong", ["", "00", "01-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-" + "0" * 32 + "-" + "b" * 16 + "-01",
                                   "00-" + "a" * 32 + "-" + "0" * 16 + "-01", "00-" + "A" * 32 + "-" + "b" * 16 + "-01"])  # fmt: skip
def test_what_is_no_traceparent_names_nothing(wrong: str) -> None:
    assert SpanContext.parse(wrong) is None


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, "http://a"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/v1/traces"}, "http://b/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "True"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "false"}, "http://a"),
    ],
)
def test_the_standard_variables_name_the_collector(
    environment: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert telemetry.collector() == found
