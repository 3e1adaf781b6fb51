"""Random targets on random bars: the simulation against a slow one that keeps cash and units, and what must always hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import run_backtest
from ktrdr.backtest.simulate import Simulation, simulate
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

CAPITAL = 100_000.0


@dataclass
class Case:
    bars: Bars
    targets: np.ndarray
    costs: Costs


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Bars with gaps between close and open, targets that change now and then, costs from none to heavy."""
    count = draw(st.integers(2, 120))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    jumpy = draw(st.sampled_from([0.001, 0.02, 0.4]))
    close = 100 * np.exp(np.cumsum(random.normal(0, jumpy, count)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, jumpy / 2, count))
    high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
    time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    bars = Bars.checked("TEST", Timeframe("1h"), time, open=opens, high=high, low=low, close=close, volume=np.ones(count))
    changes = random.random(count) < draw(st.sampled_from([0.05, 0.5]))
    wanted = random.integers(-1, 2, count)
    targets = wanted[np.maximum.accumulate(np.where(changes, np.arange(count), 0))].astype(np.int8)
    share = st.sampled_from([0.0, 0.0005, 0.02])
    in_price = draw(st.sampled_from([0.0, 0.1])) * float(min(opens.min(), close.min()))
    return Case(bars, targets, Costs(commission=draw(share), slippage=draw(share), spread=in_price))


def slowly(case: Case) -> tuple[list[float], int]:
    """Equity at each close and the number of trades, by cash and units."""
    bars, costs = case.bars, case.costs
    cash, units, trades, alive = CAPITAL, 0.0, 0, True
    equity = []

    def dealt(price: float, direction: int) -> float:
        return price + direction * (price * costs.slippage + costs.spread)

    def out_of(price: float) -> float:
        paid = dealt(price, -1 if units > 0 else 1)
        return cash + units * paid - abs(units) * paid * costs.commission

    for t in range(len(bars)):
        now = int(np.sign(units))
        wanted = int(case.targets[t - 1]) if t and alive else now
        if wanted != now:
            if now:
                cash, units, trades = out_of(bars.open[t]), 0.0, trades + 1
            alive = cash > 0
            if alive and wanted:
                price = dealt(bars.open[t], wanted)
                units = wanted * cash / (price * (1 + costs.commission))
                cash -= units * price + abs(units) * price * costs.commission
        if units and (t == len(bars) - 1 or cash + units * bars.close[t] <= 0):
            cash, units, trades = out_of(bars.close[t]), 0.0, trades + 1
            alive = cash > 0
        equity.append(cash + units * bars.close[t])
    return equity, trades


def backtest(case: Case) -> Backtest:
    return run_backtest(case.bars, case.targets, case.costs, CAPITAL)


def plainly(case: Case, **given: object) -> Simulation:
    return simulate(case.bars.open, case.bars.close, case.targets, case.costs.rates, CAPITAL, jitted=False, **given)


def same(one: Simulation, other: Simulation) -> None:
    """Every bit is the same."""
    assert one.book == other.book
    for mine, yours in zip((one.equity, *one.ledger, *one.orders), (other.equity, *other.ledger, *other.orders), strict=True):
        assert mine.tobytes() == yours.tobytes()


@given(cases())
def test_it_agrees_with_an_account_of_cash_and_units(case: Case) -> None:
    equity, trades = slowly(case)
    result = backtest(case)
    np.testing.assert_allclose(result.equity, equity, rtol=1e-9, atol=1e-9 * CAPITAL)
    assert len(result.trades) == trades


@given(cases())
def test_the_results_of_the_trades_add_up_to_the_change_of_equity(case: Case) -> None:
    result = backtest(case)
    scale = max(CAPITAL, np.abs(result.equity).max())
    assert result.trades.net_pnl.sum() == pytest.approx(result.equity[-1] - CAPITAL, abs=1e-9 * scale)
    assert result.metrics.total_return == result.equity[-1] - CAPITAL


@given(cases())
def test_each_trade_is_gross_less_costs_and_costs_are_never_negative(case: Case) -> None:
    trades = backtest(case).trades
    worth = trades.quantity * trades.entry_price
    np.testing.assert_allclose(trades.gross_pnl - trades.commission - trades.slippage, trades.net_pnl, atol=1e-9 * worth.max(initial=1))
    assert (trades.commission >= 0).all()
    assert (trades.slippage >= -1e-9 * worth).all()
    assert (trades.max_favorable_excursion >= 0).all()
    assert (trades.max_adverse_excursion >= 0).all()


@given(cases())
def test_trades_do_not_overlap_and_begin_one_bar_after_their_decision(case: Case) -> None:
    trades = backtest(case).trades
    assert (trades.exit_bar >= trades.entry_bar).all()
    assert (trades.entry_bar[1:] >= trades.exit_bar[:-1]).all()
    for trade in trades:
        assert case.targets[trade.entry_bar - 1] == (1 if trade.side == "long" else -1)


@given(cases())
def test_a_target_on_the_last_bar_changes_nothing(case: Case) -> None:
    other = Case(case.bars, case.targets.copy(), case.costs)
    other.targets[-1] = -other.targets[-1] if other.targets[-1] else 1
    assert backtest(case).trades_csv() == backtest(other).trades_csv()


@given(cases(), st.integers(0, 60))
def test_no_bar_is_judged_by_a_later_one(case: Case, cut: int) -> None:
    """Without the bars to come, equity is the same up to the last bar, on which an open position is closed."""
    kept = max(2, len(case.bars) - cut)
    early = Case(case.bars.rows(slice(0, kept)), case.targets[:kept], case.costs)
    np.testing.assert_array_equal(plainly(early).equity[:-1], plainly(case).equity[: kept - 1])


@given(cases(), st.integers(1, 120))
def test_stopping_after_any_bar_and_going_on_changes_no_bit(case: Case, stop: int) -> None:
    whole = plainly(case)
    states: list[Simulation] = []
    same(plainly(case, chunk=stop, on_state=states.append), whole)
    for state in states:
        same(plainly(case, resume=state), whole)


@given(cases())
def test_a_share_of_the_capital_makes_a_share_of_the_money(case: Case) -> None:
    tenth = run_backtest(case.bars, case.targets, case.costs, CAPITAL / 10)
    np.testing.assert_allclose(tenth.equity * 10, backtest(case).equity, rtol=1e-9, atol=1e-6)


@given(cases())
def test_nothing_undefined_reaches_the_summary(case: Case) -> None:
    metrics = backtest(case).metrics
    missing = {name for name, value in metrics if value is None}
    assert missing == set(metrics.undefined)
    assert np.isfinite([value for name, value in metrics if isinstance(value, float)]).all()
