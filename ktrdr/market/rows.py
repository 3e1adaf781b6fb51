"""What is wrong with rows of prices before they are bars: times, order, repetitions, prices that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import COLUMNS, Bars, Floats, Times, as_datetime, row_faults
from ktrdr.market.checks import Check, Finding, check_series, examples
from ktrdr.market.timeframe import Timeframe

FAULTS: tuple[Check, ...] = ("price", "high", "low", "volume")
"""What each rule of `row_faults` is called, in its order."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be a bar, as it came, and why."""

    reason: str
    time: datetime | None
    """Start of the bar that it would be; None where it cannot be read."""
    values: tuple[float, ...]
    """Open, high, low, close and volume; NaN where there is none."""
    row: int | None = None
    """Its line in a file, from 1."""


def bad_rows(
    time: Times, columns: Mapping[str, Floats], faults: Iterable[tuple[NDArray[np.bool_], str]], line: NDArray[np.intp] | None = None
) -> tuple[BadRow, ...]:
    """The rows with a fault, each once with the first of its reasons, in their order."""
    reason: dict[int, str] = {}
    for rows, what in faults:
        for at in np.flatnonzero(rows).tolist():
            reason.setdefault(at, what)
    return tuple(
        BadRow(
            reason[at], None if np.isnat(time[at]) else as_datetime(time[at]), tuple(float(columns[name][at]) for name in COLUMNS),
            None if line is None else int(line[at]),
        )
        for at in sorted(reason)
    )  # fmt: skip


def check_rows(
    symbol: str, timeframe: Timeframe, time: Times, columns: Mapping[str, Floats], now: datetime | None = None
) -> tuple[Finding, ...]:
    """What is wrong with rows in the order of their file, and what is odd in the bars that they make without the wrong ones."""
    found = [
        Finding(check, int(rows.sum()), _first(time[rows]), f"a row {what}", examples(time[rows][~np.isnat(time[rows])]))
        for check, rows, what in _faults(time, columns)
        if rows.any()
    ]
    good = np.flatnonzero(~np.any([rows for check, rows, _ in _faults(time, columns) if check != "order"], axis=0))
    good = good[np.argsort(time[good], kind="stable")]
    bars = Bars.checked(symbol, timeframe, time[good], **{name: columns[name][good] for name in COLUMNS}, provider="")
    return (*found, *check_series(bars, now=now))


def _faults(time: Times, columns: Mapping[str, Floats]) -> Iterator[tuple[Check, NDArray[np.bool_], str]]:
    unreadable = np.isnat(time)
    yield "time", unreadable, "has a time that cannot be read"
    latest = np.maximum.accumulate(np.where(unreadable, np.datetime64(-(2**62), "us"), time))
    yield "order", ~unreadable & (time < latest), "is older than one before it"
    again, differs = _repeated(time, columns)
    yield "repeated", again & ~differs & ~unreadable, "repeats another one, the same in every value"
    yield "disputed", differs & ~unreadable, "has the time of another one and other values"
    for check, (rows, what) in zip(FAULTS, row_faults(columns), strict=True):
        yield check, rows, what


def _repeated(time: Times, columns: Mapping[str, Floats]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows whose time an earlier row has, and those of a time for which there are different values."""
    order = np.argsort(time, kind="stable")
    values = np.stack([columns[name][order] for name in COLUMNS])
    next_to = time[order][1:] == time[order][:-1]
    same = np.all((values[:, 1:] == values[:, :-1]) | (np.isnan(values[:, 1:]) & np.isnan(values[:, :-1])), axis=0)
    again, differs = np.zeros(len(time), bool), np.zeros(len(time), bool)
    again[order[1:]] = next_to
    differs[order[1:]] |= next_to & ~same
    differs[order[:-1]] |= next_to & ~same
    return again, differs


def _first(times: Times) -> datetime | None:
    readable = times[~np.isnat(times)]
    return as_datetime(readable[0]) if len(readable) else None
