"""Whole series of bars: what is missing in them and why, their bars as a file, and their end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ktrdr.api.deps import Answer, TheWorkspace
from ktrdr.api.endpoints.data import when
from ktrdr.errors import Invalid
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.load_plan import evidence_of
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.calendars import called_for
from ktrdr.market.gaps import FILLED, MEANINGS, Gap, Reason, find_gaps, totals
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.catalog import Hours
from ktrdr.stores.series import file_of

router = APIRouter(tags=["data"])
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
MOST_BARS = 15_000_000
"""Of a longer range it is not said what is missing."""
MEDIA = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class GapSummary(BaseModel):
    """A run of bars that are not there, for one reason."""

    start: datetime
    end: datetime
    missing: int = Field(description="How many bars the market's hours call for.")
    reason: Reason
    fill: bool = Field(description="Whether a full load would ask for them.")

    @classmethod
    def of(cls, gap: Gap) -> Self:
        """What the API shows of a gap."""
        return cls(start=gap.start, end=gap.end, missing=gap.missing, reason=gap.reason, fill=gap.fill)


class ReasonSummary(BaseModel):
    """How much is missing for one reason."""

    reason: Reason
    places: int
    bars: int
    fill: bool
    meaning: str


class GapReport(BaseModel):
    """What is missing in a series, and why."""

    symbol: str
    timeframe: str
    provider: str
    start: datetime
    end: datetime
    expected: int = Field(description="How many bars the market's hours call for.")
    missing: int
    reasons: list[ReasonSummary]
    gaps: list[GapSummary]


class Removed(BaseModel):
    """A series that is no longer there."""

    symbol: str
    timeframe: str
    provider: str
    hours: Hours
    bars: int
    first: datetime
    last: datetime


@router.get("/data/gaps")
async def data_gaps(
    *, workspace: TheWorkspace, symbol: str, timeframe: str, provider: str | None = None, start_date: str | None = None,
    end_date: str | None = None, hours: Hours | None = None, all: bool = False,
) -> Answer[GapReport]:  # fmt: skip
    """Say which bars are missing and why; with `all`, list also when the market is closed."""
    size, start, end = Timeframe(timeframe), when(start_date), when(end_date)
    return Answer(data=await asyncio.to_thread(_gaps, workspace, symbol, size, (provider, hours), (start, end), everything=all))


@router.get("/data/{symbol}/{timeframe}/file", response_class=Response, responses={200: {"content": {name: {} for name in MEDIA.values()}}})
async def data_file(
    *, workspace: TheWorkspace, symbol: str, timeframe: str, provider: str | None = None, start_date: str | None = None,
    end_date: str | None = None, hours: Hours | None = None, format: Annotated[Literal["csv", "parquet"], Query()] = "csv",
) -> Response:  # fmt: skip
    """Give the bars of a range as they were traded, as a CSV or Parquet file, which `--provider files` reads again."""
    dates = when(start_date), when(end_date)

    def made() -> bytes:
        return file_of(workspace.bars.read(symbol, Timeframe(timeframe), *dates, provider, adjust="raw", hours=hours), format)

    return Response(await asyncio.to_thread(made), media_type=MEDIA[format])


@router.delete("/data/{symbol}/{timeframe}")
async def delete_series(
    *, workspace: TheWorkspace, symbol: str, timeframe: str, provider: str | None = None, hours: Hours | None = None
) -> Answer[Removed]:  # fmt: skip
    """Delete the loaded bars of a series, and what is noted of its loads; those that come with the product stay."""
    gone = await asyncio.to_thread(workspace.bars.delete, symbol, Timeframe(timeframe), provider, hours)
    return Answer(data=Removed(
        symbol=gone.symbol, timeframe=gone.timeframe.name, provider=gone.provider, hours=gone.hours, bars=gone.bars, first=gone.first,
        last=gone.last,
    ))  # fmt: skip


def _gaps(
    workspace: Workspace, symbol: str, size: Timeframe, which: tuple[str | None, Hours | None],
    span: tuple[datetime | None, datetime | None], *, everything: bool,
) -> GapReport:  # fmt: skip
    (provider, hours), (start, end) = which, span
    if start and end and start >= end:
        raise Invalid(f"the range {start:%Y-%m-%d} .. {end:%Y-%m-%d} is empty", hint="the start must be before the end")
    now = datetime.now(UTC)
    bars = workspace.bars.read(symbol, size, provider=provider, adjust="raw", hours=hours)
    first = max(start, EARLIEST) if start else as_datetime(bars.time[0])
    last = min(end, now) if end else as_datetime(bars.known_at[-1])
    if first >= last:
        raise Invalid(f"no bars are called for in {first:%Y-%m-%d} .. {last:%Y-%m-%d}", hint="the start must be before the end, and past")
    if (last - first).total_seconds() / size.seconds > MOST_BARS:
        raise Invalid(f"{first:%Y-%m-%d} .. {last:%Y-%m-%d} holds too many bars of {size} to look for each", hint="give --start and --end")
    known = evidence_of(workspace.bars, workspace.bars.find(symbol, size, provider, hours), start=first, end=last, now=now)
    expected, _ = called_for(bars.symbol, size, as_time(first), as_time(last), known.session)
    return _report(bars, find_gaps(bars, known), len(expected), (first, last), everything=everything)


def _report(bars: Bars, found: tuple[Gap, ...], expected: int, span: tuple[datetime, datetime], *, everything: bool) -> GapReport:
    counted = totals(found)
    return GapReport(
        symbol=bars.symbol, timeframe=bars.timeframe.name, provider=bars.provider, start=span[0], end=span[1], expected=expected,
        missing=sum(count for _, count in counted.values()),
        reasons=[
            ReasonSummary(reason=reason, places=places, bars=count, fill=reason in FILLED, meaning=MEANINGS[reason])
            for reason, (places, count) in counted.items()
        ],
        gaps=[GapSummary.of(gap) for gap in found if everything or gap.missing],
    )  # fmt: skip
