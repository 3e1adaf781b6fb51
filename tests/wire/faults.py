"""Personas whose answers cost or come oddly, and those that give none that can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.wire.asked import Asked
from tests.wire.dialogue import PERSONAS, Persona, Texts, honest, persona
from tests.wire.reply import Answer, Failure, Raw, Reply, Say, Silence


@persona
def expensive(asked: Asked, texts: Texts) -> Reply:
    """Uses all of max_tokens each time."""
    return replace(honest(asked, texts), output_tokens=asked.max_tokens)


@persona
def truncated(asked: Asked, texts: Texts) -> Reply:
    """Is cut off by max_tokens in the middle of what it wants to say or call."""
    reply = honest(asked, texts)
    longest = max(len(block.written) for block in reply.blocks)
    return replace(reply.within(max(1, longest // 8)), output_tokens=asked.max_tokens)


@persona
def lying_usage(asked: Asked, texts: Texts) -> Reply:
    """Tells a usage of nothing, or `lying_usage:large`, `small`, `negative`, `text`."""
    lies: dict[str, Callable[[int], Any]] = {
        "zero": lambda true: 0,
        "small": lambda true: min(true, 1),
        "large": lambda true: true * 1_000_000 + 1_000_000_000,
        "negative": lambda true: -true - 1,
        "text": lambda true: "many",
    }
    lie = lies[asked.argument or "zero"]
    return replace(honest(asked, texts), tell=lambda usage: each(usage, lie))


@persona
def missing_usage(asked: Asked, texts: Texts) -> Reply:
    """Tells no usage."""
    return replace(honest(asked, texts), tell=lambda usage: None)


@persona
def late(asked: Asked, texts: Texts) -> Reply:
    """Answers honestly after a second, or after `late:3` three."""
    return replace(honest(asked, texts), wait=float(asked.argument or 1))


@persona
def slow_stream(asked: Asked, texts: Texts) -> Reply:
    """Says a word each 0.2 seconds for ever, or `slow_stream:0.05`; without a stream, blanks before a body that never comes."""
    return Reply((Say("word"),), pace=float(asked.argument or 0.2), endless=True)


@persona
def cut_stream(asked: Asked, texts: Texts) -> Reply:
    """Ends in the middle of an honest answer: closed, or `cut_stream:reset`, or `clean`, as if all were said."""
    return replace(honest(asked, texts), cut=asked.argument or "closed")


@persona
def huge_output(asked: Asked, texts: Texts) -> Reply:
    """Says eight megabytes, or `huge_output:32`."""
    return Reply((Say("momentum " * (int(asked.argument or 8) * 2**20 // 9)),), beyond=True)


# --- those that give no answer, or none that can be read


@persona
def malformed(asked: Asked, texts: Texts) -> Raw:
    """Answers with what is no JSON, or `malformed:empty`, `html`, `list`, `no_content`, `null_content`, `unknown_block`."""
    bodies = {
        "text": b"I am a model and not an API",
        "empty": b"",
        "html": b"<html><body>502 Bad Gateway</body></html>",
        "list": b"[]",
        "no_content": b'{"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}',
        "null_content": b'{"id": "msg_1", "type": "message", "role": "assistant", "content": null, "stop_reason": "end_turn"}',
        "unknown_block": b'{"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "hologram"}],'
        b' "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}',
    }
    body = bodies[asked.argument or "text"]
    if asked.streams:
        return Raw(b"event: message_start\ndata: " + body + b"\n\n", "text/event-stream")
    return Raw(body, "text/html" if asked.argument == "html" else "application/json")


@persona
def hang(asked: Asked, texts: Texts) -> Silence:
    """Never answers; `hang:headers` begins to, `hang:pings` says for ever that it lives."""
    return Silence(headers=asked.argument == "headers", pings=asked.argument == "pings")


FAILURES = {
    "invalid_request": (400, "invalid_request_error", "max_tokens: too large"),
    "unauthorized": (401, "authentication_error", "invalid x-api-key"),
    "out_of_credit": (402, "billing_error", "Your credit balance is too low to access the API"),
    "forbidden": (403, "permission_error", "Your API key may not use this model"),
    "unknown_model": (404, "not_found_error", "model: no such model"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit"),
    "server_error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
}
"""Personas that fail in the API's own words; 429 and 529 say when to come again, `rate_limited:30` in 30 seconds."""


def fails(name: str) -> Persona:
    """The persona that always answers with one of FAILURES."""
    status, kind, said = FAILURES[name]

    def fail(asked: Asked, texts: Texts) -> Failure:
        again = (("retry-after", asked.argument or "1"),) if status in (429, 529) else ()
        return Failure(status, kind, said, again)

    return fail


def once(failing: Persona) -> Persona:
    """A persona that fails at the first request to its address, and is honest from then on."""

    def fail_once(asked: Asked, texts: Texts) -> Answer:
        return honest(asked, texts) if asked.earlier else failing(asked, texts)

    return fail_once


PERSONAS.update({name: fails(name) for name in FAILURES})
PERSONAS.update({f"{name}_once": once(PERSONAS[name]) for name in (*FAILURES, "hang", "cut_stream", "malformed")})


@persona
def overloaded_midway(asked: Asked, texts: Texts) -> Answer:
    """Begins a stream and then finds itself overloaded; without a stream, at once."""
    status, kind, said = FAILURES["overloaded"]
    return Failure(status, kind, said, midway=True)


def each(value: Any, change: Callable[[int], Any]) -> Any:
    """A structure with every number in it changed."""
    return {key: each(part, change) for key, part in value.items()} if isinstance(value, dict) else change(value)
