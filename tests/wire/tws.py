"""TWS as a client meets it on the wire (text protocol, up to version 178): serves bars out of memory, and fails as it is told to."""

from __future__ import annotations

import asyncio
import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Bar = tuple[int, float, float, float, float, float]
"""Start in seconds since 1970, open, high, low, close, volume."""
DAYS = {"D": 1, "W": 7, "M": 30, "Y": 365}
SECONDS = {"1 min": 60, "5 mins": 300, "15 mins": 900, "30 mins": 1800, "1 hour": 3600, "2 hours": 7200, "4 hours": 14_400}
MORE_DAYS = 2
"""Days without trade do not count for TWS, so that it often goes back farther than was asked."""
NO_DATA = "Historical Market Data Service error message:HMDS query returned no data: {symbol}@SMART Trades"
WELL = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefnj"),
)


@dataclass(frozen=True)
class Act:
    """What happens to one request for bars."""

    says: tuple[tuple[int, str, bool], ...] = ()
    """Codes and texts, and whether they bear the request's number."""
    after: float = 0.0
    """Seconds until the rest happens."""
    then: Literal["serve", "nothing", "drop", "empty"] = "serve"


def error(code: int, text: str = "") -> Act:
    """The request is refused."""
    return Act(((code, text or f"error {code}", True),), then="nothing")


def notice(code: int, text: str = "", then: Literal["serve", "nothing", "drop"] = "serve") -> Act:
    """Something is said to everybody; the request is served, or not."""
    return Act(((code, text or f"notice {code}", False),), then=then)


SILENCE, DROP, EMPTY = Act(then="nothing"), Act(then="drop"), Act(then="empty")


@dataclass(frozen=True)
class History:
    """A request for bars as it came in."""

    at: float
    number: str
    symbol: str
    sec_type: str
    exchange: str
    primary_exchange: str
    currency: str
    end: str
    size: str
    duration: str
    regular: bool
    price: str


@dataclass
class Tws:
    """A TWS that answers on a free port of this machine while it is `running`."""

    bars: dict[tuple[str, str], list[Bar]]
    """By symbol (of a pair both) and what IB calls the bar size."""
    version: int = 178
    accounts: str = "DU123456"
    mode: Literal["normal", "mute", "logged out"] = "normal"
    taken: set[int] = field(default_factory=set)
    """Client ids that other programs use."""
    script: list[Act] = field(default_factory=list)
    """One for each request for bars; when it is used up, bars are served."""
    head_script: list[Act] = field(default_factory=list)
    cut: int | None = None
    """Answers go out in pieces of so many bytes."""
    asked: list[History] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    clients: list[int] = field(default_factory=list)
    """Client ids that have connected, in order."""
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[Tws]:
        """Answer from a thread of its own."""
        ready, loop = threading.Event(), asyncio.new_event_loop()
        stop = asyncio.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            server.close()
            for task in list(self._tasks):
                task.cancel()
            for writer in list(self._writers):
                writer.close()
            await asyncio.sleep(0.01)

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="TWS")
        thread.start()
        try:
            assert ready.wait(5)
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(5)
            loop.close()

    def heard_cancel(self) -> str:
        """The first request that was cancelled; waits until one is."""
        give_up = time.monotonic() + 5
        while not self.cancelled:
            assert time.monotonic() < give_up
            time.sleep(0.005)
        return self.cancelled[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        me = asyncio.current_task()
        assert me
        self._tasks.add(me)
        try:
            assert await reader.readexactly(4) == b"API\0"
            hello = await self._frame(reader)
            highest = re.match(r"v\d+\.\.(\d+)", hello)
            assert highest
            if self.mode != "mute":
                await self._send(writer, min(self.version, int(highest[1])), f"{datetime.now(UTC):%Y%m%d %H:%M:%S} UTC")
            while True:
                await self._heard(writer, (await self._frame(reader)).split("\0")[:-1])
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(me)
            writer.close()

    async def _heard(self, writer: asyncio.StreamWriter, fields: list[str]) -> None:
        match int(fields[0]):
            case 71:
                await self._start(writer, int(fields[2]))
            case 61:
                await self._send(writer, 62, 1)
            case 49:
                await self._send(writer, 49, 1, int(time.time()))
            case 87:
                await self._act(self.head_script, writer, fields[1], self._head(fields))
            case 20:
                self.asked.append(history(fields))
                # It is answered beside other requests, so that a slow answer holds up nobody.
                task = asyncio.create_task(self._act(self.script, writer, fields[1], self._history(self.asked[-1])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case 25:
                self.cancelled.append(fields[2])
                await self._error(
                    writer, fields[2], 162, "Historical Market Data Service error message:API historical data query cancelled"
                )

    async def _start(self, writer: asyncio.StreamWriter, client_id: int) -> None:
        self.clients.append(client_id)
        if client_id in self.taken:
            await self._error(writer, -1, 326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
            writer.close()
        elif self.mode == "normal":
            await self._send(writer, 15, 1, self.accounts)
            await self._send(writer, 9, 1, 1)
            for code, text in WELL:
                await self._error(writer, -1, code, text)

    async def _act(self, script: list[Act], writer: asyncio.StreamWriter, number: str, answer: list[object] | Act) -> None:
        act = script.pop(0) if script else Act()
        if act.then == "serve" and isinstance(answer, Act):
            act = answer
        for code, text, of_request in act.says:
            await self._error(writer, number if of_request else -1, code, text)
        await asyncio.sleep(act.after)
        if act.then == "drop":
            writer.close()
        elif act.then == "empty":
            await self._send(writer, 17, number, "", "", 0)
        elif act.then == "serve":
            assert isinstance(answer, list)
            await self._send(writer, *answer)

    def _head(self, fields: list[str]) -> list[object] | Act:
        symbol = name(fields)
        starts = [bar[0] for (of, _), bars in self.bars.items() if of == symbol for bar in bars]
        return [88, fields[1], min(starts)] if starts else self._unknown()

    def _history(self, asked: History) -> list[object] | Act:
        if not any(of == asked.symbol for of, _ in self.bars):
            return self._unknown()
        end = datetime.strptime(asked.end, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC).timestamp()
        count, unit = asked.duration.split()
        start = end - int(count) * (1 if unit == "S" else 86_400 * (DAYS[unit] + MORE_DAYS))
        length = SECONDS.get(asked.size, 0)
        found = [
            bar if bar[0] + length <= end else (*bar[:2], bar[1], bar[1], bar[1], 0.0)  # a bar that lies across the end is cut off
            for bar in self.bars.get((asked.symbol, asked.size), [])
            if start <= bar[0] < end
        ]
        if not found:
            return error(162, NO_DATA.format(symbol=asked.symbol))
        rows = [
            (f"{datetime.fromtimestamp(stamp, UTC):%Y%m%d}" if asked.size == "1 day" else stamp, *prices, prices[3], 1)
            for stamp, *prices in found
        ]
        return [17, asked.number, "", "", len(rows), *(value for row in rows for value in row)]

    def _unknown(self) -> Act:
        return error(200, "No security definition has been found for the request")

    async def _error(self, writer: asyncio.StreamWriter, number: object, code: int, text: str) -> None:
        await self._send(writer, 4, 2, number, code, text, "")

    async def _send(self, writer: asyncio.StreamWriter, *fields: object) -> None:
        body = ("\0".join(map(str, fields)) + "\0").encode()
        whole = struct.pack(">I", len(body)) + body
        for at in range(0, len(whole), self.cut or len(whole)):
            writer.write(whole[at : at + (self.cut or len(whole))])
            await writer.drain()

    async def _frame(self, reader: asyncio.StreamReader) -> str:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        return (await reader.readexactly(length)).decode()


def name(fields: list[str]) -> str:
    """The symbol in a request's contract; of a pair both currencies."""
    return fields[3] + fields[11] if fields[4] in ("CASH", "CRYPTO") else fields[3]


def history(fields: list[str]) -> History:
    """A request for bars out of its fields."""
    return History(
        time.monotonic(), fields[1], name(fields), fields[4], fields[9], fields[10], fields[11], fields[15], fields[16], fields[17],
        fields[18] == "1", fields[19],
    )  # fmt: skip
