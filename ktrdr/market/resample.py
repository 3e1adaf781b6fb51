"""Larger bars from smaller ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.sessions import asset_class, bar_start, bar_starts, step
from ktrdr.market.timeframe import Timeframe


def divides(smaller: Timeframe, larger: Timeframe) -> bool:
    """Whether bars of one size make up whole bars of the other."""
    return smaller < larger and larger.seconds % smaller.seconds == 0


def resample(bars: Bars, timeframe: Timeframe) -> Bars:
    """Bars of a larger timeframe, stamped at their start in UTC; days begin at 00:00 UTC, weeks on Monday.

    The first and the last one are left out unless all their usual hours are there. In between, a bar is made of
    whatever the hours that are there hold, and nothing is filled in.
    """
    if not divides(bars.timeframe, timeframe):
        raise Invalid(f"bars of {timeframe} cannot be made from bars of {bars.timeframe}", hint="take a smaller size that divides it")
    start = bar_start(bars.time, timeframe)
    first = np.flatnonzero(np.concatenate((np.ones(min(len(bars), 1), bool), start[1:] != start[:-1])))
    if not len(bars):
        return dataclasses.replace(bars, timeframe=timeframe)
    larger = Bars.checked(
        bars.symbol, timeframe, start[first],
        open=bars.open[first], high=np.maximum.reduceat(bars.high, first), low=np.minimum.reduceat(bars.low, first),
        close=bars.close[np.append(first[1:], len(bars)) - 1], volume=np.add.reduceat(bars.volume, first), provider=bars.provider,
    )  # fmt: skip
    return larger.rows(_whole(bars, larger))


def _whole(bars: Bars, larger: Bars) -> slice:
    """Without a first or last bar of which usual hours are missing at the edge of the data."""
    kind = asset_class(bars.symbol)
    before = bar_starts(kind, bars.timeframe, larger.time[0], bar_start(bars.time[:1], bars.timeframe)[0])
    after = bar_starts(kind, bars.timeframe, bar_start(bars.time[-1:], bars.timeframe)[0] + step(bars.timeframe), larger.known_at[-1])
    return slice(1 if len(before) else 0, len(larger) - (1 if len(after) else 0))
