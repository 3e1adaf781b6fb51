"""Profit, loss, or the end of patience."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.labels.triple_barrier import TripleBarrier
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe


def outcome(
    high: list[float], low: list[float], close: list[float], pt: float = 2.0, sl: float = 1.0, vol: float = 0.01
) -> tuple[float, int]:
    """The label of the first bar and the last bar it read; the entry is at 100, so barriers are at 102 and 99."""
    label = TripleBarrier(pt=pt, sl=sl, max_holding_period=len(close) - 1)
    time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    prices = {name: np.array(column, np.float64) for name, column in zip(("high", "low", "close"), (high, low, close), strict=True)}
    bars = Bars.checked("X", Timeframe("1h"), time, open=prices["close"], **prices, volume=np.ones(len(close)))
    values, last_read = label.outcomes(bars, np.full(len(close), vol))
    return float(values[0]), int(last_read[0])


def test_a_high_that_touches_the_upper_barrier_first_is_a_buy() -> None:
    assert outcome([100, 101, 102, 100], [100, 99.5, 99.5, 98], [100, 101, 100, 98]) == (BUY, 2)


def test_a_low_that_touches_the_lower_barrier_first_is_a_sell() -> None:
    assert outcome([100, 101, 103], [100, 99, 100], [100, 100, 103]) == (SELL, 1)


@pytest.mark.parametrize(("close", "label"), [(100.5, BUY), (99.5, SELL), (100.0, HOLD)])
def test_both_touched_in_one_bar_is_decided_by_its_close(close: float, label: int) -> None:
    assert outcome([100, 103, 100], [100, 98, 100], [100, close, 100]) == (label, 1)


@pytest.mark.parametrize(("close", "label"), [(100.5, HOLD), (101.5, BUY), (98.5, SELL)])
def test_when_time_runs_out_the_return_decides_if_it_is_large_enough(close: float, label: int) -> None:
    # Half a volatility times the root of two bars is 0.7 %.
    assert outcome([100, 100, max(100, close)], [100, 100, min(100, close)], [100, 100, close], pt=50, sl=50) == (label, 2)


def test_the_first_bars_and_those_without_a_full_holding_period_have_no_label(hourly: Callable[..., Bars]) -> None:
    random = np.random.default_rng(1)
    close = 100 + np.cumsum(random.normal(0, 1, 60))
    for method in ("atr", "close"):
        targets = TripleBarrier(max_holding_period=10, vol_span=20, vol_method=method).label(hourly(close, close + 1, close - 1))
        known = ~np.isnan(targets.values)
        assert not known[:20].any()
        assert known[20:50].all()
        assert not known[50:].any()


def test_prices_that_do_not_move_have_no_labels(hourly: Callable[..., Bars]) -> None:
    assert np.isnan(TripleBarrier(vol_span=2, max_holding_period=3).label(hourly([100.0] * 30)).values).all()


def test_volatility_by_range_is_the_exponential_mean_of_high_less_low(hourly: Callable[..., Bars]) -> None:
    bars = hourly([100, 100, 100, 100], [101, 102, 101, 101], [99, 98, 99, 99])
    volatility = TripleBarrier(vol_span=3).volatility(bars)
    np.testing.assert_allclose(volatility, [np.nan, np.nan, np.nan, ((0.02 + 0.04) / 2 / 2 + 0.01) / 2 + 0.01])


def test_volatility_by_close_is_the_exponential_deviation_of_returns(hourly: Callable[..., Bars]) -> None:
    bars = hourly([100, 110, 99, 108.9])
    volatility = TripleBarrier(vol_span=3, vol_method="close").volatility(bars)
    mean, variance = 0.0, 0.0
    for change in (0.1, -0.1, 0.1):
        step = change - mean
        mean, variance = mean + 0.5 * step, 0.5 * (variance + 0.5 * step * step)
    np.testing.assert_allclose(volatility[3], np.sqrt(variance))


def test_only_bars_at_which_price_has_come_far_are_labelled(hourly: Callable[..., Bars]) -> None:
    """Returns of 1, 1, 1, -1, -1, -1 %: three of a kind reach 2.5 %, and the sum begins again there."""
    close = 100 * np.exp(np.cumsum([0.0, *[0.01, 0.01, 0.01, -0.01, -0.01, -0.01] * 10]))
    rule = TripleBarrier(vol_span=2, max_holding_period=3, cusum_threshold=0.025)
    bars = hourly(close, close + 0.5, close - 0.5)
    given = np.flatnonzero(np.isfinite(rule.label(bars).values)).tolist()
    assert given == [3 * i for i in range(1, 20)]
    whole = TripleBarrier(vol_span=2, max_holding_period=3).label(bars)
    np.testing.assert_array_equal(rule.label(bars).values[given], whole.values[given])


def test_how_far_may_be_said_in_volatilities(hourly: Callable[..., Bars]) -> None:
    close = 100 + np.cumsum(np.random.default_rng(4).normal(0, 1, 200))
    bars = hourly(close, close + 1, close - 1)
    counts = [
        int(np.isfinite(TripleBarrier(vol_span=20, max_holding_period=9, cusum_multiplier=m).label(bars).values).sum()) for m in (0.1, 1, 3)
    ]
    assert counts[0] > counts[1] > counts[2] > 0


def test_two_ways_to_say_how_far_are_refused() -> None:
    with pytest.raises(ValueError, match="takes cusum_threshold or cusum_multiplier, not both"):
        TripleBarrier(cusum_threshold=0.01, cusum_multiplier=1)
