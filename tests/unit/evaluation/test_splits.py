"""Splits by time: what may be learned from, and what is judged."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.evaluation.splits import Fold, Spans, combinatorial_purged, efficiency, overlaps, path_count, purged_kfold, walk_forward


def spans(count: int = 100, ahead: int = 5) -> Spans:
    return Spans(np.arange(count), np.arange(count) + ahead)


def test_labels_that_look_into_the_tested_block_are_purged_on_both_sides() -> None:
    middle = purged_kfold(spans(), 5)[2]
    assert middle.test.tolist() == list(range(40, 60))
    # 35 to 39 read bar 40 or later; 60 to 64 begin before the last tested label, which reads bar 64, is known.
    assert middle.train.tolist() == [*range(35), *range(65, 100)]
    assert (middle.purged, middle.embargoed) == (10, 0)


def test_the_embargo_leaves_out_what_begins_soon_after_the_test() -> None:
    middle = purged_kfold(spans(), 5, embargo=3)[2]
    assert middle.train.tolist() == [*range(35), *range(68, 100)]
    assert (middle.purged, middle.embargoed) == (10, 3)


def test_without_looking_ahead_nothing_is_purged() -> None:
    assert all(fold.purged == 0 and len(fold.train) == 80 for fold in purged_kfold(spans(ahead=0), 5))


@pytest.mark.parametrize(("blocks", "tested", "fits", "paths"), [(6, 2, 15, 5), (10, 2, 45, 9)])
def test_the_number_of_fits_and_paths(blocks: int, tested: int, fits: int, paths: int) -> None:
    found = combinatorial_purged(spans(), blocks, tested)
    assert (len(found.folds), len(found.paths), path_count(blocks, tested)) == (fits, paths, paths)


def test_every_path_tests_every_sample_once_with_a_fold_that_did_not_learn_from_it() -> None:
    found = combinatorial_purged(spans(103), 6, 2, embargo=2)
    by_fold = found.along_paths([np.full(len(fold.test), number) for number, fold in enumerate(found.folds)])
    by_sample = found.along_paths([fold.test for fold in found.folds])
    assert by_fold.shape == (5, 103)
    for path, samples in zip(by_fold, by_sample, strict=True):
        assert samples.tolist() == list(range(103))
        for sample, number in enumerate(path):
            assert sample not in found.folds[number].train
    uses = [(block, number) for path in found.paths for block, number in enumerate(path.tolist())]
    assert len(uses) == len(set(uses)) == 30


def test_outcomes_of_other_folds_are_refused() -> None:
    found = combinatorial_purged(spans(), 4, 1)
    with pytest.raises(Invalid, match="one per test row"):
        found.along_paths([np.zeros(3)] * 4)


def test_anchored_walk_forward_learns_from_everything_before() -> None:
    folds = walk_forward(spans(), 4)
    assert [(fold.test[0], fold.test[-1]) for fold in folds] == [(20, 39), (40, 59), (60, 79), (80, 99)]
    assert [len(fold.train) for fold in folds] == [15, 35, 55, 75]
    assert all(fold.train[0] == 0 for fold in folds)


def test_rolling_walk_forward_learns_from_the_window_before() -> None:
    folds = walk_forward(spans(), 3, anchored=False, window=2, gap=1)
    assert [(fold.train[0], fold.train[-1], fold.test[0]) for fold in folds] == [(0, 33, 40), (20, 53, 60), (40, 73, 80)]
    assert [(fold.purged, fold.embargoed) for fold in folds] == [(5, 1)] * 3


def test_several_symbols_share_the_clock() -> None:
    both = Spans(np.tile(np.arange(50), 2), np.tile(np.arange(50) + 3, 2))
    for fold in purged_kfold(both, 5):
        assert not list(overlaps(both, fold))
        assert not set(both.begins[fold.train]) & set(both.begins[fold.test])


def test_an_unpurged_split_is_caught_with_both_samples() -> None:
    naive = Fold(np.arange(80), np.arange(80, 100), 0, 0)
    found = list(overlaps(spans(), naive))
    assert [train for train, _ in found] == [75, 76, 77, 78, 79]
    assert found[0] == (75, 80)


def test_long_spans_are_found_behind_short_ones() -> None:
    """The first test sample reaches far, the later ones do not."""
    own = Spans(np.array([0, 1, 2, 50]), np.array([60, 1, 2, 51]))
    assert list(overlaps(own, Fold(np.array([3]), np.array([0, 1, 2]), 0, 0))) == [(3, 0)]


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot be cut into 101 parts"):
        purged_kfold(spans(), 101)
    with pytest.raises(Invalid, match="before it begins"):
        Spans(np.array([3]), np.array([2]))
    with pytest.raises(Invalid, match="at least one must be left"):
        combinatorial_purged(spans(), 4, 4)
    with pytest.raises(Invalid, match="embargo"):
        purged_kfold(spans(), 4, embargo=-1)
    with pytest.raises(Invalid, match="window of 0"):
        walk_forward(spans(), 4, window=0)


def test_efficiency_is_what_is_left_out_of_sample() -> None:
    found = efficiency([0.2, 0.4, -0.1], [0.1, 0.1, 0.3])
    assert found.ratios == (0.5, 0.25, None)
    assert found.median == pytest.approx(0.375)
    assert found.spread == pytest.approx(0.17678, abs=1e-5)
    assert efficiency([-0.1], [0.1]).reason == "no fold earned anything in sample"
    with pytest.raises(Invalid, match="not a number"):
        efficiency([np.nan], [0.1])
