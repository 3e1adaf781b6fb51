"""What must hold of the statistics whatever the returns, spans and numbers of trials."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.evaluation.overfitting import cscv
from ktrdr.evaluation.sharpe import Sample, dsr, evidence, expected_max_sharpe, min_btl, min_trl, psr, sample_of
from ktrdr.evaluation.splits import Spans, combinatorial_purged, overlaps, purged_kfold, walk_forward
from ktrdr.evaluation.trials import effective_trials

ROUNDING = 1e-12
seeds = st.integers(0, 2**32 - 1)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """The moments of real returns: skewed, heavy in the tails, of any length."""
    random = np.random.default_rng(draw(seeds))
    returns = random.standard_t(draw(st.integers(3, 30)), draw(st.integers(3, 400)))
    skew = draw(st.floats(-0.9, 0.9))
    found = sample_of(np.where(returns > 0, returns * (1 + skew), returns) * 0.01 + draw(st.floats(-0.01, 0.01)))
    assert found is not None
    return found


@st.composite
def spans(draw: st.DrawFn) -> Spans:
    """Samples in any order, some at one moment, whose labels look ahead by anything."""
    count = draw(st.integers(12, 80))
    random = np.random.default_rng(draw(seeds))
    begins = random.integers(0, draw(st.integers(1, 3)) * count, count)
    return Spans(begins, begins + random.integers(0, draw(st.integers(1, 20)), count))


@given(samples(), st.lists(st.floats(1, 1e12), min_size=2, max_size=6), st.floats(0, 1))
def test_more_trials_never_raise_the_deflated_probability(sample: Sample, trials: list[float], variance: float) -> None:
    found = [dsr(sample, count, variance) for count in sorted(trials)]
    assert all(later <= earlier + ROUNDING for earlier, later in pairwise(found))
    assert found[0] <= psr(sample) + ROUNDING


@given(st.lists(st.floats(1, 1e15), min_size=2, max_size=6))
def test_more_trials_promise_more_luck_and_need_more_years(trials: list[float]) -> None:
    for measure in (expected_max_sharpe, min_btl):
        found = [measure(count) for count in sorted(trials)]
        assert all(earlier <= later + ROUNDING for earlier, later in pairwise(found))
    for count in trials:
        assert min_btl(count) <= 2 * np.log(count) + ROUNDING


@given(samples(), st.floats(-1, 1), st.lists(st.integers(2, 10**6), min_size=2, max_size=5))
def test_a_longer_track_never_weakens_a_ratio_above_the_benchmark(sample: Sample, benchmark: float, lengths: list[int]) -> None:
    found = [psr(sample.model_copy(update={"periods": length}), benchmark) for length in sorted(lengths)]
    sign = 1 if sample.sharpe >= benchmark else -1
    assert all(sign * (later - earlier) >= -ROUNDING for earlier, later in pairwise(found))


@given(samples(), st.floats(-1, 1), st.floats(0.51, 0.999))
def test_the_minimum_length_is_where_the_confidence_is_reached(sample: Sample, benchmark: float, confidence: float) -> None:
    needed = min_trl(sample, benchmark, confidence)
    if needed is None:
        assert psr(sample, benchmark) <= 0.5 + ROUNDING
    elif needed < 1e12 and needed >= 2:
        assert psr(sample.model_copy(update={"periods": needed}), benchmark) == pytest.approx(confidence, abs=1e-6)


@given(samples(), st.floats(-1, 1))
def test_a_probability_and_its_mirror_make_one(sample: Sample, benchmark: float) -> None:
    mirrored = sample.model_copy(update={"sharpe": -sample.sharpe, "skewness": -sample.skewness})
    assert psr(sample, benchmark) + psr(mirrored, -benchmark) == pytest.approx(1)


@given(seeds, st.floats(1e-6, 1e6), st.integers(1, 1000))
def test_evidence_does_not_depend_on_order_or_scale(seed: int, scale: float, trials: int) -> None:
    random = np.random.default_rng(seed)
    returns = random.normal(0.0005, 0.01, 60)
    own, other = evidence(returns, 252, trials=trials), evidence(random.permutation(returns) * scale, 252, trials=trials)
    for name in ("sharpe_ratio", "probability", "deflated_probability", "standard_error"):
        assert getattr(other, name) == pytest.approx(getattr(own, name), rel=1e-6, abs=1e-9)


@given(st.lists(st.floats() | st.sampled_from([0.0, 0.01]), min_size=0, max_size=30))
def test_whatever_the_returns_are_no_figure_is_undefined_without_a_reason(returns: list[float]) -> None:
    found = evidence(np.array(returns, dtype=np.float64), 252)
    assert {name for name, value in found if value is None} == set(found.undefined)
    assert all(found.undefined.values())


@given(seeds, st.integers(2, 12), st.integers(0, 11))
def test_another_copy_of_a_trial_is_no_new_idea(seed: int, trials: int, copied: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 0.01, (50, trials))
    more = np.hstack([returns, returns[:, [copied % trials]]])
    assert effective_trials(more).clusters <= effective_trials(returns).clusters
    assert 1 <= effective_trials(more).linear <= trials + 1


@given(seeds, st.integers(2, 9), st.sampled_from([2, 4, 6]))
def test_the_order_of_the_trials_does_not_change_the_probability_of_overfitting(seed: int, trials: int, blocks: int) -> None:
    random = np.random.default_rng(seed)
    returns = random.normal(0, 0.01, (60, trials))
    own, other = cscv(returns, blocks), cscv(returns[:, random.permutation(trials)], blocks)
    assert (own.pbo, own.loss_probability) == (other.pbo, other.loss_probability)
    assert 0 <= own.pbo <= 1


@given(spans(), st.integers(2, 6), st.integers(0, 15))
def test_no_training_span_meets_a_tested_one(own: Spans, folds: int, embargo: int) -> None:
    found = purged_kfold(own, folds, embargo)
    assert sorted(np.concatenate([fold.test for fold in found]).tolist()) == list(range(len(own)))
    for fold in found:
        assert not list(overlaps(own, fold))
        assert len(fold.train) + len(fold.test) + fold.purged + fold.embargoed == len(own)
        last = own.ends[fold.test].max()
        begins = own.begins[fold.train]
        assert not ((begins > last) & (begins <= last + embargo)).any()


@given(spans())
def test_overlaps_are_those_that_a_look_at_every_pair_finds(own: Spans) -> None:
    for fold in purged_kfold(own, 3):
        naive = type(fold)(np.setdiff1d(np.arange(len(own)), fold.test), fold.test, 0, 0)
        meets = (own.begins[naive.train, None] <= own.ends[naive.test]) & (own.ends[naive.train, None] >= own.begins[naive.test])
        found = list(overlaps(own, naive))
        assert [train for train, _ in found] == naive.train[meets.any(axis=1)].tolist()
        assert all(own.begins[a] <= own.ends[b] and own.ends[a] >= own.begins[b] for a, b in found)


@given(spans(), st.integers(3, 6), st.integers(1, 2), st.integers(0, 10))
def test_every_observation_is_tested_once_on_every_path(own: Spans, blocks: int, tested: int, embargo: int) -> None:
    found = combinatorial_purged(own, blocks, tested, embargo)
    samples_on_paths = found.along_paths([fold.test for fold in found.folds])
    assert (samples_on_paths == np.arange(len(own))).all()
    for fold in found.folds:
        assert not list(overlaps(own, fold))
        assert not np.intersect1d(fold.train, fold.test).size
    used = np.bincount(found.paths.ravel(), minlength=len(found.folds))
    assert (used == tested).all()


@given(spans(), st.integers(2, 5), st.booleans(), st.integers(1, 3), st.integers(0, 10))
def test_walking_forward_learns_from_the_past_alone(own: Spans, folds: int, anchored: bool, window: int, gap: int) -> None:
    for fold in walk_forward(own, folds, anchored=anchored, window=window, gap=gap):
        if len(fold.train):
            assert own.ends[fold.train].max() < own.begins[fold.test].min() - gap


@given(spans(), st.integers(2, 5), seeds)
def test_the_order_of_the_samples_does_not_change_the_folds(own: Spans, folds: int, seed: int) -> None:
    """Apart from samples that begin at one moment, which either block may hold."""
    unique = np.unique(own.begins)
    if len(unique) < folds:
        return
    plain = Spans(unique, unique + 3)
    order = np.random.default_rng(seed).permutation(len(unique))
    mixed = Spans(plain.begins[order], plain.ends[order])
    for one, other in zip(purged_kfold(plain, folds, 2), purged_kfold(mixed, folds, 2), strict=True):
        for part in ("train", "test"):
            assert sorted(plain.begins[getattr(one, part)]) == sorted(mixed.begins[getattr(other, part)])
