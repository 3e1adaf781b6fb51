"""What a persona answers, as values, and how each looks in JSON and in events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tests.wire.asked import CHARACTERS_PER_TOKEN, JSON, Asked, tokens

FINISHED = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
"""The Messages API's reasons to stop, in the words of chat completions."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request, or of several together."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{key: value + getattr(other, key) for key, value in asdict(self).items()})

    @property
    def whole_input(self) -> int:
        """Everything that was read, cached or not."""
        return self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens


@dataclass(frozen=True)
class Say:
    """Words."""

    text: str

    @property
    def written(self) -> str:
        """What is counted."""
        return self.text


@dataclass(frozen=True)
class Call:
    """A call of a tool; arguments given as text are sent as they are, be they JSON or not."""

    name: str
    arguments: Any
    partial: bool = False
    """Cut off by max_tokens."""

    @property
    def written(self) -> str:
        """The arguments as JSON text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


Block = Say | Call
Tell = Callable[[JSON], JSON | None]


@dataclass(frozen=True)
class Reply:
    """An answer of the model."""

    blocks: tuple[Block, ...]
    stop: str | None = None
    """Why it stopped; else as the blocks say."""
    output_tokens: int | None = None
    """Billed instead of what is written."""
    tell: Tell = dict
    """The usage that the client is told, made from the true one; None leaves it out."""
    wait: float = 0.0
    """Seconds before anything is sent."""
    pace: float = 0.0
    """Seconds between two pieces."""
    endless: bool = False
    """The words go on for ever."""
    cut: str = ""
    """Half is sent, then the connection ends: `closed`, `reset`, or `clean`, as if all were said."""
    beyond: bool = False
    """It goes on past max_tokens."""

    def within(self, limit: int) -> Reply:
        """The reply as max_tokens cuts it."""
        if self.beyond or sum(tokens(block.written) for block in self.blocks) <= limit:
            return self
        kept: list[Block] = []
        for block in self.blocks:
            left = limit - sum(tokens(b.written) for b in kept)
            if tokens(block.written) <= left:
                kept.append(block)
                continue
            text = block.written[: left * CHARACTERS_PER_TOKEN]
            kept.append(Say(text) if isinstance(block, Say) else Call(block.name, text, partial=True))
            break
        return replace(self, blocks=tuple(kept), stop="max_tokens")

    @property
    def reason(self) -> str:
        """Why it stopped."""
        return self.stop or ("tool_use" if any(isinstance(block, Call) for block in self.blocks) else "end_turn")


@dataclass(frozen=True)
class Failure:
    """An error of the API."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    midway: bool = False
    """It comes as an event of a stream that has begun."""

    def body(self, request_id: str) -> JSON:
        """The error's body in either API."""
        error = {"type": self.kind, "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}


@dataclass(frozen=True)
class Raw:
    """Bytes with status 200 that are not what was promised."""

    content: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Silence:
    """Nothing, until the client gives up."""

    headers: bool = False
    """The head of the answer is sent first."""
    pings: bool = False
    """The stream says that it lives, and nothing else."""


Answer = Reply | Failure | Raw | Silence


def bill(asked: Asked, reply: Reply | None) -> Usage:
    """What a request costs: its input, of which a marked cache holds a part, and what is written up to max_tokens."""
    again = any(message["role"] == "assistant" for message in asked.body["messages"])
    written = sum(tokens(block.written) for block in reply.blocks) if reply else 0
    output = written if reply is None or reply.output_tokens is None else reply.output_tokens
    return Usage(
        input_tokens=asked.input_tokens - asked.cached_tokens,
        output_tokens=min(output, asked.max_tokens),
        cache_creation_input_tokens=0 if again else asked.cached_tokens,
        cache_read_input_tokens=asked.cached_tokens if again else 0,
    )


def message(asked: Asked, reply: Reply, usage: Usage, number: int) -> JSON:
    """The whole answer of the Messages API."""
    content = [_content(block, _call_id(asked, i)) for i, block in enumerate(reply.blocks)]
    head = {"id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": asked.model, "content": content}
    return {**head, "stop_reason": reply.reason, "stop_sequence": None, **_told(reply, asdict(usage))}


def _content(block: Block, ident: str) -> JSON:
    if isinstance(block, Say):
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": ident, "name": block.name, "input": {} if block.partial else block.arguments}


def _call_id(asked: Asked, position: int) -> str:
    """Unique in a conversation, and the same when the same request comes again."""
    return f"toolu_{asked.digest[:12]}_{position}"


def _told(reply: Reply, usage: JSON) -> JSON:
    told = reply.tell(usage)
    return {} if told is None else {"usage": told}


def events(asked: Asked, reply: Reply, usage: Usage, number: int) -> Iterator[tuple[JSON, int]]:
    """The answer of the Messages API in events, each with the tokens that it writes."""
    begun = message(asked, replace(reply, blocks=()), replace(usage, output_tokens=1), number)
    yield {"type": "message_start", "message": {**begun, "content": [], "stop_reason": None}}, 0
    yield {"type": "ping"}, 0
    for i, block in enumerate(reply.blocks):
        says = isinstance(block, Say)
        start = {"type": "text", "text": ""} if says else {**_content(block, _call_id(asked, i)), "input": {}}
        yield {"type": "content_block_start", "index": i, "content_block": start}, 0
        for piece in pieces(block.written, reply):
            delta = {"type": "text_delta", "text": piece} if says else {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": i, "delta": delta}, tokens(piece)
        yield {"type": "content_block_stop", "index": i}, 0
    end = {"stop_reason": reply.reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, **_told(reply, asdict(usage))}, 0
    yield {"type": "message_stop"}, 0


def pieces(text: str, reply: Reply) -> Iterator[str]:
    """A text in the pieces in which it is sent: tokens where it comes slowly, else about forty."""
    size = CHARACTERS_PER_TOKEN if reply.pace else max(16, len(text) // 40 // CHARACTERS_PER_TOKEN * CHARACTERS_PER_TOKEN)
    while True:
        yield from (text[i : i + size] for i in range(0, len(text), size))
        if not reply.endless:
            return


def completion(asked: Asked, reply: Reply, usage: Usage, number: int) -> JSON:
    """The whole answer of the chat completions API."""
    calls = [
        {"id": _call_id(asked, i), "type": "function", "function": {"name": block.name, "arguments": block.written}}
        for i, block in enumerate(reply.blocks)
        if isinstance(block, Call)
    ]
    text = "".join(block.text for block in reply.blocks if isinstance(block, Say))
    said = {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}
    counted = {
        "prompt_tokens": usage.whole_input,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.whole_input + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_input_tokens},
    }
    choice = {"index": 0, "message": said, "finish_reason": FINISHED[reply.reason]}
    head = {"id": f"chatcmpl-{number:06}", "object": "chat.completion", "created": 0, "model": asked.model}
    return {**head, "choices": [choice], **_told(reply, counted)}
