"""From bars to rows that can be learned: features, labels, and a split by time that leaks nothing.

Every symbol is divided at the same dates. A row is left out where a feature or its label is not known, where its label
reads a bar of the next slice (purge), and for 1 % of all rows behind each boundary (embargo); where the network reads
sequences, also where one is broken by a row that is not known or begins before its slice does. López de Prado, Advances
in Financial Machine Learning (2018), chapter 7.
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
from ktrdr.labels.base import Task
from ktrdr.market.bars import Bars, Times, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Split
from ktrdr.models.predict import Rows, Singles
from ktrdr.strategy.features import Features, Fitted, compute_features, fit_scaling, unbroken
from ktrdr.strategy.spec import Strategy

EMBARGO = 0.01
"""Share of all rows that is left out behind each boundary."""
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
            for array in (part.values, part.ends, part.targets):
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
    each = [_rows_of(strategy, complete[symbol], start) for symbol in strategy.symbols]
    columns = zip(*((r.values, r.targets, r.time, r.read_from, r.read_until) for r in each), strict=True)
    rows = _Rows(*(np.concatenate(column) for column in columns))
    masks, split = _divide(strategy, rows)
    _enough_rows(strategy, masks, int(rows.usable.sum()), sum(len(own[strategy.base_timeframe]) for own in complete.values()))
    features = Features(strategy.feature_ids, rows.time, rows.values)
    scaling = fit_scaling(strategy, features, masks["train"])
    values = features.scaled(scaling).values if scaling else rows.values
    slices = {name: _slice(strategy, replace(rows, values=values), mask) for name, mask in masks.items()}
    return Samples(
        feature_ids=strategy.feature_ids,
        task=strategy.task,
        **slices,
        scaling=scaling,
        split=split,
        start=start.isoformat(),
        end=end.isoformat(),
        bars={f"{symbol} {tf}": own.digest() for symbol, read in complete.items() for tf, own in sorted(read.items())},
        adjustments={f"{symbol} {tf}": own.adjustment for symbol, read in complete.items() for tf, own in sorted(read.items())},
    )


def _complete(bars: Bars, end: datetime) -> Bars:
    """The bars that have closed by `end`."""
    return bars.rows(slice(0, int(np.searchsorted(bars.known_at, as_time(end), side="right"))))


def _rows_of(strategy: Strategy, bars: Mapping[Timeframe, Bars], start: datetime) -> _Rows:
    base = bars[strategy.base_timeframe]
    features, labels, length = compute_features(strategy, bars), strategy.label.label(base), strategy.model.architecture.sequence_length
    known = features.known & (base.time >= as_time(start))
    whole = np.flatnonzero(unbroken(known, base.time, base.timeframe) >= length)
    read_from = np.full(len(base), "NaT", dtype=base.time.dtype)
    read_from[whole] = base.time[whole - length + 1]
    read_until = base.time[labels.last_read]
    return _Rows(features.values[known], labels.values[known], base.time[known], read_from[known], read_until[known])


def _slice(strategy: Strategy, rows: _Rows, mask: Mask) -> Slice:
    """The targets of a mask, with the rows that their sequences read."""
    row, counted = np.arange(len(mask)), np.concatenate(([0], np.cumsum(mask)))
    read = counted[np.minimum(row + strategy.model.architecture.sequence_length, len(mask))] > counted[:-1]
    targets = rows.targets[mask].astype(np.int64 if strategy.task == "classification" else np.float64)
    return Slice(rows.values[read], targets, rows.time[mask], np.flatnonzero(mask[read]))


def _divide(strategy: Strategy, rows: _Rows) -> tuple[dict[str, Mask], Split]:
    shares, usable = strategy.training.data_split, rows.usable
    n = int(usable.sum())
    if n == 0:
        raise NoData(
            f"{strategy.name}: no row has all of its {len(strategy.feature_ids)} features and a label",
            hint="use a longer range, shorter indicator periods or another label",
        )
    ordered, gap = np.sort(rows.time[usable]), int(np.ceil(EMBARGO * n))
    first, second = (min(round(share * n), n - 1) for share in (shares.train, shares.train + shares.validation))
    train_end, validation_end = ordered[first], ordered[second]
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
    return masks, split


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
