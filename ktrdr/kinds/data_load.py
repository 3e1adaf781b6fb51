"""Load bars from a provider into the home."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict

from ktrdr.errors import Invalid, KtrdrError, NoData
from ktrdr.kinds.base import JSON, KINDS, Kind, Workspace
from ktrdr.kinds.given import Saver
from ktrdr.kinds.load_parts import Loading, Segment
from ktrdr.kinds.load_plan import (
    FIRST_LOAD_DAYS,
    OVERLAP,
    Plan,
    Span,
    after,
    count_expected,
    evidence_of,
    is_remote,
    make_plan,
    parts,
    uncovered,
    within,
)  # fmt: skip
from ktrdr.market.bars import Bars
from ktrdr.market.checks import check_bars
from ktrdr.market.gaps import find_gaps, totals
from ktrdr.market.sessions import Session, has_hours
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.providers.base import PROVIDERS, Provider, Reach, build
from ktrdr.stores.bars import Series, canonical
from ktrdr.stores.catalog import Hours
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


@KINDS.add
class DataLoad(Kind):
    """Load bars of a symbol from a provider.

    Options of the provider, such as `file` of files or `seed` of synthetic, stand beside the parameters.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    symbol: Annotated[str, AfterValidator(canonical)]
    timeframe: Annotated[str, AfterValidator(_timeframe)] = "1d"
    mode: Literal["tail", "backfill", "full"] = "tail"
    """tail: what is newer than the last stored bar; backfill: what is older than the first; full: what is missing anywhere."""
    provider: str | None = None
    """Where from; by default the provider that has the series already."""
    start_date: Date | None = None
    """Load [start_date, end_date); by default as far as the provider and the mode reach."""
    end_date: Date | None = None
    trading_hours: bool = False
    """Keep only bars in the regular hours of US stocks, as is done without either flag for what a remote provider gives."""
    include_extended: bool = False
    """Keep those before and after the regular hours too."""
    refresh: bool = False
    """With mode full: ask again also for what was asked for before, and keep the new values where they differ."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle the provider and the hours, and check options, dates and mode."""
        start, end = self._dates()
        if start and end and start >= end:
            raise Invalid(f"the range {_day(start)} .. {_day(end)} is empty", hint="give the earlier date as start")
        if start and start >= datetime.now(UTC):
            raise Invalid(f"the start {_day(start)} lies ahead", hint="there are no bars of the future")
        if self.refresh and self.mode != "full":
            raise Invalid(f"refresh asks again for a whole range, which mode {self.mode} does not", hint="add --mode full")
        provider = PROVIDERS.name_of(PROVIDERS.get(self.provider)) if self.provider else self._known_provider(workspace)
        ready = self.model_copy(update={"provider": provider})
        ready = ready.model_copy(update=ready._settled_hours(workspace))
        source = ready.source()
        source.accept(ready.symbol, ready._size)
        workspace.bars.check_origin(ready.symbol, ready._size, provider, source.origin(ready.symbol), ready._hours)
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
        again = {"refresh": True} if self.refresh else {}
        options = {"mode": self.mode, "provider": self.provider, "hours": self._hours, **again, **(self.model_extra or {})}
        return {
            "symbol": self.symbol, "timeframe": self.timeframe, "start_date": self.start_date, "end_date": self.end_date,
            "parameters": options,
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Plan, then ask part by part and store each before the next one is asked for; a resumed load asks for the rest."""
        provider, before = self.source(), self._stored(workspace)
        name = f"{self.symbol} {self.timeframe}"
        job.report(0, f"Asking {self.provider} for {name}")
        reach = provider.reach(self.symbol, self._size, lambda step: job.report(0, f"{name} · {step}"))
        workspace.bars.keep_actions(self.symbol, self._named, provider.actions(self.symbol))
        known = workspace.checkpoints.read(job.resumed.path).state if job.resumed else None
        segments = [Segment.of(summary) for summary in known["segments"]] if known else []
        plan = Plan.of(known["plan"]) if known else self._plan(workspace, provider, reach, before)
        job.describe(plan=plan.summary())
        job.report(0, f"{name} · {len(plan.parts)} parts, about {plan.bars:,} bars")
        saver = Saver(job, workspace)
        loading = Loading(
            job, workspace, provider, symbol=self.symbol, size=self._size, name=self._named, hours=self._hours, refresh=self.refresh
        )  # fmt: skip
        for segment in loading.go_through(plan, segments):
            segments.append(segment)
            if segment.outcome.state != "failed":
                state = {"plan": plan.kept(), "segments": [s.summary() for s in segments]}
                saver.keep(f"{_day(segment.start)} .. {_day(segment.end)}", state)
        after_all = self._stored(workspace)
        if after_all is None:
            raise self._no_bars(reach)
        for remark in [*provider.remarks(), *self._remarks(workspace, segments, loading.left_out)]:
            job.warn(remark)
        job.report(100, f"{name}: {after_all.bars:,} bars", steps=(len(segments),) * 2)
        found = self._result(segments, before, after_all, diagnosis=self._shortfall(reach), failure=loading.failure)
        gaps = self._gaps(workspace, after_all) if found["status"] != "nothing-new" or self.mode == "full" else None
        spent = provider.spent()
        return {
            **found, "origin": provider.origin(self.symbol) or None, "gaps": gaps, "requests": spent.requests,
            "seconds_waiting": round(spent.waited, 1), "segments": [segment.summary() for segment in segments],
        }  # fmt: skip

    def source(self) -> Provider:
        """The provider, with its options and told the hours."""
        provider = build(self._named, self.model_extra or {})
        if self._hours == "extended":
            return provider.extended_hours()
        return provider.regular_hours() if self._hours == "regular" else provider

    @property
    def _named(self) -> str:
        return self.provider or ""

    @property
    def _size(self) -> Timeframe:
        return Timeframe(self.timeframe)

    @property
    def _hours(self) -> Hours:
        if not has_hours(self.symbol, self._size):
            return "all"
        return "extended" if self.include_extended else "regular" if self.trading_hours else "all"

    @property
    def _session(self) -> Session:
        return "extended" if self._hours == "extended" else "regular"

    def _dates(self) -> tuple[datetime | None, datetime | None]:
        return moment(self.start_date) if self.start_date else None, moment(self.end_date) if self.end_date else None

    def _stored(self, workspace: Workspace) -> Series | None:
        return workspace.bars.stored(self.symbol, self._size, self._named, self._hours)

    def _raw(self, workspace: Workspace) -> Bars:
        """The stored bars as they were traded."""
        return workspace.bars.read(self.symbol, self._size, provider=self.provider, adjust="raw", hours=self._hours)

    def _known_provider(self, workspace: Workspace) -> str:
        """The provider of the series that is there."""
        known = [s for s in workspace.bars.series() if s.symbol == self.symbol and s.timeframe == self._size]
        names = list(dict.fromkeys([s.provider for s in known if not s.bundled] or [s.provider for s in known]))
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
            f"--provider sample for {bundled}; ktrdr data providers says what each needs",
            details={"providers": list(PROVIDERS.names())},
        )

    def _settled_hours(self, workspace: Workspace) -> dict[str, bool]:
        """The flags of the hours: where none is said those of the series that is there, else the regular ones, and of a file all."""
        if not has_hours(self.symbol, self._size):
            return {}
        usual: Hours = "extended" if build(self._named, self.model_extra or {}).extended else "regular"
        usual = usual if is_remote(self._named) else "all"  # who gives a file has chosen
        stored = workspace.bars.stored(self.symbol, self._size, self._named)
        said = self.trading_hours or self.include_extended
        wanted = self._hours if said else stored.hours if stored else usual
        return {"trading_hours": wanted != "all", "include_extended": wanted == "extended"}

    def _plan(self, workspace: Workspace, provider: Provider, reach: Reach | None, stored: Series | None) -> Plan:
        """What is asked for, by mode; what is ahead of the clock is not."""
        start, end = self._range(reach, stored)
        end = min(end, datetime.now(UTC))
        if stored and self.mode == "tail":
            newest = after(stored.last, self._size, 1)
            awaited = count_expected(self.symbol, self._size, newest, max(end, newest), self._session) > 0 or not is_remote(self._named)
            start = after(stored.last, self._size, 1 - OVERLAP) if newest < end and awaited else end
        spans = parts(start, end, provider.piece(self._size), newest_first=self.mode == "backfill")
        if stored and self.mode != "tail" and is_remote(self._named) and not self.refresh:
            spans = within(spans, self._missing(workspace, stored, (start, end)))
        return make_plan(provider, self.symbol, self._size, spans, self._session)

    def _missing(self, workspace: Workspace, stored: Series, wanted: Span) -> list[Span]:
        """What no load has brought of a range, and the holes that may yet be filled."""
        known = evidence_of(workspace.bars, stored)
        bars = self._raw(workspace)
        return uncovered(wanted, known.asked, ((gap.start, gap.end) for gap in find_gaps(bars, known) if gap.fill))

    def _range(self, reach: Reach | None, stored: Series | None) -> Span:
        """What to ask for: what was wanted, by mode, as far as the provider reaches."""
        start, end = self._dates()
        if stored and self.mode == "tail":
            start = stored.last
        if stored and self.mode == "backfill":
            end = stored.first
        if reach:
            if self.mode == "tail" and start is None and is_remote(self._named):
                start = (end or reach.end) - timedelta(days=FIRST_LOAD_DAYS[self.timeframe])
                start = start.replace(hour=0, minute=0, second=0, microsecond=0)
            return max(start or reach.start, reach.start), min(end or reach.end, reach.end)
        if start is None:
            raise Invalid(
                f"provider {self.provider} has bars for every range, so it must be told the start", hint="add --start, and --end if not now"
            )
        return start, end or datetime.now(UTC)

    def _no_bars(self, reach: Reach | None) -> NoData:
        start, end = self._dates()
        asked = f" in {_day(start)} .. {_day(end)}" if start or end else ""
        has = f"; it has {_day(reach.start)} .. {_day(reach.end)}" if reach else ""
        return NoData(
            f"{self.provider} gave no bars of {self.symbol} {self.timeframe}{asked}{has}",
            hint="ask for other dates, or take another provider",
            details={"symbol": self.symbol, "timeframe": self.timeframe, "provider": self.provider},
        )

    def _shortfall(self, reach: Reach | None) -> str | None:
        start, end = self._dates()
        end = min(end, datetime.now(UTC)) if end else None
        if reach and ((start and reach.start - start >= SHORT) or (end and end - reach.end >= SHORT)):
            return f"{self.provider} has {_day(reach.start)} .. {_day(reach.end)} only, asked for {_day(start)} .. {_day(end)}"
        return None

    def _result(
        self, segments: list[Segment], before: Series | None, now: Series, *, diagnosis: str | None, failure: KtrdrError | None
    ) -> JSON:  # fmt: skip
        bars, added, conflicts, replaced, quarantined = (
            sum(getattr(s.outcome, name) for s in segments) for name in ("bars", "added", "conflicts", "replaced", "quarantined")
        )  # fmt: skip
        diagnoses = [*filter(None, [diagnosis, *(s.outcome.message for s in segments)])]
        return {
            "symbol": self.symbol, "timeframe": self.timeframe, "mode": self.mode, "provider": self.provider, "hours": self._hours,
            "status": "partial" if diagnoses else "complete" if added + replaced else "nothing-new",
            "bars_loaded": added, "bars_unchanged": bars - added - conflicts, "bars_total": now.bars,
            "conflicts": conflicts, "replaced": replaced, "quarantined": quarantined,
            "first": now.first.isoformat(), "last": now.last.isoformat(),
            "before": {"first": before.first.isoformat(), "last": before.last.isoformat(), "bars": before.bars} if before else None,
            "diagnosis": "; ".join(diagnoses) or None, "advice": failure.hint if failure else None,
            "cause": failure.details if failure else None,
        }  # fmt: skip

    def _gaps(self, workspace: Workspace, stored: Series) -> JSON:
        found = totals(find_gaps(self._raw(workspace), evidence_of(workspace.bars, stored)))
        return {reason: {"places": places, "bars": count} for reason, (places, count) in found.items()}

    def _market_is_open(self, segment: Segment) -> bool:
        return count_expected(self.symbol, self._size, segment.start, segment.end, self._session) > 0

    def _remarks(self, workspace: Workspace, segments: list[Segment], left_out: int) -> list[str]:
        """What users must know of a load that went well."""
        said = []
        end = self._dates()[1]
        if end and end > datetime.now(UTC):
            said.append(f"the end {_day(end)} lies ahead: loaded as far as there are bars")
        if (self.trading_hours or self.include_extended) and not has_hours(self.symbol, self._size):
            said.append(f"{self.symbol} {self.timeframe} has no hours to choose by, so the flags for them change nothing")
        if left_out:
            wider = "" if self._hours == "extended" else "; --include-extended keeps those before and after, as a series of their own"
            said.append(f"{left_out} bars outside the {self._hours} hours were left out{wider}")
        empty = [s for s in segments if s.outcome.state == "empty" and self._market_is_open(s)]
        if empty:
            first = f"{_day(empty[0].start)} .. {_day(empty[0].end)}"
            said.append(f"{self.provider} has no bars in {len(empty)} of {len(segments)} parts, the first {first}: holidays, or holes")
        conflicts = sum(s.outcome.conflicts for s in segments)
        if conflicts:
            new = sum(s.outcome.replaced for s in segments)
            which = (
                "the new ones were kept" if new == conflicts else f"the new ones were kept in {new} of them, the stored ones in the others"
            )
            said.append(f"{conflicts} of the bars had been stored with other values; {which}; revisions.parquet beside them has both")
        if aside := sum(s.outcome.quarantined for s in segments):
            said.append(f"{aside} rows could not be bars; quarantine.csv beside the series has them, with the reasons")
        found = check_bars(self._raw(workspace), workspace.bars.actions(self.symbol, self._named))
        return [*said, *(str(finding) for finding in found)]


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "any"
