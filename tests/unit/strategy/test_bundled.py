"""The strategies that come with the product."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from ktrdr.indicators.base import INDICATORS
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

NAMES = ("momentum", "mean_reversion", "trend_momentum", "channel_break", "trend_pullback")


def bundled(name: str) -> Strategy:
    text = (files("ktrdr.sample") / "strategies" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded = load_strategy(text, f"{name}.yaml")
    assert loaded.warnings == ()
    assert loaded.strategy.name == name
    return loaded.strategy


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_strategy_says_what_it_does_and_where_it_learns_and_is_tested(name: str) -> None:
    strategy = bundled(name)
    assert len(strategy.description or "") > 100
    _, trained_until = strategy.date_range
    tested_from, _ = strategy.backtest_range
    assert None not in strategy.date_range + strategy.backtest_range
    assert trained_until <= tested_from


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_strategy_runs_on_any_symbol_with_or_without_volume(name: str) -> None:
    strategy = bundled(name).with_overrides(symbols=["ANY"])
    assert not any(INDICATORS.get(spec.type).needs_volume for spec in strategy.indicators.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("volatility", [0.0005, 0.02])
def test_its_fuzzy_sets_leave_no_value_without_a_word(name: str, volatility: float) -> None:
    strategy = bundled(name)
    random = np.random.default_rng(2)
    close = 100 * np.exp(np.cumsum(random.normal(0, volatility, 1000)))
    time = np.datetime64("2020-01-01", "us") + np.arange(1000) * np.timedelta64(1, "h")
    bars = Bars.checked("ANY", Timeframe("1h"), time, open=close, high=close, low=close, close=close, volume=np.zeros(1000))
    features = compute_features(strategy, {Timeframe("1h"): bars})
    first = int(np.argmax(features.known))
    assert first < 100
    assert features.known[first:].all()
    width = 0
    for entry in strategy.nn_inputs:
        count = len(strategy.fuzzy_sets[entry.fuzzy_set or ""].memberships)
        assert features.values[first:, width : width + count].sum(axis=1).min() > 0.2
        width += count
