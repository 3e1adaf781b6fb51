"""Which backend to talk to; finds, starts and stops the one on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ktrdr
from ktrdr.errors import Invalid, Unavailable
from ktrdr.settings import Settings

JSON = dict[str, Any]
START_SECONDS = 30.0
STOP_SECONDS = 30.0
PROBE_SECONDS = 3.0
HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Backend:
    """A backend of this machine, as `backend.json` in its home names it."""

    url: str
    pid: int
    version: str
    home_id: str


def normalised(url: str) -> str:
    """The address of the API below a base URL, which may lack its scheme or bring the prefix already."""
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid(f"{url!r} is no URL: {error}", hint="write it like http://localhost:8000") from None
    if not known:
        raise Invalid(f"{url!r} is no URL of a backend", hint="write it like http://localhost:8000")
    whole = whole.rstrip("/")
    return whole if whole.endswith("/api/v1") else f"{whole}/api/v1"


def is_here(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return urlsplit(url).hostname in HERE


def ensure(named: str | None = None, announce: Callable[[str], None] = lambda _: None) -> str:
    """The API address of a backend that answers. The local one is started if none is named and none answers."""
    here = Settings.read()
    named = named or here.api_url
    if named:
        url = normalised(named)
        health = probe(url)
        if health is None:
            raise Unavailable(
                f"no backend answers at {url.removesuffix('/api/v1')}",
                hint="start it there with ktrdr serve, or leave --url, --port and KTRDR_API_URL out to use the local one",
            )
        version = str(health.get("version", ktrdr.__version__))
    else:
        backend = running(here.home) or start(here, announce)
        url, version = normalised(backend.url), backend.version
    if version != ktrdr.__version__:
        announce(f"Note: the backend is version {version}, this command {ktrdr.__version__}; for a local one: ktrdr down, then ktrdr up")
    return url


def recorded_url() -> str | None:
    """The API address that the home's backend last had, without asking it."""
    here = Settings.read()
    backend = None if here.api_url else recorded(here.home)
    return normalised(backend.url) if backend else None


def recorded(home: Path) -> Backend | None:
    """What `backend.json` of a home says."""
    try:
        noted = json.loads((home / "backend.json").read_text(encoding="utf-8"))
        return Backend(str(noted["url"]), int(noted["pid"]), str(noted["version"]), str(noted["home_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(home: Path) -> Backend | None:
    """The backend of a home, if it answers and really serves this home."""
    backend = recorded(home)
    health = probe(normalised(backend.url)) if backend else None
    return backend if backend and health and health.get("home_id") == backend.home_id else None


def probe(url: str) -> JSON | None:
    """What a backend says of its health; None where nothing answers as one would."""
    try:
        asked = urllib.request.Request(f"{url}/health", headers=credentials())  # noqa: S310  (the address is a backend of ours)
        with opener(url).open(asked, timeout=PROBE_SECONDS) as response:
            health = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise Unavailable(f"the backend at {url.removesuffix('/api/v1')} wants its token", hint="set KTRDR_TOKEN") from None
        with error, suppress(OSError, ValueError):
            health = json.load(error)  # it is there, and not well
            return health if isinstance(health, dict) and "home_id" in health else None
        return None
    except (OSError, ValueError):
        return None
    if not isinstance(health, dict):
        return None
    return health["data"] if isinstance(health.get("data"), dict) else health


def opener(url: str) -> urllib.request.OpenerDirector:
    """What opens addresses of a backend; a proxy of the environment must not come between us and this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}) if is_here(url) else urllib.request.ProxyHandler())


def credentials() -> dict[str, str]:
    """The headers that a backend with a token wants to see."""
    token = Settings.read().token
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}


def start(here: Settings, announce: Callable[[str], None], port: int | None = None) -> Backend:
    """Start the local backend, detached from this terminal, and wait until it answers."""
    log = log_file(here.home)
    with starting_alone(here.home):
        backend = running(here.home)  # another command may have started it while this one waited
        if backend:
            return backend
        announce(f"Starting the local backend (home {here.home}, log {log})")
        began = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            process = subprocess.Popen(
                serve_command(None, port), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, close_fds=True,
                start_new_session=True, cwd=here.home, env=environment(here),
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            backend = running(here.home)
            if backend:
                return backend
            if process.poll() is not None:
                break
            time.sleep(0.05)
        why, hint = last_words(log, began)
        raise Unavailable(
            f"the local backend did not start: {why}", hint=f"{hint}; the whole log: {log}" if hint else f"the whole log: {log}"
        )


def environment(here: Settings) -> dict[str, str]:
    """The environment of a backend that does not live in the caller's folder: places are absolute."""
    ledger = here.ledger.absolute() if isinstance(here.ledger, Path) else here.ledger
    return {**os.environ, "KTRDR_HOME": str(here.home.absolute()), "KTRDR_LEDGER": str(ledger)}


def serve_command(host: str | None, port: int | None) -> list[str]:
    """The words that start a backend."""
    words = [sys.executable, "-m", "ktrdr.api", "serve"]
    return words + (["--host", host] if host else []) + (["--port", str(port)] if port is not None else [])


def stop(here: Settings) -> Backend | None:
    """Ask the home's backend to leave and wait until it has; None where none runs."""
    backend = running(here.home)
    if backend is None:
        return None
    os.kill(backend.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_alive(backend.pid):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the backend (process {backend.pid}) is still there after {STOP_SECONDS:.0f} s", hint=f"kill -9 {backend.pid}"
            )
        time.sleep(0.02)
    return backend


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True  # no /proc on this system: init waits for its children


def log_file(home: Path) -> Path:
    """The backend's log, its folder made."""
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        with (home / "logs" / "backend.log").open("ab"):
            pass
    except OSError as error:
        raise Unavailable(
            f"the home {home} cannot be used: {error.strerror or error}", hint="set KTRDR_HOME to a folder that you can write to"
        ) from None
    return home / "logs" / "backend.log"


def last_words(log: Path, offset: int) -> tuple[str, str | None]:
    """The error that was logged last after `offset`, else the last line; and what it says to do."""
    with log.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().decode("utf-8", errors="replace").strip().splitlines()
    told = [line for line in lines if line.startswith("Error: ")] or lines
    hints = [line.strip().removeprefix("Hint: ") for line in lines if line.startswith("Hint: ")]
    why = told[-1].strip().removeprefix("Error: ") if told else f"no answer within {START_SECONDS:.0f} s"
    return why, hints[-1] if hints else None


@contextmanager
def starting_alone(home: Path) -> Iterator[None]:
    """Let one command at a time start the backend of a home."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; the backend itself refuses a home that is served already
        yield
        return
    with (home / "backend.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
