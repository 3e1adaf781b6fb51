"""Equity curves and prices as a report draws them: read from their files, thinned without hiding a peak, summed by month."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars, Times

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Text = dict[str, str]
OWN = "equity"
"""The column of the strategy's own equity."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Equity at the close of each bar, of the strategy and of what it is compared with."""

    time: Times
    """Start of each bar, UTC."""
    values: dict[str, Floats]
    """By name; `equity` is the strategy's own."""

    @classmethod
    def from_csv(cls, content: str) -> Curves:
        """The curves of an `equity.csv`: a column of times, one of equity, and one for each benchmark."""
        head, *lines = content.splitlines() or [""]
        names = head.split(",")
        if names[:2] != ["time", OWN] or len(lines) < 2:
            raise Invalid(f"an equity curve begins with 'time,{OWN}' and has two rows at least, this one begins with {head[:60]!r}")
        try:
            columns = list(zip(*(line.split(",") for line in lines), strict=True))
            time = np.array([moment.removesuffix("Z") for moment in columns[0]], dtype="datetime64[s]")
            values = {name: np.array(column, dtype=np.float64) for name, column in zip(names[1:], columns[1:], strict=True)}
        except ValueError as error:
            raise Invalid(f"an equity curve cannot be read: {error}") from None
        if not all(np.isfinite(column).all() for column in values.values()):
            raise Invalid("an equity curve has a value that is not a number")
        return cls(time, values)

    @property
    def own(self) -> Floats:
        """The strategy's equity."""
        return self.values[OWN]


def trades_from_csv(content: str) -> list[Text]:
    """The rows of a `trades.csv`."""
    return list(csv.DictReader(io.StringIO(content)))


def thinned(columns: Sequence[Floats], stretches: int) -> Rows:
    """The rows that a chart of so many columns of pixels needs, in order.

    Of each stretch the lowest and the highest row of every series stay, and both ends: what is drawn are real values at
    their real times, and no peak or fall is lost.
    """
    count = len(columns[0])
    if count <= 2 * stretches:
        return np.arange(count)
    edges = np.linspace(0, count, stretches + 1).astype(np.int64)
    kept = [np.array([0, count - 1])]
    for values in columns:
        for begin, end in pairwise(edges.tolist()):
            part = values[begin:end]
            kept.append(begin + np.array([part.argmin(), part.argmax()]))
    return np.unique(np.concatenate(kept))


@dataclass(frozen=True, eq=False)
class Prices:
    """Prices in stretches of bars: the lowest, the highest and the last of each."""

    time: Times
    low: Floats
    high: Floats
    close: Floats
    bars_each: float


def prices(bars: Bars, stretches: int) -> Prices:
    """The prices of bars in so many stretches, or of each bar where there are fewer."""
    count = min(len(bars), stretches)
    begins = np.linspace(0, len(bars), count + 1).astype(np.int64)
    first, last = begins[:-1], begins[1:] - 1
    return Prices(
        time=bars.time[first], low=np.minimum.reduceat(bars.low, first), high=np.maximum.reduceat(bars.high, first),
        close=bars.close[last], bars_each=len(bars) / count,
    )  # fmt: skip


@dataclass(frozen=True)
class Month:
    """The return of one month, after costs."""

    year: int
    month: int
    value: float | None
    """None after ruin: nothing is a share of nothing."""


def monthly(time: Times, equity: Floats, capital: float) -> list[Month]:
    """Return of each month: its last equity against the last of the month before; the first against the capital."""
    months = time.astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(months) != 0, True))
    found, before = [], capital
    for row in last:
        number, worth = int(months[row]), float(equity[row])
        found.append(Month(1970 + number // 12, number % 12 + 1, worth / before - 1 if before > 0 else None))
        before = worth
    return found


def yearly(months: Sequence[Month]) -> float | None:
    """The return of several months together."""
    product = 1.0
    for one in months:
        if one.value is None:
            return None
        product *= 1 + one.value
    return product - 1


def seconds(time: Times) -> list[int]:
    """Times as whole seconds since 1970, as a chart takes them."""
    found: list[int] = time.astype("datetime64[s]").astype(np.int64).tolist()
    return found


def short(values: Floats) -> list[float]:
    """Values to seven digits: more than a pixel can show."""
    return [float(f"{value:.7g}") for value in values.tolist()]
