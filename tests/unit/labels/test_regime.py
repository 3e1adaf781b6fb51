"""Trends, ranges and turmoil."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.labels.regime import DOWN, RANGING, UP, VOLATILE, Regime, pivots, trailing
from ktrdr.market.bars import Bars

MakeBars = Callable[..., Bars]
SMALL = Regime(atr_period=3, vol_lookback=20, macro_atr_mult=6, micro_atr_mult=1.5, vol_crisis_threshold=20)


def wave(steps: list[float], count: int = 60, start: float = 100.0) -> np.ndarray:
    """Closes that go on by the steps, over and over."""
    return start + np.cumsum(np.resize(steps, count))


def labels_of(close: np.ndarray, hourly: MakeBars, rule: Regime = SMALL) -> tuple[np.ndarray, np.ndarray]:
    targets = rule.label(hourly(close, close + 0.1, close - 0.1))
    return targets.values, targets.last_read


def test_higher_highs_and_higher_lows_are_a_trend_up(hourly: MakeBars) -> None:
    rise, fall = wave([2, 2, -1.5]), wave([-2, -2, 1.5], start=151)
    values, _ = labels_of(np.concatenate((wave([0.5, -0.5], 30), rise, fall, wave([2, 2, -1.5], start=101))), hourly)
    assert set(values[32:85].tolist()) == {UP}
    assert set(values[95:145].tolist()) == {DOWN}


def test_a_swing_whose_small_swings_go_nowhere_is_a_range(hourly: MakeBars) -> None:
    """From 100 to 130 in a few bars, then up and down around it."""
    flat = wave([4, -4.5, 4, -3.5], 60, start=126)
    close = np.concatenate((wave([0.5, -0.5], 30), np.linspace(100, 130, 6), flat, np.linspace(120, 80, 20), np.linspace(82, 120, 20)))
    values, _ = labels_of(close, hourly, SMALL.model_copy(update={"progression_tolerance": 0.1, "macro_atr_mult": 9.0}))
    assert RANGING in set(values[36:90].tolist())
    tolerant, _ = labels_of(close, hourly, SMALL.model_copy(update={"progression_tolerance": 1.0, "macro_atr_mult": 9.0}))
    assert RANGING not in set(tolerant[np.isfinite(tolerant)].tolist())


def test_coming_returns_far_wilder_than_the_past_ones_are_turmoil(hourly: MakeBars) -> None:
    close = np.concatenate((wave([0.5, -0.5], 60), wave([9, -9], 30)))
    values, last_read = labels_of(close, hourly, SMALL.model_copy(update={"vol_crisis_threshold": 5.0}))
    wild = np.flatnonzero(values == VOLATILE)
    assert {57, 58, 59} <= set(wild.tolist())
    assert np.all(last_read[wild] == wild + 3)


def test_a_label_reads_as_far_as_the_turn_that_ends_its_swing(hourly: MakeBars) -> None:
    values, last_read = labels_of(np.concatenate((wave([0.5, -0.5], 30), wave([2, 2, -1.5]), wave([-2, -2, 1.5], start=151))), hourly)
    rising = np.flatnonzero(values == UP)
    # The top is bar 88; a fall of six usual moves from there is seen some bars later.
    assert len(set(last_read[rising[rising < 80]].tolist())) == 1
    assert last_read[40] > 88


@pytest.mark.parametrize("cut", [1, 17, 150])
def test_a_label_is_known_once_the_last_bar_that_it_reads_is_there(cut: int, hourly: MakeBars) -> None:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 600)))
    rule = Regime(atr_period=5, vol_lookback=30, vol_crisis_threshold=1.5)
    (values, last_read), (early, _) = labels_of(close, hourly, rule), labels_of(close[:-cut], hourly, rule)
    assert VOLATILE in early
    np.testing.assert_array_equal(np.isfinite(early), np.isfinite(values[:-cut]) & (last_read[:-cut] < 600 - cut))


def test_a_pivot_is_known_when_price_has_turned_by_the_threshold_of_that_bar() -> None:
    close = np.array([100.0, 110.0, 105.0, 104.0, 120.0])
    turned, known = pivots(close, np.array([np.nan, np.nan, 0.10, 0.05, 0.05]))
    assert (turned.tolist(), known.tolist()) == ([1, 3], [3, 4])


def test_a_figure_of_the_last_bars_looks_at_no_other() -> None:
    np.testing.assert_array_equal(trailing(np.median, np.array([1.0, 9.0, 2.0, 3.0]), 3), [np.nan, np.nan, 2, 3])


def test_prices_that_do_not_move_have_no_regime(hourly: MakeBars) -> None:
    assert np.isnan(SMALL.label(hourly([50.0] * 100)).values).all()


def test_its_classes_say_what_to_do() -> None:
    wanted = {"trending_up": BUY, "trending_down": SELL, "ranging": HOLD, "volatile": HOLD}
    assert dict(zip(Regime.classes, Regime.signals, strict=True)) == wanted
