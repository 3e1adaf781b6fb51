"""A backend for tests of the command line: answers of the API's shapes, over real HTTP, on a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ktrdr
from tests.wire import web

JSON = dict[str, Any]
ENDED = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    body: JSON
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: Any


@dataclass
class Stream:
    """The events of an operation; `drop` breaks the connection off after so many, once."""

    records: list[JSON]
    until: threading.Event | None = None
    """The last record is sent when this is set."""
    drop: int | None = None


Route = Answer | Stream | Callable[[Request], Answer]


def operation(**changes: Any) -> JSON:
    """An operation's record as the API sends it."""
    record: JSON = {
        "operation_id": "op_training_20261121_093000_1a2b3c4d", "operation_type": "training", "status": "running", "cancelling": False,
        "parent_operation_id": None, "created_at": "2026-11-21T09:30:00.120000Z", "started_at": "2026-11-21T09:30:00.150000Z",
        "completed_at": None, "attempt": 1, "duration_seconds": 12.3,
        "progress": {
            "percentage": 41.5, "current_step": "Epoch 5/10 · Batch 120/500", "steps_completed": 4, "steps_total": 10,
            "items_processed": 2120, "items_total": 5000,
            "context": {
                "epoch_index": 5, "total_epochs": 10, "batch_number": 120, "batch_total_per_epoch": 500,
                "resource_usage": {"gpu_used": False},
            },
        },
        "metadata": {
            "symbol": "EURUSD", "timeframe": "1h", "start_date": "2012-01-01", "end_date": "2017-01-01", "strategy_name": "momentum",
            "parameters": {"epochs": 10},
        },
        "checkpoint": None, "resumed_from": None, "result_summary": None, "error_message": None, "error": None, "warnings": [],
    }  # fmt: skip
    record.update(changes)
    if record["status"] in ENDED and record["completed_at"] is None:
        record["completed_at"] = "2026-11-21T09:31:00.150000Z"
    return record


def failure(status: int, code: str, message: str, hint: str | None = None) -> Answer:
    """An error in the API's envelope."""
    return Answer(status, {"success": False, "error": {"code": code, "message": message, "hint": hint, "details": {}}})


@dataclass
class Api:
    """The answers of a backend, and the requests it has heard."""

    routes: dict[tuple[str, str], Route] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    home_id: str = "a-home"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, route: Route) -> None:
        """Answer this request so."""
        self.routes[method, path] = route

    def start(self, path: str, *records: JSON, until: threading.Event | None = None, drop: int | None = None) -> None:
        """Accept a start at `path`, and tell of its operation in these records."""
        last = records[-1]
        ident = last["operation_id"]
        begun = {"operation_id": ident, "operation_type": last["operation_type"], "status": "pending"}
        self.on("POST", path, Answer(202, {"success": True, **begun, "data": begun}))
        self.tell(*records, until=until, drop=drop)

    def tell(self, *records: JSON, until: threading.Event | None = None, drop: int | None = None) -> None:
        """Know an operation, which goes through these records."""
        ident = records[-1]["operation_id"]
        self.on("GET", f"/operations/{ident}", lambda _: Answer(200, {"success": True, "data": records[0]}))
        self.on("GET", f"/operations/{ident}/events", Stream(list(records), until, drop))

    def heard(self, method: str, path: str) -> list[Request]:
        """The requests of this kind, in order."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def route(self, request: Request) -> Route:
        """What answers a request."""
        self.requests.append(request)
        if request.path == "/health" and ("GET", "/health") not in self.routes:
            return Answer(200, {"status": "ok", "version": ktrdr.__version__, "home_id": self.home_id})
        return self.routes.get((request.method, request.path)) or failure(404, "not_found", f"there is no {request.path}")


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for an Api."""

    protocol_version = "HTTP/1.1"
    server: web.Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        request = Request(self.command, parts.path.removeprefix("/api/v1"), query, body, dict(self.headers))
        route = self.server.site.route(request)
        if isinstance(route, Stream):
            self.stream(route, int(self.headers.get("Last-Event-ID") or 0))
            return
        answer = route if isinstance(route, Answer) else route(request)
        content = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_GET

    def stream(self, stream: Stream, after: int) -> None:
        """Send the records whose number is above `after`, and close."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, record in enumerate(stream.records, 1):
            if number <= after:
                continue
            if number == len(stream.records) and stream.until is not None:
                stream.until.wait(5)
            if stream.drop is not None and number > stream.drop:
                stream.drop = None
                return
            name = record["status"] if record["status"] in ENDED else "progress"
            data = json.dumps({"seq": number, "event": name, "operation": record})
            self.wfile.write(f": ping\n\nid: {number}\nevent: {name}\ndata: {data}\n\n".encode())
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The Api on a port of this machine."""
    with web.serving(api, Handler, api.port) as address:
        api.port = int(address.rpartition(":")[2])
        yield api
