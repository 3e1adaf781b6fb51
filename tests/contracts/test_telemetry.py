"""Traces as a collector gets them: real commands, backends and runners, whatever is killed; and nobody waits for a collector."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import structlog

from ktrdr.operations.model import Operation
from ktrdr.services.collector import KEPT_SPANS, Exporter
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.telemetry import Span, SpanContext, within
from ktrdr.wiring import Backend, open_backend
from tests.acceptance.conftest import ENDED, User, user  # noqa: F401  (the fixture)
from tests.contracts.collecting import Collector, Seen, collecting, nobody, silence
from tests.contracts.test_research_cycle import LENIENT, swinging_bars

pytestmark = pytest.mark.process
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
CEILING = 5.0
PHASES = {"agent_design": "designing", "training": "training", "backtesting": "backtesting", "agent_assessment": "assessing"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as taking:
        yield taking


def working_on(phase: str, attempt: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Whether a cycle's child of a phase has got somewhere in an attempt."""

    def so(cycle: dict[str, Any]) -> bool:
        child = cycle["progress"]["context"].get("child") or {}
        return bool(child.get("operation_type") == phase and child["status"] == "running" and child["context"].get("epoch_index"))

    return so


def begun(user: User, operation_id: str, attempt: int) -> int:  # noqa: F811
    """The process that does an attempt, once it is at work."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{user.backend()['url']}/api/v1/operations/{operation_id}/history") as answer:
            happened = json.load(answer)["data"]
        for each in happened:
            if (each["event"], each["attempt"]) == ("started", attempt):
                return int(each["detail"]["pid"])
        time.sleep(0.01)
    raise AssertionError(user.log())


def attempts(collector: Collector, operation: Seen) -> list[tuple[str, str]]:
    found = [span for span in collector.below(operation) if span.name.startswith("attempt ")]
    return [(span.name, span.attributes["end"]) for span in found]


@pytest.mark.torch
def test_a_cycle_is_one_trace_whatever_is_killed_cancelled_and_resumed(user: User, collector: Collector) -> None:  # noqa: F811
    user.extra |= {VARIABLE: collector.url, **{f"KTRDR_{name.upper()}": str(value) for name, value in LENIENT.items()}}
    BarStore(user.home / "bars").write(swinging_bars(9_000))
    first = user.json("research", "momentum in EURUSD", "--designer", "scripted")["operation_id"]

    cycle = user.catch(first, working_on("training"))
    training = cycle["metadata"]["training_op_id"]
    os.kill(begun(user, training, 1), signal.SIGKILL)
    begun(user, training, 2)
    collector.until(lambda: bool(collector.named("agent_design")))
    user.kill_backend()
    user.wait(first, lambda o: o["status"] == "running")  # starts a backend
    begun(user, training, 3)
    assert user.cancel(first)["status"] == "cancelled"
    user.run("resume", first, "--follow")
    collector.until(lambda: bool(collector.named("ktrdr resume")) and len(collector.named("agent_research")) == 2)
    user.run("down")

    assert {span.service for span in collector.spans} == {"ktrdr"}
    assert len({span.trace_id for span in collector.spans}) == 1
    ids = [span.span_id for span in collector.spans]
    assert len(ids) == len(set(ids))
    research, resume = collector.one("ktrdr research"), collector.one("ktrdr resume")
    before, after = collector.named("agent_research")
    assert (research.parent_id, resume.parent_id) == ("", "")
    assert (before.parent_id, after.parent_id) == (research.span_id, resume.span_id)
    assert (before.attributes["operation.id"], before.attributes["operation.status"]) == (first, "cancelled")
    assert after.attributes["operation.status"] == "completed"
    assert after.attributes["verdict"] == "mediocre"
    assert after.links == [before.span_id]

    phases = {PHASES[span.name]: span for span in collector.below(after) if span.name in PHASES}
    assert set(phases) == {"training", "backtesting", "assessing"}
    assert all(span.attributes["phase"] == phase for phase, span in phases.items())
    assert [span.name for span in collector.below(before) if span.name in PHASES] == ["agent_design", "training"]
    assert [end for _, end in attempts(collector, after)] == ["parked", "parked", "parked", "completed"]
    lost = collector.named("training")[0]
    assert attempts(collector, lost) == [("attempt 1", "lost"), ("attempt 2", "lost"), ("attempt 3", "cancelled")]
    assert (lost.attributes["operation.attempts"], lost.attributes["operation.status"]) == (3, "cancelled")
    gates = {name: collector.one(f"gate {name}") for name in ("training", "backtest")}
    second_attempt, third_attempt = [span for span in collector.below(after) if span.name in ("attempt 2", "attempt 3")]
    assert (gates["training"].parent_id, gates["backtest"].parent_id) == (second_attempt.span_id, third_attempt.span_id)
    assert gates["training"].attributes["gate.passed"] is True
    assert {"gate.accuracy", "gate.accuracy.threshold", "gate.loss", "gate.reason"} <= set(gates["training"].attributes)
    assert gates["backtest"].attributes["gate.win_rate.threshold"] == 0.0

    whole = collector.below(phases["training"])
    assert [span.name for span in whole] == ["attempt 1"]
    epochs = collector.below(whole[0])
    numbers = [span.attributes["epoch"] for span in epochs]
    assert numbers == list(range(numbers[0], 21))  # it goes on from the checkpoint of the one that was cancelled
    assert {"train_loss", "val_loss", "val_accuracy", "learning_rate"} <= set(epochs[0].attributes)
    assert all(whole[0].begun <= span.begun <= span.ended <= whole[0].ended for span in epochs)
    known = {span.span_id for span in collector.spans}
    orphans = [span for span in collector.spans if span.parent_id and span.parent_id not in known]
    assert not orphans


async def ended(backend: Backend, operation: Operation) -> Operation:
    async for event in backend.operations.events(operation.operation_id):
        operation = event.operation
    return operation


async def test_an_operation_hangs_below_whatever_asked_for_it(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, collector.url)
    caller = SpanContext.new()
    async with open_backend(Settings()) as backend:
        with within(caller):
            asked = await backend.operations.start("dummy", {"duration": 0.1, "iterations": 2})
        alone = await backend.operations.start("dummy", {"duration": 0.1, "iterations": 2})
        for operation in (asked, alone):
            await ended(backend, operation)
        await asyncio.to_thread(collector.until, lambda: len(collector.named("dummy")) == 2)
    below, first = (next(s for s in collector.named("dummy") if s.attributes["operation.id"] == o.operation_id) for o in (asked, alone))
    assert (below.trace_id, below.parent_id) == caller
    assert first.parent_id == ""
    assert first.trace_id != caller.trace_id


@pytest.mark.parametrize("place", [nobody, silence])
async def test_nobody_waits_for_a_collector_and_its_absence_is_said_once(
    place: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with place() as url, structlog.testing.capture_logs() as logged:
        monkeypatch.setenv(VARIABLE, url)
        begun = time.monotonic()
        async with open_backend(Settings()) as backend:
            for _ in range(2):
                operation = await backend.operations.start("dummy", {"duration": 0.1, "iterations": 2})
                assert (await ended(backend, operation)).status.value == "completed"
            running = await backend.operations.start("dummy", {"duration": 60, "iterations": 60})
            cancelled = await backend.operations.cancel(running.operation_id)
            assert cancelled.status.value == "cancelled"
            until = time.monotonic() + CEILING
            while not said(logged):
                assert time.monotonic() < until, logged
                await asyncio.sleep(0.01)
            for _ in range(2):
                await ended(backend, await backend.operations.start("dummy", {"duration": 0.05, "iterations": 1}))
            closing = time.monotonic()
        assert time.monotonic() - closing < CEILING
        assert time.monotonic() - begun < 4 * CEILING
    assert len(said(logged)) == 1
    assert said(logged)[0]["collector"] == url


def said(logged: list[Any]) -> list[Any]:
    return [line for line in logged if line["event"].startswith("traces do not arrive")]


def test_spans_that_nobody_takes_are_dropped_and_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with silence() as url:
        monkeypatch.setenv(VARIABLE, url)
        exporter = Exporter()
        begun = time.monotonic()
        for _ in range(3 * KEPT_SPANS):
            exporter.send(Span("many", *SpanContext.new(), None, 1, 2))
        exporter.close(0.1)
        assert time.monotonic() - begun < CEILING


def test_when_the_collector_comes_back_spans_arrive_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")
    with nobody() as url, structlog.testing.capture_logs() as logged:
        monkeypatch.setenv(VARIABLE, url)
        exporter = Exporter()
        until = time.monotonic() + CEILING
        while not said(logged):
            assert time.monotonic() < until
            exporter.send(Span("lost", *SpanContext.new(), None, 1, 2))
            time.sleep(0.1)
        with collecting(int(url.rpartition(":")[2])) as collector:
            exporter.send(Span("taken", *SpanContext.new(), None, 1, 2, {"answer": 42}, "a pity", [("event", 1, {"x": 1.5})]))
            collector.until(lambda: bool(collector.named("taken")))
            exporter.close(CEILING)
    taken = collector.one("taken")
    assert (taken.attributes, taken.events, taken.error, taken.begun, taken.ended) == ({"answer": 42}, ["event"], "a pity", 1, 2)
    assert [line["event"] for line in logged] == ["traces do not arrive; everything else goes on", "traces arrive again"]


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    )
    return done.stdout


def test_commands_and_runners_never_load_opentelemetry() -> None:
    commands, runners = "ktrdr.cli.app, ktrdr.cli.client, ktrdr.cli.commands.research", "ktrdr.worker.main, ktrdr.worker.zygote"
    code = f"import sys, {commands}, {runners}\nktrdr.worker.zygote.preload('light')\nprint('opentelemetry' in sys.modules)"
    assert run(code, **{VARIABLE: "http://127.0.0.1:1"}).strip() == "False"


def test_a_backend_without_a_collector_does_not_load_the_exporter() -> None:
    code = (
        "import asyncio, sys, threading\nfrom ktrdr.settings import Settings\nfrom ktrdr.wiring import open_backend\n"
        "async def main():\n    async with open_backend(Settings()) as backend:\n"
        "        started = await backend.operations.start('dummy', {'duration': 0.05, 'iterations': 1})\n"
        "        [event async for event in backend.operations.events(started.operation_id)]\n"
        "        print(backend.traces, 'opentelemetry.sdk' in sys.modules, [t.name for t in threading.enumerate() if t.name == 'traces'])\n"
        "asyncio.run(main())"
    )
    assert run(code).splitlines()[-1] == "None False []"


def test_without_the_extra_the_log_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['opentelemetry.exporter'] = None\nfrom ktrdr.services.collector import Exporter\n"
        "exporter = Exporter()\nexporter.close(5)\nprint('goes on')"
    )
    shown = run(code, **{VARIABLE: "http://127.0.0.1:1"})
    assert "pip install 'ktrdr[telemetry]'" in shown
    assert shown.splitlines()[-1] == "goes on"


def test_a_variable_that_cannot_be_right_is_said_and_nothing_fails() -> None:
    code = "from ktrdr.services.collector import Exporter\nexporter = Exporter()\nexporter.close(5)\nprint('goes on')"
    shown = run(code, **{VARIABLE: "http://127.0.0.1:1", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nobody"})
    assert "cannot be sent" in shown
    assert shown.splitlines()[-1] == "goes on"
