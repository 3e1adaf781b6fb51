"""A request to a language model, read alike from either API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

JSON = dict[str, Any]
Api = Literal["messages", "count_tokens", "chat"]
CHARACTERS_PER_TOKEN = 4
ENDS = ("save_", "validate_", "final_result")
"""How the names of tools begin that do more than read."""


def tokens(text: str) -> int:
    """The server's own count: a token is four characters, begun ones included."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def canonical(body: JSON) -> str:
    """The one spelling of a body, whatever the order of its keys."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Made:
    """A tool call that the model made earlier in this conversation, and what came back."""

    name: str
    arguments: Any
    result: str | None = None
    failed: bool = False


@dataclass(frozen=True)
class Asked:
    """One request: everything a persona may look at."""

    api: Api
    body: JSON
    text: str
    """What system and user said; results of tools are not in it."""
    tools: dict[str, JSON]
    """The tools offered, each with the schema of its arguments."""
    made: tuple[Made, ...]
    argument: str = ""
    """What follows the persona's name in the address, such as the 3 of `late:3`."""
    earlier: int = 0
    """Requests that came to the same address before."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model"))

    @property
    def max_tokens(self) -> int:
        """Most tokens that an answer may have."""
        return int(self.body.get("max_tokens") or self.body.get("max_completion_tokens") or 4096)

    @property
    def streams(self) -> bool:
        """Whether the answer is to come in events."""
        return bool(self.body.get("stream"))

    @property
    def reading(self) -> list[str]:
        """The tools offered that only read."""
        return [name for name in self.tools if not name.startswith(ENDS)]

    @property
    def output_tool(self) -> str | None:
        """The tool by which a structured answer is given, if one is offered."""
        return next((name for name in self.tools if name.startswith("final_result")), None)

    @property
    def output_schema(self) -> JSON | None:
        """The schema of an answer that is to be JSON text, if that is asked for."""
        asked = self.body.get("output_config", {}).get("format") or self.body.get("output_format") or self.body.get("response_format")
        if not isinstance(asked, dict):
            return None
        return asked.get("schema") or asked.get("json_schema", {}).get("schema")

    def times(self, name: str) -> int:
        """How often the model has called a tool in this conversation."""
        return sum(call.name == name for call in self.made)

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical body."""
        return hashlib.sha256(canonical(self.body).encode()).hexdigest()

    @cached_property
    def input_tokens(self) -> int:
        """The whole input, cached or not."""
        return tokens(canonical(self.body))

    @cached_property
    def cached_tokens(self) -> int:
        """The part of the input that a marked cache holds: tools and system."""
        if '"cache_control"' not in canonical(self.body):
            return 0
        return tokens(canonical({key: self.body[key] for key in ("tools", "system") if key in self.body}))


def asked_in_messages(body: JSON, api: Api = "messages") -> Asked:
    """A request to the Messages API."""
    results: dict[str, JSON] = {}
    calls: list[JSON] = []
    words = [text_of(body.get("system"))]
    for message in body["messages"]:
        if message["role"] != "assistant":
            words.append(text_of(message["content"]))
        for block in blocks_of(message["content"]):
            if block.get("type") == "tool_use":
                calls.append(block)
            elif block.get("type") == "tool_result":
                results[block["tool_use_id"]] = block
    made = [
        Made(call["name"], call["input"], text_of(back.get("content")) if back else None, bool(back and back.get("is_error")))
        for call in calls
        for back in [results.get(call["id"])]
    ]
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools", [])}
    return Asked(api, body, "\n".join(filter(None, words)), tools, tuple(made))


def asked_in_chat(body: JSON) -> Asked:
    """A request to the chat completions API."""
    results = {message["tool_call_id"]: text_of(message["content"]) for message in body["messages"] if message["role"] == "tool"}
    words = [text_of(message.get("content")) for message in body["messages"] if message["role"] in ("system", "developer", "user")]
    made = [
        Made(call["function"]["name"], json.loads(call["function"]["arguments"]), results.get(call["id"]))
        for message in body["messages"]
        for call in message.get("tool_calls") or []
    ]
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", [])}
    return Asked("chat", body, "\n".join(filter(None, words)), tools, tuple(made))


def blocks_of(content: Any) -> list[JSON]:
    """The content blocks of a message; plain text has none."""
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def text_of(content: Any) -> str:
    """The text of a message or of a tool's result."""
    return content if isinstance(content, str) else "\n".join(block["text"] for block in blocks_of(content) if block.get("type") == "text")


def mistakes(body: Any, api: Api) -> Iterator[str]:
    """What the real API would answer with 400, in its words' spirit."""
    if not isinstance(body, dict):
        yield "the body is not a JSON object"
        return
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: Field required"
    limit = body.get("max_tokens")
    if api == "messages" and (not isinstance(limit, int) or limit < 1):
        yield "max_tokens: must be a whole number of at least 1"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) and "role" in m for m in messages):
        yield "messages: at least one message is required"
        return
    if api != "chat":
        yield from _unanswered(messages)


def _unanswered(messages: list[JSON]) -> Iterator[str]:
    """Every tool_use must meet its tool_result in the message that follows, and no result may stand alone."""
    if messages[0]["role"] != "user":
        yield "messages: first message must use the user role"
    waiting: set[str] = set()
    for i, message in enumerate(messages):
        blocks = blocks_of(message.get("content"))
        results = {block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"}
        if lost := ", ".join(sorted(waiting - results)):
            yield f"messages.{i}: tool_use ids were found without tool_result blocks immediately after: {lost}"
        if strange := ", ".join(sorted(results - waiting)):
            yield f"messages.{i}: unexpected tool_use_id in tool_result blocks: {strange}"
        waiting = {block["id"] for block in blocks if block.get("type") == "tool_use"}
    if waiting:
        yield "messages: the last message has tool_use blocks without results"
