"""How often bars are missing at the same time of the day and of the week, and how quiet it is around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Bars, Floats, Times
from ktrdr.market.calendars import Market, open_spans
from ktrdr.market.clock import DAY_MINUTES, WEEK_MINUTES, new_york_minutes
from ktrdr.market.sessions import MONDAY, Session, touches
from ktrdr.market.timeframe import SECONDS

Mask = NDArray[np.bool_]
MOST_WEEKS = 0.5
"""A slot of the week that is absent in a larger share of the weeks is so by a habit of the feed."""
FEWEST_WEEKS = 6
THIN = 0.2
"""Of a time of the day that is absent in a larger share of the days, nothing can be said from one that is absent."""
FEWEST_DAYS = 20
QUIET_BARS = 10
"""At most so many bars in a row are missing because nothing was quoted."""
QUIET_SECONDS = SECONDS["5m"]
NEIGHBOURS = 3
HABIT_MINUTES = 12 * 60
"""What is missing for longer is a hole, and says nothing about habits."""


class Slots:
    """What is missing in a series, by the time of the day and of the week."""

    def __init__(self, bars: Bars, expected: Times, absent: Times, market: Market, session: Session) -> None:
        self._bars = bars
        self._moves: Floats = bars.high - bars.low
        self._usual = float(np.median(self._moves)) if len(bars) else 0.0
        minutes = max(bars.timeframe.seconds // 60, 1)
        slots_a_day = max(DAY_MINUTES // minutes, 1)
        week = _minutes(expected, market, minutes) % WEEK_MINUTES // minutes
        slots = WEEK_MINUTES // minutes
        # By the year, for feeds change their habits.
        cell = week + slots * (expected.astype("datetime64[Y]").astype(np.int64) - _year(expected))
        at = np.searchsorted(expected, absent)
        short = _short_runs(at, max(HABIT_MINUTES // minutes, 2))
        called = np.bincount(cell, minlength=1)
        gone = np.bincount(cell[at[short]], minlength=len(called))
        habit = (gone > MOST_WEEKS * called) & (called >= FEWEST_WEEKS)
        self.systematic: Mask = habit[cell[at]] & short
        """Whether each missing bar is one of a slot of the week that is absent in most weeks of its year."""
        day = week % slots_a_day
        called_a_day = np.bincount(day, minlength=slots_a_day)
        gone_a_day = np.bincount(day[at[short]], minlength=slots_a_day)
        often = (gone_a_day > THIN * called_a_day) & (called_a_day >= FEWEST_DAYS)
        self.thin: Mask = often[day[at]] & short
        """Whether each missing bar is one of a time of the day that is often absent."""
        regular = np.ones(len(absent), bool)
        if market == "new_york" and session == "extended" and len(absent):
            regular = touches(*open_spans(market, "regular", absent[0], absent[-1]), absent, bars.timeframe)
        self.extended: Mask = ~regular
        """Whether each missing bar lies outside the regular hours of its market."""

    def quiet(self, first: np.datetime64, count: int) -> bool:
        """Whether so few small bars are missing, from this one on, and those around them move so little, that nothing was quoted."""
        if count > QUIET_BARS or self._bars.timeframe.seconds > QUIET_SECONDS or not len(self._bars):
            return False
        at = int(np.searchsorted(self._bars.time, first))
        around = self._moves[max(at - NEIGHBOURS, 0) : at + NEIGHBOURS]
        return bool(around.mean() < self._usual)


def _short_runs(at: NDArray[np.intp], most: int) -> Mask:
    """Which places are in runs of no more than so many."""
    run = np.cumsum(np.diff(at, prepend=at[:1]) > 1)
    short: Mask = np.bincount(run, minlength=1)[run] <= most
    return short


def _year(times: Times) -> int:
    return int(times[0].astype("datetime64[Y]").astype(np.int64)) if len(times) else 0


def _minutes(times: Times, market: Market, size: int) -> NDArray[np.int64]:
    """Minutes since a Monday by the clock that the market goes by."""
    if market != "crypto" and size <= SECONDS["1h"] // 60:
        return new_york_minutes(times)
    since: NDArray[np.int64] = (times - MONDAY).astype("timedelta64[m]").astype(np.int64)
    return since
