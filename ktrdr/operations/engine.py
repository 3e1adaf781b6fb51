"""What an engine is: it decides where an attempt runs, and holds nothing that matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ktrdr.operations.claims import Claim
from ktrdr.operations.fleet import Node
from ktrdr.operations.model import Signal

Draining = Callable[[], Awaitable[set[str]]]
"""Says which machines take nothing new."""


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


@dataclass(frozen=True)
class Room:
    """How many attempts may be launched now."""

    most: int
    without: frozenset[str] = frozenset()
    """Types of which none fits, though others do."""
    never: frozenset[str] = frozenset()
    """Some of them would not fit if nothing ran: it is nobody's turn because of them."""


class Reach(Protocol):
    """How attempts are reached, wherever they run."""

    far: bool
    """Whether they are begun elsewhere, and may take their time: one that is cancelled before is not waited for."""

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell an attempt something; False if it is known not to run here."""

    async def gone(self, operation_id: str, attempt: int) -> None:
        """Return when an attempt no longer runs."""

    async def slots(self) -> list[Slot]:
        """All places, with what runs in them."""

    async def wrong(self) -> str | None:
        """What keeps it from running anything, if something does."""


class Queue(Protocol):
    """Whoever takes operations from the queue."""

    def wake(self) -> None:
        """The queue has changed."""

    async def wrong(self) -> str | None:
        """Why nothing is taken, if that is so."""


class Engine(Protocol):
    """Runs attempts somewhere."""

    outlives: bool
    """Whether attempts go on when this process ends: then their guardians renew their leases, and nobody else."""

    async def places(self) -> list[str]:
        """The sorts of places that there are: profiles or `cpu`, and before them `gpu` where there are any."""

    async def room(self, place: str, turn: str | None) -> Room:
        """What fits now at a sort of place; where the type whose turn it is does not, other types leave it what it will fit on."""

    async def nodes(self) -> list[Node]:
        """The machines that attempts run on; none where that is this one."""

    async def launch(self, claim: Claim) -> None:
        """Start an attempt; returns before it ends."""

    def signal(self, operation_id: str, attempt: int, signal: Signal) -> bool:
        """Tell an attempt something; False if it is known not to run here."""

    async def running(self) -> list[tuple[str, int]]:
        """The attempts that run here, those included that an earlier process has started."""

    async def dead(self) -> dict[tuple[str, int], bool]:
        """Attempts whose guardian has died, and whether that is certain: a machine that is silent may only be cut off."""

    def abandon(self, operation_id: str, attempt: int) -> None:
        """An attempt was taken back: whatever is left of it is of no use."""

    async def close(self) -> None:
        """Let go: attempts that cannot outlive this process are drained, and killed when they do not leave in time."""
