"""Bars: which there are, and what they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from ktrdr.api.deps import Answer, TheWorkspace
from ktrdr.errors import Invalid
from ktrdr.market.actions import Adjust
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.checks import Finding, check_series
from ktrdr.market.compare import compare
from ktrdr.market.rows import check_rows
from ktrdr.market.sessions import asset_class, within_hours
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import build
from ktrdr.providers.files import Files
from ktrdr.stores.bars import canonical
from ktrdr.stores.catalog import Hours
from ktrdr.strategy.sections import moment

router = APIRouter(tags=["data"])
HOUR_SECONDS = 3600


class SeriesSummary(BaseModel):
    """One series of bars."""

    symbol: str
    timeframe: str
    provider: str
    hours: Hours
    first: datetime
    last: datetime
    bars: int
    bundled: bool
    asset_class: str
    origin: str
    """What the bars are, where the provider's name does not say it all."""


class BarRows(BaseModel):
    """Bars as rows: `ohlcv[i]` belongs to `dates[i]`, the start of the bar in UTC."""

    symbol: str
    timeframe: str
    provider: str
    adjustment: str
    """Which splits and dividends are out of the prices."""
    total: int
    dates: list[str]
    ohlcv: list[list[float]]


class DataRange(BaseModel):
    """From when to when there are bars."""

    symbol: str
    timeframe: str
    provider: str
    start_date: datetime
    end_date: datetime
    point_count: int


class FindingSummary(BaseModel):
    """One kind of oddity: how often, where first, and what it may mean."""

    check: str
    count: int
    first: datetime | None
    examples: tuple[str, ...]
    sentence: str

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """What the API shows of a finding."""
        return cls(
            check=finding.check, count=finding.count, first=finding.first, examples=finding.examples, sentence=finding.sentence
        )  # fmt: skip


class Quality(BaseModel):
    """What looks odd in a series; nothing is mended."""

    symbol: str
    timeframe: str
    provider: str
    origin: str
    bars: int
    findings: list[FindingSummary]


class FileToCheck(BaseModel):
    """A file of bars that are not loaded yet; options of provider `files` stand beside its name."""

    model_config = ConfigDict(extra="allow")

    symbol: str
    timeframe: str
    file: str


def when(text: str | None) -> datetime | None:
    """A date of a query, or Invalid."""
    try:
        return moment(text) if text else None
    except ValueError as error:
        raise Invalid(str(error), hint="dates are UTC, such as 2012-01-01") from None


def chosen(bars: Bars, extended: bool) -> Bars:
    """The bars of usual trading hours; Invalid where the symbol has no such hours, or larger bars were made of others too."""
    kept = within_hours(bars, "extended" if extended else "regular")
    if len(kept) < len(bars) and bars.timeframe.seconds >= HOUR_SECONDS:
        raise Invalid(
            f"{bars.symbol} {bars.timeframe} of {bars.provider} was built from bars outside of these hours too",
            hint="load a series of these hours of its own, or read smaller bars",
        )
    return kept


@router.get("/symbols")
async def list_symbols(workspace: TheWorkspace, symbol: str | None = None) -> Answer[list[SeriesSummary]]:
    """List every series of bars on this machine, or those of one symbol."""
    found = await asyncio.to_thread(workspace.bars.series)
    return Answer(data=[
        SeriesSummary(
            symbol=s.symbol, timeframe=s.timeframe.name, provider=s.provider, hours=s.hours, first=s.first, last=s.last, bars=s.bars,
            bundled=s.bundled, asset_class=asset_class(s.symbol), origin=s.origin,
        )
        for s in found
        if symbol is None or s.symbol == canonical(symbol)
    ])  # fmt: skip


@router.get("/data/range")
async def data_range(workspace: TheWorkspace, symbol: str, timeframe: str, provider: str | None = None) -> Answer[DataRange]:
    """Say from when to when there are bars of a symbol."""
    found = await asyncio.to_thread(workspace.bars.find, symbol, Timeframe(timeframe), provider)
    return Answer(data=DataRange(
        symbol=found.symbol, timeframe=found.timeframe.name, provider=found.provider, start_date=found.first, end_date=found.last,
        point_count=found.bars,
    ))  # fmt: skip


@router.get("/data/check")
async def check_data(
    *, workspace: TheWorkspace, symbol: str, timeframe: str, provider: str | None = None, start_date: str | None = None,
    end_date: str | None = None, against: str | None = None,
) -> Answer[Quality]:  # fmt: skip
    """Say what looks odd in stored bars, with counts and first examples; `against` names a provider whose bars to lay beside them."""

    def look() -> Quality:
        size = Timeframe(timeframe)
        bars = workspace.bars.read(symbol, size, when(start_date), when(end_date), provider, adjust="raw")
        source = bars.provider.partition(" ")[0]
        stored = workspace.bars.stored(bars.symbol, size, source)
        found = check_series(bars, workspace.bars.actions(bars.symbol, source), datetime.now(UTC))
        found += workspace.bars.beside(stored, when(start_date), when(end_date)) if stored else ()
        if against:
            other = workspace.bars.read(symbol, size, when(start_date), when(end_date), against)
            found += compare(workspace.bars.read(symbol, size, when(start_date), when(end_date), provider), other)
        return Quality(
            symbol=bars.symbol, timeframe=size.name, provider=bars.provider, origin=stored.origin if stored else "", bars=len(bars),
            findings=[FindingSummary.of(finding) for finding in found],
        )  # fmt: skip

    return Answer(data=await asyncio.to_thread(look))


@router.post("/data/check")
async def check_file(body: FileToCheck) -> Answer[Quality]:
    """Say what is wrong with the rows of a file before it is loaded, with counts and first examples."""

    def look() -> Quality:
        size, symbol = Timeframe(body.timeframe), canonical(body.symbol)
        source = build("files", {"file": body.file, **(body.model_extra or {})})
        assert isinstance(source, Files)
        time, columns = source.rows(size, lambda _: None)
        found = check_rows(symbol, size, time, columns, datetime.now(UTC))
        return Quality(
            symbol=symbol, timeframe=size.name, provider="files", origin=body.file, bars=len(time),
            findings=[FindingSummary.of(finding) for finding in found],
        )  # fmt: skip

    return Answer(data=await asyncio.to_thread(look))


@router.get("/data/{symbol}/{timeframe}")
async def show_bars(
    *,
    workspace: TheWorkspace,
    symbol: str,
    timeframe: str,
    start_date: str | None = None,
    end_date: str | None = None,
    provider: str | None = None,
    adjust: Adjust = "splits",
    trading_hours: bool = False,
    include_extended: bool = False,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
) -> Answer[BarRows]:
    """Show the last bars of a range, with splits (and dividends: all) taken out of their prices, or as they were traded (raw)."""
    size, dates = Timeframe(timeframe), (when(start_date), when(end_date))
    wanted: Hours | None = "extended" if include_extended else "regular" if trading_hours else None
    known = await asyncio.to_thread(workspace.bars.series)
    own = wanted if any(s.hours == wanted and s.symbol == canonical(symbol) and s.timeframe == size for s in known) else None
    bars = await asyncio.to_thread(workspace.bars.read, symbol, size, *dates, provider, adjust=adjust, hours=own)
    adjustment = bars.adjustment
    if wanted and not own:
        bars = chosen(bars, include_extended)
    last = bars.rows(slice(max(0, len(bars) - limit), len(bars)))
    columns = zip(last.open, last.high, last.low, last.close, last.volume, strict=True)
    return Answer(data=BarRows(
        symbol=bars.symbol, timeframe=bars.timeframe.name, provider=bars.provider, adjustment=adjustment, total=len(bars),
        dates=[as_datetime(time).isoformat() for time in last.time], ohlcv=[[float(value) for value in row] for row in columns],
    ))  # fmt: skip
