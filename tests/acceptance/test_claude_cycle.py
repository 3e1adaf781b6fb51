"""A research cycle with a language model, through the real command, backend and client library, against a local provider."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import ENDED, User
from tests.contracts.collecting import Collector, collecting
from tests.wire.asked import Asked
from tests.wire.dialogue import Texts
from tests.wire.messages import Wire
from tests.wire.texts import momentum

pytestmark = [pytest.mark.process, pytest.mark.torch]
JSON = dict[str, Any]
GOAL = "find a momentum edge in EURUSD"
DAILY = "find a momentum edge in SPY on 1d bars"
LENIENT = {
    "KTRDR_GATE_MIN_ACCURACY": "0", "KTRDR_GATE_MAX_LOSS": "9", "KTRDR_GATE_MIN_LOSS_DECREASE": "-9", "KTRDR_GATE_MIN_WIN_RATE": "0",
    "KTRDR_GATE_MAX_DRAWDOWN": "1", "KTRDR_GATE_MIN_SHARPE": "-99",
}  # fmt: skip


def quick(asked: Asked) -> str:
    """A strategy that is trained in a second."""
    text = momentum(asked).replace("epochs: 20", "epochs: 1").replace("batch_size: 256", "batch_size: 2048")
    return text.replace("confidence_threshold: 0.5", "confidence_threshold: 0.0")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire(Texts(strategy=quick)) as server:
        yield server


def asking(user: User, wire: Wire, persona: str, **settings: str) -> tuple[str, str]:
    """Let a user's backend ask a persona; its address on the server."""
    address = (persona, user.home.parent.name)
    key = {"ANTHROPIC_API_KEY": "a key for tests", "ANTHROPIC_BASE_URL": wire.url(*address)}
    user.extra = {**LENIENT, **key, **settings}
    return address


def cycle_of(user: User) -> JSON:
    found: JSON = user.json("ops", "--type", "agent_research")[0]
    return found


def test_a_whole_cycle_is_designed_judged_paid_for_and_traced(user: User, wire: Wire) -> None:
    with collecting() as collector:
        address = asking(user, wire, "rate_limited_once", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        done = user.run("research", GOAL, "--follow")
        collector.until(lambda: bool(collector.named("ktrdr research")) and bool(collector.named("agent_research")))
        traced(collector)
    for words in ("Designed by: claude-opus-5-5 (anthropic)", "Verdict: mediocre", "Assessment, by claude-opus-5-5", "Cost: $"):
        assert words in done.stdout
    assert all(len(line) <= 80 or "/" in line for line in done.stdout.splitlines() if line.startswith(("Cost", "  No key", "Designed")))
    result = cycle_of(user)["result_summary"]
    seen = wire.at(*address)
    assert result["spent"]["calls"] == len(seen)
    assert result["spent"]["input_tokens"] == sum(record.billed.whole_input for record in seen)
    assert result["spent"]["output_tokens"] == sum(record.billed.output_tokens for record in seen)
    budget = user.json("agent", "budget")
    assert budget["today_spend"] == pytest.approx(result["spent"]["cost_usd"])
    assert (user.home / "strategies" / result["strategy_name"] / "assessment.json").is_file()
    assert (user.home / "strategies" / result["strategy_name"] / "experiment.json").is_file()
    assert user.json("agent", "status")["last_cycle"]["verdict"] == "mediocre"


def traced(collector: Collector) -> None:
    """Every call to the language model hangs below the attempt that made it, all in the trace of the command."""
    assert {span.trace_id for span in collector.spans} == {collector.one("ktrdr research").trace_id}
    calls = {}
    for phase in ("agent_design", "agent_assessment"):
        [attempt] = [span for span in collector.below(collector.one(phase)) if span.name == "attempt 1"]
        calls[phase] = [span for span in collector.below(attempt) if span.name == "chat"]
    assert [call.attributes["try"] for call in calls["agent_design"]] == [1, 2, 1]
    assert len(calls["agent_assessment"]) == 1
    first, second, _ = calls["agent_design"]
    assert (first.error is not None, second.error) == (True, None)
    assert second.attributes["gen_ai.request.model"] == "claude-opus-5-5"
    assert second.attributes["gen_ai.usage.output_tokens"] > 0


def test_a_gate_ends_a_cycle_and_is_an_experiment(user: User, wire: Wire) -> None:
    refusals = (
        ({"KTRDR_GATE_MIN_SHARPE": "99"}, "Backtest gate failed: sharpe_too_low ("),
        ({"KTRDR_GATE_MIN_ACCURACY": "0.99"}, "Training gate failed: accuracy_below_threshold ("),
    )
    for setting, message in refusals:
        asking(user, wire, "honest", **setting)
        user.run("research", DAILY, "--follow", code=4)
        cycle = cycle_of(user)
        assert cycle["error_message"].startswith(message)
        assert cycle["result_summary"]["spent"]["calls"] >= 1
        [experiment] = (user.home / "strategies").glob("*/experiment.json")
        assert "refused by the" in experiment.read_text(encoding="utf-8")
        shutil.rmtree(experiment.parent)
        user.run("down")


@pytest.mark.parametrize(
    ("persona", "settings", "message"),
    [
        ("never_saves", {}, "Design phase failed: Claude did not save a strategy"),
        ("honest", {"KTRDR_BUDGET_CYCLE_CALLS": "1"}, "Design phase failed: this cycle has made the 1 calls that it may make"),
    ],
)
def test_a_failed_design_says_what_to_do(user: User, wire: Wire, persona: str, settings: dict[str, str], message: str) -> None:
    asking(user, wire, persona, **settings)
    done = user.run("research", GOAL, "--follow", code=1)
    cycle = cycle_of(user)
    assert cycle["error_message"].startswith(message)
    assert message[:60] in done.stdout + done.stderr
    assert f"ktrdr resume {cycle['operation_id']}" in cycle["error"]["hint"]


def test_a_resumed_cycle_goes_on_at_the_phase_that_failed(user: User, wire: Wire) -> None:
    asking(user, wire, "unauthorized")
    user.run("research", GOAL, "--follow", code=1)
    assert cycle_of(user)["error_message"] == "Design phase failed: Claude API error: authentication_failed"
    failed = cycle_of(user)["operation_id"]
    user.run("down")
    asking(user, wire, "honest")
    resumed = user.json("resume", failed)["operation_id"]
    cycle = user.wait(resumed, lambda operation: operation["metadata"]["phase"] != "designing" or operation["status"] in ENDED)
    assert (cycle["status"], cycle["metadata"]["phase"]) == ("running", "training")
    user.cancel(resumed)


def test_a_day_without_money_refuses_a_cycle(user: User, wire: Wire) -> None:
    asking(user, wire, "honest", KTRDR_BUDGET_DAY_USD="0.01")
    done = user.run("research", GOAL, code=1)
    assert "budget_exhausted" in done.stderr
    assert "begins anew at 00:00 UTC" in done.stderr.replace("\n", " ")
    assert user.json("ops") == []


def test_an_unknown_model_and_a_missing_key(user: User, wire: Wire) -> None:
    asking(user, wire, "honest")
    assert "unknown_model" in user.run("research", GOAL, "--model", "opsu", code=1).stderr
    del user.extra["ANTHROPIC_API_KEY"]
    user.run("down")
    assert "ANTHROPIC_API_KEY is not set" in user.run("research", GOAL, "--model", "opus", code=1).stderr
    begun = user.run("research", GOAL)
    assert "No key is set: a search designs." in begun.stdout
    user.run("agent", "cancel")


def runner_of(user: User, operation_type: str) -> Callable[[], int | None]:
    """Finds the process of the operation of a type that runs."""

    def found() -> int | None:
        workers = user.json("workers")
        return next((w["pid"] for w in workers if operation_type in str(w.get("operation_id"))), None)

    return found


def test_killed_runners_pay_for_nothing_twice(user: User, wire: Wire) -> None:
    address = asking(user, wire, "late:0.3")
    chance = random.Random(11)
    for _ in range(1):
        seen_before = len(wire.at(*address))
        operation_id = user.json("research", GOAL)["operation_id"]
        find = runner_of(user, "agent_design")
        while (pid := find()) is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1.2))  # any instant of the attempt
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        ended = user.wait(operation_id, lambda operation: operation["status"] in ENDED)
        assert ended["status"] == "completed", ended["error_message"]
        whole = Counter(record.body_hash for record in wire.at(*address)[seen_before:] if record.whole)
        assert set(whole.values()) == {1}


@pytest.mark.parametrize("persona", ["hang", "slow_stream"])
def test_a_cancel_reaches_the_provider(user: User, wire: Wire, persona: str) -> None:
    address = asking(user, wire, persona)
    operation_id = user.json("research", GOAL)["operation_id"]
    while not wire.at(*address):
        time.sleep(0.02)
    cancelled = user.cancel(operation_id)
    assert cancelled["status"] == "cancelled"
    deadline = time.monotonic() + 5
    while not all(record.closed_at for record in wire.at(*address)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [child["status"] for child in user.json("ops", "--type", "agent_design")] == ["cancelled"]
    assert user.json("agent", "budget")["today_spend"] > 0
    assert user.json("research", GOAL)["operation_id"] != operation_id
    user.run("agent", "cancel")
