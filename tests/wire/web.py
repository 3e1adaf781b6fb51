"""A small web server that keeps what it is asked, and fails when it is told to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    host: str
    path: str
    query: dict[str, str]
    at: float
    """When, by the monotonic clock."""


@dataclass(frozen=True)
class Reply:
    """A status with a body: text as it is, anything else as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    """How long the server thinks, in seconds."""
    broken: bool = False
    """Whether the connection breaks instead."""


BROKEN = Reply("", broken=True)


class Site:
    """What a server knows; `faults` are answered first, one for each request to `faulty`."""

    faulty = "/"
    """Requests to paths that begin so meet the faults."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: deque[Reply] = deque()
        self.always: Reply | None = None
        """What every faulty request meets, once the faults are used up."""
        self.rule: Callable[[Request], Reply | None] = lambda _: None
        """What a request meets else, if it says so."""

    def answer(self, request: Request) -> Reply:
        """What a request gets when nothing goes wrong."""
        raise NotImplementedError

    def reply(self, request: Request) -> Reply:
        """What a request gets."""
        self.requests.append(request)
        if request.path.startswith(self.faulty):
            if self.faults:
                return self.faults.popleft()
            if self.always:
                return self.always
        return self.rule(request) or self.answer(request)

    def asked(self, path: str) -> list[Request]:
        """The requests to paths that begin so."""
        return [request for request in self.requests if request.path.startswith(path)]


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for a Site."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        reply = self.server.site.reply(Request(self.headers.get("Host", ""), parts.path, query, time.monotonic()))
        time.sleep(reply.after)
        if reply.broken:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        text = isinstance(reply.body, str)
        content = reply.body.encode() if text else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html" if text else "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A socket for what a handler answers from: a Site, or something else with a handler of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, site: Any, handler: type[BaseHTTPRequestHandler] = Handler, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.site = site

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that leaves in the middle is part of the tests."""


@contextmanager
def serving(site: Any, handler: type[BaseHTTPRequestHandler] = Handler, port: int = 0) -> Iterator[str]:
    """The address of a Site, on this port of this machine, or on a free one."""
    server = Server(site, handler, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
