"""What kinds are given and how it is checked before a row is written: a strategy, dates, bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ktrdr.errors import Invalid, NoData
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.checks import check_bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.operations.model import CheckpointRef
from ktrdr.stores.bars import load_command
from ktrdr.strategy.load import Loaded, load_strategy
from ktrdr.strategy.sections import moment
from ktrdr.strategy.spec import Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ktrdr.kinds.base import Workspace
    from ktrdr.stores.bars import Series

JSON = dict[str, Any]
Range = tuple[datetime, datetime]


def given_strategy(workspace: Workspace, name: str | None, text: str | None, source: str | None) -> Loaded:
    """The strategy that was given as text, or the stored one of that name."""
    if text is not None:
        return load_strategy(text, source or name or "the given strategy")
    if name is None:
        raise Invalid("no strategy was given", hint="name one: ktrdr list strategies")
    stored = workspace.strategies.read(name)
    return load_strategy(stored.text, str(stored.path))


def given_range(start: str | None, end: str | None, default: tuple[datetime | None, datetime | None], what: str) -> Range:
    """The dates that were given, each else the default's; `what` names them in messages."""
    first = _moment(start, "start") if start else default[0]
    last = _moment(end, "end") if end else default[1]
    if first is None or last is None:
        missing = " and ".join(name for name, value in (("start", first), ("end", last)) if value is None)
        raise Invalid(
            f"{what} needs dates, and neither you nor the strategy says its {missing}",
            hint="add --start and --end, such as --start 2012-01-01",
        )
    if first >= last:
        raise Invalid(
            f"{what} from {first:%Y-%m-%d} to {last:%Y-%m-%d}: the start is not before the end", hint="give the earlier date as --start"
        )
    return first, last


def _moment(text: str, which: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise Invalid(f"the {which} date {error}", hint="dates are UTC, such as 2012-01-01 or 2012-01-01T12:00:00Z") from None


def written(moment: datetime) -> str:
    """A moment as people write it: the date alone where it is midnight."""
    return f"{moment:%Y-%m-%d}" if moment.time() == datetime.min.time() else moment.isoformat()


def require_tape(workspace: Workspace, strategy: Strategy, symbol: str, dates: Range) -> None:
    """See that everything is stored that a strategy reads of a symbol and of outside series."""
    for timeframe in strategy.timeframes:
        require_bars(workspace, symbol, timeframe, dates)
    for series in strategy.outside:
        require_bars(workspace, series.symbol, Timeframe(series.timeframe), dates, series.stored_by)


def require_bars(workspace: Workspace, symbol: str, timeframe: Timeframe, dates: Range, provider: str | None = None) -> Series:
    """The stored series, if it has any bar in the dates; else NoData with its range and how to load more."""
    series = workspace.bars.find(symbol, timeframe, provider)
    start, end = dates
    if end <= series.first or start > series.last:
        there = f"bars run {series.first:%Y-%m-%d} to {series.last:%Y-%m-%d}"
        raise NoData(
            f"{series.symbol} {timeframe}: {there}, asked for {start:%Y-%m-%d} to {end:%Y-%m-%d}",
            hint=load_command(series.symbol, timeframe, start, end),
            details={
                "symbol": series.symbol,
                "timeframe": timeframe.name,
                "first": series.first.isoformat(),
                "last": series.last.isoformat(),
            },
        )
    return series


def read_tape(workspace: Workspace, strategy: Strategy, symbol: str, end: datetime) -> dict[Timeframe, Bars]:
    """All bars before `end` that a strategy reads of a symbol, and those of outside series at the times they were published."""
    own = {timeframe: workspace.bars.read(symbol, timeframe, None, end) for timeframe in strategy.timeframes}
    outside = {
        series.key: series.published(workspace.bars.read(series.symbol, Timeframe(series.timeframe), None, end, series.stored_by))
        for series in strategy.outside
    }
    return own | outside


def unscored_trial(kind: str, text: str | None, symbol: str | None, timeframe: str | None, dates: tuple[str | None, str | None]) -> JSON:
    """What the trial ledger keeps of a candidate that was begun and ended without a score; its kind has been prepared."""
    start, end = given_range(*dates, (None, None), f"a {kind}")
    return {
        "kind": kind, "symbol": symbol, "timeframe": timeframe, "start": start.isoformat(), "end": end.isoformat(),
        "content_hash": load_strategy(text or "", "the given strategy").strategy.content_hash, "score": None,
    }  # fmt: skip


def warn_of_bars(job: Job, bars: Bars, dates: Range) -> None:
    """Warn where a series does not reach as far as the dates, and of oddities in them that make results meaningless."""
    name, (start, end) = f"{bars.symbol} {bars.timeframe}", dates
    first, last = as_datetime(bars.time[0]), as_datetime(bars.known_at[-1])
    if first > start:
        job.warn(f"{name}: bars begin on {first:%Y-%m-%d}, asked from {start:%Y-%m-%d}")
    if end - last >= LONG_WEEKEND:
        job.warn(f"{name}: bars end on {last:%Y-%m-%d}, asked until {end:%Y-%m-%d}")
    for finding in check_bars(bars.between(start, end)):
        if finding.check in FALSIFYING:
            job.warn(f"{name}: {finding.count} x {finding.check.replace('_', ' ')}, first on {finding.first:%Y-%m-%d}: {finding.sentence}")


FALSIFYING = ("jump", "split_like", "unit", "spike", "straight_line")
"""Oddities that a strategy seems to earn or lose money on."""
LONG_WEEKEND = timedelta(days=5)


class Saver:
    """Writes checkpoints of a job: the first as soon as there is a state, then one in a while, and the last on request."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        self._job, self._workspace = job, workspace
        self._written_at: float | None = None
        self._pending: Callable[[], None] | None = None

    def offer(self, position: str, parts: Callable[[], tuple[JSON, Mapping[str, NDArray[Any]]]]) -> None:
        """A state to go on from; written if the last one was written long enough ago."""

        self._pending = lambda: self.keep(position, *parts())
        if self._written_at is None or time.monotonic() - self._written_at >= self._workspace.settings.checkpoint_seconds:
            self._pending()

    def keep(self, position: str, state: JSON, tensors: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Write a state now."""
        kept = self._workspace.checkpoints.write(self._job.operation_id, position, state, tensors)
        self._job.checkpoint(CheckpointRef(**vars(kept)))
        self._written_at, self._pending = time.monotonic(), None

    def flush(self) -> None:
        """Write the newest state, if it was not written yet."""
        if self._pending is not None:
            self._pending()
