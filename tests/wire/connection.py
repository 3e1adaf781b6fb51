"""HTTP/1.1 on one connection, down to the moment at which the client hangs up."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from http.client import responses
from typing import Any

from tests.wire.asked import JSON


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    json: Any
    """None where the body is no JSON."""


class Hung(Exception):
    """The client has closed its socket."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at


class Connection:
    """Requests come in, answers go out, until one side closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ahead = b""
        self._over = False
        self.request_id = ""
        # A drained buffer is an empty one: all of it was handed to the operating system.
        writer.transport.set_write_buffer_limits(high=0)

    async def serve(self, exchange: Callable[[Received, Connection], Awaitable[None]]) -> None:
        """Answer request after request."""
        try:
            while not self._over:
                await exchange(await self._receive(), self)
        except (Hung, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _receive(self) -> Received:
        head = (self._ahead + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self._ahead = b""
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        try:
            return Received(method, target, headers, json.loads(body))
        except ValueError:
            return Received(method, target, headers, None)

    async def unless_closed(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send an answer, and raise Hung as soon as the client has closed its socket before the answer is whole."""
        answering, watching = asyncio.create_task(sending), asyncio.create_task(self._reader.read(1))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and (watching.exception() or not watching.result()) and not answering.done():
                raise Hung(time.time())
            await answering
        except ConnectionError:
            raise Hung(time.time()) from None
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)
            if not watching.cancelled() and not watching.exception():
                self._ahead += watching.result()

    # --- answers

    async def json(self, status: int, body: JSON, headers: dict[str, str] | None = None, cut: str = "") -> None:
        """A whole answer in JSON."""
        await self.whole(status, json.dumps(body).encode(), headers=headers, cut=cut)

    async def whole(
        self, status: int, body: bytes, content_type: str = "application/json", headers: dict[str, str] | None = None, cut: str = ""
    ) -> None:
        """An answer whose length is known; where it is to be cut, its first half."""
        sent = body[: len(body) // 2] if cut else body
        promised = len(sent) if cut == "clean" else len(body)
        self._writer.write(self._head(status, content_type, {"content-length": str(promised), **(headers or {})}) + sent)
        await self._writer.drain()
        if cut and cut != "clean":
            await self.cut(cut)

    async def begin(self, status: int, content_type: str) -> None:
        """An answer that comes in pieces."""
        self._writer.write(self._head(status, content_type, {"transfer-encoding": "chunked", "cache-control": "no-cache"}))
        await self._writer.drain()

    async def piece(self, content: bytes) -> None:
        """The next piece."""
        self._writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        await self._writer.drain()

    async def event(self, data: JSON, name: str | None = None) -> None:
        """The next piece, as a server-sent event."""
        await self.piece(f"event: {name or data['type']}\ndata: {json.dumps(data)}\n\n".encode())

    async def finish(self) -> None:
        """There are no more pieces."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def cut(self, how: str) -> None:
        """End in the middle: `closed`, `reset`, or `clean`, as if all were sent."""
        if how == "clean":
            await self.finish()
            return
        self._over = True
        if how == "reset":
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()

    def _head(self, status: int, content_type: str, headers: dict[str, str]) -> bytes:
        phrase = responses.get(status, "Overloaded")
        lines = {"content-type": content_type, "request-id": self.request_id, **headers}
        return "".join([f"HTTP/1.1 {status} {phrase}\r\n", *(f"{name}: {value}\r\n" for name, value in lines.items()), "\r\n"]).encode()
