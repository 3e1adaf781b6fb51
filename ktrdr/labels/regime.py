"""Regime: whether the market trends up, trends down, goes sideways, or is in turmoil."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ktrdr.labels.base import BUY, HOLD, LABELS, SELL, Label, Targets
from ktrdr.labels.turns import Rows, pivots
from ktrdr.market.bars import Bars, Floats

UP, DOWN, RANGING, VOLATILE = 0, 1, 2, 3
AT_ONCE = 10_000
"""Windows looked at together; all of a long series at once would take too much memory."""


@LABELS.add
class Regime(Label):
    """Trending up or down inside of a large swing whose small swings go its way, ranging inside of others, else volatile.

    Large swings turn by `macro_atr_mult`, small ones by `micro_atr_mult` usual moves: at each bar the median of the last
    `vol_lookback` average true ranges of `atr_period` bars each, as a share of the median close. A large swing trends where
    of its consecutive small highs and of its consecutive small lows a share of at least 1 - `progression_tolerance` goes its
    way, or where it has none. A bar is volatile, whatever its swing, where the returns of the next `atr_period` bars have
    more than `vol_crisis_threshold` times the standard deviation of the last `vol_lookback`. Trending up is a signal to buy,
    trending down one to sell.
    """

    classes: ClassVar[tuple[str, ...]] = ("trending_up", "trending_down", "ranging", "volatile")
    signals: ClassVar[tuple[int, ...]] = (BUY, SELL, HOLD, HOLD)
    macro_atr_mult: float = Field(3.0, gt=0, le=100)
    micro_atr_mult: float = Field(1.0, gt=0, le=100)
    atr_period: int = Field(14, ge=2, le=500)
    vol_lookback: int = Field(120, ge=10, le=10_000)
    vol_crisis_threshold: float = Field(2.0, gt=0, le=100)
    progression_tolerance: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _small_is_smaller(self) -> Self:
        if self.micro_atr_mult >= self.macro_atr_mult:
            raise ValueError(f"micro_atr_mult {self.micro_atr_mult:g} must be below macro_atr_mult {self.macro_atr_mult:g}")
        return self

    def label(self, bars: Bars) -> Targets:
        """A bar is labelled when both the end of its large swing and the next `atr_period` bars are known.

        A bar belongs to the swing that begins with it or before it. The first `vol_lookback` bars have no label, nor have
        those after the last confirmed pivot, unless they are volatile.
        """
        count = len(bars)
        values, last_read = np.full(count, np.nan), np.arange(count)
        if count <= self.vol_lookback + self.atr_period:
            return Targets(values, last_read, self.task)
        self._write_swings(bars, values, last_read)
        turmoil, ahead = self._turmoil(bars), np.arange(count) + self.atr_period
        settled = np.isfinite(turmoil)
        values[~settled], last_read[~settled] = np.nan, np.flatnonzero(~settled)
        named = settled & np.isfinite(values)
        last_read[named] = np.maximum(last_read[named], ahead[named])
        wild = settled & (np.nan_to_num(turmoil) > self.vol_crisis_threshold)
        values[wild], last_read[wild] = VOLATILE, ahead[wild]
        return Targets(values, last_read, self.task)

    def _write_swings(self, bars: Bars, values: Floats, last_read: Rows) -> None:
        move = self._usual_move(bars)
        large, large_known = pivots(bars.close, self.macro_atr_mult * move)
        small, small_known = pivots(bars.close, self.micro_atr_mult * move)
        for first, last, known in zip(large[:-1].tolist(), large[1:].tolist(), large_known[1:].tolist(), strict=True):
            up = bars.close[last] > bars.close[first]
            begin, end = np.searchsorted(small, (first, last + 1)).tolist()
            inside = small[begin:end][small_known[begin:end] <= known]
            steps = bars.close[inside[2:]] - bars.close[inside[:-2]]  # from high to high and from low to low
            onward = float(np.mean(steps > 0 if up else steps < 0)) if len(steps) else 1.0
            values[first:last] = (UP if up else DOWN) if onward >= 1 - self.progression_tolerance else RANGING
            last_read[first:last] = known

    def _usual_move(self, bars: Bars) -> Floats:
        """How far a bar usually moves, as a share of price; NaN until that is known and where it does not move."""
        before = np.concatenate((bars.close[:1], bars.close[:-1]))
        ranges = np.maximum(bars.high, before) - np.minimum(bars.low, before)
        usual, first = np.full(len(bars), np.nan), self.atr_period - 1
        usual[first:] = trailing(np.median, trailing(np.mean, ranges, self.atr_period)[first:], self.vol_lookback)
        move = usual / trailing(np.median, bars.close, self.vol_lookback)
        return np.where(move > 0, move, np.nan)

    def _turmoil(self, bars: Bars) -> Floats:
        """The deviation of the coming returns over that of the past ones; NaN where either is not known or nothing moved."""
        returns = np.diff(np.log(bars.close), prepend=np.nan)
        past = trailing(np.std, returns, self.vol_lookback)
        coming = np.full(len(bars), np.nan)
        coming[: -self.atr_period] = trailing(np.std, returns, self.atr_period)[self.atr_period :]
        turmoil: Floats = np.where(past > 0, coming / np.where(past > 0, past, 1.0), np.nan)
        return turmoil


def trailing(figure: Callable[..., Any], values: Floats, bars: int) -> Floats:
    """A figure of the last `bars` values, bar by bar; NaN until that many are there."""
    found = np.full(len(values), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, bars)
    for first in range(0, len(windows), AT_ONCE):
        part = windows[first : first + AT_ONCE]
        found[bars - 1 + first : bars - 1 + first + len(part)] = figure(part, axis=1)
    return found
