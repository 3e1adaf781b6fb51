"""Where a backtest earned: by period, regime, side, symbol, and on bars the model has learned from or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import elapsed_years, falls, returns_of, sharpe_ratio
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.terms import yearly_volatility
from ktrdr.market.bars import Bars, as_datetime, as_time

Mask = NDArray[np.bool_]
TREND, SPAN = 200, 100
"""Bars whose mean close the close is compared with, and over which volatility is measured."""
REGIMES = ("rising calm", "rising rough", "falling calm", "falling rough", "not known yet")
MONTHS_FROM_YEARS = 2.0
"""Shorter backtests are shown by month, longer ones by year."""


class Part(BaseModel):
    """A part of a backtest: the returns of some bars, and the trades that were entered on them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    start: datetime
    """Start of its first bar."""
    bars: int
    total_return_pct: float
    """Product of 1 + return over its bars, less 1."""
    sharpe_ratio: float | None
    max_drawdown_pct: float
    """Of the equity that these returns alone make."""
    trades: int
    win_rate: float | None
    net_pnl: float
    """Of its trades."""
    in_sample: bool | None
    """Whether the model has learned from all, none or (None) some of its bars, or learning is not part of the backtest."""


class Breakdown(BaseModel):
    """The parts of a backtest, several ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    by_period: tuple[Part, ...]
    by_regime: tuple[Part, ...]
    by_side: tuple[Part, ...]
    """Returns of the bars with a position of this side alone at the close before; of one symbol."""
    by_symbol: tuple[Part, ...]
    by_sample: tuple[Part, ...]


def break_down(result: Backtest, trained: tuple[datetime, datetime] | None = None) -> Breakdown:
    """The parts of a backtest; `trained` are the dates from which the model has learned."""
    time, trades = result.time, result.trades
    learned = np.zeros(len(time), bool)
    if trained is not None:
        learned = (time >= as_time(trained[0])) & (time < as_time(trained[1]))
    known = learned if trained is not None else None
    entered = trades.entry_bar
    everything = np.ones(len(trades), bool)
    unit = "Y" if elapsed_years(time) >= MONTHS_FROM_YEARS else "M"
    period, regime = time.astype(f"datetime64[{unit}]"), regimes(result)
    before = np.concatenate(([0.0], np.sign(result.held[:-1])))
    samples = (("out of sample", ~learned), ("in sample", learned)) if trained is not None else ()
    return Breakdown(
        by_period=tuple(_parts(result, [(str(p), period == p, period[entered] == p) for p in np.unique(period)], known)),
        by_regime=tuple(_parts(result, [(name, regime == i, regime[entered] == i) for i, name in enumerate(REGIMES)], known)),
        by_side=tuple(_parts(result, [(name, before == s, trades.side == s) for name, s in (("long", 1), ("short", -1))], known)),
        by_symbol=tuple(
            _parts(result, [(name, None, trades.symbol == i) for i, name in enumerate(trades.symbols)], known)
            if len(trades.symbols) > 1 else ()
        ),
        by_sample=tuple(_parts(result, [(name, mask, everything & mask[entered]) for name, mask in samples], known)),
    )  # fmt: skip


def regimes(result: Backtest) -> NDArray[np.int64]:
    """Which regime each bar belongs to, by what was known at the close before it.

    Rising: the close was above the mean of the last 200; rough: the volatility of the last 100 returns was above its
    median of this backtest. Of several symbols the mean of their normalised closes counts.
    """
    tape, one = result.tape, result.tape.bars[0]
    closes = tape.close.reshape(len(tape), -1)
    index = np.ascontiguousarray((closes / closes[0]).mean(axis=1))
    found = np.full(len(index), len(REGIMES) - 1)
    if len(index) <= TREND + 1:
        return found
    sums = np.concatenate(([0.0], np.cumsum(index)))
    mean = np.full(len(index), np.nan)
    mean[TREND - 1 :] = (sums[TREND:] - sums[:-TREND]) / TREND
    rough = yearly_volatility(Bars(one.symbol, one.timeframe, tape.time, index, index, index, index, index), SPAN)
    middle = np.nanmedian(rough) if np.isfinite(rough).any() else np.nan
    known = np.isfinite(mean) & np.isfinite(rough)
    regime = np.where(known, 2 * (index <= mean) + (rough > middle), len(REGIMES) - 1)
    found[1:] = regime[:-1]
    return found


def _parts(result: Backtest, chosen: list[tuple[str, Mask | None, Mask]], learned: Mask | None) -> Iterator[Part]:
    """The parts that have any bar or trade; of a part of a symbol alone the returns are those of its trades."""
    returns = np.concatenate(([result.equity[0] / result.capital - 1], returns_of(result.equity)))
    for name, mask, mine in chosen:
        inside = np.ones(len(returns), bool) if mask is None else mask
        net = result.trades.net_pnl[mine]
        if not inside.any() and not len(net):
            continue
        own = returns[inside] if mask is not None else np.zeros(0)
        growth = np.cumprod(1 + own)
        share, _ = sharpe_ratio(own, result.metrics.bars_per_year) if len(own) > 1 else (None, "")
        within = None if learned is None else learned[inside]
        yield Part(
            name=name,
            start=as_datetime(result.time[int(np.argmax(inside))]),
            bars=int(inside.sum()),
            total_return_pct=float(growth[-1] - 1) if len(growth) else float(net.sum()) / result.capital,
            sharpe_ratio=share,
            max_drawdown_pct=float(falls(growth, 1.0).share.max()) if len(growth) else 0.0,
            trades=len(net),
            win_rate=float(np.mean(net > 0)) if len(net) else None,
            net_pnl=float(net.sum()),
            in_sample=None if within is None or within.any() != within.all() else bool(within.all()),
        )
