"""Load bars from a provider into the home."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, ConfigDict

from ktrdr.errors import Invalid, KtrdrError, NoData
from ktrdr.kinds.base import JSON, KINDS, Kind, Workspace
from ktrdr.kinds.given import Saver
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.checks import check_bars
from ktrdr.market.sessions import asset_class, bar_start, bar_starts, has_hours, no_hours, within_hours
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.providers.base import PROVIDERS, Provider, Reach, build
from ktrdr.stores.bars import Series, canonical
from ktrdr.stores.catalog import Hours, Load, Outcome
from ktrdr.strategy.sections import moment

SHORT = timedelta(days=7)
"""A provider whose bars begin or end this far from what was asked for gave a part only; less may be a holiday."""


def _timeframe(name: str) -> str:
    return Timeframe(name).name


def _date(text: str) -> str:
    try:
        moment(text)
    except ValueError as error:
        raise Invalid(str(error), hint="dates are UTC, such as 2012-01-01") from None
    return text


Date = Annotated[str, AfterValidator(_date)]


@dataclass(frozen=True)
class Segment:
    """A part of a load that is stored before the next one is asked for, and what came of it."""

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


@KINDS.add
class DataLoad(Kind):
    """Load bars of a symbol from a provider.

    Options of the provider, such as `file` of files or `seed` of synthetic, stand beside the parameters.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    symbol: Annotated[str, AfterValidator(canonical)]
    timeframe: Annotated[str, AfterValidator(_timeframe)] = "1d"
    mode: Literal["tail", "backfill", "full"] = "tail"
    """tail: what is newer than the last stored bar; backfill: what is older than the first; full: the whole range."""
    provider: str | None = None
    """Where from; by default the provider that has the series already."""
    start_date: Date | None = None
    """Load [start_date, end_date); by default all that the provider has."""
    end_date: Date | None = None
    trading_hours: bool = False
    """Keep only bars in the regular hours of US stocks."""
    include_extended: bool = False
    """Keep those before and after the regular hours too."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle the provider, and check its options, the dates and the hours."""
        start, end = self._dates()
        if start and end and start >= end:
            raise Invalid(f"the range {_day(start)} .. {_day(end)} is empty", hint="give the earlier date as start")
        provider = PROVIDERS.name_of(PROVIDERS.get(self.provider)) if self.provider else self._known_provider(workspace)
        ready = self.model_copy(update={"provider": provider})
        source = ready.source()
        source.accept(ready.symbol, ready._size)
        workspace.bars.check_origin(ready.symbol, ready._size, provider, source.origin(ready.symbol), ready._hours)
        ready._check_hours()
        stored = ready._stored(workspace)
        if stored and self.mode == "tail" and start:
            raise Invalid(
                f"{stored.symbol} {stored.timeframe} is stored up to {_day(stored.last)}, and tail goes on from there: it takes no start",
                hint="for older bars take mode backfill, for a whole range mode full",
            )
        if stored and self.mode == "backfill" and end:
            raise Invalid(
                f"{stored.symbol} {stored.timeframe} is stored from {_day(stored.first)}, and backfill ends there: it takes no end",
                hint="for newer bars take mode tail, for a whole range mode full",
            )
        return ready

    def metadata(self) -> JSON:
        """What is loaded, from where."""
        options = {"mode": self.mode, "provider": self.provider, "hours": self._hours, **(self.model_extra or {})}
        return {
            "symbol": self.symbol, "timeframe": self.timeframe, "start_date": self.start_date, "end_date": self.end_date,
            "parameters": options,
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Ask the provider part by part, and store each before the next one is asked for; a resumed load asks for the rest."""
        provider, before = self.source(), self._stored(workspace)
        job.report(0, f"Asking {self.provider} for {self.symbol} {self.timeframe}")
        reach = provider.reach(self.symbol, self._size, lambda step: job.report(0, step))
        workspace.bars.keep_actions(self.symbol, self._named, provider.actions(self.symbol))
        known = workspace.checkpoints.read(job.resumed.path).state if job.resumed else None
        segments = [Segment.of(summary) for summary in known["segments"]] if known else []
        start, end = map(datetime.fromisoformat, known["range"]) if known else self._range(reach, before)
        saver = Saver(job, workspace)
        asked = parts(start, end, provider.piece(self._size), newest_first=self.mode == "backfill")
        for segment in self._load(job, workspace, provider, asked, len(segments)):
            segments.append(segment)
            state = {"range": [start.isoformat(), end.isoformat()], "segments": [s.summary() for s in segments]}
            if segment.outcome.state != "failed":
                saver.keep(f"{_day(segment.start)} .. {_day(segment.end)}", state)
        if not any(segment.outcome.bars for segment in segments):
            self._require_up_to_date(workspace, before, reach)
        after = workspace.bars.find(self.symbol, self._size, self.provider, self._hours)
        diagnosis = "; ".join(filter(None, [self._shortfall(reach), *(s.outcome.message for s in segments)]))
        changed = sum(s.outcome.added + s.outcome.replaced for s in segments)
        conflicts = sum(s.outcome.conflicts for s in segments)
        for remark in provider.remarks():
            job.warn(remark)
        self._warn(job, workspace, segments)
        job.report(100, f"{self.symbol} {self.timeframe}: {after.bars:,} bars", steps=(len(segments),) * 2)
        return {
            "symbol": self.symbol, "timeframe": self.timeframe, "mode": self.mode, "provider": self.provider, "hours": self._hours,
            "status": "partial" if diagnosis else "complete" if changed else "nothing-new",
            "bars_loaded": sum(s.outcome.added for s in segments), "bars_total": after.bars,
            "origin": provider.origin(self.symbol) or None,
            "first": after.first.isoformat(), "last": after.last.isoformat(),
            "conflicts": conflicts, "replaced": sum(s.outcome.replaced for s in segments),
            "quarantined": sum(s.outcome.quarantined for s in segments), "diagnosis": diagnosis or None,
            "segments": [segment.summary() for segment in segments],
        }  # fmt: skip

    def source(self) -> Provider:
        """The provider, with its options and told the hours."""
        provider = build(self._named, self.model_extra or {})
        return provider.regular_hours() if self._hours == "regular" else provider

    @property
    def _named(self) -> str:
        return self.provider or ""

    @property
    def _size(self) -> Timeframe:
        return Timeframe(self.timeframe)

    @property
    def _hours(self) -> Hours:
        return "extended" if self.include_extended else "regular" if self.trading_hours else "all"

    def _dates(self) -> tuple[datetime | None, datetime | None]:
        return moment(self.start_date) if self.start_date else None, moment(self.end_date) if self.end_date else None

    def _stored(self, workspace: Workspace) -> Series | None:
        return workspace.bars.stored(self.symbol, self._size, self._named, self._hours)

    def _answered(self, workspace: Workspace) -> list[Load]:
        """The loads that brought bars, newest first; of one that was broken off, the stored bars show it."""
        loads = workspace.bars.loads(self.symbol, self._size, self._named)
        return [load for load in loads if load.outcome.state in ("answered", "asked") and load.hours == self._hours]

    def _known_provider(self, workspace: Workspace) -> str:
        """The provider of the series that is there."""
        known = [s for s in workspace.bars.series() if s.symbol == self.symbol and s.timeframe == self._size]
        names = [s.provider for s in known if not s.bundled] or [s.provider for s in known]
        if len(names) == 1:
            return names[0]
        if names:
            raise Invalid(
                f"{self.symbol} {self.timeframe} comes from {len(names)} providers: {', '.join(names)}", hint="name one: --provider"
            )
        bundled = ", ".join(f"{s.symbol} {s.timeframe}" for s in workspace.bars.series() if s.bundled)
        raise Invalid(
            f"no provider is known for {self.symbol} {self.timeframe}, and none was named",
            hint="--provider files --file PATH for your own, --provider ib for Interactive Brokers, --provider ccxt for crypto, "
            "--provider yahoo for stocks and currencies, --provider synthetic for made-up ones, "
            f"--provider sample for {bundled}",
            details={"providers": list(PROVIDERS.names())},
        )

    def _check_hours(self) -> None:
        if self._hours != "all" and not has_hours(self.symbol, self._size):
            raise no_hours(self.symbol, self._size)

    def _range(self, reach: Reach | None, stored: Series | None) -> tuple[datetime, datetime]:
        """What to ask for: what was wanted, by mode, as far as the provider reaches."""
        start, end = self._dates()
        if stored and self.mode == "tail":
            # Of a session that begins off the grid the first bar is a short one, and the next begins on the grid.
            start = as_datetime(bar_start(np.array([as_time(stored.last)]), self._size)[0]) + timedelta(seconds=self._size.seconds)
        if stored and self.mode == "backfill":
            end = stored.first
        if reach:
            if self.mode == "tail" and not stored:
                start = start or reach.recent
            return max(start or reach.start, reach.start), min(end or reach.end, reach.end)
        if start is None or end is None:
            missing = " and ".join(name for name, given in (("start", start), ("end", end)) if given is None)
            raise Invalid(
                f"provider {self.provider} has bars for every range, so it must be told the {missing}", hint="add --start and --end"
            )
        return start, end

    def _load(
        self, job: Job, workspace: Workspace, provider: Provider, asked: list[tuple[datetime, datetime]], skipped: int
    ) -> Iterator[Segment]:
        """Fetch and store each part but the first `skipped`; after one that failed the rest is not asked for."""
        stored_any = skipped > 0
        for done, (start, end) in list(enumerate(asked))[skipped:]:
            steps, percent = (done, len(asked)), 100 * done / len(asked)
            job.report(percent, f"{self.symbol} {self.timeframe} · {_day(start)} .. {_day(end)}", steps=steps)
            number = workspace.bars.begin_load(self.symbol, self._size, self._named, start=start, end=end, hours=self._hours)
            on_progress = partial(job.report, percent, steps=steps)
            try:
                bars = provider.fetch(self.symbol, self._size, start=start, end=end, on_progress=on_progress)
                outcome = self._keep(workspace, bars, provider)
            except KtrdrError as failure:
                failed = Outcome("failed", message="; ".join(filter(None, (failure.message, failure.hint))))
                workspace.bars.end_load(number, failed)
                if not stored_any:
                    raise
                yield Segment(start, end, failed)
                return
            workspace.bars.end_load(number, outcome)
            stored_any = stored_any or outcome.bars > 0
            yield Segment(start, end, outcome)

    def _keep(self, workspace: Workspace, bars: Bars, provider: Provider) -> Outcome:
        left_out = workspace.bars.quarantine(self.symbol, self._size, self._named, provider.rejected(), self._hours)
        if self._hours != "all":
            bars = within_hours(bars, self._hours)
        if not len(bars):
            return Outcome("empty", quarantined=left_out)
        named, refresh = replace(bars, provider=self._named), self.mode == "full"
        written = workspace.bars.write(named, provider.origin(self.symbol), hours=self._hours, refresh=refresh)
        return Outcome(
            "answered", len(bars), written.added, written.conflicts, replaced=written.replaced, quarantined=left_out
        )  # fmt: skip

    def _require_up_to_date(self, workspace: Workspace, stored: Series | None, reach: Reach | None) -> None:
        """No bars at all is an error, unless an earlier load brought the series to where this one would have gone on."""
        answered = self._answered(workspace)
        if stored and self.mode == "tail" and any(load.end > stored.last for load in answered):
            return
        if stored and self.mode == "backfill" and any(load.start <= stored.first for load in answered):
            return
        start, end = self._dates()
        asked = f" in {_day(start)} .. {_day(end)}" if start or end else ""
        has = f"; it has {_day(reach.start)} .. {_day(reach.end)}" if reach else ""
        raise NoData(
            f"{self.provider} gave no bars of {self.symbol} {self.timeframe}{asked}{has}",
            hint="ask for other dates, or take another provider",
            details={"symbol": self.symbol, "timeframe": self.timeframe, "provider": self.provider},
        )

    def _shortfall(self, reach: Reach | None) -> str | None:
        start, end = self._dates()
        if reach and ((start and reach.start - start >= SHORT) or (end and end - reach.end >= SHORT)):
            return f"{self.provider} has {_day(reach.start)} .. {_day(reach.end)} only, asked for {_day(start)} .. {_day(end)}"
        return None

    def _market_is_open(self, segment: Segment) -> bool:
        start, end = as_time(segment.start), as_time(segment.end)
        return len(bar_starts(asset_class(self.symbol), self._size, start, end)) > 0

    def _warn(self, job: Job, workspace: Workspace, segments: list[Segment]) -> None:
        conflicts = sum(s.outcome.conflicts for s in segments)
        empty = [s for s in segments if s.outcome.state == "empty" and self._market_is_open(s)]
        if empty:
            first = f"{_day(empty[0].start)} .. {_day(empty[0].end)}"
            job.warn(f"{self.provider} has no bars in {len(empty)} of {len(segments)} parts, the first {first}: holidays, or holes")
        if conflicts:
            new = sum(s.outcome.replaced for s in segments)
            which = (
                "the new ones were kept" if new == conflicts else f"the new ones were kept in {new} of them, the stored ones in the others"
            )
            job.warn(f"{conflicts} of the bars had been stored with other values; {which}; revisions.parquet beside them has both")
        if left_out := sum(s.outcome.quarantined for s in segments):
            job.warn(f"{left_out} rows could not be bars; quarantine.csv beside the series has them, with the reasons")
        bars = workspace.bars.read(self.symbol, self._size, provider=self.provider, adjust="raw", hours=self._hours)
        for finding in check_bars(bars, workspace.bars.actions(self.symbol, self._named)):
            job.warn(str(finding))


def parts(start: datetime, end: datetime, length: timedelta | None, *, newest_first: bool) -> list[tuple[datetime, datetime]]:
    """[start, end) in parts of this length, or cut at every new year; nothing if it is empty."""
    if length is None:
        return years(start, end, newest_first=newest_first)
    edges = [start + at * length for at in range(max(0, math.ceil((end - start) / length)))]
    found = list(pairwise([*edges, end])) if edges else []
    return found[::-1] if newest_first else found


def years(start: datetime, end: datetime, *, newest_first: bool) -> list[tuple[datetime, datetime]]:
    """[start, end) cut at every new year; nothing if it is empty."""
    if start >= end:
        return []
    firsts = (datetime(year, 1, 1, tzinfo=UTC) for year in range(start.year, end.year + 1))
    edges = [start, *(first for first in firsts if start < first < end), end]
    spans = list(pairwise(edges))
    return spans[::-1] if newest_first else spans


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "any"
