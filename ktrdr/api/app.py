"""The REST API: every route below `/api/v1`."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request, Response

import ktrdr
from ktrdr import telemetry
from ktrdr.api import errors
from ktrdr.api.endpoints import agent, checkpoints, data, operations, providers, reports, series, starts, strategies, system
from ktrdr.operations.launch import Launcher
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend

PREFIX = "/api/v1"
LARGEST_BODY = 2**20
HERE = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
Next = Callable[[Request], Awaitable[Response]]


def create_app(settings: Settings, home_id: str, launcher: Launcher | None = None) -> FastAPI:
    """The application; its backend lives as long as it is served."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_backend(settings, launcher) as backend:
            app.state.backend = backend
            yield

    app = FastAPI(
        title="ktrdr", version=ktrdr.__version__, summary="Research, train and honestly test readable trading strategies.",
        docs_url=f"{PREFIX}/docs", redoc_url=None, openapi_url=f"{PREFIX}/openapi.json", lifespan=lifespan, redirect_slashes=False,
        responses=errors.DOCUMENTED,
    )  # fmt: skip
    app.state.home_id = home_id
    app.state.last_request = time.monotonic()
    app.state.token = settings.token.get_secret_value() if settings.token else None
    errors.install(app)
    routes = APIRouter(prefix=PREFIX)
    for part in (operations, reports, checkpoints, starts, series, data, providers, strategies, agent, system):
        routes.include_router(part.router)
    app.include_router(routes)
    app.middleware("http")(guard)
    return app


async def guard(request: Request, call_next: Next) -> Response:
    """Refuse who lacks the token, what a web page of somebody else could send to this machine, and bodies that are too large."""
    request.app.state.last_request = time.monotonic()
    token = request.app.state.token
    if token is not None:
        said = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(said.encode(), token.encode()):
            return errors.envelope(401, "wrong_token", "this backend wants its token", "set KTRDR_TOKEN to the one it was started with")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if token is None and host not in HERE:  # whoever knows the token has not been sent here by a foreign page
        return errors.envelope(403, "wrong_host", f"this backend answers for this machine, not for {host!r}", "use http://localhost")
    origin = request.headers.get("origin")
    if origin and request.method not in SAFE and urlsplit(origin).netloc != request.headers.get("host"):
        return errors.envelope(403, "wrong_origin", f"a page of {origin} may not change anything here")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY or "chunked" in request.headers.get("transfer-encoding", ""):
        return errors.envelope(413, "too_large", f"a body may have {LARGEST_BODY:,} bytes and must say how many it has")
    with telemetry.within(telemetry.SpanContext.parse(request.headers.get("traceparent"))):
        return await call_next(request)
