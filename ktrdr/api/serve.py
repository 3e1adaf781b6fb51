"""The life of a backend on this machine: one per home, found through `backend.json`."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

import ktrdr
from ktrdr.api.app import create_app
from ktrdr.errors import Conflict, Invalid, Unavailable
from ktrdr.log import configure, logger
from ktrdr.operations.cluster import check
from ktrdr.operations.readings import OperationQuery
from ktrdr.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
IDLE_TICK_SECONDS = 5.0
log = logger(__name__)


def serve(host: str | None = None, port: int | None = None) -> None:
    """Serve until a signal says stop, or until nobody has needed it for a while.

    Raises Conflict when the home has a backend already, Unavailable for a home or port that cannot be used, and what `check` says
    of a cluster.
    """
    settings = Settings.read()
    configure(settings.log_level)
    check(settings)
    address = host or settings.host
    if address not in LOOPBACK and settings.token is None:
        hint = "set KTRDR_TOKEN to a secret of at least 16 characters, here and where commands are typed; or serve on 127.0.0.1"
        raise Invalid(f"others than this machine can reach {address}, and anybody could do anything here without a token", hint=hint)
    with owned(settings.home) as home_id, bound(address, port if port is not None else settings.port, firm=port is not None) as listener:
        asyncio.run(run(create_app(settings, home_id), settings, listener, home_id))


async def run(app: FastAPI, settings: Settings, listener: socket.socket, home_id: str) -> None:
    """Answer on a socket, and let the home know where."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off"))

    def leave(*_: object) -> None:
        server.should_exit = True

    # The server raises again, when it is done, the signal that ended it; what it finds then must not end us before we have tidied up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    note = settings.home / "backend.json"
    try:
        async with app.router.lifespan_context(app):  # here rather than in the server, which would hide why it fails
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():  # noqa: ASYNC110  (uvicorn has a flag, and no event)
                await asyncio.sleep(0.01)
            gc.collect()
            gc.freeze()  # what is loaded now stays; looking through it again would hold an answer up for 50 ms now and then
            host, port = listener.getsockname()[:2]
            near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  (compared, not bound)
            url = f"http://{near}:{port}"
            write_note(note, {"url": url, "pid": os.getpid(), "version": ktrdr.__version__, "home_id": home_id})
            log.info("backend serves", url=url, home=str(settings.home), pid=os.getpid())
            await leave_when_idle(app, settings, server, serving)
            await serving
    finally:
        note.unlink(missing_ok=True)


async def leave_when_idle(app: FastAPI, settings: Settings, server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    """Stop the server when there has been neither work nor a caller for so many minutes."""
    while not serving.done():
        await asyncio.wait([serving], timeout=min(IDLE_TICK_SECONDS, settings.idle_minutes * 30))
        try:
            active = (await app.state.backend.operations.find(OperationQuery(limit=1))).active_count if not serving.done() else 0
        except Unavailable as error:  # the database will be back, and until then nobody knows
            log.warning("whether there is work cannot be asked", reason=error.message)
            continue
        if active:
            app.state.last_request = time.monotonic()
        elif time.monotonic() - app.state.last_request > settings.idle_minutes * 60:
            log.info("nothing to do for a while, leaving", minutes=settings.idle_minutes)
            server.should_exit = True


@contextmanager
def owned(home: Path) -> Iterator[str]:
    """Own a home, alone; yields the id that tells it from others."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (home / "serving.lock").open("a")
    except OSError as error:
        raise Unavailable(f"the home {home} cannot be used: {error.strerror}", hint="set KTRDR_HOME to a folder you can write to") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"the home {home} has a backend already", hint="ktrdr status asks it, ktrdr down ends it") from None
        path = home / "home_id"
        if not path.exists():
            path.write_text(secrets.token_hex(8), encoding="utf-8")
        yield path.read_text(encoding="utf-8").strip()


@contextmanager
def bound(host: str, port: int, *, firm: bool) -> Iterator[socket.socket]:
    """A listening socket; if the port is taken and nobody insisted on it, on any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends small packets at once only where it is; else each answer may wait 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if firm:
                raise Unavailable(f"port {port} cannot be used: {error.strerror}", hint="name another with --port, or none") from None
            listener.bind((host, 0))
        listener.listen(128)
        yield listener


def write_note(path: Path, content: dict[str, object]) -> None:
    """Write `backend.json`, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)
