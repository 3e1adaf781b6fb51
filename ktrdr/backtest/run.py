"""Run a backtest: targets on bars, with costs, beside its benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import OUTCOMES, SIGNAL, WHY
from ktrdr.backtest.metrics import Metrics, measure
from ktrdr.backtest.result import Backtest, Order, Trades
from ktrdr.backtest.simulate import Floats, Ledger, Simulation, Targets, simulate
from ktrdr.backtest.tape import Tape
from ktrdr.backtest.terms import terms_of
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.strategy.execution import Execution

EVERYTHING = Execution()
"""The whole equity at the next open."""
OnChunk = Callable[[int, int], None]


def run_backtest(
    bars: Bars | Sequence[Bars], targets: Targets | Sequence[Targets], costs: Costs | Sequence[Costs], capital: float,
    on_chunk: OnChunk | None = None, *, execution: Execution = EVERYTHING, history: Sequence[Bars] | None = None,
    on_state: Callable[[Simulation], None] | None = None, resume: Simulation | None = None,
) -> Backtest:  # fmt: skip
    """Trade `targets` (the position wanted after each bar's close: -1, 0 or 1), beside buying and holding and doing nothing.

    A target is filled at the open of the next bar; a position open at the end is closed at the last close. Costs are
    paid on every side. With bars, targets and costs of several symbols these share the capital. `execution` says how
    decisions become trades; `history` gives for each symbol the bars with older ones before them, from which volatility is
    measured. `on_chunk(done, total)` is called between chunks, and what it raises ends the run; `on_state` gets the state
    to go on from, which `resume` takes.
    """
    result = trade(bars, targets, costs, capital, on_chunk, execution=execution, history=history, on_state=on_state, resume=resume)
    tape, every = result.tape, tuple(result.costs_of.values())
    share = Execution.model_validate({"size": {"share": 1 / len(tape.symbols)}})
    benchmarks, curves = {}, {}
    for name, position in (("buy_and_hold", 1), ("flat", 0)):
        held = [np.full(len(own), position, np.int8) for own in tape.bars]
        one = trade(tape.bars, held, every, capital, execution=share)
        benchmarks[name] = one.metrics
        if position:
            curves[name] = one.equity
    return replace(result, benchmarks=benchmarks, benchmark_equity=curves)


def trade(
    bars: Bars | Sequence[Bars], targets: Targets | Sequence[Targets], costs: Costs | Sequence[Costs], capital: float,
    on_chunk: OnChunk | None = None, *, execution: Execution = EVERYTHING, history: Sequence[Bars] | None = None,
    on_state: Callable[[Simulation], None] | None = None, resume: Simulation | None = None, jitted: bool | None = None,
) -> Backtest:  # fmt: skip
    """The same without benchmarks."""
    tape = Tape.of(bars)
    every = (costs,) if isinstance(costs, Costs) else tuple(costs)
    wanted = tape.spread((targets,) if isinstance(targets, np.ndarray) else targets)
    terms = terms_of(execution, tape, every, history)
    done = simulate(tape.open, tape.close, wanted, [own.rates for own in every], capital, terms=terms, on_chunk=on_chunk,
                    on_state=on_state, resume=resume, jitted=jitted)  # fmt: skip
    trades = trades_of(tape, done.ledger, every)
    ruined = done.book.ruined_at
    return Backtest(
        symbol="+".join(tape.symbols),
        timeframe=tape.bars[0].timeframe.name,
        start=as_datetime(tape.time[0]),
        end=as_datetime(tape.known(slice(-1, None))[0]),
        capital=capital,
        costs=every[0],
        time=tape.time,
        equity=done.equity,
        trades=trades,
        metrics=_measure(tape, capital, done.equity, trades),
        benchmarks={},
        ruined_at=as_datetime(tape.known(slice(ruined, None))[0]) if ruined >= 0 else None,
        orders=_orders(tape, done),
        execution=execution,
        costs_of=dict(zip(tape.symbols, every, strict=True)),
        tape=tape,
    )


def _measure(tape: Tape, capital: float, equity: Floats, trades: Trades) -> Metrics:
    exposure = None
    if tape.rows is not None:
        inside = np.zeros(len(tape) + 1, np.int64)
        np.add.at(inside, trades.entry_bar, 1)
        np.add.at(inside, trades.entry_bar + trades.bars_held, -1)
        exposure = float(np.mean(np.cumsum(inside)[:-1] > 0))
    traded = float((trades.quantity * (trades.entry_price + trades.exit_price)).sum())
    return measure(equity, tape.time, capital, net=trades.net_pnl, bars_held=trades.bars_held, total_costs=trades.total_costs,
                   traded=traded, exposure=exposure)  # fmt: skip


def trades_of(tape: Tape, ledger: Ledger, costs: Sequence[Costs]) -> Trades:
    """The ledger with times and money filled in."""
    entry, leave, side, quantity, s = ledger.entry_bar, ledger.exit_bar, ledger.side, ledger.quantity, ledger.symbol
    at_open = ledger.reason == SIGNAL
    market_in, market_out = tape.open[entry] if tape.rows is None else tape.open[entry, s], ledger.exit_at
    bars_held = leave - entry + ~at_open
    share, per_unit = (charges[s] if len(charges) > 1 else charges for charges in (
        np.array([own.commission for own in costs]), np.array([own.per_unit for own in costs])
    ))  # fmt: skip
    paid = share * quantity * (ledger.entry_fill + ledger.exit_fill) + 2 * per_unit * quantity
    return Trades(
        side=side,
        entry_time=tape.time[entry],
        exit_time=np.where(at_open, tape.time[leave], tape.known(leave)),
        entry_bar=entry,
        exit_bar=leave,
        bars_held=bars_held,
        quantity=quantity,
        entry_price=ledger.entry_fill,
        exit_price=ledger.exit_fill,
        gross_pnl=side * quantity * (market_out - market_in),
        commission=paid,
        slippage=side * quantity * ((ledger.entry_fill - market_in) + (market_out - ledger.exit_fill)),
        net_pnl=side * quantity * (ledger.exit_fill - ledger.entry_fill) - paid - ledger.borrow,
        reason=ledger.reason,
        symbol=s,
        borrow=ledger.borrow,
        tape=tape,
    )


def _orders(tape: Tape, done: Simulation) -> tuple[Order, ...]:
    """The orders that were not simply filled at the next open, with their reasons."""
    noted = zip(*(column.tolist() for column in done.orders), strict=True)
    return tuple(
        Order(
            symbol=tape.symbols[s],
            side="long" if side > 0 else "short",
            time=as_datetime(tape.time[bar]),
            filled_time=as_datetime(tape.time[filled_bar]) if filled_bar >= 0 else None,
            quantity_asked=asked or None,
            quantity_filled=filled,
            outcome=OUTCOMES[outcome],
            reason=WHY[reason],
        )
        for bar, filled_bar, s, side, asked, filled, outcome, reason in noted
    )


def simulated(
    bars: Bars, targets: Targets, costs: Costs, capital: float, *, execution: Execution = EVERYTHING, history: Bars | None = None
) -> Simulation:
    """The simulation of one symbol, and no figures."""
    terms = terms_of(execution, Tape.of(bars), (costs,), None if history is None else (history,))
    return simulate(bars.open, bars.close, targets, costs.rates, capital, terms=terms)
