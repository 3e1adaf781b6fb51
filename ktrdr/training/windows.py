"""From bars to rows that can be learned: features, labels, and a split by time that leaks nothing.

Every symbol is divided at the same dates. A row is left out where a feature or its label is not known, where its label
reads a bar of the next slice (purge), and for 1 % of all rows behind each boundary (embargo). López de Prado, Advances
in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import NoData
from ktrdr.labels.base import Task
from ktrdr.market.bars import Bars, Times, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Split
from ktrdr.strategy.features import Features, Fitted, compute_features, fit_scaling
from ktrdr.strategy.spec import Strategy

EMBARGO = 0.01
"""Share of all rows that is left out behind each boundary."""
LEAST = {"train": 50, "validation": 10, "test": 10}
"""Rows below which a slice says nothing."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slice:
    """Rows of one slice: all symbols, each in order of time."""

    values: NDArray[np.float32]
    targets: NDArray[Any]
    """Class numbers (int64) or forward returns (float64)."""
    time: Times

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

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each slice."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}

    def digest(self) -> str:
        """sha256 of everything that training sees."""
        seen = hashlib.sha256()
        for part in (self.train, self.validation):
            seen.update(np.ascontiguousarray(part.values).tobytes())
            seen.update(np.ascontiguousarray(part.targets).tobytes())
        return seen.hexdigest()


@dataclass(frozen=True, eq=False)
class _Rows:
    """The usable rows of one symbol or of all."""

    values: NDArray[np.float32]
    targets: NDArray[np.float64]
    time: Times
    read_until: Times
    """Start of the last bar that the row's label reads."""


def build_samples(strategy: Strategy, bars: Mapping[str, Mapping[Timeframe, Bars]], start: datetime, end: datetime) -> Samples:
    """The rows of [start, end), divided by `training.data_split`; bars before `start` serve as warm-up.

    Nothing is read that was not complete at `end`. Raises NoData, with the figures, where there are too few rows.
    """
    complete = {symbol: {tf: _complete(own, end) for tf, own in bars[symbol].items()} for symbol in strategy.symbols}
    for symbol in strategy.symbols:
        _enough_history(strategy, complete[symbol][strategy.base_timeframe], start, end)
    each = [_rows_of(strategy, complete[symbol], start) for symbol in strategy.symbols]
    columns = (np.concatenate(column) for column in zip(*((r.values, r.targets, r.time, r.read_until) for r in each), strict=True))
    rows = _Rows(*columns)
    masks, split = _divide(strategy, rows)
    _enough_rows(strategy, masks, len(rows.time), sum(len(own[strategy.base_timeframe]) for own in complete.values()))
    features = Features(strategy.feature_ids, rows.time, rows.values)
    scaling = fit_scaling(strategy, features, masks["train"])
    values = features.scaled(scaling).values if scaling else rows.values
    targets = rows.targets.astype(np.int64) if strategy.task == "classification" else rows.targets
    slices = {name: Slice(values[mask], targets[mask], rows.time[mask]) for name, mask in masks.items()}
    return Samples(
        feature_ids=strategy.feature_ids,
        task=strategy.task,
        **slices,
        scaling=scaling,
        split=split,
        start=start.isoformat(),
        end=end.isoformat(),
        bars={f"{symbol} {tf}": own.digest() for symbol, read in complete.items() for tf, own in sorted(read.items())},
    )


def _complete(bars: Bars, end: datetime) -> Bars:
    """The bars that have closed by `end`."""
    return bars.rows(slice(0, int(np.searchsorted(bars.known_at, as_time(end), side="right"))))


def _rows_of(strategy: Strategy, bars: Mapping[Timeframe, Bars], start: datetime) -> _Rows:
    base = bars[strategy.base_timeframe]
    features, labels = compute_features(strategy, bars), strategy.label.label(base)
    usable = features.known & np.isfinite(labels.values) & (base.time >= as_time(start))
    return _Rows(features.values[usable], labels.values[usable], base.time[usable], base.time[labels.last_read[usable]])


def _divide(strategy: Strategy, rows: _Rows) -> tuple[dict[str, Mask], Split]:
    shares, n = strategy.training.data_split, len(rows.time)
    if n == 0:
        raise NoData(
            f"{strategy.name}: no row has all of its {len(strategy.feature_ids)} features and a label",
            hint="use a longer range, shorter indicator periods or another label",
        )
    ordered, gap = np.sort(rows.time), int(np.ceil(EMBARGO * n))
    first, second = (min(round(share * n), n - 1) for share in (shares.train, shares.train + shares.validation))
    train_end, validation_end = ordered[first], ordered[second]
    validation_start, test_start = (ordered[min(at + gap, n - 1)] for at in (first, second))
    inside = {
        "train": rows.time < train_end,
        "validation": (rows.time >= validation_start) & (rows.time < validation_end),
        "test": rows.time >= test_start,
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
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    if all(counts[name] >= least for name, least in LEAST.items()):
        return
    raise NoData(
        f"{strategy.name}: {known:,} of {bars:,} bars have all features and a label; split by time that leaves {_listed(counts)} rows, "
        f"at least {_listed(LEAST)} are needed",
        hint="use a longer range, shorter indicator periods, or a label that looks less far ahead",
    )


def _listed(counts: Mapping[str, int]) -> str:
    parts: Iterable[str] = (f"{count:,} {name}" for name, count in counts.items())
    return ", ".join(parts)
