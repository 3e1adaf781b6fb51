"""Whether the clock of a feed goes right, told from when its market opens and closes in New York."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Bars, Times, as_datetime
from ktrdr.market.sessions import NEW_YORK, STOCK_HOURS, AssetClass
from ktrdr.market.timeframe import SECONDS, Timeframe

Mask = NDArray[np.bool_]
HOUR_MINUTES = 60
DAY_MINUTES = 24 * HOUR_MINUTES
WEEK_MINUTES = 7 * DAY_MINUTES
LARGEST_SHIFT = 3
"""A session that is off by more hours is a holiday or a hole, not a clock."""
SLACK_MINUTES = 5
"""Sessions of quiet markets begin and end with the first and last tick, some minutes off."""
FEWEST = 2
"""One session of a season does not show how the clock went in it."""
MOSTLY = 0.8
"""Of a season's sessions, at least so many are off where the clock is."""
BERLIN = ZoneInfo("Europe/Berlin")


def new_york_minutes(times: Times) -> NDArray[np.int64]:
    """Minutes since Monday 1970-01-05, 00:00, that a clock in New York shows; `times` ascend."""
    hours, of = np.unique(times.astype("datetime64[h]"), return_inverse=True)
    ahead = [as_datetime(hour).astimezone(NEW_YORK).utcoffset() for hour in hours]
    minutes = np.array([int(offset.total_seconds()) // 60 if offset else 0 for offset in ahead], np.int64)
    origin = np.datetime64("1970-01-05", "m")
    since: NDArray[np.int64] = (times.astype("datetime64[m]") - origin).astype(np.int64) + minutes[of]
    return since


def on_session_grid(times: Times, timeframe: Timeframe) -> Mask:
    """Whether bars of US stocks begin on the grid that begins with their session, at 09:30 in New York."""
    opening = STOCK_HOURS["regular"][0]
    into = new_york_minutes(times) % DAY_MINUTES - (HOUR_MINUTES * opening.hour + opening.minute)
    on: Mask = (into % max(timeframe.seconds // 60, 1) == 0) & (times == times.astype("datetime64[m]"))
    return on


def shifted(bars: Bars, kind: AssetClass) -> Mask:
    """The bars of sessions that begin and end by whole hours earlier or later than they usually do.

    A clock is off for all of a time of the year: in summer, in winter, or between the dates on which Europe and America change
    theirs. Single sessions that are off are holidays, halts and holes.
    """
    none = np.zeros(len(bars), bool)
    if kind not in ("fx", "us_stock") or bars.timeframe.seconds >= SECONDS["4h"] or not len(bars):
        return none
    minutes = new_york_minutes(bars.time)
    if kind == "fx":
        # The week of currencies, from Sunday evening to Friday evening, has no Saturday noon in it.
        session, length = (minutes + DAY_MINUTES + DAY_MINUTES // 2) // WEEK_MINUTES, WEEK_MINUTES
    else:
        session, length = minutes // DAY_MINUTES, DAY_MINUTES
    first = np.flatnonzero(np.concatenate((np.ones(1, bool), session[1:] != session[:-1])))
    last = np.append(first[1:], len(bars)) - 1
    early, late = _hours_off(minutes[first] % length), _hours_off(minutes[last] % length)
    off = (early == late) & (early != 0)
    _, season = np.unique([_season(as_datetime(time)) for time in bars.time[first]], return_inverse=True, axis=0)
    count, wrong = np.bincount(season), np.bincount(season, weights=off)
    whole = (count >= FEWEST) & (wrong >= MOSTLY * count)
    return np.repeat(off & whole[season.ravel()], last - first + 1)


def _season(moment: datetime) -> tuple[int, bool, bool]:
    """A year, and whether it is summer by the clocks of America and of Europe."""
    summers = [bool(moment.astimezone(zone).dst()) for zone in (NEW_YORK, BERLIN)]
    return moment.year, summers[0], summers[1]


def _hours_off(moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """By how many hours each differs from the usual one; 0 also for those that differ otherwise."""
    values, counts = np.unique(moments, return_counts=True)
    away = moments - values[np.argmax(counts)]
    hours = np.round(away / HOUR_MINUTES).astype(np.int64)
    whole = (np.abs(away - HOUR_MINUTES * hours) <= SLACK_MINUTES) & (np.abs(hours) <= LARGEST_SHIFT)
    return np.where(whole, hours, 0)
