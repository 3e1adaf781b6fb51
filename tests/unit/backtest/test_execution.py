"""Orders, levels and shared accounts, bar by bar as a person would work them out; and what a result is held against."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ktrdr.backtest.benchmarks import FEWEST, held_at_volatility, random_entry, with_benchmarks
from ktrdr.backtest.breakdown import break_down
from ktrdr.backtest.costs import Costs
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import run_backtest
from ktrdr.backtest.tape import Tape
from ktrdr.backtest.terms import within, yearly_volatility
from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.execution import Execution, ExecutionCosts, Hours

START = np.datetime64("2024-01-01", "us")
HOUR = np.timedelta64(1, "h")


def bars_of(rows: list[tuple[float, float, float, float]], symbol: str = "TEST", at: list[int] | None = None) -> Bars:
    open, high, low, close = (list(column) for column in zip(*rows, strict=True))
    time = START + np.array(at or range(len(rows))) * HOUR
    return Bars.checked(symbol, Timeframe("1h"), time, open=open, high=high, low=low, close=close, volume=[1.0] * len(rows))


FLAT = (100.0, 101.0, 99.0, 100.0)


def run(bars: Bars | list[Bars], targets: Any, costs: Costs | None = None, capital: float = 1000.0, **execution: Any) -> Backtest:
    many = isinstance(bars, list)
    wanted = [np.array(t, np.int8) for t in targets] if many else np.array(targets, np.int8)
    charged = [costs or Costs()] * len(bars) if many else costs or Costs()
    return run_backtest(bars, wanted, charged, capital, execution=Execution.model_validate(execution))


def test_a_bar_that_reaches_both_levels_takes_the_stop() -> None:
    wild = bars_of([FLAT, (100, 110, 90, 105), FLAT, FLAT])
    trade = run(wild, [1, 1, 1, 0], stop_loss=0.05, take_profit=0.05).trades[0]
    assert (trade.exit_reason, trade.exit_price, trade.entry_bar, trade.exit_bar, trade.bars_held) == ("stop_loss", 95.0, 1, 1, 1)
    short = run(wild, [-1, -1, -1, 0], stop_loss=0.05, take_profit=0.05).trades[0]
    assert (short.exit_reason, short.exit_price) == ("stop_loss", 105.0)


def test_an_open_beyond_a_level_is_filled_at_the_open() -> None:
    gapping = bars_of([FLAT, FLAT, (80, 81, 79, 80), FLAT])
    assert run(gapping, [1, 1, 1, 0], stop_loss=0.05).trades[0].exit_price == 80.0
    rising = bars_of([FLAT, FLAT, (120, 121, 90, 120), FLAT])
    trade = run(rising, [1, 1, 1, 0], stop_loss=0.05, take_profit=0.05).trades[0]
    assert (trade.exit_reason, trade.exit_price) == ("take_profit", 120.0)


def test_a_stopped_decision_is_spent_until_it_changes() -> None:
    bars = bars_of([FLAT, (100, 100, 90, 95), FLAT, FLAT, FLAT, FLAT, FLAT])
    result = run(bars, [1, 1, 1, 0, 1, 1, 1], stop_loss=0.05)
    assert [(t.entry_bar, t.exit_reason) for t in result.trades] == [(1, "stop_loss"), (5, "end_of_data")]


def test_a_trailing_stop_follows_the_best_price_after_the_bar() -> None:
    bars = bars_of([FLAT, (100, 100, 100, 100), (100, 120, 100, 118), (118, 119, 105, 106), FLAT])
    trade = run(bars, [1, 1, 1, 1, 0], trailing_stop=0.1).trades[0]
    assert (trade.exit_reason, trade.exit_bar, trade.exit_price) == ("trailing_stop", 3, pytest.approx(108.0))


@pytest.mark.parametrize(("policy", "filled", "outcome"), [("cut", 10.0, "cut"), ("refuse", None, "refused"), ("borrow", 25.0, "filled")])
def test_what_is_not_affordable_has_a_policy_and_a_reason(policy: str, filled: float | None, outcome: str) -> None:
    result = run(bars_of([FLAT] * 4), [1, 1, 1, 0], size={"units": 25.0}, unaffordable=policy)
    assert [trade.quantity for trade in result.trades] == ([filled] if filled else [])
    (order,) = result.orders
    assert (order.outcome, order.reason, order.quantity_asked, order.quantity_filled) == (outcome, "unaffordable", 25.0, filled or 0.0)
    assert result.to_json()["orders"] == {"noted": 1, f"{outcome}: unaffordable": 1}
    assert "unaffordable" in result.orders_csv()


def test_quantities_are_whole_lots_and_less_than_one_is_refused() -> None:
    assert run(bars_of([FLAT] * 4), [1, 1, 1, 0], capital=1050.0, lot=3).trades[0].quantity == 9.0
    result = run(bars_of([FLAT] * 4), [1, 1, 1, 0], capital=250.0, lot=3)
    assert [(o.outcome, o.reason) for o in result.orders] == [("refused", "less_than_a_lot")]


def test_an_order_waits_for_its_hours_while_the_decision_stands() -> None:
    hours = {"start": "03:00", "end": "05:00"}
    waited = run(bars_of([FLAT] * 7), [1, 1, 1, 1, 1, 0, 0], hours=hours)
    assert [(t.entry_bar, t.exit_bar) for t in waited.trades] == [(3, 6)], "entered in the hours, left out of them"
    assert [(o.outcome, o.reason) for o in waited.orders] == [("filled", "hours")]
    assert (waited.orders[0].time, waited.orders[0].filled_time) == (
        datetime(2024, 1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 3, tzinfo=UTC),
    )  # fmt: skip
    dropped = run(bars_of([FLAT] * 7), [1, 0, 0, 0, 0, 0, 0], hours=hours)
    assert [(o.outcome, o.reason) for o in dropped.orders] == [("dropped", "hours")]


def test_a_cooldown_keeps_the_next_entry_away_from_the_last_exit() -> None:
    result = run(bars_of([FLAT] * 8), [1, 1, -1, -1, -1, -1, 0, 0], cooldown=3)
    assert [(t.entry_bar, t.exit_bar) for t in result.trades] == [(1, 3), (6, 7)]


def test_hours_over_midnight_belong_to_the_day_they_began() -> None:
    time = START + np.arange(48) * HOUR  # a Monday and a Tuesday
    night = within(time, Hours(start="22:00", end="02:00", days=("mon",)))
    assert np.flatnonzero(night).tolist() == [22, 23, 24, 25]


def test_volatility_is_measured_on_what_is_known_and_scales_the_position() -> None:
    random = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, 400)))
    bars = bars_of([(c, c, c, c) for c in close.tolist()])
    measured = yearly_volatility(bars, 50)
    assert np.isnan(measured[:50]).all()
    moves = np.diff(np.log(close))[149:199]
    assert measured[199] == pytest.approx(moves.std(ddof=1) * np.sqrt(365.25 * 24))
    trade = run(bars, np.where(np.arange(400) < 199, 0, 1), size={"volatility": 0.05, "span": 50}).trades[0]
    assert trade.quantity == pytest.approx(1000 * 0.05 / measured[199] / close[200])
    waited = run(bars, np.ones(400), size={"volatility": 0.05, "span": 50})
    assert (waited.trades[0].entry_bar, waited.orders[0].reason) == (51, "volatility_unknown")
    assert np.isnan(yearly_volatility(bars_of([FLAT] * 60), 20)).all(), "prices that do not move have no volatility"


def test_each_kind_of_cost_is_taken_and_told_apart() -> None:
    costs = Costs(per_unit=0.5, borrow=0.0876)
    result = run(bars_of([FLAT] * 4), [-1, -1, 0, 0], costs, size={"units": 2.0})
    trade = result.trades[0]
    assert trade.commission == pytest.approx(2.0)
    assert trade.borrow == pytest.approx(0.0876 * 200 * 2 / (365.25 * 24))
    assert result.metrics.total_costs == pytest.approx(trade.commission + trade.borrow)
    assert result.equity[-1] == pytest.approx(1000 - result.metrics.total_costs)
    assert costs.sentence() == "per side: 0.5 per unit; borrowing 8.7600% a year"
    named = Costs(commission=0.001, spread=0.1).executed(ExecutionCosts(commission=0.0, spread=0.2, borrow=0.01))
    assert named == Costs(spread=0.2, borrow=0.01)


def test_symbols_share_the_cash_in_their_order() -> None:
    one, other = bars_of([FLAT] * 5, "ONE"), bars_of([FLAT] * 5, "OTHER")
    whole = run([one, other], [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]])
    assert [trade.symbol for trade in whole.trades] == ["ONE"]
    assert [(o.symbol, o.outcome, o.reason) for o in whole.orders] == [("OTHER", "refused", "unaffordable")]
    halves = run([one, other], [[1, 1, 1, 0, 0], [-1, -1, -1, 0, 0]], size={"share": 0.5})
    assert [(t.symbol, t.side, t.quantity) for t in halves.trades] == [("ONE", "long", 5.0), ("OTHER", "short", 5.0)]
    assert halves.symbol == "ONE+OTHER"
    assert halves.cash[2] == pytest.approx(1000.0)
    assert halves.metrics.exposure == pytest.approx(3 / 5)


def test_a_symbol_without_a_bar_waits_for_its_next() -> None:
    one, other = bars_of([FLAT] * 6, "ONE"), bars_of([FLAT] * 3, "OTHER", at=[0, 4, 5])
    result = run([one, other], [[0] * 6, [1, 1, 1]], size={"share": 0.5})
    assert [(t.symbol, t.entry_time) for t in result.trades] == [("OTHER", datetime(2024, 1, 1, 4, tzinfo=UTC))]
    assert not result.orders
    with pytest.raises(Invalid, match="each symbol once"):
        Tape.of([one, one])


def a_backtest(count: int = 2_000) -> Backtest:
    random = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.004, count)))
    rows = [(c, c * 1.001, c * 0.999, c) for c in close.tolist()]
    return run(bars_of(rows), np.repeat(random.integers(-1, 2, count // 20), 20), Costs(commission=0.0005))


def test_it_is_held_against_holding_at_a_volatility_and_entering_at_random() -> None:
    result = with_benchmarks(a_backtest())
    assert list(result.benchmarks) == ["buy_and_hold", "flat", "volatility_hold", "random_entry"]
    held, whole = result.benchmarks["volatility_hold"], result.benchmarks["buy_and_hold"]
    assert (held.volatility or 1) < 0.5 * (whole.volatility or 0)
    luck, again = result.random_entry, with_benchmarks(a_backtest()).random_entry
    assert luck == again
    assert luck
    assert luck.low_return_pct < luck.median_return_pct < luck.high_return_pct
    typical = result.benchmarks["random_entry"]
    assert typical.total_trades == result.metrics.total_trades
    assert typical.total_return_pct == pytest.approx(luck.median_return_pct, abs=0.05)


def test_knowing_the_future_beats_every_random_entry() -> None:
    close = a_backtest().tape.close
    ahead = np.sign(np.diff(np.append(close, close[-1]).reshape(-1)[::1])).astype(np.int8)
    bars = a_backtest().tape.bars[0]
    oracle = with_benchmarks(run_backtest(bars, np.concatenate((ahead[1:], [0])).astype(np.int8), Costs(), 1000.0))
    assert oracle.random_entry
    assert (oracle.random_entry.beaten, oracle.random_entry.p_value) == (1.0, 1 / (1 + oracle.random_entry.draws))


def test_random_entries_are_right_as_often_as_they_say() -> None:
    """Of positions that know nothing, p-values are spread evenly."""
    bars = a_backtest().tape.bars[0].rows(slice(0, 400))
    found = []
    for seed in range(60):
        wanted = np.repeat(np.random.default_rng(seed).integers(-1, 2, 40), 10).astype(np.int8)
        luck, _ = random_entry(run_backtest(bars, wanted, Costs(), 1000.0), draws=FEWEST)
        assert luck
        found.append(luck.p_value)
    values = np.array(found)
    assert np.mean(values < 0.1) < 0.25
    assert 0.35 < values.mean() < 0.65


def test_a_strategy_in_its_own_order_earns_as_much_as_itself() -> None:
    """One trade without pauses has one order only."""
    bars = a_backtest().tape.bars[0]
    luck, typical = random_entry(run_backtest(bars, np.ones(len(bars), np.int8), Costs(commission=0.001), 1000.0))
    assert luck
    assert typical
    assert luck.low_return_pct == luck.high_return_pct
    assert luck.high_return_pct == pytest.approx(typical.total_return_pct)


def test_holding_at_a_volatility_looks_back_only() -> None:
    bars, result = a_backtest().tape.bars[0], a_backtest()
    whole, early = (held_at_volatility(bars.rows(slice(0, count)), Costs(), 1000.0, result)[0] for count in (2000, 1500))
    assert np.array_equal(whole[:1499], early[:1499])
    assert not np.array_equal(whole, held_at_volatility(bars, Costs(commission=0.001), 1000.0, result)[0])


def test_its_parts_make_the_whole() -> None:
    result = a_backtest()
    middle = datetime(2024, 2, 1, tzinfo=UTC)
    found = break_down(result, (datetime(2024, 1, 1, tzinfo=UTC), middle))
    for parts in (found.by_period, found.by_regime, found.by_sample):
        assert sum(part.bars for part in parts) == len(result.time)
        assert sum(part.trades for part in parts) == len(result.trades)
        assert np.prod([1 + part.total_return_pct for part in parts]) == pytest.approx(1 + result.metrics.total_return_pct)
    assert sum(part.net_pnl for part in found.by_side) == pytest.approx(result.metrics.total_return)
    assert [(part.name, part.in_sample) for part in found.by_sample] == [("out of sample", False), ("in sample", True)]
    assert [part.name for part in found.by_period] == ["2024-01", "2024-02", "2024-03"]
    assert {part.name for part in found.by_regime} == {"rising calm", "rising rough", "falling calm", "falling rough", "not known yet"}
    assert break_down(result).by_sample == ()
