"""Run a backtest: targets on bars, with costs, beside its benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import SIGNAL
from ktrdr.backtest.metrics import Metrics, measure
from ktrdr.backtest.result import Backtest, Trades
from ktrdr.backtest.simulate import Floats, Simulation, Targets, simulate
from ktrdr.market.bars import Bars, as_datetime


def run_backtest(
    bars: Bars, targets: Targets, costs: Costs, capital: float, on_chunk: Callable[[int, int], None] | None = None, *,
    on_state: Callable[[Simulation], None] | None = None, resume: Simulation | None = None,
) -> Backtest:  # fmt: skip
    """Trade `targets` (the position wanted after each bar's close: -1, 0 or 1) with the whole equity.

    A target is filled at the open of the next bar; a position open at the end is closed at the last close. Costs are
    paid on every side. `on_chunk(done, total)` is called between chunks, and what it raises ends the run; `on_state`
    gets the state to go on from, which `resume` takes.
    """
    rates = costs.rates
    done = simulate(bars.open, bars.close, targets, rates, capital, on_chunk=on_chunk, on_state=on_state, resume=resume)
    trades = _trades(bars, done, costs.commission)
    benchmarks, benchmark_equity = {}, {}
    for name, position in (("buy_and_hold", 1), ("flat", 0)):
        held = simulate(bars.open, bars.close, np.full(len(bars), position, np.int8), rates, capital)
        benchmarks[name] = _measure(bars, capital, held.equity, _trades(bars, held, costs.commission))
        if position:
            benchmark_equity[name] = held.equity
    ruined = done.book.ruined_at
    return Backtest(
        symbol=bars.symbol,
        timeframe=bars.timeframe.name,
        start=as_datetime(bars.time[0]),
        end=as_datetime(bars.known_at[-1]),
        capital=capital,
        costs=costs,
        time=bars.time,
        equity=done.equity,
        trades=trades,
        metrics=_measure(bars, capital, done.equity, trades),
        benchmarks=benchmarks,
        ruined_at=as_datetime(bars.known_at[ruined]) if ruined >= 0 else None,
        benchmark_equity=benchmark_equity,
    )


def _measure(bars: Bars, capital: float, equity: Floats, trades: Trades) -> Metrics:
    return measure(equity, bars.time, capital, net=trades.net_pnl, bars_held=trades.bars_held, total_costs=trades.total_costs)


def _trades(bars: Bars, done: Simulation, commission: float) -> Trades:
    """The ledger with times and money filled in."""
    ledger = done.ledger
    entry, leave, side, quantity = ledger.entry_bar, ledger.exit_bar, ledger.side, ledger.quantity
    at_open = ledger.reason == SIGNAL
    market_in, market_out = bars.open[entry], np.where(at_open, bars.open[leave], bars.close[leave])
    bars_held = leave - entry + ~at_open
    favorable, adverse = _excursions(bars, entry, bars_held, side, ledger.entry_fill)
    paid = commission * quantity * (ledger.entry_fill + ledger.exit_fill)
    return Trades(
        side=side,
        entry_time=bars.time[entry],
        exit_time=np.where(at_open, bars.time[leave], bars.known_at[leave]),
        entry_bar=entry,
        exit_bar=leave,
        bars_held=bars_held,
        quantity=quantity,
        entry_price=ledger.entry_fill,
        exit_price=ledger.exit_fill,
        gross_pnl=side * quantity * (market_out - market_in),
        commission=paid,
        slippage=side * quantity * ((ledger.entry_fill - market_in) + (market_out - ledger.exit_fill)),
        net_pnl=side * quantity * (ledger.exit_fill - ledger.entry_fill) - paid,
        reason=ledger.reason,
        max_favorable_excursion=favorable,
        max_adverse_excursion=adverse,
    )


def _excursions(bars: Bars, entry: Floats, held: Floats, side: Targets, entry_fill: Floats) -> tuple[Floats, Floats]:
    """The best and the worst moment of each trade, as shares of its entry price and never below 0."""
    spans = np.stack([entry, entry + held], axis=1).ravel()
    highest = np.maximum.reduceat(np.append(bars.high, 0.0), spans)[::2] if len(entry) else np.zeros(0)
    lowest = np.minimum.reduceat(np.append(bars.low, np.inf), spans)[::2] if len(entry) else np.zeros(0)
    best, worst = np.where(side > 0, highest, lowest), np.where(side > 0, lowest, highest)
    return np.maximum(side * (best / entry_fill - 1), 0.0), np.maximum(side * (1 - worst / entry_fill), 0.0)
