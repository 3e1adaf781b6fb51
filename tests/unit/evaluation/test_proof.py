"""The leak proof of whole strategies: random clean ones raise no flag, and what is planted in one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.agents.designer import Brief
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import FAMILIES, Goal
from ktrdr.agents.grammar import draw, labels_for, partition, pool_of, strategy_of
from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.evaluation.leaks import LeakProof, Tape
from ktrdr.evaluation.proof import Pipeline, arbitrary, check_scaling, check_split, earliest, prove_backtest, prove_strategy
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.strategy.features import Features
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import build_samples
from tests.unit.evaluation.conftest import H1, H4

TWO_CLOCKS = """
name: two_clocks
training_data: {symbols: [BTCUSD], timeframes: [1h, 4h], history_required: 50}
indicators:
  rsi_5: {type: rsi, period: 5}
  roc_9: {type: roc, period: 9}
  mfi_7: {type: mfi, period: 7}
fuzzy_sets:
  strength: {indicator: rsi_5, low: [0, 0, 50], high: [50, 100, 100]}
  money: {indicator: mfi_7, low: [0, 0, 50], high: [50, 100, 100]}
nn_inputs:
  - {fuzzy_set: strength, timeframes: all}
  - {fuzzy_set: money, timeframes: [1h]}
  - {raw_indicator: roc_9, timeframes: all, normalization: zscore}
model: {type: mlp, architecture: {hidden_layers: [8]}}
decisions: {confidence_threshold: 0.4, allow_short_from_flat: true, filters: {min_signal_separation: 2}}
training: {epochs: 1, labels: {source: zigzag, zigzag_threshold: 0.02}}
"""
COSTS = default_costs("BTCUSD")


def dates_of(bars: Bars, skipped: int = 100) -> tuple[datetime, datetime]:
    return as_datetime(bars.time[skipped]), as_datetime(bars.known_at[-1])


@pytest.fixture(scope="module")
def strategy() -> Strategy:
    return load_strategy(TWO_CLOCKS, "test").strategy


def test_a_clean_strategy_passes_every_check(strategy: Strategy, tape: Tape) -> None:
    steps: list[tuple[int, int, str]] = []
    found = prove_strategy(strategy, tape, dates_of(tape[H1]), COSTS, cuts=6, on_step=lambda *step: steps.append(step))
    assert found.passed, found.sentence()
    assert [check.name for check in found.checks] == ["features", "decisions", "trades", "warm_up", "fills", "labels", "scaling"]
    figures = {check.name: check.figures for check in found.checks}
    assert figures["fills"]["trades"] > 20
    assert figures["warm_up"]["warm_up"] == 39  # ten bars of four hours
    assert figures["scaling"]["numbers"] == 4
    assert figures["labels"]["purged"] > 0
    assert [done for done, _, _ in steps] == list(range(len(steps)))
    assert found == prove_strategy(strategy, tape, dates_of(tape[H1]), COSTS, cuts=6)
    assert found != prove_strategy(strategy, tape, dates_of(tape[H1]), COSTS, cuts=6, seed=8)


def random_strategy(seed: int, bars: Bars) -> Strategy:
    """One that the search could draw."""
    random = np.random.default_rng(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    goal = Goal(text="x", symbol="EURUSD", timeframe="1h", family=family, understood="x")
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(4)]
    brief = Brief(
        goal=goal, train_start=days[0], train_end=days[1], backtest_start=days[2], backtest_end=days[3], thresholds=DEFAULTS, seed=seed,
        candidates=1,
    )  # fmt: skip
    words = {gene: cut for gene in pool_of(family, bars) if (cut := partition(gene, gene.values(bars)))}
    labels = labels_for(bars)
    genome = draw(random, tuple(words), len(labels))
    return strategy_of(genome, labels[genome.label], words, brief, shorts=bool(seed % 2))


@pytest.mark.parametrize("seed", range(100))
def test_random_clean_strategies_raise_no_flag(seed: int, swinging: Bars) -> None:
    """A hundred, each on bars of its own."""
    begin = 12 * seed
    bars = swinging.rows(slice(begin, begin + 2000))
    found = prove_strategy(random_strategy(seed, bars), {H1: bars}, dates_of(bars), default_costs("EURUSD"), cuts=2, seed=seed)
    assert found.passed, found.sentence()


@pytest.fixture(scope="module")
def swinging(bars_of: Callable[..., Bars]) -> Bars:
    """A walk with swings that every labelling rule finds."""
    walk = bars_of(3200, symbol="EURUSD")
    swing = np.exp(0.5 * np.sin(np.arange(3200) / 20))
    return replace(walk, **{name: getattr(walk, name) * swing for name in ("open", "high", "low", "close")})


# --- the proof that goes with a backtest


class Peeking(Pipeline):
    """The value of the next bar in the first column."""

    def features(self, tape: Tape) -> Features:
        honest = super().features(tape)
        values = honest.values.copy()
        values[:-1, 0] = values[1:, 0]
        return replace(honest, values=values)


class KnowsTheMiddle(Pipeline):
    """Is long in the first half of all bars given."""

    def targets(self, features: Features, first: int) -> np.ndarray:
        count = len(features.values)
        return (np.arange(count) < count // 2).astype(np.int8)[first:]


class SkipsTheCosts(Pipeline):
    """Deals at other prices when it sees less."""

    def dealings(self, bars: Bars, targets: np.ndarray, history: Bars) -> np.ndarray:
        return super().dealings(bars, targets, history) * (1 + 1e-6)


def proof_of(kind: type[Pipeline], strategy: Strategy, tape: Tape, first: int = 200) -> LeakProof:
    samples = build_samples(strategy, {"BTCUSD": tape}, *dates_of(tape[H1]))
    plain = arbitrary(strategy, samples.scaling, COSTS)
    pipeline = kind(plain.strategy, plain.seen, plain.predict, plain.scaling, plain.costs, plain.capital)
    features = pipeline.features(tape)
    targets = pipeline.targets(features, first)
    return prove_backtest(
        pipeline, tape, features, targets, run_backtest(tape[H1].rows(slice(first, None)), targets, COSTS, pipeline.capital)
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "wrong"), [
    (Pipeline, set()), (Peeking, {"features", "warm_up"}), (KnowsTheMiddle, {"decisions"}), (SkipsTheCosts, {"trades"}),
])  # fmt: skip
def test_the_proof_of_a_backtest_names_what_leaks(kind: type[Pipeline], wrong: set[str], strategy: Strategy, tape: Tape) -> None:
    found = proof_of(kind, strategy, tape)
    assert found.passed == (not wrong), found.sentence()
    assert {check.name for check in found.checks if not check.passed} >= wrong
    features = found.checks[0].figures
    assert (features["first_cut"], features["cuts"]) == (0, 7)  # the first bar, one in the warm-up, four near it, one in the test
    if kind is Peeking:
        assert next(check for check in found.checks if check.name == "features").figures["column"] == strategy.feature_ids[0]


def test_a_backtest_too_short_to_cut_is_not_proved(strategy: Strategy, tape: Tape) -> None:
    found = proof_of(Pipeline, strategy, tape, first=598)
    assert not found.passed
    assert "too few to cut" in found.sentence()


def test_volume_that_begins_late_is_no_leak(strategy: Strategy, tape: Tape) -> None:
    silent = np.where(np.arange(600) < 50, 0.0, tape[H1].volume)
    late = {H1: replace(tape[H1], volume=silent), H4: replace(tape[H4], volume=np.where(np.arange(150) < 13, 0.0, tape[H4].volume))}
    assert earliest(late, H1) == 55
    assert earliest({H1: replace(tape[H1], volume=np.zeros(600))}, H1) == 0
    assert proof_of(Pipeline, strategy, late).passed


# --- labels and scaling


def test_a_split_that_was_not_purged_is_caught(strategy: Strategy, tape: Tape) -> None:
    dates = dates_of(tape[H1])
    samples = build_samples(strategy, {"BTCUSD": tape}, *dates)
    assert check_split(strategy, samples, tape[H1], dates[1]).passed
    late = tape[H1].time[np.searchsorted(tape[H1].time, samples.validation.time[0]) - 1]
    unpurged = replace(samples, train=replace(samples.train, time=np.append(samples.train.time, late)))
    found = check_split(strategy, unpurged, tape[H1], dates[1])
    assert (found.passed, found.time) == (False, as_datetime(late))


def test_scaling_from_more_than_the_training_rows_is_caught(strategy: Strategy, tape: Tape) -> None:
    samples = build_samples(strategy, {"BTCUSD": tape}, *dates_of(tape[H1]))
    assert check_scaling(strategy, samples, tape).passed
    name, how = next(iter(samples.scaling.items()))
    whole = replace(samples, scaling={**samples.scaling, name: how.model_copy(update={"offset": how.offset + 1e-9})})
    found = check_scaling(strategy, whole, tape)
    assert not found.passed
    assert "other numbers than the training rows" in found.reason
