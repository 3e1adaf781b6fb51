"""What a cluster needs is said before anything is started, in one sentence, and without loading anything of it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ktrdr.errors import Invalid, Unavailable
from ktrdr.settings import Settings

RAY = "2.60.0"
"""Nodes, head and dispatcher must run the very same one."""
INSTALL = "pip install 'ktrdr[cluster]'"
NEW_TOKEN = "set RAY_AUTH_TOKEN to the same secret on every node, or RAY_AUTH_TOKEN_PATH to a file that holds it"  # noqa: S105


def check(settings: Settings, *, joins: bool = False, environment: Mapping[str, str] = os.environ) -> None:
    """Raise unless what the chosen engine needs is there; `joins` tells that this process is to become a part of the cluster.

    Unavailable for a package that is missing, Invalid for a setting that cannot be.
    """
    if settings.engine == "local":
        return
    _packages()
    _database(settings)
    head = _head(settings)
    if joins:
        _token(environment)
        _private(head)


def _packages() -> None:
    for name in ("ray", "psycopg"):
        if find_spec(name) is None:
            raise Unavailable(f"KTRDR_ENGINE=ray needs the package {name}, which is not installed", hint=INSTALL)
    installed = metadata.version("ray")
    if installed != RAY:
        raise Unavailable(f"KTRDR_ENGINE=ray works with ray {RAY} on every machine, and here {installed} is installed", hint=INSTALL)


def _database(settings: Settings) -> None:
    kind = (settings.database_url or "sqlite").partition(":")[0]
    if kind.partition("+")[0] not in ("postgresql", "postgres"):
        hint = "set KTRDR_DATABASE_URL to one, such as postgresql://user@host/ktrdr, here and on every node"
        raise Invalid(f"KTRDR_ENGINE=ray needs a PostgreSQL database that all its machines reach, not {kind}", hint=hint)


def _head(settings: Settings) -> SplitResult:
    given = settings.ray_address
    hint = "set RAY_ADDRESS to the host and port of the cluster's head, such as 10.0.0.5:6379"
    if not given:
        raise Invalid("KTRDR_ENGINE=ray needs RAY_ADDRESS: no cluster is ever looked for on this machine", hint=hint)
    with suppress(ValueError):
        head = urlsplit(f"//{given}")
        if head.hostname and head.port and head.netloc == given:
            return head
    raise Invalid(f"RAY_ADDRESS cannot be {given!r}: it names one head by host and port", hint=hint)


def _token(environment: Mapping[str, str]) -> None:
    if environment.get("RAY_AUTH_MODE") != "token":
        raise Invalid("without RAY_AUTH_MODE=token whoever reaches the cluster could run anything on it", hint="set RAY_AUTH_MODE=token")
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path("~/.ray/auth_token").expanduser()
    if not environment.get("RAY_AUTH_TOKEN") and not (path.is_file() and path.stat().st_size):
        raise Invalid(f"RAY_AUTH_MODE=token needs a token, and there is none in RAY_AUTH_TOKEN or {path}", hint=NEW_TOKEN)


def _private(head: SplitResult) -> None:
    try:
        found = {each[4][0] for each in socket.getaddrinfo(head.hostname, head.port, type=socket.SOCK_STREAM)}
    except OSError:
        return  # not known yet: who joins will be told so
    public = [address for address in found if ipaddress.ip_address(str(address).partition("%")[0]).is_global]
    if public:
        hint = "put the head into a private network, and name it by its address there"
        raise Invalid(f"RAY_ADDRESS leads to {public[0]}, which the whole internet can reach; Ray has no TLS here", hint=hint)
