"""The offline designer searches the way it says: repeatably, on the earlier bars alone, and with every try counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ktrdr.agents.designer import Brief, Design, Tried
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import Family, Goal
from ktrdr.agents.offline import OfflineDesigner
from ktrdr.agents.search import KEPT_FOR_TESTING
from ktrdr.errors import NoData
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from tests.desk import OwnDesk

pytestmark = pytest.mark.torch
HOUR = Timeframe("1h")


def bars_of(returns: np.ndarray, symbol: str = "EURUSD", volume: float = 0.0) -> Bars:
    close = 1.2 * np.exp(np.cumsum(returns))
    opened = np.concatenate(([1.2], close[:-1]))
    time = np.datetime64("2015-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    return Bars.checked(
        symbol, HOUR, time, open=opened, high=np.maximum(opened, close) * 1.0002, low=np.minimum(opened, close) * 0.9998, close=close,
        volume=np.full(len(close), volume), provider="synthetic",
    )  # fmt: skip


def noise(seed: int, count: int = 6000, **more: Any) -> Bars:
    return bars_of(np.random.default_rng(seed).normal(0, 8e-4, count), **more)


def swinging(seed: int, count: int = 6000) -> np.ndarray:
    """Returns whose direction lasts for 60 bars: an edge that momentum can find."""
    random = np.random.default_rng(seed)
    drift = np.repeat(random.choice([-1.0, 1.0], count // 60 + 1), 60)[:count] * 4e-4
    return drift + random.normal(0, 8e-4, count)


def swings(seed: int, count: int = 6000) -> Bars:
    return bars_of(swinging(seed, count))


def brief_for(bars: Bars, candidates: int, family: Family = "momentum", seed: int = 7, earlier: int = 0) -> Brief:
    end = as_datetime(bars.known_at[-1])
    goal = Goal(text="find an edge", symbol=bars.symbol, timeframe="1h", family=family, understood=f"{family} on {bars.symbol} 1h")
    return Brief(
        goal=goal, train_start=as_datetime(bars.time[0]), train_end=end, backtest_start=end + timedelta(days=2),
        backtest_end=end + timedelta(days=90), thresholds=DEFAULTS, seed=seed, candidates=candidates, earlier_trials=earlier,
    )  # fmt: skip


def design(bars: Bars, candidates: int, **brief: Any) -> tuple[Design, list[Tried]]:
    tried: list[Tried] = []
    made = OfflineDesigner().design(brief_for(bars, candidates, **brief), bars, OwnDesk(tried=tried))
    return made, tried


def test_the_same_seed_gives_the_same_strategy_byte_for_byte():
    first, tried = design(swings(1), 20)
    again, tried_again = design(swings(1), 20)
    assert first == again
    assert tried == tried_again
    other, _ = design(swings(1), 20, seed=8)
    assert other.text != first.text


def test_every_candidate_is_a_trial_of_its_own():
    made, tried = design(swings(1), 20, earlier=100)
    assert [one.number for one in tried] == list(range(1, 21))
    assert len({one.content_hash for one in tried}) == 20
    assert all((one.sharpe_per_bar is None) == (one.reason is not None) for one in tried)
    assert made.trials is not None
    assert made.trials.count == 120
    assert made.designed_by == "search (evolution, 20 candidates, seed 7) — not by a language model"


def test_the_strategy_is_valid_without_doubts_and_named_after_its_content():
    made, _ = design(swings(2), 4, family="mean_reversion")
    loaded = load_strategy(made.text, made.name)
    assert loaded.warnings == ()
    assert loaded.strategy.name == made.name
    family, tail = made.name.rsplit("_", 1)
    assert family == "mean_reversion_eurusd_1h"
    assert len(tail) == 8
    assert int(tail, 16) >= 0


def test_the_last_bars_of_the_training_are_left_alone():
    bars = swings(3)
    _, tried = design(bars, 4)
    kept = as_datetime(bars.time[round(len(bars) * (1 - KEPT_FOR_TESTING))])
    assert all(one.end <= kept for one in tried)
    changed = swinging(3)
    changed[-int(len(bars) * KEPT_FOR_TESTING) + 1 :] *= -3
    _, tried_on_changed = design(bars_of(changed), 4)
    assert [one.sharpe_ratio for one in tried_on_changed] == [one.sharpe_ratio for one in tried]


def test_a_planted_edge_is_found_and_noise_is_not_sold():
    edge, _ = design(swings(4), 24)
    assert edge.trials is not None
    assert (edge.trials.deflated_probability or 0) > 0.9
    for seed in (5, 6):
        nothing, _ = design(noise(seed), 24)
        assert nothing.trials is not None
        assert (nothing.trials.deflated_probability or 0) < 0.5


@pytest.mark.parametrize("family", ["momentum", "mean_reversion", "breakout", "volatility"])
def test_every_family_can_be_searched(family: Family):
    made, tried = design(noise(7, 3000), 2, family=family)
    assert made.name.startswith(f"{family}_eurusd_1h_")
    assert len(tried) == 2


def test_volume_is_looked_at_only_where_there_is_some():
    without, _ = design(noise(8, 3000), 1)
    assert "mfi" not in without.text
    pools = [design(noise(8, 3000, symbol="BTCUSDT", volume=5.0), 1, seed=seed)[0].text for seed in range(6)]
    assert any("mfi" in text for text in pools)


def test_stocks_are_not_sold_short():
    made, _ = design(noise(9, 3000, symbol="AAPL"), 2)
    assert load_strategy(made.text, made.name).strategy.decisions.allow_short_from_flat is False
    assert any(note.startswith("Long only") for note in made.notes)


def test_too_few_bars_are_refused_with_the_figures():
    with pytest.raises(NoData, match="EURUSD 1h has 680 bars to search on, at least 1,000 are needed"):
        design(noise(1, 800), 4)


def test_prices_that_stand_still_are_refused():
    with pytest.raises(NoData, match="only 0 indicators vary enough"):
        design(bars_of(np.zeros(3000)), 4)


class Stop(Exception):
    pass


@pytest.mark.parametrize("scored", [0, 2])
def test_what_the_caller_raises_ends_the_search_and_what_was_scored_is_recorded(scored: int):
    """The candidates are trained at once, and scored one after the other: whichever was is a trial."""
    calls: list[tuple[int, int, str]] = []
    tried: list[Tried] = []

    def on_progress(done: int, total: int, sentence: str) -> None:
        calls.append((done, total, sentence))
        if done >= 3 and len(tried) == scored:
            raise Stop

    bars = noise(1, 3000)
    with pytest.raises(Stop):
        OfflineDesigner().design(brief_for(bars, 8), bars, OwnDesk(on_report=on_progress, tried=tried))
    done = [before for before, _, _ in calls]
    assert done == sorted(done)
    assert calls[-1][2].startswith("Candidates 1-8/8")
    assert len(tried) == scored


def test_a_search_of_one_needs_no_deflation():
    made, _ = design(swings(2), 1)
    assert made.trials is not None
    assert made.trials.count == 1
    assert made.trials.expected_by_luck in (0.0, None)


def test_dates_of_the_brief_are_the_dates_of_the_strategy():
    bars = swings(2)
    made, _ = design(bars, 1)
    strategy = load_strategy(made.text, made.name).strategy
    brief = brief_for(bars, 1)
    assert strategy.date_range == (brief.train_start, brief.train_end)
    assert strategy.backtest_range == (brief.backtest_start, brief.backtest_end)
    assert all(isinstance(moment, datetime) for moment in strategy.backtest_range)
