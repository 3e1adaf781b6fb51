"""A load at work: each part is fetched and stored before the next one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from ktrdr.errors import KtrdrError
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.load_plan import Part, Plan
from ktrdr.market.bars import Bars
from ktrdr.market.sessions import within_hours
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.providers.base import Provider
from ktrdr.stores.catalog import Hours, Outcome

JSON = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A part of a load that was stored before the next one was asked for, and what came of it."""

    start: datetime
    end: datetime
    outcome: Outcome

    def summary(self) -> JSON:
        """The segment as the result shows it."""
        done = self.outcome
        return {
            "start": self.start.isoformat(), "end": self.end.isoformat(), "state": done.state, "bars": done.bars, "added": done.added,
            "conflicts": done.conflicts, "replaced": done.replaced, "quarantined": done.quarantined, "message": done.message,
        }  # fmt: skip

    @classmethod
    def of(cls, summary: JSON) -> Self:
        """The segment that a summary tells of."""
        told = {name: value for name, value in summary.items() if name not in ("start", "end")}
        return cls(datetime.fromisoformat(summary["start"]), datetime.fromisoformat(summary["end"]), Outcome(**told))


class Loading:
    """One series on its way from a provider into the store."""

    def __init__(
        self, job: Job, workspace: Workspace, provider: Provider, *, symbol: str, size: Timeframe, name: str, hours: Hours, refresh: bool
    ) -> None:  # fmt: skip
        self._job, self._workspace, self._provider = job, workspace, provider
        self._symbol, self._size, self._name, self._hours, self._refresh = symbol, size, name, hours, refresh
        self._bars = 0
        self.left_out = 0
        """Bars outside of the hours that were asked for."""
        self.failure: KtrdrError | None = None
        """What ended the load before its plan was done."""

    def go_through(self, plan: Plan, done: list[Segment]) -> Iterator[Segment]:
        """The parts of a plan after those that are done; after one that failed the rest is not asked for."""
        self._bars = sum(segment.outcome.bars for segment in done)
        for number, part in list(enumerate(plan.parts))[len(done) :]:
            segment = self._load(number, part, len(plan.parts))
            self._bars += segment.outcome.bars
            if segment.outcome.state == "failed":
                if not self._bars:
                    assert self.failure is not None
                    raise self.failure
                yield segment
                return
            yield segment

    def _load(self, number: int, part: Part, count: int) -> Segment:
        begun = self._workspace.bars.begin_load(
            self._symbol, self._size, self._name, start=part.start, end=part.end, hours=self._hours
        )  # fmt: skip
        where = f"{self._symbol} {self._size} · {number + 1}/{count} · {self._bars:,} bars"
        known: JSON = {"symbol": self._symbol, "timeframe": self._size.name, "segment": number + 1, "segments": count, "bars": self._bars}

        def tell(doing: str) -> None:
            self._job.report(100 * number / count, f"{where} · {doing}", steps=(number, count), doing=doing, **known)

        tell(f"{part.start:%Y-%m-%d} .. {part.end:%Y-%m-%d}")
        try:
            bars = self._provider.fetch(self._symbol, self._size, start=part.start, end=part.end, on_progress=tell)
            outcome = self._keep(bars)
        except KtrdrError as failure:
            self.failure = failure
            outcome = Outcome("failed", message="; ".join(filter(None, (failure.message, failure.hint))))
        self._workspace.bars.end_load(begun, outcome)
        return Segment(part.start, part.end, outcome)

    def _keep(self, bars: Bars) -> Outcome:
        store, provider = self._workspace.bars, self._provider
        aside = store.quarantine(self._symbol, self._size, self._name, provider.rejected(), self._hours)
        if self._hours != "all":
            inside = within_hours(bars, self._hours)
            self.left_out += len(bars) - len(inside)
            bars = inside
        if not len(bars):
            return Outcome("empty", quarantined=aside)
        named = replace(bars, provider=self._name)
        written = store.write(named, provider.origin(self._symbol), hours=self._hours, refresh=self._refresh)
        return Outcome("answered", len(bars), written.added, written.conflicts, replaced=written.replaced, quarantined=aside)
