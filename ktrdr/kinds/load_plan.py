"""What a load asks for, before it asks: in which parts, for about how many bars, with how many requests, and how long that takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import numpy as np

from ktrdr.market.bars import as_datetime, as_time
from ktrdr.market.gaps import Asked, Evidence
from ktrdr.market.sessions import Session, asset_class, bar_grid, bar_start, is_open
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import PROVIDERS, Provider
from ktrdr.stores.bars import BUNDLED_PROVIDER, BarStore, Series

JSON = dict[str, Any]
Span = tuple[datetime, datetime]
OVERLAP = 3
"""So many stored bars are asked for again at the end of a series, so that a change of the feed shows."""
FIRST_LOAD_DAYS = {
    "1m": 30, "2m": 30, "5m": 90, "15m": 365, "30m": 365, "1h": 365, "2h": 365, "4h": 3 * 365, "1d": 3652, "1w": 3652,
}  # fmt: skip
"""So far back goes a first load from a provider that is asked over a line, where no start is named."""
EVERY = 1_000_000_000
MOST_SHOWN = 20
"""So many parts of a plan are listed; the others are counted."""


@dataclass(frozen=True)
class Part:
    """What is asked for and stored at once: the bars that start in [start, end)."""

    start: datetime
    end: datetime
    bars: int = 0
    """About how many there are, by the market's usual hours."""
    requests: int = 0


@dataclass(frozen=True)
class Plan:
    """The parts of a load in their order, and what they take."""

    parts: tuple[Part, ...]
    seconds: float = 0.0

    @property
    def bars(self) -> int:
        """About how many bars there are."""
        return sum(part.bars for part in self.parts)

    @property
    def requests(self) -> int:
        """About how many requests it takes."""
        return sum(part.requests for part in self.parts)

    def summary(self) -> JSON:
        """The plan as the operation shows it."""
        spans = [[part.start.isoformat(), part.end.isoformat()] for part in self.parts[:MOST_SHOWN]]
        seconds = round(self.seconds, 1)
        return {"bars": self.bars, "requests": self.requests, "seconds": seconds, "parts": len(self.parts), "spans": spans}

    def kept(self) -> JSON:
        """The plan as a checkpoint keeps it."""
        parts = [{**asdict(part), "start": part.start.isoformat(), "end": part.end.isoformat()} for part in self.parts]
        return {"seconds": self.seconds, "parts": parts}

    @classmethod
    def of(cls, kept: JSON) -> Self:
        """The plan that was kept."""
        return cls(
            tuple(
                Part(datetime.fromisoformat(p["start"]), datetime.fromisoformat(p["end"]), p["bars"], p["requests"]) for p in kept["parts"]
            ),
            kept["seconds"],
        )


def make_plan(provider: Provider, symbol: str, size: Timeframe, spans: Iterable[Span], session: Session) -> Plan:
    """The parts with what each takes."""
    parts = []
    for start, end in spans:
        bars = count_expected(symbol, size, start, end, session)
        parts.append(Part(start, end, bars, provider.requests(size, bars, end - start)))
    plan = Plan(tuple(parts))
    return Plan(plan.parts, provider.seconds(plan.requests))


def count_expected(symbol: str, size: Timeframe, start: datetime, end: datetime, session: Session) -> int:
    """How many bars the market's usual hours call for."""
    grid = bar_grid(size, as_time(start), as_time(end))
    return int(is_open(asset_class(symbol), grid, size, session).sum())


def is_remote(provider: str) -> bool:
    """Whether a provider is asked over a line, so that a second answer may hold what the first one did not."""
    return PROVIDERS.get(provider).needs is not None


def evidence_of(
    store: BarStore, series: Series, *, start: datetime | None = None, end: datetime | None = None, now: datetime | None = None
) -> Evidence:  # fmt: skip
    """What is known of a stored series beside its bars."""
    provider, _, source = series.provider.partition(" (from ")
    size = Timeframe(source.rstrip(")")) if source else series.timeframe
    loads = [] if series.bundled else store.loads(series.symbol, size, provider, limit=EVERY)
    asked = [Asked(load.start, load.end, load.outcome.state) for load in loads if load.hours == series.hours]
    if series.bundled or provider == BUNDLED_PROVIDER:
        asked.append(Asked(series.first, series.last + timedelta(seconds=size.seconds), "answered"))
    session: Session = "extended" if series.hours == "extended" else "regular"
    return Evidence(tuple(asked), 2 if is_remote(provider) else 1, session, start, end, now)


def after(moment: datetime, size: Timeframe, count: int) -> datetime:
    """So many bars after the one that a moment falls into; fewer than none are before it."""
    # Of a session that begins off the grid the first bar is a short one, and the next begins on the grid.
    return as_datetime(bar_start(np.array([as_time(moment)]), size)[0]) + count * timedelta(seconds=size.seconds)


def uncovered(wanted: Span, asked: Iterable[Asked], holes: Iterable[Span]) -> list[Span]:
    """Of a range what no answer covers, and the holes in it; in order, and apart from one another."""
    start, end = wanted
    covered = joined((max(one.start, start), min(one.end, end)) for one in asked if one.answered)
    edges = [start, *(edge for span in covered for edge in span), end]
    missing = [(edges[at], edges[at + 1]) for at in range(0, len(edges), 2)]
    return joined([*missing, *((max(first, start), min(last, end)) for first, last in holes)])


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap or touch as one; empty ones are left out."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def within(parts: Iterable[Span], missing: list[Span]) -> list[Span]:
    """Of each part what lies between the first and the last thing that is missing in it; parts in which nothing is are left out."""
    found = []
    for start, end in parts:
        inside = [(max(first, start), min(last, end)) for first, last in missing if first < end and last > start]
        if inside:
            found.append((min(first for first, _ in inside), max(last for _, last in inside)))
    return found


def parts(start: datetime, end: datetime, length: timedelta | None, *, newest_first: bool) -> list[Span]:
    """[start, end) in parts of this length, or cut at every new year; nothing if it is empty."""
    if length is None:
        return years(start, end, newest_first=newest_first)
    edges = [start + at * length for at in range(max(0, math.ceil((end - start) / length)))]
    found = list(pairwise([*edges, end])) if edges else []
    return found[::-1] if newest_first else found


def years(start: datetime, end: datetime, *, newest_first: bool) -> list[Span]:
    """[start, end) cut at every new year; nothing if it is empty."""
    if start >= end:
        return []
    firsts = (datetime(year, 1, 1, tzinfo=UTC) for year in range(start.year, end.year + 1))
    edges = [start, *(first for first in firsts if start < first < end), end]
    spans = list(pairwise(edges))
    return spans[::-1] if newest_first else spans
