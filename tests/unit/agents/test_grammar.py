"""What a search can write is always a strategy without doubts."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.agents.designer import Brief
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import FAMILIES, Family, Goal
from ktrdr.agents.grammar import FEWEST, LONGEST_LABEL, MOST, POOLS, draw, labels_for, mutate, partition, pool_of, strategy_of
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy

HOUR = Timeframe("1h")
GENES = sorted({gene for pool in POOLS.values() for gene in pool})


def some_bars(volume: float = 0.0) -> Bars:
    close = 1.2 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, 1500)))
    time = np.datetime64("2015-01-01", "us") + np.arange(1500) * np.timedelta64(1, "h")
    return Bars.checked(
        "EURUSD", HOUR, time, open=close, high=close * 1.001, low=close * 0.999, close=close, volume=np.full(1500, volume), provider="x"
    )


def brief_for(family: Family) -> Brief:
    goal = Goal(text="x", symbol="EURUSD", timeframe="1h", family=family, understood="x")
    days = [datetime(2015, month, 1, tzinfo=UTC) for month in (1, 5, 6, 9)]
    return Brief(
        goal=goal, train_start=days[0], train_end=days[1], backtest_start=days[2], backtest_end=days[3], thresholds=DEFAULTS, seed=3,
        candidates=4,
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_indicators_of_a_family_have_one_name(family: Family):
    names = [gene.id for gene in POOLS[family]]
    assert len(names) == len(set(names))
    assert len(names) > MOST


@pytest.mark.parametrize("gene", GENES, ids=lambda gene: gene.reference)
def test_no_indicator_of_the_search_is_a_price(gene):
    bars = some_bars(volume=3.0)
    values = gene.values(bars)
    assert not np.nanmedian(np.abs(values - bars.close)) < 0.1


@pytest.mark.parametrize("gene", GENES, ids=lambda gene: gene.reference)
def test_the_words_of_an_indicator_leave_no_value_uncovered(gene):
    values = gene.values(some_bars(volume=3.0))
    words = partition(gene, values)
    if words is None:  # volume that never changes says nothing
        assert gene.type == "mfi"
        return
    low, middle, high = words.values()
    assert low == sorted(low)
    assert high == sorted(high)
    assert low[3] == middle[1] == high[0]
    known = values[np.isfinite(values)]
    assert low[0] <= known.min()
    assert known.max() <= high[3]


def test_an_indicator_that_hardly_changes_is_not_used():
    gene = GENES[0]
    assert partition(gene, np.full(100, 5.0)) is None
    assert partition(gene, np.full(100, np.nan)) is None


def test_labels_suit_the_moves_of_the_market_and_have_a_bounded_span():
    rules = labels_for(some_bars())
    swings = [rule["zigzag_threshold"] for rule in rules if rule["source"] == "zigzag"]
    assert swings == sorted(swings)
    assert 0.001 < swings[0] < swings[-1] <= 0.5
    assert all(rule["max_holding_period"] == LONGEST_LABEL for rule in rules if rule["source"] == "triple_barrier")


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_drawn_and_varied_is_a_valid_strategy(family: Family):
    bars, random = some_bars(), np.random.default_rng(5)
    pool = pool_of(family, bars)
    assert not any(gene.indicator().needs_volume for gene in pool)
    words = {gene: cut for gene in pool if (cut := partition(gene, gene.values(bars)))}
    labels = labels_for(bars)
    genome = draw(random, tuple(words), len(labels))
    names = set()
    for _ in range(25):
        assert FEWEST <= len(genome.genes) <= MOST
        assert len(set(genome.genes)) == len(genome.genes)
        strategy = strategy_of(genome, labels[genome.label], words, brief_for(family), shorts=True)
        assert load_strategy(strategy.to_yaml(), strategy.name).warnings == ()
        names.add(strategy.name)
        genome = mutate(genome, random, tuple(words), len(labels))
    assert len(names) > 10
