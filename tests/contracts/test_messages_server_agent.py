"""The local model server beneath the agent library: a whole conversation with tools, and each way in which it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelServerError,
    ModelTimeoutError,
    RunTimedOut,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

from ktrdr.errors import InvalidStrategy
from ktrdr.strategy.load import load_strategy
from tests.wire.messages import Wire
from tests.wire.meter import billed_by_model
from tests.wire.reply import Usage

MODEL = "claude-haiku-5-5"
GOAL = "Find a momentum edge. Symbol: SPY, bars of 1d, training 2015-01-01 to 2019-01-01."


class Proposal(BaseModel):
    """What a designer ends with."""

    strategy_name: str
    hypothesis: str


@dataclass
class Desk:
    """Tools of our own, and what they were called with."""

    saved: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: int = 0

    def agent(self, model: Model, **options: Any) -> Agent[None, Proposal]:
        """An agent that may save a strategy and look at data."""

        async def save_strategy(yaml: str) -> str:
            """Save the strategy."""
            try:
                self.saved.append(load_strategy(yaml, "the design").strategy.name)
            except InvalidStrategy as error:
                self.refused += 1
                raise ModelRetry(error.message) from None
            return "saved"

        async def data_summary(symbol: str, timeframe: str) -> str:
            """What bars there are."""
            self.asked.append(f"{symbol} {timeframe}")
            return "100 bars"

        return Agent(model, output_type=Proposal, tools=[save_strategy, data_summary], retries=8, **options)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


def claude(wire: Wire, stack: AsyncExitStack, *address: str, **options: Any) -> Model:
    """The real model class over the real client, pointed at a persona."""
    client = anthropic.AsyncAnthropic(base_url=wire.url(*address), api_key="any", **{"max_retries": 0, "timeout": 5.0, **options})
    stack.push_async_callback(client.close)
    return AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client), settings={"max_tokens": 4000})


@pytest.mark.parametrize(
    "persona", ["honest", "thorough", "repairs_once", "repairs_once:not_yaml", "bad_arguments", "expensive", "late:0.1"]
)
async def test_a_design_ends_with_a_saved_strategy_that_is_named(wire: Wire, stack: AsyncExitStack, persona: str) -> None:
    desk = Desk()
    ended = await desk.agent(claude(wire, stack, persona, "design")).run(GOAL)
    assert len(desk.saved) == 1
    assert ended.output.strategy_name == desk.saved[0]
    assert desk.refused == persona.startswith("repairs_once")
    assert desk.asked == (["SPY 1d"] if persona == "thorough" else [])
    billed = billed_by_model(await wire.ended(persona, "design"))[MODEL]
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (billed.whole_input, billed.output_tokens)


async def test_the_same_by_a_stream(wire: Wire, stack: AsyncExitStack) -> None:
    async def hear(_: Any, events: AsyncIterable[Any]) -> None:
        async for _event in events:
            pass

    desk = Desk()
    ended = await desk.agent(claude(wire, stack, "honest", "stream")).run(GOAL, event_stream_handler=hear)
    assert ended.output.strategy_name == desk.saved[0]
    assert all(record.streams and record.whole for record in await wire.ended("honest", "stream"))
    billed = billed_by_model(await wire.ended("honest", "stream"))[MODEL]
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (billed.whole_input, billed.output_tokens)


async def test_tokens_of_the_cache_reach_the_run(wire: Wire, stack: AsyncExitStack) -> None:
    settings = AnthropicModelSettings(anthropic_cache_instructions=True, anthropic_cache_tool_definitions=True)
    agent = Desk().agent(claude(wire, stack, "honest", "cache"), instructions="Be honest. " * 200, model_settings=settings)
    ended = await agent.run(GOAL)
    billed = billed_by_model(await wire.ended("honest", "cache"))[MODEL]
    assert ended.usage.cache_write_tokens == billed.cache_creation_input_tokens > 500
    assert ended.usage.cache_read_tokens == billed.cache_read_input_tokens > 500
    assert ended.usage.input_tokens == billed.whole_input


async def test_one_that_never_saves_ends_without_a_strategy(wire: Wire, stack: AsyncExitStack) -> None:
    desk = Desk()
    assert (await desk.agent(claude(wire, stack, "never_saves")).run(GOAL)).output.strategy_name == "none"
    assert desk.saved == []


async def test_one_that_loops_meets_the_limit_of_requests(wire: Wire, stack: AsyncExitStack) -> None:
    desk = Desk()
    with pytest.raises(UsageLimitExceeded):
        await desk.agent(claude(wire, stack, "loops", "limit")).run(GOAL, usage_limits=UsageLimits(request_limit=5))
    assert len(await wire.ended("loops", "limit")) == 5
    assert desk.asked == ["SPY 1d"] * 5


@pytest.mark.parametrize(
    ("persona", "error"),
    [
        ("rate_limited", ModelRateLimitError),
        ("overloaded", ModelOverloadedError),
        ("unauthorized", ModelAuthenticationError),
        ("server_error", ModelServerError),
        ("malformed", (ModelAPIError, UnexpectedModelBehavior)),
        ("malformed:empty", (ModelAPIError, UnexpectedModelBehavior)),
        ("cut_stream", ModelAPIError),
        ("truncated", UnexpectedModelBehavior),
    ],
)
async def test_a_failure_is_the_librarys_typed_error(wire: Wire, stack: AsyncExitStack, persona: str, error: Any) -> None:
    with pytest.raises(error):
        await Desk().agent(claude(wire, stack, persona)).run(GOAL)


async def test_failures_that_pass_are_retried_by_the_client(wire: Wire, stack: AsyncExitStack) -> None:
    for persona in ("rate_limited_once:0.01", "overloaded_once:0.01"):
        desk = Desk()
        await desk.agent(claude(wire, stack, persona, max_retries=2)).run(GOAL)
        assert len(desk.saved) == 1
        assert [record.status for record in await wire.ended(persona)][:2] == [429 if persona.startswith("rate") else 529, 200]


async def test_time_runs_out_by_the_clients_clock_and_by_the_runs(wire: Wire, stack: AsyncExitStack) -> None:
    with pytest.raises(ModelTimeoutError):
        await Desk().agent(claude(wire, stack, "hang", "clients", timeout=0.2)).run(GOAL)
    with pytest.raises(RunTimedOut):
        await Desk().agent(claude(wire, stack, "hang:pings", "runs", timeout=30.0)).run(GOAL, timeout=0.3)
    for address in (("hang", "clients"), ("hang:pings", "runs")):
        (record,) = await wire.until(lambda records: records[0].settled, *address)
        assert record.closed_at is not None


async def test_cancelling_a_run_closes_the_socket(wire: Wire, stack: AsyncExitStack) -> None:
    task = asyncio.create_task(Desk().agent(claude(wire, stack, "hang", "cancel", timeout=60.0)).run(GOAL))
    await wire.until(bool, "hang", "cancel")
    task.cancel()
    cancelled = time.time()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = await wire.until(lambda records: records[0].settled, "hang", "cancel")
    assert record.closed_at is not None
    assert record.closed_at - cancelled < 0.5


async def test_usage_that_is_a_lie_is_what_the_run_is_told(wire: Wire, stack: AsyncExitStack) -> None:
    ended = await Desk().agent(claude(wire, stack, "lying_usage:zero")).run(GOAL)
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (0, 0)
    assert billed_by_model(await wire.ended("lying_usage:zero"))[MODEL].output_tokens > 0
    ended = await Desk().agent(claude(wire, stack, "lying_usage:large")).run(GOAL)
    assert ended.usage.output_tokens > 1_000_000_000


async def test_some_answers_break_the_library_with_errors_of_no_kind_of_its_own(wire: Wire, stack: AsyncExitStack) -> None:
    """Whoever uses it must expect them."""
    with pytest.raises(AttributeError):
        await Desk().agent(claude(wire, stack, "missing_usage")).run(GOAL)
    for name in ("document-surrogate", "control-surrogate"):
        desk = Desk()
        if name == "document-surrogate":
            with pytest.raises(UnicodeEncodeError):
                await desk.agent(claude(wire, stack, f"hostile:{name}")).run(GOAL)
        else:
            await desk.agent(claude(wire, stack, f"hostile:{name}")).run(GOAL)
        assert (desk.saved, desk.refused > 0) == ([], True)


@pytest.mark.parametrize("persona", ["honest", "repairs_once", "bad_arguments:types", "rate_limited", "unauthorized"])
async def test_chat_completions_of_a_local_model_work_alike(wire: Wire, stack: AsyncExitStack, persona: str) -> None:
    client = openai.AsyncOpenAI(base_url=wire.url(persona, "chat", "v1"), api_key="any", max_retries=0)
    stack.push_async_callback(client.close)
    model = OpenAIChatModel("qwen3:8b", provider=OpenAIProvider(openai_client=client))
    desk = Desk()
    agent = desk.agent(model)
    if persona in ("honest", "repairs_once"):
        ended = await agent.run(GOAL)
        assert ended.output.strategy_name == desk.saved[0]
        billed = billed_by_model(await wire.ended(persona, "chat"))["qwen3:8b"]
        assert (ended.usage.input_tokens, ended.usage.output_tokens) == (billed.whole_input, billed.output_tokens)
    else:
        wanted: Any = {"rate_limited": ModelRateLimitError, "unauthorized": ModelAuthenticationError}.get(persona, UnexpectedModelBehavior)
        with pytest.raises(wanted):
            await agent.run(GOAL)
        assert (billed_by_model(await wire.ended(persona, "chat"))["qwen3:8b"] == Usage()) is (persona != "bad_arguments:types")
