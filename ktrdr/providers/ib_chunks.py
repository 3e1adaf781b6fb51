"""In which pieces Interactive Brokers is asked for bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from ktrdr.errors import Invalid
from ktrdr.market.timeframe import SECONDS, Timeframe

BAR_SIZES = {
    "1m": "1 min", "2m": "2 mins", "5m": "5 mins", "15m": "15 mins", "30m": "30 mins", "1h": "1 hour", "2h": "2 hours", "4h": "4 hours",
    "1d": "1 day",
}  # fmt: skip
"""What IB calls them. Its weeks are left out: they are made of days when they are read."""
LONGEST_DAYS = {"1m": 5, "2m": 5, "5m": 7, "15m": 14, "30m": 30, "1h": 30, "2h": 30, "4h": 90, "1d": 365}
"""So many days of bars come in one answer without trouble."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Chunk:
    """What one request asks for: the bars that start in [start, end)."""

    timeframe: Timeframe
    start: datetime
    end: datetime
    splits: int = 0
    """How often it was halved to become so short."""

    @property
    def asked_until(self) -> datetime:
        """IB cuts its last bar off where a request ends; bars of some hours may lie across `end`, and are wanted whole."""
        step = timedelta(seconds=self.timeframe.seconds)
        return self.end + step if SECONDS["1h"] < self.timeframe.seconds < SECONDS["1d"] else self.end

    @property
    def end_text(self) -> str:
        """The end as IB reads it, in UTC."""
        return f"{self.asked_until:%Y%m%d-%H:%M:%S}"

    @property
    def duration(self) -> str:
        """The length as IB reads it, at least as long as the chunk."""
        length = self.asked_until - self.start
        if length < DAY and self.timeframe.seconds < SECONDS["1d"]:
            return f"{math.ceil(length.total_seconds())} S"
        days = math.ceil(length / DAY)
        return f"{days} D" if days <= 365 else f"{math.ceil(days / 365)} Y"

    def halves(self) -> tuple[Chunk, Chunk] | None:
        """The older and the newer half, cut between two bars; None where there is only one bar."""
        step = timedelta(seconds=self.timeframe.seconds)
        bars = math.ceil((self.end - self.start) / step)
        if bars < 2:
            return None
        middle = self.start + bars // 2 * step
        return Chunk(self.timeframe, self.start, middle, self.splits + 1), Chunk(self.timeframe, middle, self.end, self.splits + 1)

    def __str__(self) -> str:
        return f"{self.timeframe} {self.start:%Y-%m-%d %H:%M} .. {self.end:%Y-%m-%d %H:%M}"


def bar_size(timeframe: Timeframe) -> str:
    """What IB calls it, or Invalid."""
    if timeframe.name not in BAR_SIZES:
        raise Invalid(f"ib has no bars of {timeframe}", hint="load 1d: larger bars are made of smaller ones when they are read")
    return BAR_SIZES[timeframe.name]


def longest(timeframe: Timeframe) -> timedelta:
    """The length of a chunk that IB answers without trouble."""
    bar_size(timeframe)
    return timedelta(days=LONGEST_DAYS[timeframe.name])


def chunks(timeframe: Timeframe, start: datetime, end: datetime, halvings: int = 0) -> list[Chunk]:
    """[start, end) in chunks, oldest first; each 2^halvings times shorter than the longest, in whole bars."""
    step = timedelta(seconds=timeframe.seconds)
    length = max(longest(timeframe) / 2**halvings // step, 1) * step
    count = max(0, math.ceil((end - start) / length))
    return [Chunk(timeframe, start + at * length, min(start + (at + 1) * length, end)) for at in range(count)]
