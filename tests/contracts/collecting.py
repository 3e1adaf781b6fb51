"""A collector in a thread of the test: it takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begun: int
    ended: int
    attributes: dict[str, Any]
    events: list[str]
    links: list[str]
    error: str | None
    service: str


@dataclass
class Collector:
    """What has arrived, in the order of arrival."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)

    def named(self, name: str) -> list[Seen]:
        """Spans of that name, the earliest first."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.begun)

    def one(self, name: str) -> Seen:
        """The only span of that name."""
        found = self.named(name)
        assert len(found) == 1, f"{len(found)} spans called {name!r} among {sorted(span.name for span in self.spans)}"
        return found[0]

    def below(self, parent: Seen) -> list[Seen]:
        """What hangs directly below a span, the earliest first."""
        return sorted((span for span in self.spans if span.parent_id == parent.span_id), key=lambda span: span.begun)

    def until(self, wanted: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for what is on its way."""
        deadline = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < deadline, sorted(span.name for span in self.spans)
            time.sleep(0.02)


def plain(pairs: list[KeyValue]) -> dict[str, Any]:
    """Attributes as values."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def seen(body: bytes) -> Iterator[Seen]:
    """The spans of a request."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = plain(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.start_time_unix_nano,
                    span.end_time_unix_nano, plain(span.attributes), [event.name for event in span.events],
                    [link.span_id.hex() for link in span.links], span.status.message if span.status.code == 2 else None, service,
                )  # fmt: skip


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector on a port of this machine, any free one by default."""
    collector = Collector()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.spans.extend(seen(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Take)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def silence() -> Iterator[str]:
    """An address where connections are taken and nothing is ever answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
