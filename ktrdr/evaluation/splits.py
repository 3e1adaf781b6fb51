"""Dividing samples by time so that no label of the training part looks into the part it is judged on.

Every sample has a span on one clock, such as bar numbers: it begins at the bar whose close it is known at and ends at the
last bar its label reads. After López de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spans:
    """From where to where each sample looks; both ends belong to it."""

    begins: Rows
    ends: Rows

    def __post_init__(self) -> None:
        """Refuse spans that end before they begin."""
        if self.begins.shape != self.ends.shape or self.begins.ndim != 1:
            raise Invalid(f"spans of shapes {self.begins.shape} and {self.ends.shape}: one begin and one end per sample are needed")
        if (bad := np.flatnonzero(self.ends < self.begins)).size:
            raise Invalid(f"sample {bad[0]} ends at {self.ends[bad[0]]}, before it begins at {self.begins[bad[0]]}")

    def __len__(self) -> int:
        return len(self.begins)

    def blocks(self, count: int) -> list[Rows]:
        """The samples in order of their begin, cut into so many parts of equal size."""
        if not 2 <= count <= len(self):
            raise Invalid(f"{len(self)} samples cannot be cut into {count} parts", hint="use fewer parts or more samples")
        return np.array_split(np.argsort(self.begins, kind="stable"), count)


@dataclass(frozen=True, eq=False)
class Fold:
    """Which samples to learn from and which to judge on, as row numbers in rising order."""

    train: Rows
    test: Rows
    purged: int
    """Samples left out because their span meets that of a test block."""
    embargoed: int
    """Samples left out because they begin too soon after a test block."""


def purged_kfold(spans: Spans, folds: int, embargo: int = 0) -> list[Fold]:
    """Each of `folds` blocks is tested once, after training on what of the others has nothing to do with it.

    Training leaves out every sample whose span meets the block's, and every one that begins within `embargo` after it.
    """
    blocks = spans.blocks(folds)
    return [_fold(spans, blocks, (number,), embargo) for number in range(folds)]


@dataclass(frozen=True, eq=False)
class Combinatorial:
    """Every way to test on some of the blocks, and the paths through all of time that follow from it."""

    folds: tuple[Fold, ...]
    blocks: tuple[Rows, ...]
    tested: tuple[tuple[int, ...], ...]
    """The blocks that each fold tests."""

    @property
    def paths(self) -> Rows:
        """Which fold tests each block (columns) on each path (rows); every fold's block is on one path."""
        used = [[fold for fold, tested in enumerate(self.tested) if block in tested] for block in range(len(self.blocks))]
        return np.array(used, dtype=np.int64).T

    def along_paths(self, outcomes: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The outcomes of every sample (columns) on each path (rows), from each fold's outcomes in the order of its test rows."""
        if [len(given) for given in outcomes] != [len(fold.test) for fold in self.folds]:
            raise Invalid("the outcomes are not those of the folds: each fold needs one per test row")
        count = sum(len(block) for block in self.blocks)
        found = np.empty((len(self.paths), count), dtype=np.result_type(*outcomes))
        for path, used in zip(found, self.paths, strict=True):
            for block, fold in zip(self.blocks, used, strict=True):
                path[block] = outcomes[fold][np.searchsorted(self.folds[fold].test, block)]
        return found


def combinatorial_purged(spans: Spans, blocks: int = 6, tested: int = 2, embargo: int = 0) -> Combinatorial:
    """Combinatorial purged cross-validation: C(blocks, tested) folds, C(blocks - 1, tested - 1) paths.

    Every fold is purged and embargoed around each block that it tests; every path tests every sample once.
    """
    if not 1 <= tested < blocks:
        raise Invalid(f"{tested} of {blocks} blocks cannot be tested; at least one must be left to learn from")
    parts, ways = spans.blocks(blocks), tuple(combinations(range(blocks), tested))
    return Combinatorial(tuple(_fold(spans, parts, way, embargo) for way in ways), tuple(parts), ways)


def path_count(blocks: int, tested: int) -> int:
    """Paths of combinatorial purged cross-validation: C(blocks - 1, tested - 1)."""
    return math.comb(blocks - 1, tested - 1)


def walk_forward(spans: Spans, folds: int, *, anchored: bool = True, window: int = 1, gap: int = 0) -> list[Fold]:
    """Learn from what came before and test on what comes next, `folds` times.

    The samples are cut into `folds` + `window` blocks. Anchored training reads everything before the tested block,
    rolling training the `window` blocks before it; left out is what does not end more than `gap` before the test begins.
    """
    if window < 1 or gap < 0:
        raise Invalid(f"a window of {window} blocks and a gap of {gap}: at least 1 block and no negative gap are needed")
    blocks = spans.blocks(folds + window)
    found = []
    for number in range(window, len(blocks)):
        before, test = np.concatenate(blocks[0 if anchored else number - window : number]), np.sort(blocks[number])
        meets = spans.ends[before] >= spans.begins[test].min()
        close = ~meets & (spans.ends[before] >= spans.begins[test].min() - gap)
        found.append(Fold(np.sort(before[~meets & ~close]), test, int(meets.sum()), int(close.sum())))
    return found


def overlaps(spans: Spans, fold: Fold) -> Iterator[tuple[int, int]]:
    """Every training sample whose span meets that of a test sample, with one such test sample; nothing where all is well."""
    order = fold.test[np.argsort(spans.begins[fold.test], kind="stable")]
    reach = np.maximum.accumulate(spans.ends[order])
    # The last test sample that begins before the training span is over; all before it reach no farther than `reach`.
    last = np.searchsorted(spans.begins[order], spans.ends[fold.train], side="right") - 1
    for row in np.flatnonzero((last >= 0) & (reach[np.maximum(last, 0)] >= spans.begins[fold.train])):
        before = order[: last[row] + 1]
        yield int(fold.train[row]), int(before[np.argmax(spans.ends[before] >= spans.begins[fold.train[row]])])


def _fold(spans: Spans, blocks: Sequence[Rows], tested: tuple[int, ...], embargo: int) -> Fold:
    if embargo < 0:
        raise Invalid(f"the embargo must not be negative, is {embargo}")
    test = np.sort(np.concatenate([blocks[number] for number in tested]))
    rest = np.sort(np.concatenate([block for number, block in enumerate(blocks) if number not in tested]))
    begins, ends = spans.begins[rest], spans.ends[rest]
    meets, close = np.zeros(len(rest), bool), np.zeros(len(rest), bool)
    for number in tested:
        first, last = spans.begins[blocks[number]].min(), spans.ends[blocks[number]].max()
        meets |= (begins <= last) & (ends >= first)
        close |= (begins > last) & (begins <= last + embargo)
    close &= ~meets
    return Fold(rest[~meets & ~close], test, int(meets.sum()), int(close.sum()))


@dataclass(frozen=True)
class Efficiency:
    """How much of what was earned where a strategy was learned is earned where it is applied."""

    ratios: tuple[float | None, ...]
    """Yearly return out of sample / in sample, fold by fold; None where nothing was earned in sample."""
    median: float | None
    spread: float | None
    """Standard deviation over the folds."""
    reason: str | None = None
    """Why there is no median."""


def efficiency(inside: Sequence[float], outside: Sequence[float]) -> Efficiency:
    """Walk-forward efficiency from the yearly returns of each fold, in sample and out of sample."""
    pairs = list(zip(inside, outside, strict=True))
    if not np.isfinite(np.array(pairs, dtype=np.float64)).all():
        raise Invalid("a yearly return is not a number", hint="leave out folds whose return is not defined")
    ratios = tuple(out / own if own > 0 else None for own, out in pairs)
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return Efficiency(ratios, None, None, "no fold earned anything in sample")
    return Efficiency(ratios, float(np.median(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)
