"""The desk of a designer that works inside an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ktrdr.agents.budget import Cost, Spent
from ktrdr.agents.designer import Library, Series, Tried
from ktrdr.errors import KtrdrError, LostOwnership
from ktrdr.kinds.base import Workspace
from ktrdr.market.bars import Bars, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job

JSON = dict[str, Any]
OFFLINE = "offline"
CLAUDE = "claude"
"""The designer that asks a language model."""


@dataclass(frozen=True)
class HomeLibrary:
    """The bars and strategies of this home, up to where a training ends."""

    workspace: Workspace
    end: datetime

    def series(self) -> tuple[Series, ...]:
        """All series of bars."""
        return tuple(
            Series(symbol=s.symbol, timeframe=s.timeframe.name, first=s.first, last=s.last, bars=s.bars)
            for s in self.workspace.bars.series()
        )

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """Bars that are complete by the end of the training."""
        return complete(self.workspace.bars.read(symbol, Timeframe(timeframe), None, self.end), self.end)

    def save(self, name: str, text: str) -> None:
        """Write a new strategy to the home."""
        self.workspace.strategies.save(name, text)


@dataclass(frozen=True)
class JobDesk:
    """What a designer says and asks goes through the job to the backend, once over all attempts."""

    job: Job
    library: Library

    def check(self) -> None:
        """Raise what ends this attempt."""
        self.job.check()

    def report(self, done: int, total: int, sentence: str) -> None:
        """Show how far the work is."""
        self.job.report(100 * done / total, sentence, items=(done, total))

    def trial(self, tried: Tried) -> None:
        """Every candidate is a trial, whatever became of it."""
        self.job.write(
            "append_trial", f"candidate {tried.number}", kind="search", symbol=tried.symbol, timeframe=tried.timeframe,
            start=tried.start.isoformat(), end=tried.end.isoformat(), content_hash=tried.content_hash, score=tried.sharpe_per_bar,
            reason=None if tried.sharpe_per_bar is not None else tried.reason or "not scored",
            curve=tried.curve.model_dump() if tried.curve else None,
        )  # fmt: skip

    def recall(self, step: str) -> JSON | None:
        """What a step came to before."""
        found: JSON | None = self.job.recall(step)
        return found

    def keep(self, step: str, answer: JSON) -> None:
        """Remember what a step came to."""
        self.job.write("journal_step", step, answer=answer)

    def reserve(self, call: str, model: str, worst: Cost) -> None:
        """Set the worst that a call can cost aside."""
        named = f"attempt {self.job.attempt} {call}"
        self.job.write("reserve_budget", f"{named} reserved", call=named, model=model, worst=worst.model_dump())

    def settle(self, call: str, cost: Cost) -> None:
        """Count a reserved call as what it cost."""
        named = f"attempt {self.job.attempt} {call}"
        self.job.write("settle_budget", f"{named} settled", call=named, cost=cost.model_dump())


@contextmanager
def billed(job: Job, designer: str) -> Iterator[None]:
    """Work of a designer, whose failure says what was spent until then."""
    try:
        yield
    except LostOwnership:
        raise
    except KtrdrError as error:
        if (bill := bill_of(job, designer)) is not None:
            error.details["spent"] = bill
        raise


def bill_of(job: Job, designer: str) -> JSON | None:
    """What the designer has spent until now; None where it asks no language model."""
    return spent(job) if designer == CLAUDE else None


def spent(job: Job) -> JSON:
    """What this operation, or its cycle where it is one, has spent on language models until now."""
    found = job.write("sum_spending", f"attempt {job.attempt} spent")
    return Spent.model_validate(found).shown()


def complete(bars: Bars, end: datetime) -> Bars:
    """The bars that have closed by `end`."""
    return bars.rows(slice(0, int(np.searchsorted(bars.known_at, as_time(end), side="right"))))
