"""What every command has at hand: its screen, and the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ktrdr.cli import backend
from ktrdr.cli.client import AsyncCLIClient
from ktrdr.cli.output import Output

T = TypeVar("T")
JSON = dict[str, Any]


@dataclass(frozen=True)
class Session:
    """One run of `ktrdr`: the flags that every command takes, and what follows from them."""

    output: Output
    url: str | None = None
    """A backend named by the user; None means the local one."""
    port: int | None = None

    def run(self, work: Callable[[AsyncCLIClient], Awaitable[T]]) -> T:
        """Do some work with a client whose backend answers."""
        # Before the event loop, so that Ctrl+C is heard while a backend starts.
        backend.ensure(self.url, self.output.note)

        async def whole() -> T:
            async with AsyncCLIClient(self.url) as client:
                return await work(client)

        return asyncio.run(whole())

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """One answer of the backend."""
        return self.run(lambda client: client.get(path, params))

    def post(self, path: str, json: JSON | None = None) -> Any:
        """One answer of the backend to a POST."""
        return self.run(lambda client: client.post(path, json))

    def delete(self, path: str) -> Any:
        """One answer of the backend to a DELETE."""
        return self.run(lambda client: client.delete(path))
