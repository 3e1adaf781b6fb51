"""Requests and conversations by the real client library, as tests begin them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anthropic

from tests.wire.asked import JSON
from tests.wire.messages import Served

MODEL = "claude-haiku-5-5"
GOAL = "Find a momentum edge in symbol AAPL on 1h bars; train on 2024-01-02 to 2024-04-01, the test follows."
CODE = {"type": "object", "properties": {"yaml": {"type": "string"}}, "required": ["yaml"]}
SERIES = {"type": "object", "properties": {"symbol": {"type": "string"}, "timeframe": {"type": "string"}}, "required": ["symbol"]}
REMARKS = ("strengths", "weaknesses", "suggestions")
VERDICT = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["promising", "mediocre", "poor"]},
        **{name: {"type": "array", "items": {"type": "string"}} for name in (*REMARKS, "lessons")},
    },
    "required": ["verdict", *REMARKS],
}
SAVE, VALIDATE, SUMMARY, ASSESS = (
    {"name": name, "description": name, "input_schema": schema}
    for name, schema in {"save_strategy": CODE, "validate_strategy": CODE, "data_summary": SERIES, "save_assessment": VERDICT}.items()
)
Client = Callable[..., anthropic.AsyncAnthropic]
Answer = Callable[[str, Any], tuple[str, bool]]


@asynccontextmanager
async def clients(server: Served, *address: str) -> AsyncIterator[Client]:
    """Makes clients pointed at a persona; they end with the test."""
    async with AsyncExitStack() as stack:

        def make(persona: str, **options: Any) -> anthropic.AsyncAnthropic:
            options = {"api_key": "any", "max_retries": 0, "timeout": 10.0} | options
            made = anthropic.AsyncAnthropic(base_url=server.url(persona, *address), **options)
            stack.push_async_callback(made.close)
            return made

        yield make


def ask(**changes: Any) -> JSON:
    """A request without tools."""
    return {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": GOAL}]} | changes


def fine(name: str, arguments: Any) -> tuple[str, bool]:
    """A tool that is content with everything."""
    return "ok", False


async def converse(client: anthropic.AsyncAnthropic, tools: list[JSON], answer: Answer = fine, turns: int = 8) -> list[Any]:
    """Let the model call tools until it stops; every answer of the conversation."""
    messages: list[Any] = [{"role": "user", "content": GOAL}]
    said: list[Any] = []
    while len(said) < turns:
        said.append(await client.messages.create(**ask(messages=messages, tools=tools)))
        if said[-1].stop_reason != "tool_use":
            break
        results = []
        for name, arguments, ident in [(b.name, b.input, b.id) for b in said[-1].content if b.type == "tool_use"]:
            text, wrong = answer(name, arguments)
            results.append({"type": "tool_result", "tool_use_id": ident, "content": text, "is_error": wrong})
        written = [block.model_dump(exclude_none=True, warnings=False) for block in said[-1].content]
        messages += [{"role": "assistant", "content": written}, {"role": "user", "content": results}]
    return said


def called(said: list[Any]) -> list[tuple[str, Any]]:
    """The tools that were called, in order."""
    return [(block.name, block.input) for message in said for block in message.content if block.type == "tool_use"]
