"""Outside series: what is read, and when it is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.errors import NoData
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.context import Outside
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import Loaded, load_strategy

Load = Callable[..., Loaded]
H1, D1 = Timeframe("1h"), Timeframe("1d")
SERIES = "context_data:\n  - {provider: fred, series: DGS10, frequency: daily, delay_hours: 6}\n"
CHANGES = (
    ("[1h, 4h]", "[1h]"), ("indicators:\n", f"{SERIES}indicators:\n  rate: {{type: roc, period: 1, data_source: fred_DGS10}}\n"),
    ("raw_indicator: macd_1.signal", "raw_indicator: rate"), ("    normalization: zscore\n", ""),
)  # fmt: skip


def series(timeframe: Timeframe, closes: list[float]) -> Bars:
    time = np.datetime64("2020-01-06", "us") + np.arange(len(closes)) * np.timedelta64(timeframe.seconds, "s")
    return Bars.checked("X", timeframe, time, open=closes, high=closes, low=closes, close=closes, volume=np.zeros(len(closes)))


def test_a_value_counts_from_its_publication_and_until_the_next(load: Load) -> None:
    strategy = load(*CHANGES).strategy
    (outside,) = strategy.outside
    daily = outside.published(series(D1, [100, 110, 99, 99]))
    values = compute_features(strategy, {H1: series(H1, [1.0] * 100), outside.key: daily}).values[:, -1]
    # The second day ends at hour 48 and is published six hours later, when base bar 53 closes; the third a day later.
    assert np.isnan(values[:53]).all()
    np.testing.assert_allclose(values[53:77], 10)
    np.testing.assert_allclose(values[77:100], -10)


def test_it_is_a_feature_of_the_base_timeframe(load: Load) -> None:
    strategy = load(*CHANGES).strategy
    assert strategy.feature_ids[-1] == "1h_rate_raw"
    assert strategy.read_by("rate", H1) == Outside("1d", "fred_DGS10") != D1
    assert strategy.read_by("rsi_14", H1) == H1
    assert str(strategy.outside[0].key) == "fred_DGS10"


def test_only_series_that_an_indicator_reads_are_needed(load: Load) -> None:
    more = f"{SERIES}  - {{provider: ib, symbol: spy, timeframe: 1d, id: market}}\n"
    strategy = load(*CHANGES, (SERIES, more)).strategy
    assert [each.source for each in strategy.context_data] == ["fred_DGS10", "market"]
    assert [each.source for each in strategy.outside] == ["fred_DGS10"]
    assert [each.stored_by for each in strategy.context_data] == [None, "ib"]
    assert strategy.context_data[1].symbol == "SPY"


def test_bars_that_are_not_given_are_named(load: Load) -> None:
    with pytest.raises(NoData, match="reads fred_DGS10 bars, which are not given; given: 1h"):
        compute_features(load(*CHANGES).strategy, {H1: series(H1, [1.0] * 30)})


def test_it_survives_yaml_and_is_part_of_what_is_learned(load: Load) -> None:
    strategy = load(*CHANGES).strategy
    again = load_strategy(strategy.to_yaml(), "again").strategy
    assert (again, again.content_hash) == (strategy, strategy.content_hash)
    other = load(*CHANGES, ("delay_hours: 6", "delay_hours: 7")).strategy
    assert other.content_hash != strategy.content_hash
    without = load(*CHANGES, (", data_source: fred_DGS10", "")).strategy
    assert without.content_hash != strategy.content_hash
