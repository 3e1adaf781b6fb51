"""Bars beside those of a second source: whether its clock goes right, and whether the prices agree."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Bars, Floats, Times, as_datetime
from ktrdr.market.checks import Finding, examples
from ktrdr.market.sessions import bar_start, step
from ktrdr.market.timeframe import SECONDS, Timeframe

HALF_HOUR = Timeframe("30m")
"""Zones are whole or half hours apart."""
FARTHEST = 14
"""Hours that the clock of a zone is ahead of UTC, or behind, at most."""
FEWEST = 30
"""Over fewer common moves a likeness shows nothing."""
ALIKE, BETTER = 0.5, 0.2
"""So much do the moves of one market at one time have in common, as correlation; and so much more than at another time."""
TOLERANCE = 0.005
"""Two sources that differ by a larger share of the price disagree; quotes and trades of several venues differ by less."""


def compare(bars: Bars, other: Bars) -> tuple[Finding, ...]:
    """Where bars disagree with those of a second source, in the time that both have; that it is right is not said."""
    size = max(bars.timeframe, other.timeframe, HALF_HOUR, key=lambda timeframe: timeframe.seconds)
    (time, close), (other_time, other_close) = (_closes(each, size) for each in (bars, other))
    if not len(time) or not len(other_time):
        return ()
    off = _clocks_off(time, close, other_time, other_close, size)
    return (*_zone(bars, time, off), *_differs(time, close, other_time, other_close, off))


def _closes(bars: Bars, size: Timeframe) -> tuple[Times, Floats]:
    """The last close of each larger bar, whole or not."""
    start = bar_start(bars.time, size)
    last = np.flatnonzero(np.append(start[1:] != start[:-1], np.ones(min(len(bars), 1), bool)))
    return start[last], bars.close[last]


def _clocks_off(time: Times, close: Floats, other_time: Times, other_close: Floats, size: Timeframe) -> NDArray[np.timedelta64]:
    """By how much the clock is ahead of the second source's, week by week, for each bar; NaT where too little is common."""
    if size.seconds >= SECONDS["4h"]:
        return np.zeros(len(time), "timedelta64[us]")
    reach = FARTHEST * SECONDS["1h"] // size.seconds
    shifts = sorted(range(-reach, reach + 1), key=abs)
    own, others = (np.concatenate(([np.nan], np.diff(np.log(values)))) for values in (close, other_close))
    _, week = np.unique(bar_start(time, Timeframe("1w")), return_inverse=True)
    weeks, likeness = int(week.max()) + 1, []
    for shift in shifts:
        place, there = _where(time - shift * step(size), other_time)
        usable = there & np.isfinite(own) & np.isfinite(others[place])
        likeness.append(_correlations(own[usable], others[place[usable]], week[usable], weeks))
    found = np.nan_to_num(np.array(likeness), nan=-1)
    best, at_home = np.argmax(found, axis=0), np.maximum(found[0], 0)
    highest = found.max(axis=0)
    off = np.where((highest >= ALIKE) & (highest - at_home >= BETTER), np.array(shifts)[best], 0) * step(size)
    off[highest < 0] = np.timedelta64("NaT", "us")
    return off[week]


def _correlations(one: Floats, other: Floats, group: NDArray[np.intp], groups: int) -> Floats:
    """The correlation of two columns in each group; NaN in small ones, and where nothing moves."""

    def mean(values: Floats) -> Floats:
        return np.bincount(group, weights=values, minlength=groups) / np.maximum(count, 1)

    count = np.bincount(group, minlength=groups)
    means = mean(one), mean(other)
    one, other = one - means[0][group], other - means[1][group]
    spread = np.sqrt(mean(one**2) * mean(other**2))
    usable = (count >= FEWEST) & (spread > 0)
    return np.where(usable, mean(one * other) / np.where(usable, spread, 1), np.nan)


def _zone(bars: Bars, time: Times, off: NDArray[np.timedelta64]) -> tuple[Finding, ...]:
    wrong = ~np.isnat(off) & (off != np.timedelta64(0, "us"))
    if not wrong.any():
        return ()
    hours = Counter((off[wrong] / np.timedelta64(1, "h")).tolist())
    told = " and ".join(f"{abs(each):g} h {'late' if each > 0 else 'early'}" for each, _ in hours.most_common(3))
    cell = np.searchsorted(time, bars.time, side="right") - 1
    concerned = wrong[np.clip(cell, 0, len(wrong) - 1)]
    first = int(np.argmax(concerned))
    sentence = f"the second source moves the same way at other times: the clock is {told}, as with another zone than was said"
    return (Finding("zone", int(concerned.sum()), as_datetime(bars.time[first]), sentence, examples(bars.time[concerned])),)


def _differs(time: Times, close: Floats, other_time: Times, other_close: Floats, off: NDArray[np.timedelta64]) -> tuple[Finding, ...]:
    """Closes that disagree where the clocks do not."""
    place, there = _where(time, other_time)
    common = there & ~np.isnat(off) & (off == np.timedelta64(0, "us"))
    apart = np.zeros(len(time))
    apart[common] = np.abs(np.log(close[common] / other_close[place[common]]))
    wrong = apart > TOLERANCE
    if not wrong.any():
        return ()
    most, share = np.expm1(apart.max()), wrong.sum() / common.sum()
    sentence = f"the close is up to {most:.1%} away from that of the second source, and too far in {share:.2%} of the bars of both"
    return (Finding("differs", int(wrong.sum()), as_datetime(time[int(np.argmax(wrong))]), sentence, examples(time[wrong])),)


def _where(wanted: Times, times: Times) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The place of each wanted time among others, and whether it is there."""
    place = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return place, times[place] == wanted
