"""The local model server, driven by the real client library: what it says."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from ktrdr.errors import InvalidStrategy
from ktrdr.strategy.load import load_strategy
from tests.wire.dialogue import Texts
from tests.wire.hostile import hostile_assessments, hostile_texts
from tests.wire.messages import Wire
from tests.wire.reply import Usage
from tests.wire.talk import ASSESS, MODEL, SAVE, SUMMARY, VALIDATE, Client, ask, called, converse
from tests.wire.texts import MISTAKES

# --- what it says


async def test_a_whole_answer_has_text_usage_and_a_request_id(client: Client, wire: Wire, here: str) -> None:
    answer = await client("honest").messages.create(**ask())
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.stop_reason, answer.model, answer.role) == ("end_turn", MODEL, "assistant")
    (record,) = await wire.ended("honest", here)
    assert answer._request_id == f"req_{record.number:06}"
    assert answer.usage.input_tokens == record.billed.input_tokens > 20
    assert answer.usage.output_tokens == record.billed.output_tokens > 0
    assert (record.model, record.max_tokens, record.messages, record.tools, record.streams, record.retry) == (MODEL, 4000, 1, (), False, 0)
    assert (record.status, record.whole, record.closed_at, len(record.body_hash)) == (200, True, None, 64)


async def test_a_stream_says_the_same_as_a_whole_answer(client: Client) -> None:
    whole = await client("honest").messages.create(**ask(tools=[SAVE]))
    async with client("honest").messages.stream(**ask(tools=[SAVE])) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert [block.model_dump(exclude={"id"}) for block in final.content] == [block.model_dump(exclude={"id"}) for block in whole.content]
    assert final.stop_reason == whole.stop_reason == "tool_use"
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"} <= set(
        kinds
    )


async def test_raw_events_of_a_stream_are_those_of_the_api(client: Client) -> None:
    stream = await client("honest").messages.create(**ask(tools=[SAVE], stream=True))
    seen = [event async for event in stream]
    deltas = [event.delta.type for event in seen if event.type == "content_block_delta"]
    assert deltas.count("text_delta") > 1
    assert deltas.count("input_json_delta") > 10
    assert [event.type for event in seen][:: len(seen) - 1] == ["message_start", "message_stop"]


async def test_tokens_are_counted_as_they_are_billed(client: Client, wire: Wire, here: str) -> None:
    asked = client("honest")
    answer = await asked.messages.create(**ask())
    counted = await asked.messages.count_tokens(model=MODEL, messages=ask()["messages"])
    assert 0 < counted.input_tokens < answer.usage.input_tokens  # the body of a count has no max_tokens
    assert [record.billed == Usage() for record in await wire.ended("honest", here)] == [False, True]


# --- designing and assessing


async def test_a_design_is_validated_saved_and_right_for_what_was_asked(client: Client) -> None:
    said = await converse(client("honest"), [VALIDATE, SAVE, SUMMARY])
    calls = called(said)
    assert [name for name, _ in calls] == ["validate_strategy", "save_strategy"]
    assert calls[0][1] == calls[1][1]
    strategy = load_strategy(calls[1][1]["yaml"], "the design").strategy
    assert (strategy.symbols, [str(t) for t in strategy.timeframes]) == (("AAPL",), ["1h"])
    assert [f"{moment:%Y-%m-%d}" for moment in strategy.date_range if moment] == ["2024-01-02", "2024-04-01"]
    assert strategy.name.startswith("wire_")
    assert said[-1].stop_reason == "end_turn"


async def test_a_thorough_designer_reads_with_the_names_of_the_request_before_it_designs(client: Client) -> None:
    calls = called(await converse(client("thorough"), [SAVE, SUMMARY]))
    assert calls[0] == ("data_summary", {"symbol": "AAPL", "timeframe": "1h"})
    assert [name for name, _ in calls] == ["data_summary", "save_strategy"]


async def test_an_assessment_is_saved_once(client: Client) -> None:
    calls = called(await converse(client("honest"), [ASSESS]))
    assert [name for name, _ in calls] == ["save_assessment"]
    assert calls[0][1]["verdict"] == "mediocre"
    assert all(isinstance(calls[0][1][key], list) for key in ("strengths", "weaknesses", "suggestions", "lessons"))


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_made_and_mended_after_the_tool_has_named_it(client: Client, mistake: str) -> None:
    def check(name: str, arguments: Any) -> tuple[str, bool]:
        try:
            return load_strategy(arguments["yaml"], "the design").strategy.name, False
        except InvalidStrategy as error:
            return error.message, True

    said = await converse(client(f"repairs_once:{mistake}"), [SAVE], check)
    checked = [check(name, arguments)[1] for name, arguments in called(said)]
    assert checked == [True, False]


async def test_the_texts_may_be_given(here: str) -> None:
    texts = Texts(strategy=lambda asked: f"name: of_{asked.model}", assessment={"verdict": "poor", "strengths": []})
    with Wire(texts) as own:
        async with anthropic.AsyncAnthropic(base_url=own.url("honest"), api_key="any") as asked:
            assert called(await converse(asked, [SAVE])) == [("save_strategy", {"yaml": f"name: of_{MODEL}"})]
            ((_, assessment),) = called(await converse(asked, [ASSESS]))
            assert assessment == {"verdict": "poor", "strengths": [], "weaknesses": [], "suggestions": []}


async def test_a_conversation_goes_on_with_another_server_where_it_was(client: Client) -> None:
    first = await client("honest").messages.create(**ask(tools=[VALIDATE, SAVE]))
    call = first.content[1]
    messages = [*ask()["messages"], {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "ok"}]}]  # fmt: skip
    with Wire() as other:
        async with anthropic.AsyncAnthropic(base_url=other.url("honest"), api_key="any") as asked:
            there = await asked.messages.create(**ask(tools=[VALIDATE, SAVE], messages=messages))
    here = await client("honest").messages.create(**ask(tools=[VALIDATE, SAVE], messages=messages))
    assert there.content == here.content
    assert there.content[1].name == "save_strategy"


async def test_one_that_never_saves_and_one_that_never_ends(client: Client) -> None:
    assert called(await converse(client("never_saves"), [SAVE, SUMMARY])) == []
    assert [name for name, _ in called(await converse(client("loops"), [SAVE, SUMMARY], turns=6))] == ["data_summary"] * 6


async def test_bad_arguments_come_in_every_kind_before_good_ones(client: Client) -> None:
    calls = called(await converse(client("bad_arguments"), [SAVE]))
    assert [name for name, _ in calls] == ["save_strategy"] * 3 + ["run_shell"] + ["save_strategy"] * 3
    assert [type(arguments) for _, arguments in calls] == [dict] * 4 + [str] * 2 + [dict]
    assert calls[0][1] == {"yaml": 42}
    assert load_strategy(calls[-1][1]["yaml"], "the design")
    stream = await client("bad_arguments:broken").messages.create(**ask(tools=[SAVE], stream=True))
    pieces = [
        event.delta.partial_json async for event in stream if event.type == "content_block_delta" and event.delta.type == "input_json_delta"
    ]
    with pytest.raises(json.JSONDecodeError):
        json.loads("".join(pieces))


@pytest.mark.parametrize("name", ["name-nul", "control-colour", "words-emoji", "tag-apply-system-alone"])
async def test_a_hostile_text_arrives_as_it_is(client: Client, name: str) -> None:
    calls = called(await converse(client(f"hostile:{name}"), [SAVE]))
    assert calls == [("save_strategy", {"yaml": dict(hostile_texts())[name]})] * 2


async def test_what_no_json_should_hold_arrives_as_it_is_once(client: Client) -> None:
    """The client cannot send it back."""
    for name in ("assessment-strengths-deep", "assessment-verdict-5", "assessment-words-surrogate", "assessment-strengths-infinity"):
        answer = await client(f"hostile:{name}").messages.create(**ask(tools=[ASSESS]))
        assert answer.content[1].input == dict(hostile_assessments())[name]
    answer = await client("hostile:document-surrogate").messages.create(**ask(tools=[SAVE]))
    assert answer.content[1].input == {"yaml": dict(hostile_texts())["document-surrogate"]}
