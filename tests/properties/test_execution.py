"""Random accounts with sizes, stops, hours, costs and several symbols: against a slow account, and what must always hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.run import trade
from ktrdr.backtest.simulate import Simulation, simulate
from ktrdr.backtest.tape import Tape
from ktrdr.backtest.terms import terms_of
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.execution import Execution

CAPITAL = 100_000.0
LEVELS = st.none() | st.sampled_from([0.002, 0.02, 0.2])


@dataclass
class Case:
    bars: list[Bars]
    targets: list[np.ndarray]
    costs: list[Costs]
    execution: Execution

    @property
    def tape(self) -> Tape:
        return Tape.of(self.bars)

    def run(self, **given: Any) -> Simulation:
        tape = self.tape
        terms = terms_of(self.execution, tape, self.costs)
        rates = [own.rates for own in self.costs]
        return simulate(tape.open, tape.close, tape.spread(self.targets), rates, CAPITAL, terms=terms, **{"jitted": False, **given})


def a_series(random: np.random.Generator, symbol: str, count: int, jumpy: float, holes: bool) -> Bars:
    close = 100 * np.exp(np.cumsum(random.normal(0, jumpy, count)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, jumpy / 2, count))
    high = np.maximum(opens, close) * np.exp(np.abs(random.normal(0, jumpy / 2, count)))
    low = np.minimum(opens, close) * np.exp(-np.abs(random.normal(0, jumpy / 2, count)))
    time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    kept = np.flatnonzero(random.random(count) < 0.8) if holes else np.arange(count)
    kept = kept if len(kept) >= 2 else np.arange(count)
    columns = {"open": opens, "high": high, "low": low, "close": close, "volume": np.ones(count)}
    return Bars.checked(symbol, Timeframe("1h"), time[kept], **{name: column[kept] for name, column in columns.items()})


@st.composite
def executions(draw: st.DrawFn) -> Execution:
    size = draw(st.sampled_from([{"share": 1.0}, {"share": 0.3}, {"units": 400.0}, {"units": 2000.0}, {"volatility": 0.3, "span": 10}]))
    hours = draw(st.none() | st.sampled_from([{"start": "08:00", "end": "17:00"}, {"start": "22:00", "end": "03:00"}]))
    return Execution.model_validate({
        "size": size, "hours": hours, "lot": draw(st.sampled_from([0, 1, 7])), "leverage": draw(st.sampled_from([1, 2])),
        "unaffordable": draw(st.sampled_from(["cut", "refuse", "borrow"])), "stop_loss": draw(LEVELS), "take_profit": draw(LEVELS),
        "trailing_stop": draw(LEVELS), "cooldown": draw(st.sampled_from([0, 0, 3])),
    })  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, free: bool = False) -> Case:
    """One to three symbols, some with holes, whose decisions change now and then."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, symbols = draw(st.integers(2, 90)), draw(st.integers(1, 3))
    jumpy, often = draw(st.sampled_from([0.001, 0.02, 0.2])), draw(st.sampled_from([0.05, 0.5]))
    share = st.just(0.0) if free else st.sampled_from([0.0, 0.0005, 0.02])
    bars, targets, costs = [], [], []
    for name in ("A", "B", "C")[:symbols]:
        own = a_series(random, name, count, jumpy, holes=symbols > 1)
        changes, wanted = random.random(len(own)) < often, random.integers(-1, 2, len(own))
        last = np.maximum.accumulate(np.where(changes, np.arange(len(own)), 0))
        bars.append(own)
        targets.append(wanted[last].astype(np.int8))
        costs.append(Costs(commission=draw(share), slippage=draw(share), per_unit=draw(share), borrow=draw(share),
                           spread=draw(share) * float(own.low.min()) / 2))  # fmt: skip
    return Case(bars, targets, costs, draw(executions()))


def slowly(case: Case) -> tuple[list[float], list[tuple[float, ...]]]:  # noqa: C901 - told in one piece
    """Equity at each close, and the trades as (symbol, bar in, bar out, units, price in, price out), by cash and units alone."""
    tape, rules = case.tape, case.execution
    columns = {name: np.asarray(getattr(tape, name)).reshape(len(tape), -1) for name in ("open", "high", "low", "close")}
    wanted = tape.spread(case.targets).reshape(len(tape), -1)
    terms = terms_of(rules, tape, case.costs)
    allowed = np.full(columns["open"].shape, 2) if terms.allowed is None else terms.allowed.reshape(len(tape), -1)
    weight = (
        np.ones(columns["open"].shape)
        if terms.weight is None
        else np.broadcast_to(
            terms.weight.reshape(-1, 1) if terms.weight.size == 1 or len(case.bars) == 1 else terms.weight, columns["open"].shape
        )
    )
    years = terms.years if terms.years is not None else np.zeros(len(tape))
    cash, ruined = CAPITAL, False
    units, fill, best, stop = ([0.0] * len(case.bars) for _ in range(4))
    entered, left, wish, due = [0] * len(case.bars), [-(10**9)] * len(case.bars), [0] * len(case.bars), [False] * len(case.bars)
    equity: list[float] = []
    trades: list[tuple[float, ...]] = []

    def dealt(s: int, price: float, direction: int) -> float:
        return price + direction * (price * case.costs[s].slippage + case.costs[s].spread)

    def charge(s: int, quantity: float, price: float) -> float:
        return quantity * price * case.costs[s].commission + quantity * case.costs[s].per_unit

    def out(s: int, t: int, price: float) -> None:
        nonlocal cash
        paid = dealt(s, price, -int(math.copysign(1, units[s])))
        cash += units[s] * paid - charge(s, abs(units[s]), paid)
        trades.append((s, entered[s], t, units[s], fill[s], paid))
        units[s], left[s] = 0.0, t

    def worth(prices: np.ndarray) -> float:
        return cash + sum(units[s] * prices[s] for s in range(len(units)))

    for t in range(len(tape)):
        opens = columns["open"][t]
        if t and not ruined:
            for s in range(len(units)):
                if wanted[t - 1, s] != wish[s]:
                    wish[s], due[s] = int(wanted[t - 1, s]), True
                if due[s] and units[s] and np.sign(units[s]) != wish[s] and allowed[t, s]:
                    out(s, t, opens[s])
                if np.sign(units[s]) == wish[s]:
                    due[s] = False
            ruined = not any(units) and worth(opens) <= 0
            for s in range(len(units)):
                if ruined or not due[s] or units[s] or allowed[t, s] != 2 or t - left[s] < rules.cooldown:
                    continue
                if not rules.size.units and not weight[t - 1, s] > 0:
                    continue
                now, price = worth(opens), dealt(s, opens[s], wish[s])
                each = price + charge(s, 1.0, price)
                room = rules.leverage * now - sum(abs(units[k]) * opens[k] for k in range(len(units)))
                asked = rules.size.units or weight[t - 1, s] * now / each
                lots = (lambda q: math.floor(q / rules.lot * (1 + 1e-12)) * rules.lot) if rules.lot else (lambda q: q)
                quantity = lots(asked)
                if quantity * each > room * (1 + 1e-9) and rules.unaffordable != "borrow":
                    quantity = lots(room / each) if rules.unaffordable == "cut" and room > 1e-9 * now else 0.0
                due[s] = False
                if quantity > 0:
                    units[s], fill[s], best[s], entered[s] = wish[s] * quantity, price, price, t
                    cash -= units[s] * price + charge(s, quantity, price)
                    stop[s] = price * (1 - wish[s] * rules.stop_loss) if rules.stop_loss else -wish[s] * math.inf
                    if rules.trailing_stop:
                        stop[s] = wish[s] * max(wish[s] * stop[s], wish[s] * price * (1 - wish[s] * rules.trailing_stop))
        for s in range(len(units)):
            if not units[s] or not allowed[t, s]:
                continue
            side, high, low = int(np.sign(units[s])), columns["high"][t, s], columns["low"][t, s]
            goal = fill[s] * (1 + side * rules.take_profit) if rules.take_profit else side * math.inf
            worst, most = (low, high) if side > 0 else (high, low)
            level = next((opens[s] for hit in (side * (opens[s] - stop[s]) <= 0, side * (opens[s] - goal) >= 0) if hit), None)
            level = (
                level if level is not None else stop[s] if side * (worst - stop[s]) <= 0 else goal if side * (most - goal) >= 0 else None
            )
            if level is not None:
                out(s, t, level)
            elif rules.trailing_stop:
                best[s] = side * max(side * best[s], side * most)
                stop[s] = side * max(side * stop[s], side * best[s] * (1 - side * rules.trailing_stop))
        closes = columns["close"][t]
        for s in range(len(units)):
            if units[s] < 0:
                cash -= case.costs[s].borrow * -units[s] * closes[s] * years[t]
        if any(units) and (worth(closes) <= 0 or t == len(tape) - 1):
            for s in range(len(units)):
                if units[s]:
                    out(s, t, closes[s])
            ruined = cash <= 0
        equity.append(worth(closes))
    return equity, trades


@given(cases())
def test_it_agrees_with_an_account_of_cash_and_units(case: Case) -> None:
    equity, trades = slowly(case)
    done = case.run()
    scale = max(CAPITAL, np.abs(equity).max())
    np.testing.assert_allclose(done.equity, equity, rtol=1e-9, atol=1e-9 * scale)
    ledger = done.ledger
    found = sorted(zip(ledger.symbol, ledger.entry_bar, ledger.exit_bar, ledger.side * ledger.quantity, ledger.entry_fill, ledger.exit_fill,
                       strict=True))  # fmt: skip
    np.testing.assert_allclose(np.array(found), np.array(sorted(trades)), rtol=1e-9) if trades else None
    assert len(found) == len(trades)


@given(cases())
def test_equity_is_cash_and_positions_at_every_bar(case: Case) -> None:
    """Cash from the trades alone: what was paid and received, and borrowing at the end of each position."""
    result = trade(case.bars, case.targets, case.costs, CAPITAL, execution=case.execution, jitted=False)
    ledger, n = case.run().ledger, len(result.time)
    cash = np.full(n, CAPITAL)
    for i in range(len(ledger.side)):
        own, units = case.costs[ledger.symbol[i]], ledger.side[i] * ledger.quantity[i]
        for bar, amount, fill in ((ledger.entry_bar[i], units, ledger.entry_fill[i]), (ledger.exit_bar[i], -units, ledger.exit_fill[i])):
            cash[bar:] -= amount * fill + abs(amount) * (fill * own.commission + own.per_unit)
        cash[ledger.exit_bar[i] :] -= ledger.borrow[i]
    scale = max(CAPITAL, np.abs(result.equity).max(), np.abs(result.held).max())
    gap = cash - result.cash
    assert gap[-1] == pytest.approx(0, abs=1e-9 * scale)
    if not any(own.borrow for own in case.costs):
        np.testing.assert_allclose(gap, 0, atol=1e-9 * scale)
    assert (gap >= -1e-9 * scale).all()
    np.testing.assert_allclose(result.cash + result.held, result.equity, atol=1e-9 * scale)


@given(cases())
def test_the_results_of_the_trades_add_up(case: Case) -> None:
    result = trade(case.bars, case.targets, case.costs, CAPITAL, execution=case.execution, jitted=False)
    trades = result.trades
    scale = max(CAPITAL, np.abs(result.equity).max())
    assert trades.net_pnl.sum() == pytest.approx(result.equity[-1] - CAPITAL, abs=1e-9 * scale)
    parts = trades.gross_pnl - trades.commission - trades.slippage - trades.borrow
    np.testing.assert_allclose(parts, trades.net_pnl, atol=1e-9 * scale)
    assert {trade.exit_reason for trade in trades} <= {"signal", "end_of_data", "ruin", "stop_loss", "take_profit", "trailing_stop"}
    for order in result.orders:
        assert order.reason
        assert (order.filled_time is None) == (order.outcome in ("refused", "dropped"))


@given(cases(), st.sampled_from([1, 2, 7, 40]))
def test_chunks_never_matter_and_a_resumed_run_is_the_uninterrupted_one(case: Case, chunk: int) -> None:
    whole = case.run()
    states: list[Simulation] = []
    pieces = case.run(chunk=chunk, on_state=states.append)
    for state in (pieces, *(case.run(resume=Simulation.from_parts(*one.to_parts())) for one in states)):
        assert state.book == whole.book
        for mine, yours in zip((state.equity, *state.ledger, *state.orders), (whole.equity, *whole.ledger, *whole.orders), strict=True):
            assert mine.tobytes() == yours.tobytes()


@given(cases(free=True), st.sampled_from(["commission", "slippage", "per_unit", "borrow"]), st.sampled_from([0.0001, 0.01]))
def test_costs_never_raise_the_equity(case: Case, kind: str, amount: float) -> None:
    """With fixed units, levels that costs do not move, and no shortage, the same trades are made and every bar is worth less."""
    held = Execution.model_validate({"size": {"units": 10.0}, "unaffordable": "borrow", "hours": case.execution.hours, "cooldown": 2})
    dear = Case(case.bars, case.targets, [Costs(**{kind: amount})] * len(case.bars), held)
    cheap = Case(case.bars, case.targets, case.costs, held)
    if (cheap.run().equity > 0).all() and (dear.run().equity > 0).all():
        assert (dear.run().equity <= cheap.run().equity + 1e-6).all()
        assert dear.run().ledger.exit_bar.tolist() == cheap.run().ledger.exit_bar.tolist()


@given(cases(free=True))
def test_the_opposite_decisions_make_the_opposite_money(case: Case) -> None:
    """Without costs and with fixed units; levels of a price are not the mirror of one another, so there are none."""
    rules = Execution.model_validate({"size": {"units": 10.0}, "unaffordable": "borrow", "hours": case.execution.hours, "cooldown": 1})
    one = Case(case.bars, case.targets, case.costs, rules).run()
    other = Case(case.bars, [-column for column in case.targets], case.costs, rules).run()
    if (one.equity > 0).all() and (other.equity > 0).all():
        np.testing.assert_allclose(one.equity - CAPITAL, CAPITAL - other.equity, atol=1e-6)
        assert one.ledger.entry_bar.tolist() == other.ledger.entry_bar.tolist()


@given(cases(), st.integers(1, 60))
def test_no_bar_is_judged_by_a_later_one(case: Case, cut: int) -> None:
    """Without the bars to come, the equity is the same up to the last bar, on which positions are closed."""
    kept = [max(2, len(own) - cut) for own in case.bars] if len(case.bars) == 1 else None
    if kept is None:
        return
    early = Case([case.bars[0].rows(slice(0, kept[0]))], [case.targets[0][: kept[0]]], case.costs, case.execution)
    np.testing.assert_array_equal(early.run().equity[:-1], case.run().equity[: kept[0] - 1])


@given(cases())
def test_the_two_loops_are_one_where_decisions_stand_alone(case: Case) -> None:
    """The quick loop of one symbol with the whole equity gives the bits of the full one."""
    alone = Case(case.bars[:1], case.targets[:1], [Costs(commission=0.001, slippage=case.costs[0].slippage)], Execution())
    tape, rates = alone.tape, alone.costs[0].rates
    full = terms_of(Execution(stop_loss=0.99999999), tape, alone.costs)
    full = type(full)(rules=full.rules._replace(stop_loss=0.0), high=full.high, low=full.low)
    one = alone.run()
    other = simulate(tape.open, tape.close, alone.targets[0], rates, CAPITAL, terms=full, jitted=False)
    assert one.equity.tobytes() == other.equity.tobytes()
    for mine, yours in zip(one.ledger, other.ledger, strict=True):
        assert mine.tobytes() == yours.tobytes()
