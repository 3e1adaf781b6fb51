"""A server that speaks the Anthropic Messages API, and chat completions, for tests of real client libraries.

The persona is the first part of the path, so one server serves every test; what follows it keeps tests apart:

    with Wire() as wire:
        anthropic.AsyncAnthropic(base_url=wire.url("late:3", "some-test"), api_key="any")

As a process of its own, which outlives its clients: `python -m tests.wire.messages --port 8765 --log FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.wire.asked import Api, Asked, asked_in_chat, asked_in_messages, mistakes
from tests.wire.connection import Connection, Hung, Received
from tests.wire.dialogue import Texts
from tests.wire.faults import PERSONAS
from tests.wire.meter import Log, Record, read_log
from tests.wire.reply import Answer, Failure
from tests.wire.sending import Sending

ROOT = Path(__file__).resolve().parents[2]
ROUTES: dict[str, Api] = {"/v1/messages": "messages", "/v1/messages/count_tokens": "count_tokens", "/v1/chat/completions": "chat"}


class Served:
    """What tests use of a server, be it in this process or apart."""

    base: str

    @property
    def records(self) -> list[Record]:
        """Every request so far."""
        raise NotImplementedError

    def url(self, *address: str) -> str:
        """The base URL of a persona, followed by whatever keeps one test's requests apart."""
        return "/".join([self.base, *address])

    def at(self, *address: str) -> list[Record]:
        """The requests to one address."""
        return [record for record in self.records if record.persona == "/".join(address)]

    async def ended(self, *address: str) -> list[Record]:
        """The requests to one address, each with its end."""
        return await self.until(lambda records: all(record.settled for record in records), *address)

    async def until(self, holds: Callable[[list[Record]], bool], *address: str, seconds: float = 5.0) -> list[Record]:
        """The requests to one address as soon as something holds of them; an error if it never does."""
        deadline = time.monotonic() + seconds
        while not holds(records := self.at(*address)):
            assert time.monotonic() < deadline, f"after {seconds} s: {records}"
            await asyncio.sleep(0.005)
        return records


class Wire(Served):
    """The server, in a thread of its own."""

    def __init__(self, texts: Texts | None = None, log: Path | None = None, port: int = 0, default: str = "honest") -> None:
        self.texts = texts or Texts()
        self.personas = dict(PERSONAS)
        self.default = default
        self._log = Log(log)
        self._port = port
        self._came: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    @property
    def records(self) -> list[Record]:
        """Every request so far."""
        return self._log.records

    def __enter__(self) -> Wire:
        self._thread.start()
        assert self._ready.wait(10), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        serving: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                await Connection(reader, writer).serve(self.exchange)
            except asyncio.CancelledError:  # the server stops
                pass
            finally:
                serving.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", self._port)
        self.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    # --- one request

    async def exchange(self, received: Received, connection: Connection) -> None:
        """Answer one request, and write down what becomes of it."""
        path, slash, route = unquote(urlsplit(received.target).path).partition("/v1/")
        address, api = path.strip("/") or self.default, ROUTES.get(slash + route)
        asked = self._understood(received, api, address)
        known = received.json if isinstance(received.json, dict) else {}
        record = self._log.begin(
            persona=address, api=api or "unknown", body_hash=asked.digest if isinstance(asked, Asked) else "",
            model=str(known.get("model", "")), max_tokens=asked.max_tokens if isinstance(asked, Asked) else None,
            messages=len(asked.body["messages"]) if isinstance(asked, Asked) else 0,
            tools=tuple(asked.tools) if isinstance(asked, Asked) else (), streams=bool(known.get("stream")),
            retry=int(received.headers.get("x-stainless-retry-count", 0)),
        )  # fmt: skip
        connection.request_id = f"req_{record.number:06}"
        sending = Sending(self._log, record.number, connection)
        answering = sending.refuse(asked) if isinstance(asked, Failure) else sending.send(self._answer(asked, address), asked)
        try:
            await connection.unless_closed(answering)
        except Hung as hung:
            self._log.change(record.number, closed_at=hung.at)
            raise

    def _understood(self, received: Received, api: Api | None, address: str) -> Asked | Failure:
        """The request; one that the real API would refuse is refused."""
        if api is None or received.method != "POST":
            return Failure(404, "not_found_error", f"there is no {received.method} {received.target}")
        if not received.headers.keys() & {"x-api-key", "authorization"}:
            return Failure(401, "authentication_error", "x-api-key header is required")
        wrong = next(mistakes(received.json, api), None)
        if wrong is not None:
            return Failure(400, "invalid_request_error", wrong)
        body = received.json
        asked = asked_in_chat(body) if api == "chat" else asked_in_messages(body, api)
        if api == "chat" and asked.streams:
            return Failure(400, "invalid_request_error", "stream: chat completions are not streamed here")
        argument = address.partition("/")[0].partition(":")[2]
        earlier = self._came[address]
        self._came[address] += api != "count_tokens"
        return replace(asked, argument=argument, earlier=earlier)

    def _answer(self, asked: Asked, address: str) -> Answer:
        name = address.partition("/")[0].partition(":")[0]
        if name not in self.personas:
            return Failure(404, "not_found_error", f"there is no persona {name!r}; known: {', '.join(self.personas)}")
        try:
            return self.personas[name](asked, self.texts)
        except (KeyError, ValueError) as error:
            return Failure(404, "not_found_error", f"the persona {name} takes no argument {asked.argument!r}: {error!r}")


class Apart(Served):
    """The server as a process of its own: its address, and its log file."""

    def __init__(self, base: str, log: Path) -> None:
        self.base = base
        self._path = log

    @property
    def records(self) -> list[Record]:
        """Every request so far."""
        return read_log(self._path)


@contextmanager
def apart(log: Path, *options: str) -> Iterator[Apart]:
    """Start the server as a process of its own, which outlives whoever calls it."""
    command = [sys.executable, "-m", "tests.wire.messages", "--log", str(log), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    with process:
        try:
            yield Apart(process.stdout.readline().strip(), log)
        finally:
            process.terminate()


def main() -> None:
    """Serve until stopped; the address is the only line on stdout."""
    parser = argparse.ArgumentParser(description="A local server that speaks the Anthropic Messages API, for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="a file that gains a line of JSON with each change of a request")
    parser.add_argument("--persona", default="honest", help="who answers where the address names nobody")
    parser.add_argument("--strategy", type=Path, help="the strategy's text, instead of the bundled momentum strategy")
    parser.add_argument("--assessment", type=Path, help="the arguments of save_assessment as JSON")
    given = parser.parse_args()
    texts = Texts()
    if given.strategy:
        texts = replace(texts, strategy=given.strategy.read_text(encoding="utf-8"))
    if given.assessment:
        texts = replace(texts, assessment=json.loads(given.assessment.read_text(encoding="utf-8")))
    with Wire(texts, given.log, given.port, given.persona) as wire:
        print(wire.url(), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
