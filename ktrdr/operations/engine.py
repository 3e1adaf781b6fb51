"""What an engine is: it decides where an attempt runs, and holds nothing that matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ktrdr.operations.claims import Claim

Signal = Literal["cancel", "drain"]


@dataclass(frozen=True)
class Slot:
    """A place where one attempt can run."""

    worker: str
    profile: str
    """Of what runs there, or `gpu`."""
    operation_id: str | None = None
    attempt: int | None = None
    pid: int | None = None
    gpu: str | None = None
    """Name of the GPU that the place has."""
    node: str | None = None
    """The machine of a cluster on which it is."""


class Engine(Protocol):
    """Runs attempts somewhere."""

    def capacity(self) -> dict[str, int]:
        """Free slots by place, now: profiles, and before them `gpu` where there are any."""

    async def launch(self, claim: Claim) -> None:
        """Start an attempt; returns before it ends."""

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell an attempt something; False if it does not run here."""

    async def gone(self, operation_id: str, attempt: int) -> None:
        """Return when an attempt no longer runs here."""

    def running(self) -> list[tuple[str, int]]:
        """The attempts that run here."""

    def slots(self) -> list[Slot]:
        """All places, with what runs in them."""

    async def close(self) -> None:
        """Drain every attempt, and kill what has not left in time."""
