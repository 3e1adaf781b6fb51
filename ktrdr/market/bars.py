"""Bars: the prices of one symbol at one timeframe, checked once and never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ktrdr.errors import Invalid
from ktrdr.market.timeframe import Timeframe

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]
COLUMNS = ("open", "high", "low", "close", "volume")
RAW = "raw"
"""The adjustment of prices that are as the provider gave them."""


def as_time(moment: datetime) -> np.datetime64:
    """An aware moment as microseconds UTC; a naive one is refused."""
    if moment.tzinfo is None:
        raise Invalid(f"{moment.isoformat()} has no time zone", hint="times are UTC, such as 2018-01-01T00:00:00Z")
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def as_datetime(moment: np.datetime64) -> datetime:
    """A bar time as an aware UTC datetime."""
    naive: datetime = moment.astype("datetime64[us]").item()
    return naive.replace(tzinfo=UTC)


@dataclass(frozen=True, eq=False, slots=True)
class Bars:
    """Open, high, low, close and volume per bar; `time` is the start of the bar, UTC."""

    symbol: str
    timeframe: Timeframe
    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    provider: str = ""
    adjustment: str = RAW
    """Which splits and dividends were taken out of the prices, such as `splits 3f2a91c0`."""

    @classmethod
    def checked(
        cls, symbol: str, timeframe: Timeframe, time: ArrayLike, *, open: ArrayLike, high: ArrayLike, low: ArrayLike,
        close: ArrayLike, volume: ArrayLike, provider: str = "",
    ) -> Bars:  # fmt: skip
        """Bars from columns of equal length.

        Raises Invalid, with the first offending bar, when times are not strictly increasing, a price is not
        finite and positive, high or low do not bound open and close, or a volume is negative or not finite.
        """
        stamps = _own(time, np.dtype("datetime64[us]"))
        given = (open, high, low, close, volume)
        columns = {name: _own(value, np.dtype(np.float64)) for name, value in zip(COLUMNS, given, strict=True)}
        _check(f"{symbol} {timeframe}", stamps, columns)
        for array in (stamps, *columns.values()):
            array.setflags(write=False)
        return cls(
            symbol, timeframe, stamps, columns["open"], columns["high"], columns["low"], columns["close"], columns["volume"], provider
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.time)

    @property
    def has_volume(self) -> bool:
        """Whether the series carries volume at all."""
        return bool(np.any(self.volume > 0))

    @property
    def known_at(self) -> Times:
        """When each bar is complete: its start plus the bar's length."""
        known: Times = self.time + np.timedelta64(self.timeframe.seconds, "s")
        return known

    def rows(self, part: slice) -> Bars:
        """Some rows, as views."""
        return Bars(
            self.symbol, self.timeframe, self.time[part], self.open[part], self.high[part], self.low[part],
            self.close[part], self.volume[part], self.provider, self.adjustment,
        )  # fmt: skip

    def between(self, start: datetime | None, end: datetime | None) -> Bars:
        """The bars that start in [start, end)."""
        first = 0 if start is None else int(np.searchsorted(self.time, as_time(start), side="left"))
        last = len(self) if end is None else int(np.searchsorted(self.time, as_time(end), side="left"))
        return self.rows(slice(first, last))

    def digest(self) -> str:
        """sha256 of the content: symbol, timeframe, times, prices and volume."""
        seen = hashlib.sha256(f"{self.symbol} {self.timeframe}".encode())
        for array in (self.time.astype(np.int64), self.open, self.high, self.low, self.close, self.volume):
            seen.update(np.ascontiguousarray(array).tobytes())
        return seen.hexdigest()


def _own(values: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A copy that nobody else can change; an array that cannot be written to is taken as it is."""
    if isinstance(values, np.ndarray) and values.dtype == dtype and not values.flags.writeable:
        return values
    return np.array(values, dtype=dtype)


def _check(name: str, time: Times, columns: dict[str, Floats]) -> None:
    for column, values in columns.items():
        if values.shape != time.shape or values.ndim != 1:
            raise Invalid(f"{name}: {column} has shape {values.shape}, time has {time.shape}")
    if np.any(np.isnat(time)):
        raise Invalid(f"{name}: bar {int(np.argmax(np.isnat(time)))} has no time")
    _first(name, time, np.concatenate(([False], np.diff(time) <= np.timedelta64(0, "us"))), "does not come after the bar before it")
    for bad, what in row_faults(columns):
        _first(name, time, bad, what)


def row_faults(columns: Mapping[str, Floats]) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Which rows cannot be bars, rule by rule, with what is wrong with them."""
    prices = [(columns[c] > 0) & (columns[c] < np.inf) for c in COLUMNS[:4]]
    yield ~(prices[0] & prices[1] & prices[2] & prices[3]), "has a price that is not a positive number"
    yield columns["high"] < np.maximum(columns["open"], columns["close"]), "has a high below its open or close"
    yield columns["low"] > np.minimum(columns["open"], columns["close"]), "has a low above its open or close"
    yield ~(np.isfinite(columns["volume"]) & (columns["volume"] >= 0)), "has a volume that is negative or not a number"


def _first(name: str, time: Times, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        raise Invalid(
            f"{name}: the bar of {time[at]} (row {at}) {what}; {int(bad.sum())} such bars", details={"row": at, "count": int(bad.sum())}
        )
