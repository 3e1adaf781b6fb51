"""Costs, delay and the cost that nothing survives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import Rates
from ktrdr.backtest.run import run_backtest
from ktrdr.backtest.simulate import simulate
from ktrdr.errors import Invalid
from ktrdr.evaluation.stress import DELAYS, FEES, SLIPPAGES, break_even, delayed, stress, times
from ktrdr.market.bars import Bars

COSTS = Costs(commission=0.0005, slippage=0.0002, spread=0.01, slippage_price=0.005)


def foresight(bars: Bars, hold: int = 6) -> np.ndarray:
    """Positions that know where the price goes: good enough to survive costs."""
    ahead = np.sign(np.append(bars.close[hold:], np.full(hold, bars.close[-1])) - bars.close).astype(np.int8)
    return ahead[np.arange(len(bars)) // hold * hold]


def test_the_grid_is_the_backtest_under_each_condition(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of()
    wanted = foresight(bars)
    found = stress(bars, wanted, COSTS, 1000.0)
    assert len(found.cells) == len(FEES) * len(SLIPPAGES) * len(DELAYS)
    plain = run_backtest(bars, wanted, COSTS, 1000.0).metrics
    usual = found.cell(1, 1, 0)
    assert (usual.total_return_pct, usual.sharpe_ratio, usual.trades) == (
        pytest.approx(plain.total_return_pct), plain.sharpe_ratio, plain.total_trades,
    )  # fmt: skip
    dear = run_backtest(bars, delayed(wanted, 2), times(COSTS, 3, 4), 1000.0).metrics
    assert found.cell(3, 4, 2).total_return_pct == pytest.approx(dear.total_return_pct)
    assert found.undefined == {}


def test_fees_and_slippage_are_multiplied_apart() -> None:
    assert times(COSTS, 3, 4).model_dump() == pytest.approx(
        {"commission": 0.0015, "slippage": 0.0008, "spread": 0.03, "slippage_price": 0.02, "per_unit": 0.0, "borrow": 0.0}
    )


def test_costs_only_ever_take(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of()
    found = stress(bars, foresight(bars), COSTS, 1000.0)
    for delay in DELAYS:
        for slippage in SLIPPAGES:
            returns = [found.cell(fee, slippage, delay).total_return_pct for fee in FEES]
            assert returns == sorted(returns, reverse=True)
        for fee in FEES:
            returns = [found.cell(fee, slippage, delay).total_return_pct for slippage in SLIPPAGES]
            assert returns == sorted(returns, reverse=True)


def test_what_knows_the_next_bars_loses_by_waiting(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of()
    found = stress(bars, foresight(bars, hold=2), COSTS, 1000.0)
    assert found.kept_with_delay is not None
    assert found.kept_with_delay < 0.6
    assert found.margin is not None
    assert found.assumed is not None
    assert found.break_even == pytest.approx(found.margin * found.assumed)
    assert found.assumed == pytest.approx(0.0005 + 0.0002 + 0.015 / bars.close.mean(), rel=0.05)


@given(seed=st.integers(0, 2**32 - 1), hold=st.integers(1, 30))
def test_at_break_even_nothing_is_earned(seed: int, hold: int, bars_of: Callable[..., Bars]) -> None:
    bars = bars_of(120, seed=seed)
    wanted = foresight(bars, hold)
    level = break_even(simulate(bars.open, bars.close, wanted, Rates(0.0, 0.0, 0.0), 1000.0))
    if level is None:
        assert simulate(bars.open, bars.close, wanted, Rates(0.0, 0.0, 0.0), 1000.0).equity[-1] <= 1000
        return
    at = simulate(bars.open, bars.close, wanted, Rates(level, 0.0, 0.0), 1000.0)
    if at.book.ruined_at < 0 and (at.equity > 0).all():
        assert at.equity[-1] == pytest.approx(1000, rel=1e-6)


def test_delay_shifts_what_is_wanted() -> None:
    wanted = np.array([1, 1, 0, -1], np.int8)
    assert delayed(wanted, 0).tolist() == [1, 1, 0, -1]
    assert delayed(wanted, 1).tolist() == [0, 1, 1, 0]
    assert delayed(wanted, 9).tolist() == [0, 0, 0, 0]
    assert delayed(wanted, 1).dtype == np.int8


def test_what_never_trades_or_loses_has_no_break_even(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of()
    idle = stress(bars, np.zeros(600, np.int8), COSTS, 1000.0)
    assert (idle.break_even, idle.assumed, idle.margin, idle.kept_with_delay) == (None, None, None, None)
    assert idle.undefined["break_even"] == idle.undefined["margin"] == "no trades"
    assert idle.cells[0].reason == "the equity never changed"
    losing = stress(bars, -foresight(bars), COSTS, 1000.0)
    assert losing.undefined == {
        "break_even": "it earns nothing even without costs", "margin": "it earns nothing even without costs",
        "kept_with_delay": "no Sharpe ratio above 0 to keep",
    }  # fmt: skip
    free = stress(bars, foresight(bars), Costs(), 1000.0)
    assert (free.assumed, free.undefined) == (0.0, {"margin": "no costs were assumed"})


def test_better_than_possible_is_refused(bars_of: Callable[..., Bars]) -> None:
    for wrong in ({"fees": (-1.0,)}, {"slippages": (-0.5,)}, {"delays": (-1,)}):
        with pytest.raises(Invalid, match="before the next open"):
            stress(bars_of(), np.zeros(600, np.int8), COSTS, 1000.0, **wrong)
