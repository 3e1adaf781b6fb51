"""From bars to rows that can be learned: features, labels, and a split by time that leaks nothing.

Every symbol is divided at the same dates. A row is left out where a feature or its label is not known, where its label
reads a bar of the next slice (purge), and for as many bars behind each boundary as labels look ahead, at least for 1 % of
all rows (embargo); where the network reads sequences, also where one is broken by a row that is not known or begins before
its slice does. López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import NoData
from ktrdr.labels.base import CLASSES, Targets, Task
from ktrdr.labels.uniqueness import uniqueness
from ktrdr.market.bars import Bars, Times, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Split
from ktrdr.models.predict import Rows, Singles
from ktrdr.strategy.features import Features, Fitted, compute_features, fit_scaling, unbroken
from ktrdr.strategy.spec import Strategy

EMBARGO = 0.01
"""Least share of all rows that is left out behind each boundary."""
LEAST = {"train": 50, "validation": 10, "test": 10}
"""Rows below which a slice says nothing."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slice:
    """What is learned from or judged on in one slice: all symbols, each in order of time."""

    values: Singles
    """The rows that are read."""
    targets: NDArray[Any]
    """Class numbers (int64) or forward returns (float64)."""
    time: Times
    """Of each target."""
    ends: Rows
    """The row of `values` with which the sequence of each target ends; without sequences these are all rows."""
    weights: Singles | None = None
    """What each target counts in learning, 1 on average; None where all count alike."""
    previous: NDArray[np.float64] | None = None
    """The newest target that was known when the bar of each row closed, NaN where none was; where labels look back, that of the
    bar before. None where nobody knows."""

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Samples:
    """What a network learns from and is judged on."""

    feature_ids: tuple[str, ...]
    task: Task
    train: Slice
    validation: Slice
    test: Slice
    scaling: dict[str, Fitted]
    """Of raw inputs, and the shapes of the words of partitions, from the training slice alone."""
    split: Split
    start: str
    end: str
    bars: dict[str, str]
    """sha256 of the bars read, by symbol and timeframe."""
    classes: tuple[str, ...] = CLASSES
    """Names of the classes by number; regression has none."""
    label_span: tuple[int, int] = (0, 0)
    """How many bars ahead a label looks: half of them so far at most, and the farthest."""
    adjustments: dict[str, str] = field(default_factory=dict)
    """Which splits and dividends were out of their prices."""

    @property
    def rows(self) -> dict[str, int]:
        """Targets of each slice."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}

    def digest(self) -> str:
        """sha256 of everything that training sees."""
        seen = hashlib.sha256()
        for part in (self.train, self.validation):
            for array in (part.values, part.ends, part.targets, *([part.weights] if part.weights is not None else [])):
                seen.update(np.ascontiguousarray(array).tobytes())
        return seen.hexdigest()


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one symbol or of all that have every feature."""

    values: Singles
    targets: NDArray[np.float64]
    """NaN where there is no label."""
    time: Times
    read_from: Times
    """Start of the first bar of the sequence that ends with the row; NaT where it is broken."""
    read_until: Times
    """Start of the last bar that the row's label reads."""
    number: Rows
    """Of the base bar, on one clock of all symbols, which do not meet on it."""
    last_read: Rows
    """Number of the last bar that the row's label reads."""
    previous: NDArray[np.float64]
    """The newest label that was known when the row's bar closed; NaN where none was."""

    @property
    def usable(self) -> Mask:
        """The rows that can be learned from."""
        return np.isfinite(self.targets) & ~np.isnat(self.read_from)


def build_samples(strategy: Strategy, bars: Mapping[str, Mapping[Timeframe, Bars]], start: datetime, end: datetime) -> Samples:
    """The rows of [start, end), divided by `training.data_split`; bars before `start` serve as warm-up.

    Nothing is read that was not complete at `end`. Raises NoData, with the figures, where there are too few rows.
    """
    complete = {symbol: {tf: _complete(own, end) for tf, own in bars[symbol].items()} for symbol in strategy.symbols}
    for symbol in strategy.symbols:
        _enough_history(strategy, complete[symbol][strategy.base_timeframe], start, end)
    each, first = list[_Rows](), 0
    for symbol in strategy.symbols:
        each.append(_rows_of(strategy, complete[symbol], start, first))
        first += len(complete[symbol][strategy.base_timeframe]) + 1
    columns = zip(
        *((r.values, r.targets, r.time, r.read_from, r.read_until, r.number, r.last_read, r.previous) for r in each), strict=True
    )  # fmt: skip
    rows = _Rows(*(np.concatenate(column) for column in columns))
    masks, split, span = _divide(strategy, rows)
    _enough_rows(strategy, masks, int(rows.usable.sum()), sum(len(own[strategy.base_timeframe]) for own in complete.values()))
    features = Features(strategy.feature_ids, rows.time, rows.values)
    scaling = fit_scaling(strategy, features, masks["train"])
    values = features.scaled(scaling).values if scaling else rows.values
    slices = {name: _slice(strategy, replace(rows, values=values), mask) for name, mask in masks.items()}
    if strategy.label.weighs:
        slices["train"] = replace(slices["train"], weights=_weights(rows, masks["train"]))
    return Samples(
        feature_ids=strategy.feature_ids,
        task=strategy.task,
        train=slices["train"],
        validation=slices["validation"],
        test=slices["test"],
        scaling=scaling,
        split=split,
        start=start.isoformat(),
        end=end.isoformat(),
        bars={f"{symbol} {tf}": own.digest() for symbol, read in complete.items() for tf, own in sorted(read.items())},
        classes=strategy.classes,
        label_span=span,
        adjustments={f"{symbol} {tf}": own.adjustment for symbol, read in complete.items() for tf, own in sorted(read.items())},
    )


def _span(strategy: Strategy, rows: _Rows, mask: Mask) -> tuple[int, int]:
    ahead = (rows.read_until[mask] - rows.time[mask]) / np.timedelta64(strategy.base_timeframe.seconds, "s")
    return int(np.median(ahead)), int(ahead.max())


def _complete(bars: Bars, end: datetime) -> Bars:
    """The bars that have closed by `end`."""
    return bars.rows(slice(0, int(np.searchsorted(bars.known_at, as_time(end), side="right"))))


def _rows_of(strategy: Strategy, bars: Mapping[Timeframe, Bars], start: datetime, first: int) -> _Rows:
    """The rows of one symbol, whose base bars are numbered from `first`."""
    base = bars[strategy.base_timeframe]
    features, labels, length = compute_features(strategy, bars), strategy.label.label(base), strategy.model.architecture.sequence_length
    known = features.known & (base.time >= as_time(start))
    whole = np.flatnonzero(unbroken(known, base.time, base.timeframe) >= length)
    read_from = np.full(len(base), "NaT", dtype=base.time.dtype)
    read_from[whole] = base.time[whole - length + 1]
    read_until, number = base.time[labels.last_read], np.arange(len(base))
    return _Rows(
        features.values[known], labels.values[known], base.time[known], read_from[known], read_until[known],
        number[known] + first, labels.last_read[known] + first, _previous(labels, strategy.label.looks_back)[known],
    )  # fmt: skip


def _previous(labels: Targets, looks_back: bool) -> NDArray[np.float64]:
    """The newest label that is known when each bar has closed; of labels that look back simply that of the bar before."""
    if looks_back:
        return np.concatenate(([np.nan], labels.values[:-1]))
    rows, newest = np.flatnonzero(np.isfinite(labels.values)), np.full(len(labels.values), -1)
    np.maximum.at(newest, labels.last_read[rows], rows)
    newest = np.maximum.accumulate(newest)
    return np.where(newest >= 0, labels.values[newest], np.nan)


def _slice(strategy: Strategy, rows: _Rows, mask: Mask) -> Slice:
    """The targets of a mask, with the rows that their sequences read."""
    row, counted = np.arange(len(mask)), np.concatenate(([0], np.cumsum(mask)))
    read = counted[np.minimum(row + strategy.model.architecture.sequence_length, len(mask))] > counted[:-1]
    targets = rows.targets[mask].astype(np.int64 if strategy.task == "classification" else np.float64)
    return Slice(rows.values[read], targets, rows.time[mask], np.flatnonzero(mask[read]), previous=rows.previous[mask])


def _weights(rows: _Rows, mask: Mask) -> Singles:
    """What each row of a mask counts, by how unique its label is among theirs; 1 on average."""
    unique = uniqueness(rows.number[mask], rows.last_read[mask])
    counts: Singles = (unique / unique.mean()).astype(np.float32)
    return counts


def _divide(strategy: Strategy, rows: _Rows) -> tuple[dict[str, Mask], Split, tuple[int, int]]:
    """The rows of each slice, where they are divided, and how far ahead the labels before the first boundary look."""
    shares, usable = strategy.training.data_split, rows.usable
    n = int(usable.sum())
    if n == 0:
        raise NoData(
            f"{strategy.name}: no row has all of its {len(strategy.feature_ids)} features and a label",
            hint="use a longer range, shorter indicator periods or another label",
        )
    ordered = np.sort(rows.time[usable])
    first, second = (min(round(share * n), n - 1) for share in (shares.train, shares.train + shares.validation))
    train_end, validation_end = ordered[first], ordered[second]
    spans = (rows.last_read - rows.number)[usable & (rows.time < train_end)]
    span = (int(np.median(spans)), int(spans.max())) if len(spans) else (0, 0)
    gap = max(int(np.ceil(EMBARGO * n)), span[0] * len(strategy.symbols))
    validation_start, test_start = (ordered[min(at + gap, n - 1)] for at in (first, second))
    inside = {
        "train": usable & (rows.time < train_end),
        "validation": usable & (rows.read_from >= validation_start) & (rows.time < validation_end),
        "test": usable & (rows.read_from >= test_start),
    }
    masks = {
        "train": inside["train"] & (rows.read_until < train_end),
        "validation": inside["validation"] & (rows.read_until < validation_end),
        "test": inside["test"],
    }
    purged = sum(int(inside[name].sum() - masks[name].sum()) for name in masks)
    moments = (as_datetime(t).isoformat() for t in (train_end, validation_start, validation_end, test_start))
    split = Split(**dict(zip(_BOUNDARIES, moments, strict=True)), embargo_rows=gap, purged_rows=purged)
    return masks, split, span


_BOUNDARIES = ("train_end", "validation_start", "validation_end", "test_start")


def _enough_history(strategy: Strategy, base: Bars, start: datetime, end: datetime) -> None:
    count, needed = len(base.between(start, end)), strategy.training_data.history_required
    if count < needed:
        raise NoData(
            f"{base.symbol} {base.timeframe} has {count:,} bars from {start:%Y-%m-%d} to {end:%Y-%m-%d}, {strategy.name} needs {needed:,}",
            hint=f"use a longer range, load more (ktrdr data load {base.symbol} --timeframe {base.timeframe}), "
            "or lower training_data.history_required",
        )


def _enough_rows(strategy: Strategy, masks: Mapping[str, Mask], known: int, bars: int) -> None:
    counts, length = {name: int(mask.sum()) for name, mask in masks.items()}, strategy.model.architecture.sequence_length
    if all(counts[name] >= least for name, least in LEAST.items()):
        return
    before, shorter = (f", and {length - 1} such bars before them", ", or a shorter sequence_length") if length > 1 else ("", "")
    raise NoData(
        f"{strategy.name}: {known:,} of {bars:,} bars have all features and a label{before}; split by time that leaves "
        f"{_listed(counts)} rows, at least {_listed(LEAST)} are needed",
        hint=f"use a longer range, shorter indicator periods, or a label that looks less far ahead{shorter}",
    )


def _listed(counts: Mapping[str, int]) -> str:
    parts: Iterable[str] = (f"{count:,} {name}" for name, count in counts.items())
    return ", ".join(parts)
