"""Attempts, as the queue hands them out and as somebody wants them stopped."""

from __future__ import annotations

from dataclasses import dataclass

from ktrdr.operations.model import JSON, Operation


@dataclass(frozen=True)
class Claim:
    """An attempt that this backend may now launch."""

    operation: Operation
    parameters: JSON
    profile: str
    place: str
    """What it was claimed for: its profile, `cpu` or `gpu`."""
    traceparent: str | None
    """The span below which it hangs."""


@dataclass(frozen=True)
class Place:
    """Where an attempt runs, if it is not this machine."""

    node: str
    device: str | None = None
    """Name of the GPU that it may use."""


@dataclass(frozen=True)
class Placed:
    """An attempt that has its operation, and where it runs; before it begins nobody can say."""

    operation_id: str
    attempt: int
    profile: str
    lease_owner: str
    node: str | None
    pid: int | None
    device: str | None


@dataclass(frozen=True)
class Cancelling:
    """What a request to cancel met."""

    operation_id: str
    running: list[tuple[str, int]]
    """Attempts that must be told."""
    ended: list[str]
    """Operations that ended at once."""
