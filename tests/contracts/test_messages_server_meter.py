"""The local model server, driven by the real client library: who hangs up when, what it costs, and what is written down."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from tests.wire.messages import Wire, apart
from tests.wire.meter import billed_by_model, read_log
from tests.wire.reply import Usage
from tests.wire.talk import MODEL, SAVE, Client, ask

# --- who hangs up, and when


WAITING = [("hang", False), ("hang", True), ("hang:headers", True), ("hang:pings", True), ("hang:pings", False), ("late:60", False)]
TALKING = [("slow_stream:0.02", True), ("slow_stream:0.02", False)]


@pytest.mark.parametrize(("persona", "streams"), WAITING + TALKING)
async def test_cancelling_the_task_closes_the_socket_at_once(client: Client, wire: Wire, here: str, persona: str, streams: bool) -> None:
    async def wait() -> None:
        answer = await client(persona, timeout=60).messages.create(**ask(stream=streams))
        [event async for event in answer]

    task = asyncio.create_task(wait())
    (record,) = await wire.until(
        lambda records: bool(records) and (persona.startswith(("hang", "late")) or records[0].status == 200), persona, here
    )
    await asyncio.sleep(0.05)  # into the stream
    assert not record.settled
    task.cancel()
    cancelled = time.time()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = await wire.until(lambda records: records[0].settled, persona, here)
    assert record.closed_at is not None
    assert record.closed_at - cancelled < 0.5
    assert not record.whole
    assert record.billed.input_tokens > 0
    assert (record.billed.output_tokens > 0) is persona.startswith(("late", "slow"))


async def test_one_connection_serves_request_after_request(client: Client, wire: Wire, here: str) -> None:
    asked = client("honest")
    for _ in range(20):
        await asked.messages.create(**ask())
    records = await wire.ended("honest", here)
    assert [record.whole for record in records] == [True] * 20
    assert len({record.body_hash for record in records}) == 1
    assert [record.number for record in records] == sorted(record.number for record in records)


# --- what it costs


async def test_the_meter_is_the_sum_of_what_was_answered(here: str) -> None:
    with Wire() as own:
        told: dict[str, Usage] = {}
        for model in (MODEL, "claude-opus-5-5"):
            for persona in ("honest", "expensive", "truncated", "repairs_once"):
                async with anthropic.AsyncAnthropic(base_url=own.url(persona), api_key="any") as asked:
                    usage = (await asked.messages.create(**ask(model=model, tools=[SAVE]))).usage
                    told[model] = told.get(model, Usage()) + Usage(usage.input_tokens, usage.output_tokens)
        assert billed_by_model(own.records) == told


async def test_answers_within_and_beyond_their_limit(client: Client) -> None:
    expensive = await client("expensive").messages.create(**ask(tools=[SAVE]))
    assert (expensive.usage.output_tokens, expensive.stop_reason) == (4000, "tool_use")
    truncated = await client("truncated").messages.create(**ask(tools=[SAVE]))
    assert (truncated.usage.output_tokens, truncated.stop_reason) == (4000, "max_tokens")
    assert truncated.content[-1].input == {}
    short = await client("honest").messages.create(**ask(max_tokens=2))
    assert (short.usage.output_tokens, short.stop_reason) == (2, "max_tokens")
    assert len(short.content[0].text) == 8


@pytest.mark.parametrize(("lie", "told"), [("zero", 0), ("small", 1), ("negative", None), ("large", None), ("text", "many")])
async def test_a_lie_about_usage_is_told_and_the_meter_knows_better(client: Client, wire: Wire, here: str, lie: str, told: Any) -> None:
    answer = await client(f"lying_usage:{lie}").messages.create(**ask())
    (record,) = await wire.ended(f"lying_usage:{lie}", here)
    assert record.billed.output_tokens > 1
    assert record.told == {key: getattr(answer.usage, key) for key in record.told or {}}
    if told is not None:
        assert answer.usage.output_tokens == told
    assert answer.usage.output_tokens != record.billed.output_tokens


async def test_usage_may_be_missing(client: Client, wire: Wire, here: str) -> None:
    answer = await client("missing_usage").messages.create(**ask())
    assert getattr(answer, "usage", None) is None
    (record,) = await wire.ended("missing_usage", here)
    assert (record.told, record.billed.output_tokens > 0) == (None, True)


async def test_a_marked_prefix_is_written_to_the_cache_and_then_read_from_it(client: Client) -> None:
    system = [{"type": "text", "text": "You design strategies. " * 50, "cache_control": {"type": "ephemeral"}}]
    asked = client("honest")
    first = await asked.messages.create(**ask(system=system))
    messages = [*ask()["messages"], {"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}]
    second = await asked.messages.create(**ask(system=system, messages=messages))
    assert (first.usage.cache_creation_input_tokens, first.usage.cache_read_input_tokens) == (second.usage.cache_read_input_tokens, 0)
    assert second.usage.cache_creation_input_tokens == 0
    assert (second.usage.cache_read_input_tokens or 0) > 250
    assert (await asked.messages.create(**ask())).usage.cache_creation_input_tokens == 0


# --- a process of its own


def test_a_log_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with Wire(log=log) as own, httpx.Client(headers={"x-api-key": "any"}) as plain:
        for persona in ("honest", "overloaded", "cut_stream:clean", "nobody"):
            plain.post(own.url(persona, "v1/messages"), json=ask(tools=[SAVE]))
    records = own.records
    assert [record.status for record in records] == [200, 529, 200, 404]
    assert read_log(log) == records
    with log.open("a", encoding="utf-8") as file:
        file.write('{"number": 9, "half')
    assert read_log(log) == records


@pytest.mark.process
async def test_a_server_of_its_own_outlives_a_client_that_is_killed(tmp_path: Path) -> None:
    script = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), {'x-api-key': 'any'}))"
    with apart(tmp_path / "log.jsonl", "--persona", "never_saves") as server:
        for persona in ("hang", "slow_stream"):
            address = server.url(persona, "v1/messages")
            caller = subprocess.Popen([sys.executable, "-c", script, address, json.dumps(ask(stream=True))])
            await server.until(bool, persona)
            caller.send_signal(signal.SIGKILL)
            caller.wait()
            killed = time.time()
            (record,) = await server.until(lambda records: records[0].settled, persona)
            assert record.closed_at is not None
            assert record.closed_at - killed < 0.5
        async with anthropic.AsyncAnthropic(base_url=server.url(), api_key="any") as asked:
            assert "fine idea" in (await asked.messages.create(**ask())).content[0].text
        await server.ended("never_saves")
        last = server.records[-1]
        assert (last.number, last.persona, last.whole) == (3, "never_saves", True)
