"""Every indicator against its definition, written out by hand, and against TA-Lib's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba  # noqa: F401 - where the compiler is loaded, machine code pays from LONG bars on
import numpy as np
import pytest
import talib

from ktrdr.indicators.base import INDICATORS, Floats
from ktrdr.labels.zigzag import ZigZag as ZigZagLabel
from ktrdr.market.bars import Bars
from ktrdr.market.loops import LONG
from ktrdr.market.timeframe import Timeframe
from tests.golden.definitions import DEFINITIONS, exponential, lagged_by

CATALOGUE = {
    "rsi", "roc", "momentum", "cci", "williamsr", "stochastic", "rvi", "fishertransform", "aroon", "macd", "adx", "atr",
    "bollingerbands", "bollingerbandwidth", "keltnerchannels", "donchianchannels", "squeezeintensity", "supertrend",
    "parabolicsar", "ichimoku", "simplemovingaverage", "exponentialmovingaverage", "weightedmovingaverage", "distancefromma",
    "zigzag", "obv", "vwap", "mfi", "cmf", "adline", "volumeratio",
}  # fmt: skip
"""What strategies of the earlier system may name."""


def walk(count: int, seed: int = 11) -> Bars:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    start = close * np.exp(random.normal(0, 0.005, count))
    high, low = np.maximum(start, close) * (1 + 0.01 * random.random(count)), np.minimum(start, close) * (1 - 0.01 * random.random(count))
    return bars_of(start, high, low, close, random.integers(1, 100, count))


def bars_of(open: Any, high: Any, low: Any, close: Any, volume: Any = None) -> Bars:
    time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    volume = np.ones(len(close)) if volume is None else volume
    return Bars.checked("X", Timeframe("1h"), time, open=open, high=high, low=low, close=close, volume=volume)


def prices(*close: float) -> Bars:
    """Bars that open, trade and close at one price each."""
    return bars_of(close, close, close, close)


def compute(name: str, bars: Bars, **parameters: Any) -> dict[str, Floats]:
    return INDICATORS.get(name)(**parameters).compute(bars)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return walk(160)


def test_every_indicator_of_the_earlier_system_is_there() -> None:
    assert set(INDICATORS.names()) >= CATALOGUE


@pytest.mark.parametrize("name", INDICATORS.names())
def test_it_computes_what_its_definition_says(name: str, bars: Bars) -> None:
    computed, expected = INDICATORS.get(name)().compute(bars), DEFINITIONS[name](bars)
    assert set(computed) == set(expected)
    for output, column in expected.items():
        np.testing.assert_allclose(computed[output], column, rtol=1e-9, atol=1e-9, err_msg=f"{name}.{output}")


def test_wilders_own_numbers_for_the_rsi_come_out() -> None:
    """The worked example of New Concepts in Technical Trading Systems, as reprinted by StockCharts."""
    close = np.array([
        44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03, 45.61, 46.28, 46.28, 46.00, 46.03,
    ])  # fmt: skip
    time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "D")
    bars = Bars.checked("X", Timeframe("1d"), time, open=close, high=close, low=close, close=close, volume=close)
    values = INDICATORS.get("rsi")().compute(bars)["value"]
    np.testing.assert_allclose(values[14:], [70.46, 66.25, 66.48], atol=0.01)


def test_the_exponential_distance_is_measured_from_the_exponential_average(bars: Bars) -> None:
    values = INDICATORS.get("distancefromma")(ma_type="EMA", period=10, source="open").compute(bars)["value"]
    np.testing.assert_allclose(values, 100 * (bars.open / exponential(bars.open, 10) - 1), rtol=1e-9, atol=1e-9)


def test_a_fast_average_that_is_not_faster_is_refused() -> None:
    with pytest.raises(ValueError, match="fast_period 26 must be below slow_period 26"):
        INDICATORS.get("macd")(fast_period=26)


TALIB: dict[str, tuple[dict[str, Any], Callable[[Bars], tuple[Floats, ...]]]] = {
    "adline": ({}, lambda b: (talib.AD(b.high, b.low, b.close, b.volume),)),
    "adx": ({"period": 9}, lambda b: tuple(f(b.high, b.low, b.close, 9) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI))),
    "aroon": ({"period": 25}, lambda b: (*talib.AROON(b.high, b.low, 25)[::-1], talib.AROONOSC(b.high, b.low, 25))),
    "atr": ({"period": 1}, lambda b: (talib.TRANGE(b.high, b.low, b.close),)),
    "bollingerbands": ({"period": 11, "multiplier": 1.5}, lambda b: talib.BBANDS(b.close, 11, 1.5, 1.5)),
    "cci": ({"period": 9}, lambda b: (talib.CCI(b.high, b.low, b.close, 9),)),
    "donchianchannels": ({"period": 5}, lambda b: (talib.MAX(b.high, 5), talib.MIDPRICE(b.high, b.low, 5), talib.MIN(b.low, 5))),
    "exponentialmovingaverage": ({"period": 7, "source": "high"}, lambda b: (talib.EMA(b.high, 7),)),
    "macd": ({"fast_period": 5, "slow_period": 9, "signal_period": 4}, lambda b: talib.MACD(b.close, 5, 9, 4)),
    "mfi": ({"period": 5}, lambda b: (talib.MFI(b.high, b.low, b.close, b.volume, 5),)),
    "momentum": ({"period": 3}, lambda b: (talib.MOM(b.close, 3),)),
    "obv": ({}, lambda b: (talib.OBV(b.close, b.volume),)),
    "parabolicsar": ({"initial_af": 0.03, "step_af": 0.03, "max_af": 0.3}, lambda b: (talib.SAR(b.high, b.low, 0.03, 0.3),)),
    "roc": ({"period": 3}, lambda b: (talib.ROC(b.close, 3),)),
    "rsi": ({"period": 5, "source": "low"}, lambda b: (talib.RSI(b.low, 5),)),
    "simplemovingaverage": ({"period": 7}, lambda b: (talib.SMA(b.close, 7),)),
    "stochastic": (
        {"k_period": 5, "smooth_k": 2, "d_period": 4},
        lambda b: talib.STOCH(b.high, b.low, b.close, fastk_period=5, slowk_period=2, slowd_period=4),
    ),
    "weightedmovingaverage": ({"period": 7}, lambda b: (talib.WMA(b.close, 7),)),
    "williamsr": ({"period": 5}, lambda b: (talib.WILLR(b.high, b.low, b.close, 5),)),
}


@pytest.mark.parametrize("name", TALIB)
def test_it_equals_talib_with_other_parameters(name: str) -> None:
    """Output by output, in order; of the A/D line the first."""
    parameters, function = TALIB[name]
    bars = walk(2000, seed=5)
    computed = list(compute(name, bars, **parameters).values())
    for mine, theirs in zip(computed, function(bars), strict=name != "adline"):
        assert np.isfinite(theirs[-1])
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", [2, 9, 14])
def test_the_average_true_range_is_talibs(period: int) -> None:
    bars = walk(2000, seed=5)
    np.testing.assert_array_equal(compute("atr", bars, period=period)["value"], talib.ATR(bars.high, bars.low, bars.close, period))


def test_a_parabolic_that_begins_with_another_factor_is_talibs_extended_one_without_its_sign() -> None:
    bars = walk(500)
    extended = talib.SAREXT(bars.high, bars.low, 0, 0, 0.01, 0.03, 0.15, 0.01, 0.03, 0.15)
    assert (extended[1:] < 0).any()
    np.testing.assert_array_equal(compute("parabolicsar", bars, initial_af=0.01, step_af=0.03, max_af=0.15)["value"], abs(extended))
    with pytest.raises(ValueError, match=r"initial_af 0\.1 must not be above max_af 0\.05"):
        INDICATORS.get("parabolicsar")(initial_af=0.1, max_af=0.05)


def test_the_supertrend_turns_when_a_close_crosses_the_band() -> None:
    """Prices without a range: the average true range of 2 bars halves the moves, worked out by hand."""
    found = compute("supertrend", prices(10, 10, 11, 13, 15, 14, 8), period=2, multiplier=1.0)
    # true ranges - 0 1 2 2 1 6; average - - .5 1.25 1.625 1.3125 3.65625; upper band kept at 11.5 until 13 closes above it
    np.testing.assert_allclose(found["trend"], [np.nan, np.nan, 11.5, 11.75, 13.375, 13.375, 11.65625])
    np.testing.assert_array_equal(found["direction"], [np.nan, np.nan, -1, 1, 1, 1, -1])


def test_the_zigzag_gives_a_pivot_only_when_it_is_confirmed() -> None:
    closes = prices(100, 104, 110, 106, 104, 90, 94, 95, 120)
    np.testing.assert_array_equal(compute("zigzag", closes)["value"], [100, 100, 100, 100, 110, 110, 110, 90, 90])


def test_the_zigzag_knows_a_pivot_at_the_bar_at_which_the_label_does() -> None:
    bars = walk(3000)
    pivots = compute("zigzag", bars, threshold=0.03)["value"]
    labelled = ZigZagLabel(zigzag_threshold=0.03).label(bars)
    confirmed = np.unique(labelled.last_read[~np.isnan(labelled.values)])
    assert len(confirmed) > 50
    assert set(confirmed) == set(np.flatnonzero(np.diff(pivots)) + 1) | set(confirmed[:1])


def test_the_fisher_transform_follows_its_published_steps() -> None:
    """Range of 2 bars: the place is 1 after a rise, -1 after a fall, 0 where nothing moves."""
    found = compute("fishertransform", prices(5, 6, 5, 5), period=2)
    v1, v2 = 1 / 3, -1 / 3 + 2 / 9
    f1 = 0.5 * np.log((1 + v1) / (1 - v1))
    f2 = 0.5 * np.log((1 + v2) / (1 - v2)) + f1 / 2
    v3 = v2 * 2 / 3
    f3 = 0.5 * np.log((1 + v3) / (1 - v3)) + f2 / 2
    np.testing.assert_allclose(found["fisher"], [np.nan, f1, f2, f3])
    np.testing.assert_allclose(found["signal"], [np.nan, np.nan, f1, f2])


@pytest.mark.parametrize("step", [1, -1])
def test_the_fisher_transform_ends_at_the_edge_that_keeps_it_finite(step: int) -> None:
    found = compute("fishertransform", prices(*np.arange(100, 160)[::step]))
    assert found["fisher"][-1] == pytest.approx(step * 2 * np.arctanh(0.999))


def test_the_cloud_stands_where_a_chart_draws_it(bars: Bars) -> None:
    drawn, here = compute("ichimoku", bars), compute("ichimoku", bars, displacement=1)
    np.testing.assert_array_equal(here["senkou_a"], (here["tenkan"] + here["kijun"]) / 2)
    for line in ("senkou_a", "senkou_b"):
        np.testing.assert_array_equal(drawn[line], lagged_by(here[line], 25))


def test_a_vwap_of_period_0_is_that_of_all_bars_so_far(bars: Bars) -> None:
    found = compute("vwap", bars, period=0, use_typical_price=False)["value"]
    np.testing.assert_allclose(found[99], np.average(bars.close[:100], weights=bars.volume[:100]), rtol=1e-12)


def test_a_window_in_which_nothing_was_traded_has_the_plain_mean_the_usual_volume_and_no_flow() -> None:
    """Volumes of which running sums would keep a rest."""
    volume = np.concatenate(([0.1, 0.2, 0.3, 1e9 / 3, 0.7], np.zeros(6)))
    close = np.arange(10.0, 21.0)
    bars = bars_of(close, close + 1, close - 3, close, volume)
    np.testing.assert_allclose(compute("vwap", bars, period=3, use_typical_price=False)["value"][7:], [16, 17, 18, 19])
    np.testing.assert_array_equal(compute("volumeratio", bars, period=3)["value"][7:], 1)
    np.testing.assert_array_equal(compute("cmf", bars, period=3)["cmf"][7:], 0)


def test_a_smoothed_accumulation_line_is_its_moving_average(bars: Bars) -> None:
    plain, smoothed = compute("adline", bars), compute("adline", bars, use_sma_smoothing=True, smoothing_period=5)
    np.testing.assert_allclose(smoothed.pop("line"), talib.SMA(plain.pop("line"), 5))
    for name, column in plain.items():
        np.testing.assert_array_equal(smoothed[name], column)


@pytest.mark.parametrize("name", ["supertrend", "fishertransform", "zigzag"])
def test_a_long_series_gets_the_values_that_plain_python_gives(name: str) -> None:
    bars = walk(LONG)
    compiled, plain = compute(name, bars), compute(name, bars.rows(slice(0, LONG - 1)))
    for output, column in plain.items():
        np.testing.assert_array_equal(compiled[output][:-1], column)
