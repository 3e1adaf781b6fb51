"""What looks odd in bars that are formally right: jumps, straight lines, standstills, a clock that is off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Bars, Floats, as_datetime
from ktrdr.market.sessions import asset_class, bar_start, is_open

Mask = NDArray[np.bool_]
Check = Literal["jump", "spike", "straight_line", "standstill", "off_grid", "closed_hours"]

JUMP = 0.4
"""A close this far, in logarithm, from the close before it is odd: it halves or grows by half."""
STANDSTILL = 10
"""So many bars in a row at one and the same price are odd."""
LINE = 4
"""So many bars in a row that move by equal steps in every column are odd."""
STEP_TOLERANCE = 1e-7
"""Steps that differ by less than this share of the value are equal."""


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in a series; nothing is mended, the reader judges."""

    check: Check
    count: int
    """How many bars it concerns."""
    first: datetime
    """Start of the first one."""
    sentence: str
    """What it may mean."""

    def __str__(self) -> str:
        first = f"{self.first:%Y-%m-%d %H:%M}"
        return f"{f'{self.count} bars from {first} on' if self.count > 1 else f'the bar of {first}'}: {self.sentence}"


def check_bars(bars: Bars) -> tuple[Finding, ...]:
    """The oddities of a series."""
    return tuple(
        Finding(check, int(odd.sum()), as_datetime(bars.time[int(np.argmax(odd))]), meaning)
        for check, odd, meaning in _checks(bars)
        if odd.any()
    )


def _checks(bars: Bars) -> Iterator[tuple[Check, Mask, str]]:
    jump, spike = _jumps(bars.close)
    yield "jump", jump, "the close halves or grows by half from one bar to the next: a split in unadjusted prices, or a change of unit"
    yield "spike", spike, "the close leaps away and comes back with the next bar: a bad tick, or a row in another unit"
    yield "straight_line", _straight(bars), "all prices and the volume move by equal steps: bars that were filled in, not traded"
    yield "standstill", _still(bars), f"{STANDSTILL} bars and more in a row stand at one price: a closed market or a dead feed"
    yield "off_grid", bar_start(bars.time, bars.timeframe) != bars.time, f"bars do not begin on the {bars.timeframe} grid of UTC"
    kind = asset_class(bars.symbol)
    meaning = "bars stand where the market is usually closed: another time zone than was said, or extended hours"
    yield "closed_hours", ~is_open(kind, bars.time, bars.timeframe), meaning


def _jumps(close: Floats) -> tuple[Mask, Mask]:
    """Bars at which the close leaps for good, and bars from which it comes straight back."""
    move = np.diff(np.log(close), prepend=np.log(close[:1]))
    leap = np.abs(move) > JUMP
    back = np.zeros(len(move), bool)
    back[:-1] = leap[:-1] & leap[1:] & (np.abs(move[:-1] + move[1:]) < JUMP / 2)
    returned = np.zeros(len(move), bool)
    returned[1:] = back[:-1]
    return leap & ~back & ~returned, back


def _straight(bars: Bars) -> Mask:
    columns = np.stack([bars.open, bars.high, bars.low, bars.close, bars.volume])
    if len(bars) < LINE:
        return np.zeros(len(bars), bool)
    moves, tolerance = np.diff(columns, axis=1), STEP_TOLERANCE * columns[:, 2:]
    even = np.all(np.abs(np.diff(moves, axis=1)) <= tolerance, axis=0)
    moving = np.all(np.abs(moves[:4, 1:]) > tolerance[:4], axis=0)
    return _runs(np.concatenate((np.zeros(2, bool), even & moving)), LINE - 2, before=2)


def _still(bars: Bars) -> Mask:
    flat = (bars.high == bars.low) & np.concatenate((np.zeros(min(len(bars), 1), bool), bars.close[1:] == bars.close[:-1]))
    return _runs(flat, STANDSTILL - 1, before=1)


def _runs(mask: Mask, least: int, before: int) -> Mask:
    """The runs of at least so many true values, each with the bars just before that it takes to make a run."""
    edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long = ends - starts >= least
    out = np.zeros(len(mask), bool)
    for start, end in zip(starts[long], ends[long], strict=True):
        out[max(0, start - before) : end] = True
    return out
