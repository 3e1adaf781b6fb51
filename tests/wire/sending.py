"""One answer on its way to the client, and its bill."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from tests.wire.asked import Asked
from tests.wire.connection import Connection
from tests.wire.meter import Log
from tests.wire.reply import Answer, Failure, Raw, Reply, Silence, bill, completion, events, message

STREAM = "text/event-stream; charset=utf-8"
PING = 0.1
"""Seconds between two pings of a server that says nothing else."""


class Sending:
    """An answer to one request of the log."""

    def __init__(self, log: Log, number: int, connection: Connection) -> None:
        self._log = log
        self._number = number
        self._connection = connection

    async def refuse(self, failure: Failure) -> None:
        """Send an error; nothing is billed."""
        self._change(status=failure.status, error=failure.kind)
        await self._connection.json(failure.status, failure.body(self._connection.request_id), dict(failure.headers))
        self._end()

    async def send(self, answer: Answer, asked: Asked) -> None:
        """Send what a persona answers."""
        match answer:
            case Failure() if not (answer.midway and asked.streams):
                await self.refuse(answer)
            case Failure():
                await self._break_off(answer, asked)
            case Raw():
                self._change(status=200, billed=bill(asked, None))
                await self._connection.whole(200, answer.content, answer.content_type)
                self._end()
            case Silence():
                await self._keep_silent(answer, asked)
            case Reply() if asked.api == "count_tokens":
                self._change(status=200)
                await self._connection.json(200, {"input_tokens": asked.input_tokens})
                self._end()
            case Reply() if asked.streams:
                await self._stream(answer.within(asked.max_tokens), asked)
            case Reply():
                await self._whole(answer.within(asked.max_tokens), asked)

    async def _whole(self, reply: Reply, asked: Asked) -> None:
        """One body; all of it is billed, also when the client does not wait for it."""
        usage = bill(asked, reply)
        self._change(billed=usage)
        await asyncio.sleep(reply.wait)
        made = completion if asked.api == "chat" else message
        body = made(asked, reply, usage, self._number)
        self._change(status=200, told=body.get("usage"))
        if reply.endless:
            await self._connection.begin(200, "application/json")
        while reply.endless:  # a blank before JSON is allowed, and no timeout of reading hears it
            await self._connection.piece(b" ")
            await asyncio.sleep(reply.pace)
        await self._connection.json(200, body, cut=reply.cut)
        self._end(whole=not reply.cut)

    async def _stream(self, reply: Reply, asked: Asked) -> None:
        """Events; what has been written is billed, up to max_tokens."""
        usage = bill(asked, reply)
        half = sum(1 for _ in events(asked, replace(reply, endless=False), usage, self._number)) // 2 if reply.cut else None
        written = 0
        self._change(billed=replace(usage, output_tokens=0))
        try:
            await asyncio.sleep(reply.wait)
            await self._connection.begin(200, STREAM)
            self._change(status=200)
            for count, (event, size) in enumerate(events(asked, reply, usage, self._number)):
                if count == half:
                    await self._connection.cut(reply.cut)
                    self._end(whole=False)
                    return
                written += size
                if event["type"] == "message_delta":
                    written = usage.output_tokens
                    self._change(told=event.get("usage"), billed=usage)
                await self._connection.event(event)
                if size:
                    await asyncio.sleep(reply.pace)
            await self._connection.finish()
            self._end()
        finally:
            self._change(billed=replace(usage, output_tokens=min(written, asked.max_tokens)))

    async def _break_off(self, failure: Failure, asked: Asked) -> None:
        """A stream begins, and an error is what comes next."""
        usage = bill(asked, None)
        self._change(status=200, error=failure.kind, billed=usage)
        await self._connection.begin(200, STREAM)
        await self._connection.event(next(events(asked, Reply(()), usage, self._number))[0])
        await self._connection.event(failure.body(self._connection.request_id))
        await self._connection.finish()
        self._end()

    async def _keep_silent(self, silence: Silence, asked: Asked) -> None:
        """Nothing comes, and the input is billed."""
        self._change(billed=bill(asked, None))
        if silence.headers or silence.pings:
            await self._connection.begin(200, STREAM if asked.streams else "application/json")
            self._change(status=200)
        while silence.pings:
            await (self._connection.event({"type": "ping"}) if asked.streams else self._connection.piece(b" "))
            await asyncio.sleep(PING)
        await asyncio.Event().wait()

    def _change(self, **changes: Any) -> None:
        self._log.change(self._number, **changes)

    def _end(self, whole: bool = True) -> None:
        self._change(whole=whole, ended_at=time.time())
