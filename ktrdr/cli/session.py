"""What every command has at hand: its screen, and the backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ktrdr.cli import backend
from ktrdr.cli.answers import ask, download
from ktrdr.cli.output import Output

if TYPE_CHECKING:
    from ktrdr.cli.client import AsyncCLIClient

T = TypeVar("T")
JSON = dict[str, Any]


@dataclass(frozen=True)
class Session:
    """One run of `ktrdr`: the flags that every command takes, and what follows from them."""

    output: Output
    url: str | None = None
    """A backend named by the user; None means the local one."""
    port: int | None = None
    command: str = ""
    """Which one runs."""

    def run(self, work: Callable[[AsyncCLIClient], Awaitable[T]]) -> T:
        """Do some work with a client whose backend answers."""
        import asyncio

        from ktrdr.cli.client import AsyncCLIClient

        client = AsyncCLIClient(self.url, command=self.command)
        # Before the event loop, so that Ctrl+C is heard while a backend starts.
        self.address()

        async def whole() -> T:
            async with client:
                return await work(client)

        return asyncio.run(whole())

    def address(self) -> str:
        """The API address of a backend that answers."""
        return backend.ensure(self.url, self.output.note)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """One answer of the backend."""
        return ask("GET", self.address(), path, params)

    def post(self, path: str, json: JSON | None = None) -> Any:
        """One answer of the backend to a POST."""
        return ask("POST", self.address(), path, body=json)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """One answer of the backend to a DELETE."""
        return ask("DELETE", self.address(), path, params)

    def download(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        """A file of the backend."""
        return download(self.address(), path, params)
