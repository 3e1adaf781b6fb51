"""What looks odd in bars that are formally right: jumps, other units, straight lines, standstills, a clock that is off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.actions import Action
from ktrdr.market.bars import Bars, Floats, as_datetime, as_time
from ktrdr.market.clock import on_session_grid, shifted
from ktrdr.market.gaps import find_gaps
from ktrdr.market.sessions import asset_class, bar_start, is_open

Mask = NDArray[np.bool_]
Check = Literal[
    "jump", "split_like", "part_split", "no_step", "dividend",
    "unit", "spike", "straight_line", "standstill", "no_volume", "fraction", "off_grid", "clock_shift",
    "closed_hours", "unfinished", "missing", "time", "order", "repeated", "disputed", "price", "high", "low", "volume",
    "zone", "differs", "revised", "quarantined",
]  # fmt: skip

JUMP = 0.4
"""A close this far, in logarithm, from the close before it is odd: it halves or grows by half."""
RATIOS = np.log([2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50])
"""Shares are mostly split, or joined, by one of these."""
RATIO_TOLERANCE = 0.1
"""A step between close and open this near to one of them, in logarithm, may be a split: prices move on that day, too."""
UNIT = np.log(100)
UNIT_TOLERANCE = 0.25
"""A step this near to a hundredfold, in logarithm, is one between pounds and pence, or dollars and cents."""
PART = float(np.log(5))
"""A smaller step there and back is a bad tick; of a larger one the volume tells whether it was a split."""
STEP_SHARE = 0.1
"""Steps there and back that differ by less than this share of the step are one."""
AROUND = 5
"""So many bars before and after are what others are measured by."""
LARGE_DIVIDEND = 0.2
"""A dividend of more than this share of the price is odd."""
STANDSTILL = 10
"""So many bars in a row at one and the same price are odd."""
LINE_WITH_VOLUME, LINE, LINE_WITHOUT_VOLUME = 3, 4, 12
"""So many bars in a row that move by equal steps in every column are odd: the fewer, the less all of that could be chance."""
STEP_TOLERANCE = 1e-7
"""Steps that differ by less than this share of the value are equal."""
NO_VOLUME = 0.05
"""Where volume is known, a larger share of bars without any is odd."""
EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in a series; nothing is mended, the reader judges."""

    check: Check
    count: int
    """How many bars it concerns."""
    first: datetime | None
    """Start of the first one; None where it is its time that cannot be read."""
    sentence: str
    """What it may mean."""
    examples: tuple[str, ...] = ()
    """The first few."""

    def __str__(self) -> str:
        first = f"{self.first:%Y-%m-%d %H:%M}" if self.first else "no readable time"
        return f"{f'{self.count} bars from {first} on' if self.count > 1 else f'the bar of {first}'}: {self.sentence}"


def check_bars(bars: Bars, actions: Iterable[Action] = (), now: datetime | None = None) -> tuple[Finding, ...]:
    """The oddities of a series; splits among `actions` explain their steps, and `now` tells which bar is unfinished."""
    return tuple(
        Finding(check, int(odd.sum()), as_datetime(bars.time[int(np.argmax(odd))]), meaning, examples(bars.time[odd]))
        for check, odd, meaning in _checks(bars, actions, now)
        if odd.any()
    )


def check_series(bars: Bars, actions: Iterable[Action] = (), now: datetime | None = None) -> tuple[Finding, ...]:
    """The oddities of a series, and what is missing in it."""
    gaps = [gap for gap in find_gaps(bars) if gap.missing]
    if not gaps:
        return check_bars(bars, actions, now)
    longest = max(gaps, key=lambda gap: gap.missing)
    sentence = (
        f"bars are missing in {len(gaps)} places where the market is usually open, most of them ({longest.missing}) from"
        f" {longest.start:%Y-%m-%d %H:%M} to {longest.end:%Y-%m-%d %H:%M}: holidays, halts, or holes of the provider"
    )
    told = tuple(f"{gap.start:%Y-%m-%d %H:%M}" for gap in gaps[:EXAMPLES])
    missing = Finding("missing", sum(gap.missing for gap in gaps), gaps[0].start, sentence, told)
    return (*check_bars(bars, actions, now), missing)


def finding(check: Check, times: Iterable[datetime | None], sentence: str) -> Finding:
    """What is to be said of the bars of these times, of which some may not be known."""
    every = list(times)
    known = sorted(each for each in every if each is not None)
    return Finding(check, len(every), known[0] if known else None, sentence, examples(as_time(each) for each in known[:EXAMPLES]))


def examples(times: Iterable[np.datetime64]) -> tuple[str, ...]:
    """The first few moments as text."""
    moments = (as_datetime(time).replace(tzinfo=None) for time in islice(times, EXAMPLES))
    return tuple(moment.isoformat(" ").removesuffix(":00") for moment in moments)


def _checks(bars: Bars, actions: Iterable[Action], now: datetime | None) -> Iterator[tuple[Check, Mask, str]]:
    unit = _other_unit(bars.close)
    part = _part_split(bars, unit)
    jump, spike = _jumps(bars.close, unit | part)
    ratio = _whole_ratio(bars)
    known = np.isin(bars.time.astype("datetime64[D]"), np.array([a.day for a in actions if a.kind == "split"], "datetime64[D]"))
    yield "jump", jump & ~ratio, "the close halves or grows by half from one bar to the next: a change of unit, or a real move"
    meaning = "the price steps by a whole ratio, as at a split, and no split is known: unadjusted prices, or a real move"
    yield "split_like", jump & ratio & ~known, meaning
    meaning = "prices and volume are of other shares than those around them: a split was applied to a part of the history"
    yield "part_split", part, meaning
    meaning = "a split is known for the day, and the price does not step: prices that their source has adjusted already"
    yield "no_step", _splits_without_step(bars, actions), meaning
    yield "dividend", _large_dividends(bars, actions), "the dividend of the day is a large share of the price: pence for pounds, or special"
    yield "unit", unit, "prices are a hundredth or a hundredfold of those around them: cents for dollars, or pence for pounds"
    yield "spike", spike, "the close leaps away and comes back with the next bar: a bad tick, or a row in another unit"
    yield "straight_line", _straight(bars), "all prices and the volume move by equal steps: bars that were filled in, not traded"
    yield "standstill", _still(bars), f"{STANDSTILL} bars and more in a row stand at one price: a closed market or a dead feed"
    kind = asset_class(bars.symbol)
    idle = bars.volume == 0
    share = float(idle.mean()) if len(bars) else 0.0
    counted = kind in ("us_stock", "crypto") or (kind == "other" and share < 1)
    yield (
        "no_volume",
        idle & (counted and share > NO_VOLUME),
        f"{share:.0%} of the bars have no volume: quotes without trades, or a feed without it",
    )
    fraction = bars.time != bars.time.astype("datetime64[s]")
    yield "fraction", fraction, "bars begin at fractions of a second: these are times of ticks, or of the end of bars"
    off = (bar_start(bars.time, bars.timeframe) != bars.time) & ~fraction
    on_session = on_session_grid(bars.time, bars.timeframe) if kind == "us_stock" and off.any() else np.zeros(len(bars), bool)
    yield "off_grid", off & ~on_session, f"bars do not begin on the {bars.timeframe} grid of UTC"
    meaning = "the market opens and closes an hour or more off its usual time, as after a clock change that the feed kept otherwise"
    yield "clock_shift", shifted(bars, kind), meaning
    meaning = "bars stand where the market is usually closed: another time zone than was said, or extended hours"
    yield "closed_hours", ~is_open(kind, bars.time, bars.timeframe), meaning
    if now is not None:
        yield "unfinished", bars.known_at > as_time(now), "the bar is not over yet: its prices will change"


def _other_unit(close: Floats) -> Mask:
    """Bars between a hundredfold step and the step back; of the two sides the smaller one."""
    odd = np.zeros(len(close), bool)
    move = np.diff(np.log(close), prepend=np.log(close[:1]))
    left: int | None = None
    for at in np.flatnonzero(np.abs(np.abs(move) - UNIT) < UNIT_TOLERANCE):
        if left is not None and move[left] * move[at] < 0:
            odd[left:at] = True
            left = None
        else:
            left = int(at)
    return ~odd if odd.sum() > len(odd) / 2 else odd


def _part_split(bars: Bars, unit: Mask) -> Mask:
    """Bars between a large step and the step back, of which the volume went the other way."""
    odd = np.zeros(len(bars), bool)
    move = np.diff(np.log(np.where(unit, np.nan, bars.close)), prepend=np.log(bars.close[:1]))
    steps = np.flatnonzero(np.abs(move) > PART)
    for left, right in pairwise(steps.tolist()):
        back = abs(move[left] + move[right]) < STEP_SHARE * abs(move[left]) and right - left <= len(bars) / 2
        inside = bars.volume[left:right]
        beside = np.concatenate((bars.volume[max(0, left - AROUND) : left], bars.volume[right : right + AROUND]))
        if back and np.median(inside) > 0 and np.median(beside) > 0:
            volume = float(np.log(np.median(inside) / np.median(beside)))
            odd[left:right] |= abs(volume + move[left]) < abs(move[left]) / 4
    return odd


def _splits_without_step(bars: Bars, actions: Iterable[Action]) -> Mask:
    """The days of splits on which the price stays nearer to where it was than to where the split would take it."""
    odd, days = np.zeros(len(bars), bool), bars.time.astype("datetime64[D]")
    for action in actions:
        at = int(np.searchsorted(days, np.datetime64(action.day, "D")))
        if action.kind == "split" and 0 < at < len(bars) and abs(np.log(action.value)) > JUMP:
            until = max(int(np.searchsorted(days, np.datetime64(action.day, "D"), side="right")), at + 1)
            steps = np.log(bars.open[at:until] / bars.close[at - 1 : until - 1])
            odd[at] |= bool(np.all(np.abs(steps) < np.abs(steps + np.log(action.value))))
    return odd


def _large_dividends(bars: Bars, actions: Iterable[Action]) -> Mask:
    """The days of dividends that are a large share of the close before."""
    odd, days = np.zeros(len(bars), bool), bars.time.astype("datetime64[D]")
    for action in actions:
        at = int(np.searchsorted(days, np.datetime64(action.day, "D")))
        if action.kind == "dividend" and 0 < at < len(bars):
            odd[at] |= action.value > LARGE_DIVIDEND * bars.close[at - 1]
    return odd


def _jumps(close: Floats, unit: Mask) -> tuple[Mask, Mask]:
    """Bars at which the close leaps for good, and bars from which it comes straight back."""
    move = np.diff(np.log(np.where(unit, np.nan, close)), prepend=np.log(close[:1]))
    leap = np.abs(move) > JUMP
    back = np.zeros(len(move), bool)
    back[:-1] = leap[:-1] & leap[1:] & (np.abs(move[:-1] + move[1:]) < JUMP / 2)
    returned = np.zeros(len(move), bool)
    returned[1:] = back[:-1]
    return leap & ~back & ~returned, back


def _whole_ratio(bars: Bars) -> Mask:
    """Bars that open at a whole multiple, or a whole part, of the close before."""
    if not len(bars):
        return np.zeros(0, bool)
    step = np.abs(np.log(bars.open[1:] / bars.close[:-1]))
    near: Mask = np.any(np.abs(step[:, None] - RATIOS) < RATIO_TOLERANCE, axis=1)
    return np.concatenate((np.zeros(1, bool), near))


def _straight(bars: Bars) -> Mask:
    columns = np.stack([bars.open, bars.high, bars.low, bars.close, bars.volume])
    if len(bars) < LINE_WITH_VOLUME:
        return np.zeros(len(bars), bool)
    moves, tolerance = np.diff(columns, axis=1), STEP_TOLERANCE * columns[:, 2:]
    even = np.all(np.abs(np.diff(moves, axis=1)) <= tolerance, axis=0)
    moved = np.abs(moves[:, 1:]) > tolerance
    traded = even & moved[4] & (moved[:4].sum(axis=0) >= 2)
    priced = even & np.all(moved[:4], axis=0)
    least = LINE if bars.has_volume else LINE_WITHOUT_VOLUME
    runs = [(traded, LINE_WITH_VOLUME), (priced, least)]
    odd: Mask = np.any([_runs(np.concatenate((np.zeros(2, bool), rows)), count - 2, before=2) for rows, count in runs], axis=0)
    return odd


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
