"""The bars of one or more symbols on one line of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars, Times

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tape:
    """Prices with a row per moment at which any symbol has a bar; a column per symbol where there are several.

    Where a symbol has no bar, its prices are those of its last close (before its first bar, of its first open), and
    nothing of it is traded.
    """

    bars: tuple[Bars, ...]
    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    rows: tuple[NDArray[np.int64], ...] | None
    """Where the bars of each symbol stand; None for a single one, which stands in every row."""

    @classmethod
    def of(cls, given: Bars | Sequence[Bars]) -> Tape:
        """The bars on one line of time; Invalid where their timeframes differ or a symbol comes twice."""
        bars = (given,) if isinstance(given, Bars) else tuple(given)
        if len(bars) == 1:
            one = bars[0]
            return cls(bars, one.time, one.open, one.high, one.low, one.close, None)
        symbols, sizes = [own.symbol for own in bars], {own.timeframe.name for own in bars}
        if not bars or len(set(symbols)) < len(symbols) or len(sizes) > 1:
            raise Invalid(f"a portfolio holds each symbol once, in bars of one size; given: {', '.join(symbols)} of {', '.join(sizes)}")
        if any(not len(own) for own in bars):
            raise Invalid(f"{next(own.symbol for own in bars if not len(own))} has no bars")
        time = np.unique(np.concatenate([own.time for own in bars]))
        rows = tuple(np.searchsorted(time, own.time) for own in bars)
        newest = [np.searchsorted(own.time, time, side="right") - 1 for own in bars]
        here = [_marks(len(time), at) for at in rows]
        closes = [np.where(at < 0, own.open[0], own.close[np.maximum(at, 0)]) for own, at in zip(bars, newest, strict=True)]
        prices = {
            name: np.column_stack([
                np.where(there, getattr(own, name)[np.maximum(at, 0)], close)
                for own, there, at, close in zip(bars, here, newest, closes, strict=True)
            ])
            for name in ("open", "high", "low")
        }  # fmt: skip
        return cls(bars, time, **prices, close=np.column_stack(closes), rows=rows)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def symbols(self) -> tuple[str, ...]:
        """In the order of the columns."""
        return tuple(own.symbol for own in self.bars)

    @property
    def known_at(self) -> Times:
        """When the bars of each row are complete."""
        return self.known(slice(None))

    def known(self, rows: slice | NDArray[np.int64]) -> Times:
        """When the bars of some rows are complete."""
        known: Times = self.time[rows] + np.timedelta64(self.bars[0].timeframe.seconds, "s")
        return known

    @property
    def present(self) -> NDArray[np.bool_] | None:
        """Where each symbol has a bar; None where it has one in every row."""
        return None if self.rows is None else np.column_stack([_marks(len(self), at) for at in self.rows])

    def column(self, prices: Floats, s: int) -> Floats:
        """The prices of one symbol."""
        return prices if self.rows is None else prices[:, s]

    def spread(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """What is known of each symbol at the close of its bars, on all rows: the last value stands, 0 before the first."""
        for own, column in zip(self.bars, values, strict=True):
            if len(column) != len(own):
                raise Invalid(f"{own.symbol}: {len(column)} targets were given for {len(own)} bars")
        if self.rows is None:
            return values[0]
        newest = [np.searchsorted(own.time, self.time, side="right") - 1 for own in self.bars]
        spread: NDArray[Any] = np.column_stack([
            np.where(at < 0, np.zeros(1, column.dtype), column[np.maximum(at, 0)]) for column, at in zip(values, newest, strict=True)
        ])  # fmt: skip
        return spread


def _marks(count: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    there = np.zeros(count, bool)
    there[rows] = True
    return there
