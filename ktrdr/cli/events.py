"""Server-sent events, read from the lines of a response."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event: its id for `Last-Event-ID`, and its data."""

    id: str | None
    data: str


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """The events of a stream; an unfinished one at its end is dropped, as the standard asks."""
    last_id: str | None = None
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(last_id, "\n".join(data))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            last_id = value
