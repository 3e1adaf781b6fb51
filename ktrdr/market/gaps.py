"""Which bars are missing, and why: by the market's calendar, by what the provider was asked, by what is missing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Bars, Times, as_datetime, as_time
from ktrdr.market.calendars import called_for, market_of, quiet_days
from ktrdr.market.sessions import Session, bar_start, step
from ktrdr.market.slots import Slots

Mask = NDArray[np.bool_]
Reason = Literal[
    "closed", "holiday", "before-first", "after-last", "not-yet", "not-requested", "failed", "systematic", "no-trade", "halt",
    "provider-hole", "suspicious",
]  # fmt: skip
MEANINGS: dict[Reason, str] = {
    "closed": "the market is closed: night, weekend, daily rest",
    "holiday": "a holiday, an early close or another special day",
    "before-first": "the provider was asked and has no older bars",
    "after-last": "the provider was asked and has no newer bars",
    "not-yet": "the bar is not over, or has only just ended",
    "not-requested": "no load has asked for it",
    "failed": "a load asked for it and failed",
    "systematic": "the same hour of the week is absent in most weeks: a property of the feed",
    "no-trade": "nothing was traded or quoted: a quiet market, or hours outside the regular session",
    "halt": "trading was halted for a short time",
    "provider-hole": "the provider was asked and does not have it; another one may",
    "suspicious": "the market was open, and nothing explains it",
}
"""Each reason in words, in the order in which they are tried."""
FILLED: frozenset[Reason] = frozenset({"not-requested", "failed", "suspicious"})
"""What a full load asks for; the others are not to be had, or not from this provider."""
PUBLISHED = timedelta(minutes=2)
"""So long after its end a bar may take to be there."""
AROUND_A_HOLIDAY = np.timedelta64(30, "h")
"""So much more than a holiday itself feeds of currencies and metals leave out."""
HALT = timedelta(hours=1)
HALT_STEPS = (5, 10, 15, 30, 45, 60)
"""Minutes for which trading of a stock, or of all stocks, is halted."""


@dataclass(frozen=True)
class Gap:
    """A run of bars that are not there, for one reason."""

    start: datetime
    """Start of the first one."""
    end: datetime
    """End of the last one."""
    missing: int
    """How many of them the market's hours call for."""
    reason: Reason

    @property
    def fill(self) -> bool:
        """Whether a full load would ask for it."""
        return self.reason in FILLED


@dataclass(frozen=True)
class Asked:
    """One request to a provider for [start, end), and what came of it."""

    start: datetime
    end: datetime
    state: Literal["asked", "answered", "empty", "failed"]
    """A request that was broken off stays `asked`."""

    @property
    def answered(self) -> bool:
        """Whether the provider said what it has."""
        return self.state in ("answered", "empty")


@dataclass(frozen=True)
class Evidence:
    """What is known of a series beside its bars."""

    asked: tuple[Asked, ...]
    enough: int = 2
    """So many answers without a bar show that the provider does not have it."""
    session: Session = "regular"
    """Which hours of a stock's day the series is of."""
    start: datetime | None = None
    end: datetime | None = None
    """Where it is looked for missing bars; by default from the first bar to the last."""
    now: datetime | None = None


def find_gaps(bars: Bars, known: Evidence | None = None) -> tuple[Gap, ...]:
    """The gaps of a series, oldest first; requests explain some of them where they are known."""
    known = known or Evidence(())
    size, cells = bars.timeframe, np.unique(bar_start(bars.time, bars.timeframe))
    if not len(cells) and not (known.start and known.end):
        return ()
    first = bar_start(np.array([as_time(known.start)]), size)[0] if known.start else cells[0]
    last = as_time(known.end) if known.end else cells[-1] + step(size)
    cells = cells[(cells >= first) & (cells < last)]
    borders = np.concatenate(([first - step(size)], cells, [last]))
    broken = np.flatnonzero(np.diff(borders) > step(size))
    if not len(broken):
        return ()
    expected, holidays = called_for(bars.symbol, size, first, last, known.session)
    judge = _Judge(bars, known, expected, expected[~np.isin(expected, cells)], holidays)
    runs = zip(borders[broken] + step(size), borders[broken + 1], strict=True)
    return tuple(gap for start, end in runs for gap in judge.between(start, end))


def totals(gaps: Iterable[Gap]) -> dict[Reason, tuple[int, int]]:
    """Of each reason that bars are missing for: in how many places, and how many bars."""
    found = list(gaps)
    named = (reason for reason in MEANINGS if any(gap.reason == reason and gap.missing for gap in found))
    return {
        reason: (sum(gap.reason == reason for gap in found), sum(gap.missing for gap in found if gap.reason == reason)) for reason in named
    }


class _Judge:
    """Says why bars are missing."""

    def __init__(self, bars: Bars, known: Evidence, expected: Times, absent: Times, holidays: Times) -> None:
        self._bars, self._known, self._absent, self._holidays = bars, known, absent, holidays
        self._size = bars.timeframe
        self._step = step(bars.timeframe)
        self._market = market_of(bars.symbol)
        self._slots = Slots(bars, expected, absent, self._market, known.session)
        self._answers = self._count(asked for asked in known.asked if asked.answered)
        self._tries = self._count(known.asked)
        self._labels = self._by_the_books()
        self._quiet_days = quiet_days(self._market, absent[0], absent[-1]) if len(absent) else (absent, absent)

    def between(self, start: np.datetime64, end: np.datetime64) -> Iterator[Gap]:
        """The gaps from one bar that is there to the next, one for each stretch that is missing for the same reason."""
        first, last = np.searchsorted(self._absent, [start, end])
        if first == last:
            holiday = np.searchsorted(self._holidays, start) < np.searchsorted(self._holidays, end)
            yield Gap(as_datetime(start), as_datetime(end), 0, "holiday" if holiday else "closed")
            return
        labels = self._labels[first:last]
        cuts = [first, *(first + 1 + np.flatnonzero(labels[1:] != labels[:-1])), last]
        for begin, until in pairwise(cuts):
            opened, closed = self._absent[begin], self._absent[until - 1] + self._step
            reason = self._labels[begin] or self._by_the_look(begin, until, start, end)
            yield Gap(as_datetime(opened), as_datetime(closed), int(until - begin), reason)

    def _by_the_books(self) -> NDArray[np.object_]:
        """The reason of each missing bar that the requests tell, or the clock."""
        labels = np.full(len(self._absent), None, dtype=object)
        known, there = self._known, self._bars.time
        if known.asked:
            labels[self._tries == 0] = "not-requested"
            labels[(self._tries > 0) & (self._answers == 0)] = "failed"
        if known.now:
            ended = self._absent + self._step + np.timedelta64(int(PUBLISHED.total_seconds()), "s")
            labels[ended > as_time(known.now)] = "not-yet"
        if known.asked and len(there):
            labels[(self._answers > 0) & (self._absent < there[0])] = "before-first"
            labels[(self._answers > 0) & (self._absent > there[-1]) & (labels != "not-yet")] = "after-last"
        return labels

    def _by_the_look(self, begin: int, until: int, start: np.datetime64, end: np.datetime64) -> Reason:
        """The reason of a run of missing bars that a provider was asked for."""
        if (until - begin) * self._step <= AROUND_A_HOLIDAY and self._beside_a_holiday(start, end):
            return "holiday"
        if np.all(self._slots.extended[begin:until]):
            return "no-trade"
        if 2 * np.count_nonzero(self._slots.systematic[begin:until]) >= until - begin:
            return "systematic"
        if np.all(self._slots.thin[begin:until]) or self._slots.quiet(self._absent[begin], until - begin):
            return "no-trade"
        if self._is_halt(until - begin):
            return "halt"
        if np.all(self._answers[begin:until] >= self._known.enough):
            return "provider-hole"
        return "suspicious"

    def _beside_a_holiday(self, start: np.datetime64, end: np.datetime64) -> bool:
        """Whether the stretch between two bars that are there has a holiday in it, or ends or begins with one."""
        begins, ends = self._quiet_days
        at = np.searchsorted(ends, start - self._step)
        return bool(at < len(begins) and begins[at] <= end)

    def _is_halt(self, count: int) -> bool:
        """Whether so many missing bars are as many as a halt takes out, give or take one."""
        minutes = self._size.seconds // 60
        if self._market != "new_york" or minutes > HALT_STEPS[2] or count * minutes > HALT.total_seconds() // 60:
            return False
        return any(abs(count * minutes - steps) <= minutes for steps in HALT_STEPS) and count * minutes >= HALT_STEPS[0]

    def _count(self, requests: Iterable[Asked]) -> NDArray[np.int64]:
        """How many of the requests were for each missing bar."""
        change = np.zeros(len(self._absent) + 1, np.int64)
        for request in requests:
            first, last = np.searchsorted(self._absent, [as_time(request.start), as_time(request.end)])
            change[first] += 1
            change[last] -= 1
        return np.cumsum(change)[:-1]
