"""The nodes of a cluster by what is free on them, and which of them an attempt should have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ktrdr.settings import Resources

GRAINS = 10_000
"""The parts of a resource that Ray tells apart."""
ORDINARY = Resources()


@dataclass(frozen=True)
class Machine:
    """A node that Ray says is there."""

    id: str
    name: str
    address: str
    cpus: float
    gpus: float
    cpus_free: float
    gpus_free: float
    parts: tuple[float, ...]
    """What is free of each GPU."""
    labels: Mapping[str, str]

    def could(self, wanted: Resources, *, gpu: bool) -> bool:
        """Whether an attempt that takes so much fits where nothing else runs."""
        return wanted.suit(self.labels) and self.cpus >= wanted.cpus and (not gpu or self.gpus >= wanted.gpus)

    def room(self, wanted: Resources, *, gpu: bool) -> int:
        """How many attempts that take so much fit now."""
        if not wanted.suit(self.labels):
            return 0
        number = times(self.cpus_free, wanted.cpus)
        if not gpu:
            return number
        whole = sum(part >= 1 for part in self.parts)
        fitting = times(whole, wanted.gpus) if wanted.gpus >= 1 else sum(times(part, wanted.gpus) for part in self.parts)
        return min(number, fitting, times(self.gpus_free, wanted.gpus))


@dataclass(frozen=True)
class Use:
    """What an attempt takes of a node."""

    node: str
    cpus: float
    gpus: float
    which: tuple[str, ...] | None = None
    """The GPUs, once Ray has said."""


def best_for(machines: Iterable[Machine], wanted: Resources, *, gpu: bool) -> Machine | None:
    """The node with most room of those on which it fits now; nodes with GPUs come last for whatever gets none."""
    fitting = [m for m in machines if m.room(wanted, gpu=gpu)]
    return max(fitting, key=lambda m: (not m.gpus or gpu, m.cpus_free, m.name), default=None)


def next_for(machines: Iterable[Machine], wanted: Resources, *, gpu: bool) -> Machine | None:
    """The node that has least to wait for until it fits there."""
    could = [m for m in machines if m.could(wanted, gpu=gpu)]
    return max(could, key=lambda m: (m.gpus_free if gpu else 0.0, m.cpus_free, m.name), default=None)


def times(free: float, each: float) -> int:
    """How many of a size fit, as finely as Ray counts.

    >>> times(1.0, 0.1), times(0.3, 0.1), times(0.2999, 0.1)
    (10, 3, 2)
    """
    return round(free * GRAINS) // max(1, round(each * GRAINS))


def parts_free(gpus: int, here: Iterable[Use]) -> tuple[float, ...]:
    """What is free of each GPU of a node; what Ray has not said yet is packed as Ray does it, on the fullest that has room.

    >>> parts_free(2, [Use("n", 1, 0.25, ("1",)), Use("n", 1, 0.5), Use("n", 1, 0.5)])
    (0.25, 0.5)
    >>> parts_free(3, [Use("n", 1, 2.0), Use("n", 1, 0.0)])
    (0.0, 0.0, 1.0)
    """
    known: dict[str, float] = {}
    open_ones: list[float] = []
    for use in here:
        open_ones += [min(1.0, use.gpus)] * math.ceil(use.gpus) if use.which is None else []
        for which in use.which or ():
            known[which] = known.get(which, 0.0) + min(1.0, use.gpus)
    free = [1.0 - taken for taken in known.values()] + [1.0] * (gpus - len(known))
    for part in open_ones:
        fullest = min((each for each in free if times(each, part)), default=None)
        if fullest is not None:
            free[free.index(fullest)] -= part
    return tuple(sorted(max(0.0, each) for each in free))
