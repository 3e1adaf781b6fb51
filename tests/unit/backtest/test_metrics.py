"""Each figure against a value worked out by hand."""

from __future__ import annotations

import math

import numba  # noqa: F401 - where the compiler is loaded, machine code pays from LONG bars on
import numpy as np
import pytest

from ktrdr.backtest import metrics
from ktrdr.backtest.metrics import Metrics, measure
from ktrdr.market.loops import LONG, compiled

CAPITAL = 100.0
EQUITY = np.array([100.0, 110.0, 99.0, 99.0, 118.8])  # +10 %, -10 %, 0, +20 %
RETURNS = np.array([0.1, -0.1, 0.0, 0.2])


def days(count: int) -> np.ndarray:
    return np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(1, "D")


def measured(equity: np.ndarray = EQUITY, net: tuple[float, ...] = (10.0, -11.0, 19.8)) -> Metrics:
    held = np.ones(len(net), dtype=np.int64)
    return measure(equity, days(len(equity)), CAPITAL, net=np.array(net), bars_held=held, total_costs=0.0)


def test_returns_are_from_close_to_close() -> None:
    np.testing.assert_allclose(metrics.returns_of(EQUITY), RETURNS)


def test_a_year_has_the_bars_that_were_measured() -> None:
    found = measured()
    assert found.years == pytest.approx(4 / 365.25)
    assert found.bars_per_year == pytest.approx(365.25)


def test_return_and_growth() -> None:
    found = measured()
    assert found.total_return == pytest.approx(18.8)
    assert found.total_return_pct == pytest.approx(0.188)
    assert found.annualized_return == pytest.approx(1.188 ** (365.25 / 4) - 1)


def test_risk_figures() -> None:
    found, deviation = measured(), math.sqrt((0.05**2 + 0.15**2 + 0.05**2 + 0.15**2) / 3)
    assert found.volatility == pytest.approx(deviation * math.sqrt(365.25))
    assert found.sharpe_ratio == pytest.approx(0.05 / deviation * math.sqrt(365.25))
    assert found.sortino_ratio == pytest.approx(0.05 / math.sqrt(0.01 / 4) * math.sqrt(365.25))


def test_drawdown_in_money_and_as_a_share_of_the_peak() -> None:
    found = measured()
    assert found.max_drawdown == pytest.approx(11.0)
    assert found.max_drawdown_pct == pytest.approx(0.1)
    assert found.recovery_factor == pytest.approx(18.8 / 11)
    assert found.annualized_return is not None
    assert found.calmar_ratio == pytest.approx(found.annualized_return / 0.1)


def test_a_loss_from_the_start_is_a_drawdown_from_the_capital() -> None:
    found = metrics.falls(np.array([90.0, 120.0, 60.0, 80.0]), CAPITAL)
    assert (found.deepest, found.longest) == (60.0, 2)
    assert found.share.tolist() == pytest.approx([0.1, 0.0, 0.5, 1 / 3])


def test_falls_are_the_same_compiled_and_plain() -> None:
    random = np.random.default_rng(1)
    for drift, rough in ((-1e-4, 1e-2), (1e-3, 1e-3), (0.0, 0.0)):
        equity = CAPITAL * np.exp(np.cumsum(random.normal(drift, rough, LONG)))
        plain = metrics.falls(equity[: LONG - 1], CAPITAL)
        fall, peak = np.empty((2, LONG - 1))
        deepest, longest = compiled(metrics.mark_falls, LONG)(equity[: LONG - 1], CAPITAL, fall, peak)
        assert (deepest, longest) == (plain.deepest, plain.longest)
        assert np.array_equal(fall / peak, plain.share)


def test_trade_figures() -> None:
    found = measured()
    assert (found.total_trades, found.winning_trades, found.losing_trades) == (3, 2, 1)
    assert found.win_rate == pytest.approx(2 / 3)
    assert found.profit_factor == pytest.approx(29.8 / 11)
    assert found.avg_trade == pytest.approx(18.8 / 3)
    assert (found.avg_win, found.avg_loss) == (pytest.approx(14.9), -11.0)
    assert (found.largest_win, found.largest_loss) == (19.8, -11.0)
    assert found.exposure == pytest.approx(3 / 5)


def test_without_trades_what_is_not_defined_says_why() -> None:
    found = measured(np.full(5, CAPITAL), ())
    assert found.sharpe_ratio is None
    assert found.undefined["sharpe_ratio"] == "the equity never changed"
    assert found.undefined["win_rate"] == "no trades"
    assert found.undefined["profit_factor"] == "no trades"
    assert found.undefined["calmar_ratio"] == "the equity never fell"
    assert found.annualized_return == 0
    assert found.volatility == 0


def test_a_curve_without_losses_has_no_sortino_ratio_and_no_profit_factor() -> None:
    found = measured(np.array([100.0, 101.0, 103.0]), (3.0,))
    assert found.undefined["sortino_ratio"] == "no bar lost money"
    assert found.undefined["profit_factor"] == "no losing trade"
    assert found.sharpe_ratio is not None


def test_equal_returns_have_no_sharpe_ratio() -> None:
    assert measured(CAPITAL * 1.01 ** np.arange(50)).undefined["sharpe_ratio"] == "all returns are the same"


def test_after_ruin_there_is_no_yearly_rate_and_no_further_return() -> None:
    found = measured(np.array([100.0, 50.0, -20.0, -20.0, -20.0]), (-120.0,))
    assert found.annualized_return is None
    assert found.undefined["annualized_return"] == "no equity was left"
    assert found.max_drawdown_pct == pytest.approx(1.2)
    assert metrics.returns_of(np.array([50.0, -20.0, -20.0])).tolist() == [-1.4, 0.0]


def test_an_hour_of_riches_is_not_a_yearly_rate() -> None:
    time = np.datetime64("2024-01-01", "us") + np.arange(2) * np.timedelta64(1, "m")
    found = measure(np.array([100.0, 101.0]), time, CAPITAL, net=np.array([1.0]), bars_held=np.array([1]), total_costs=0.0)
    assert found.annualized_return is None
    assert "too short" in found.undefined["annualized_return"]
    assert found.undefined["volatility"] == "fewer than 2 returns"
