"""Rows count in learning by how unique their labels are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.labels.uniqueness import uniqueness
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.sections import Training
from ktrdr.strategy.spec import Strategy
from ktrdr.training.fit import fit
from ktrdr.training.networks import Criterion
from ktrdr.training.windows import Samples, build_samples

START = datetime(2024, 1, 1, tzinfo=UTC)
LABELS = "{{source: triple_barrier, max_holding_period: 12, vol_span: 20, compute_weights: {}}}"
StrategyOf = Callable[..., Strategy]
BarsOf = Callable[..., Bars]


def samples(strategy: Strategy, *series: Bars, hours: int = 400) -> Samples:
    return build_samples(strategy, {own.symbol: {own.timeframe: own} for own in series}, START, START + timedelta(hours=hours))


def test_training_rows_count_by_the_uniqueness_of_their_labels_among_them(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    strategy, bars = strategy_of(labels=LABELS.format("true")), bars_of()
    train = samples(strategy, bars).train
    rows = np.searchsorted(bars.time, train.time)
    expected = uniqueness(rows, strategy.label.label(bars).last_read[rows])
    assert train.weights is not None
    np.testing.assert_allclose(train.weights, expected / expected.mean(), rtol=1e-6)
    assert train.weights.mean() == pytest.approx(1, abs=1e-6)
    assert np.ptp(train.weights) > 0.1


def test_labels_of_two_symbols_do_not_overlap(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    strategy = strategy_of("[AAA, BBB]", labels=LABELS.format("true"))
    both = samples(strategy, bars_of("AAA"), bars_of("BBB")).train
    half = len(both) // 2
    np.testing.assert_array_equal(both.weights[:half], both.weights[half:])


def test_bars_behind_the_training_slice_change_no_weight(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    strategy, bars = strategy_of(labels=LABELS.format("true")), bars_of()
    one = samples(strategy, bars)
    cut = int(np.searchsorted(bars.time, np.datetime64(one.split.train_end[:19])))
    price = np.concatenate((np.ones(cut), np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.02, len(bars) - cut)))))
    columns = {name: getattr(bars, name) * price for name in ("open", "high", "low", "close")}
    other = samples(strategy, Bars.checked("AAA", Timeframe("1h"), bars.time, **columns, volume=bars.volume))
    np.testing.assert_array_equal(one.train.time, other.train.time)
    np.testing.assert_array_equal(one.train.weights, other.train.weights)


def test_only_the_training_rows_and_only_where_asked_have_weights(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found, plain = (
        samples(strategy_of(labels=LABELS.format("true")), bars_of()),
        samples(strategy_of(labels=LABELS.format("false")), bars_of()),
    )
    assert found.validation.weights is None
    assert found.test.weights is None
    assert plain.train.weights is None
    np.testing.assert_array_equal(found.train.values, plain.train.values)
    assert found.digest() != plain.digest()


@pytest.mark.torch
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_row_that_counts_twice_is_worth_two_rows(task: str) -> None:
    import torch

    random = torch.Generator().manual_seed(1)
    classes, how = task == "classification", Training(loss="cross_entropy" if task == "classification" else "mse")
    outputs = torch.randn(4, 3 if classes else 1, generator=random)
    targets = torch.tensor([0, 1, 2, 1]) if classes else torch.randn(4, generator=random)
    criterion = Criterion(how, classification=classes, target_scale=1.0)
    twice = [0, 1, 1, 2, 3]
    weighed, repeated = (
        criterion.judge(outputs, targets, torch.tensor([1.0, 2.0, 1.0, 1.0])),
        criterion.judge(outputs[twice], targets[twice]),
    )
    assert weighed.objective.item() == pytest.approx(repeated.objective.item())
    assert weighed.loss.item() == criterion.judge(outputs, targets).loss.item()


@pytest.mark.torch
def test_what_rows_count_changes_what_is_learned(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    weighed, plain = strategy_of(labels=LABELS.format("true")), strategy_of(labels=LABELS.format("false"))
    learned = [fit(samples(s, bars_of()), s, on_batch=lambda _: None, on_epoch=lambda _: None) for s in (weighed, plain, weighed)]
    assert not np.array_equal(learned[0].weights["layers.0.weight"], learned[1].weights["layers.0.weight"])
    np.testing.assert_array_equal(learned[0].weights["layers.0.weight"], learned[2].weights["layers.0.weight"])
    assert learned[0].initial_loss == learned[1].initial_loss
