"""What the network sees, and when it is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.errors import Invalid, NoData
from ktrdr.market.bars import Bars, Floats, Times
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import Scaling, compute_features, fit_scaling, unbroken
from ktrdr.strategy.load import Loaded
from ktrdr.strategy.spec import Strategy

Load = Callable[..., Loaded]
H1, H4, D1 = Timeframe("1h"), Timeframe("4h"), Timeframe("1d")
INPUTS = """\
  - fuzzy_set: strength
    timeframes: all
  - raw_indicator: macd_1.signal
    timeframes: [1h]
    normalization: zscore
"""
PLAIN = "  - {raw_indicator: roc_1, timeframes: all}\n"
SCALED = """\
  - {raw_indicator: roc_1, timeframes: [1h], normalization: minmax}
  - {raw_indicator: roc_1, timeframes: [4h], normalization: zscore}
"""


def bars_at(timeframe: Timeframe, time: Times, close: Floats) -> Bars:
    return Bars.checked("X", timeframe, time, open=close, high=close, low=close, close=close, volume=np.zeros(len(close)))


def series(timeframe: Timeframe, count: int, start: str = "2020-01-06T00:00") -> Bars:
    """Closes 1, 2, 3, ...: every bar is recognised by its value."""
    time = np.datetime64(start, "us") + np.arange(count) * np.timedelta64(timeframe.seconds, "s")
    return bars_at(timeframe, time, np.arange(1.0, count + 1))


@pytest.fixture
def momentum(load: Load) -> Callable[..., Strategy]:
    """A strategy whose inputs are one-bar momenta and rates of change."""

    def make(inputs: str = PLAIN, timeframes: str = "[1h, 4h]") -> Strategy:
        changes = ("macd_1: {type: macd}", "roc_1: {type: roc, period: 1}\n  up_1: {type: momentum, period: 1}")
        return load(changes, (INPUTS, inputs), ("[1h, 4h]", timeframes)).strategy

    return make


def test_columns_are_named_and_ordered_as_the_strategy_says(load: Load) -> None:
    strategy = load().strategy
    features = compute_features(strategy, {H1: series(H1, 100), H4: series(H4, 25)})
    assert features.ids == strategy.feature_ids
    assert features.values.shape == (100, 7)
    assert features.values.dtype == np.float32
    assert features.time[0] == np.datetime64("2020-01-06T00:00")


def test_rows_are_known_once_every_input_is(load: Load) -> None:
    features = compute_features(load().strategy, {H1: series(H1, 100), H4: series(H4, 25)})
    # The rsi of 4h bars needs 15 of them; the fifteenth closes with base bar 59.
    assert np.flatnonzero(features.known).tolist() == list(range(59, 100))


def test_a_higher_bar_counts_from_the_base_bar_at_whose_close_it_is_complete(momentum: Callable[..., Strategy]) -> None:
    base, high = series(H1, 12), series(H4, 3)
    values = compute_features(momentum(), {H1: base, H4: high}).values[:, 1]
    # The change from 4h bar 1 to 2 is 100 %, known at 08:00, when base bar 7 closes; from 2 to 3 it is 50 %.
    np.testing.assert_array_equal(values[:7], np.full(7, np.nan))
    np.testing.assert_array_equal(values[7:11], np.full(4, 100, dtype=np.float32))
    assert values[11] == 50


def test_a_growing_bar_is_not_seen(momentum: Callable[..., Strategy]) -> None:
    base, whole = series(H1, 10), series(H4, 3)
    growing = bars_at(H4, whole.time, np.array([1.0, 2.0, 77.0]))
    one, other = (compute_features(momentum(), {H1: base, H4: high}).values for high in (whole, growing))
    np.testing.assert_array_equal(one, other)


def test_a_lower_timeframe_gives_the_last_bar_that_ends_with_the_base_bar(momentum: Callable[..., Strategy]) -> None:
    strategy = momentum(timeframes="{mode: multi_timeframe, list: [1h, 4h], base_timeframe: 4h}")
    values = compute_features(strategy, {H1: series(H1, 12), H4: series(H4, 3)}).values[:, 0]
    np.testing.assert_allclose(values, [100 * (4 / 3 - 1), 100 * (8 / 7 - 1), 100 * (12 / 11 - 1)], rtol=1e-6)


def test_a_value_lasts_over_a_weekend_and_not_over_a_hole_in_the_data(momentum: Callable[..., Strategy]) -> None:
    high = series(H4, 3)
    weekend, hole = np.datetime64("2020-01-10T00:00", "us"), np.datetime64("2020-02-10T00:00", "us")
    base = bars_at(H1, np.array([weekend, weekend + np.timedelta64(1, "h"), hole]), np.array([1.0, 2.0, 3.0]))
    values = compute_features(momentum(), {H1: base, H4: high}).values[:, 1]
    np.testing.assert_array_equal(values, np.array([50, 50, np.nan], dtype=np.float32))


def test_a_timeframe_without_bars_gives_gaps_and_one_that_is_missing_is_an_error(momentum: Callable[..., Strategy]) -> None:
    base = series(H1, 5)
    assert not compute_features(momentum(), {H1: base, H4: series(H4, 0)}).known.any()
    with pytest.raises(NoData, match="the strategy reads 4h bars, which are not given; given: 1h"):
        compute_features(momentum(), {H1: base})


def test_no_bars_give_no_rows(momentum: Callable[..., Strategy]) -> None:
    assert compute_features(momentum(), {H1: series(H1, 0), H4: series(H4, 0)}).values.shape == (0, 2)


def test_the_bare_id_of_an_indicator_is_its_first_output(load: Load) -> None:
    inputs = "  - {raw_indicator: macd_1, timeframes: [1h]}\n  - {raw_indicator: macd_1.line, timeframes: [1h]}\n"
    features = compute_features(load((INPUTS, inputs)).strategy, {H1: series(H1, 60)})
    assert features.ids == ("1h_macd_1_raw", "1h_macd_1.line_raw")
    np.testing.assert_array_equal(features.values[:, 0], features.values[:, 1])


def test_scaling_is_fitted_on_the_given_rows_and_applied_to_all(momentum: Callable[..., Strategy]) -> None:
    strategy, bars = momentum(SCALED), {H1: series(H1, 40), H4: series(H4, 10)}
    plain = compute_features(strategy, bars)
    rows = plain.known & (np.arange(40) < 20)
    scaling = fit_scaling(strategy, plain, rows)
    assert set(scaling) == {"1h_roc_1_raw", "4h_roc_1_raw"}
    scaled = compute_features(strategy, bars, scaling)
    np.testing.assert_array_equal(scaled.values, plain.scaled(scaling).values)
    fitted = scaled.values[rows].astype(np.float64)
    assert (fitted[:, 0].min(), fitted[:, 0].max()) == pytest.approx((0, 1))
    assert fitted[:, 1].mean() == pytest.approx(0, abs=1e-6)
    assert fitted[:, 1].std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(scaled.known, plain.known)


def test_an_input_that_never_changes_is_scaled_to_zero(load: Load) -> None:
    inputs = "  - {raw_indicator: rsi_14, timeframes: [1h], normalization: zscore}\n"
    strategy, bars = load((INPUTS, inputs)).strategy, {H1: series(H1, 60)}
    plain = compute_features(strategy, bars)
    scaled = plain.scaled(fit_scaling(strategy, plain, plain.known))
    assert set(scaled.values[scaled.known, 0].tolist()) == {0.0}


def test_scaling_that_cannot_be_fitted_or_does_not_belong_is_an_error(momentum: Callable[..., Strategy]) -> None:
    strategy, bars = momentum(SCALED), {H1: series(H1, 8), H4: series(H4, 2)}
    plain = compute_features(strategy, bars)
    with pytest.raises(Invalid, match="4h_roc_1_raw has no value in the training slice"):
        fit_scaling(strategy, plain, np.arange(8) < 5)
    with pytest.raises(Invalid, match="there is scaling for 1h_other_raw"):
        plain.scaled({"1h_other_raw": Scaling(offset=0, scale=1)})


def test_inputs_that_ask_for_no_scaling_get_none(momentum: Callable[..., Strategy]) -> None:
    strategy = momentum()
    plain = compute_features(strategy, {H1: series(H1, 20), H4: series(H4, 5)})
    assert fit_scaling(strategy, plain, plain.known) == {}


def test_a_run_of_known_rows_ends_with_an_unknown_row_and_with_a_hole_in_the_data() -> None:
    time = np.datetime64("2024-01-01", "us") + np.array([0, 1, 2, 3, 4, 5, 300, 301]) * np.timedelta64(1, "h")
    known = np.array([False, True, True, False, True, True, True, True])
    assert unbroken(known, time, Timeframe("1h")).tolist() == [0, 1, 2, 0, 1, 2, 1, 2]
    weekend = np.datetime64("2024-01-05T20:00", "us") + np.array([0, 1, 50, 51]) * np.timedelta64(1, "h")
    assert unbroken(np.ones(4, dtype=bool), weekend, Timeframe("1h")).tolist() == [1, 2, 3, 4]
    assert unbroken(known[:0], time[:0], Timeframe("1h")).tolist() == []
