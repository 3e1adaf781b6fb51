"""The local model server, driven by the real client library: every way in which it fails."""

from __future__ import annotations

import time

import anthropic
import httpx
import pytest

from tests.wire.faults import FAILURES
from tests.wire.messages import Wire
from tests.wire.reply import Usage
from tests.wire.talk import SAVE, Client, ask

TYPED = {
    "invalid_request": anthropic.BadRequestError,
    "unauthorized": anthropic.AuthenticationError,
    "out_of_credit": anthropic.APIStatusError,
    "forbidden": anthropic.PermissionDeniedError,
    "unknown_model": anthropic.NotFoundError,
    "too_large": anthropic.APIStatusError,
    "rate_limited": anthropic.RateLimitError,
    "server_error": anthropic.InternalServerError,
    "overloaded": anthropic.InternalServerError,
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("persona", FAILURES)
async def test_a_failure_is_the_clients_typed_error(client: Client, wire: Wire, here: str, persona: str, streams: bool) -> None:
    with pytest.raises(TYPED[persona]) as caught:
        await client(persona).messages.create(**ask(stream=streams))
    status, kind, said = FAILURES[persona]
    assert (caught.value.status_code, caught.value.type, caught.value.api_message) == (status, kind, said)
    assert caught.value.request_id
    (record,) = await wire.ended(persona, here)
    assert (record.status, record.error, record.billed, record.whole) == (status, kind, Usage(), True)


async def test_a_limit_says_when_to_come_again_and_the_client_does(client: Client, wire: Wire, here: str) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        await client("rate_limited:30").messages.create(**ask())
    assert caught.value.response.headers["retry-after"] == "30"
    answer = await client("rate_limited_once:0.01", max_retries=1).messages.create(**ask())
    assert answer.stop_reason == "end_turn"
    first, second = await wire.ended("rate_limited_once:0.01", here)
    assert (first.status, second.status, first.retry, second.retry) == (429, 200, 0, 1)
    assert first.body_hash == second.body_hash


async def test_a_stream_may_be_overloaded_midway(client: Client, wire: Wire, here: str) -> None:
    stream = await client("overloaded_midway").messages.create(**ask(stream=True))
    with pytest.raises(anthropic.APIStatusError) as caught:
        [event async for event in stream]
    assert caught.value.type == "overloaded_error"
    (record,) = await wire.ended("overloaded_midway", here)
    assert (record.status, record.error, record.billed.output_tokens) == (200, "overloaded_error", 0)
    assert record.billed.input_tokens > 0


@pytest.mark.parametrize(("how", "error"), [("closed", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
async def test_a_stream_that_is_cut_is_an_error_and_was_not_whole(
    client: Client, wire: Wire, here: str, how: str, error: type[Exception]
) -> None:
    stream = await client(f"cut_stream:{how}").messages.create(**ask(stream=True, tools=[SAVE]))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the library's own name follows
        [event async for event in stream]
    assert type(caught.value).__name__ == error.__name__
    (record,) = await wire.ended(f"cut_stream:{how}", here)
    assert not record.whole
    assert 0 < record.billed.output_tokens < 800
    with pytest.raises(anthropic.APIConnectionError):
        await client(f"cut_stream:{how}").messages.create(**ask())


async def test_a_stream_that_ends_too_early_ends_without_its_last_event(client: Client) -> None:
    stream = await client("cut_stream:clean").messages.create(**ask(stream=True, tools=[SAVE]))
    assert "message_stop" not in [event.type async for event in stream]


NO_ANSWERS = {
    "text": "I am",
    "empty": "",
    "html": "<html>",
    "list": "[]",
    "no_content": '{"id"',
    "null_content": '{"id"',
    "unknown_block": '{"id"',
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
async def test_what_is_no_answer_is_delivered_as_it_is(client: Client, wire: Wire, here: str, kind: str) -> None:
    raw = await client(f"malformed:{kind}").messages.with_raw_response.create(**ask())
    text = await raw.text()
    assert (raw.status_code, text[: len(NO_ANSWERS[kind]) or 1]) == (200, NO_ANSWERS[kind])
    assert ('"usage"' in text) is (kind == "unknown_block")
    (record,) = await wire.ended(f"malformed:{kind}", here)
    assert (record.whole, record.billed.input_tokens > 0, record.billed.output_tokens) == (True, True, 0)


async def test_a_huge_answer_is_delivered_whole(client: Client, wire: Wire, here: str) -> None:
    answer = await client("huge_output:4").messages.create(**ask())
    assert len(answer.content[0].text) > 4_000_000
    (record,) = await wire.ended("huge_output:4", here)
    assert record.whole
    assert record.billed.output_tokens == answer.usage.output_tokens == 4000


async def test_a_refusal_and_a_late_answer_are_answers(client: Client) -> None:
    assert (await client("refuses").messages.create(**ask())).stop_reason == "refusal"
    began = time.monotonic()
    assert (await client("late:0.2").messages.create(**ask())).stop_reason == "end_turn"
    assert time.monotonic() - began >= 0.2
    with pytest.raises(anthropic.APITimeoutError):
        await client("late:5", timeout=0.1).messages.create(**ask())


async def test_what_the_api_would_refuse_is_refused(client: Client, wire: Wire) -> None:
    orphan = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "x", "input": {}}]},
        {"role": "user", "content": "go"},
    ]
    for wrong, said in ({"messages": orphan}, "without tool_result"), ({"messages": []}, "at least one"), ({"max_tokens": 0}, "max_tokens"):
        with pytest.raises(anthropic.BadRequestError, match=said):
            await client("honest").messages.create(**ask(**wrong))
    with pytest.raises(anthropic.NotFoundError, match="no persona 'nobody'; known: honest"):
        await client("nobody").messages.create(**ask())
    with pytest.raises(anthropic.NotFoundError, match="takes no argument"):
        await client("late:soon").messages.create(**ask())
    async with httpx.AsyncClient() as plain:
        assert (await plain.post(wire.url("honest/v1/messages"), json=ask())).json()["error"]["type"] == "authentication_error"
        assert (await plain.post(wire.url("honest/v1/messages"), content=b"{", headers={"x-api-key": "any"})).status_code == 400
        assert (await plain.get(wire.url("honest/v1/models"), headers={"x-api-key": "any"})).status_code == 404
