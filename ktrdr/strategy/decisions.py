"""From the scores of the network to the position wanted after each bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.market.bars import Floats, Times
from ktrdr.strategy.sections import Decisions
from ktrdr.strategy.spec import Strategy

FULL_CONFIDENCE = 3.0
"""A forecast of so many thresholds is one of full confidence."""

Classes = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Decided:
    """What is wanted after each bar closes."""

    targets: Classes
    """Position: -1 short, 0 flat, 1 long."""
    confidence: Floats
    """From 0 to 1; NaN where the network has no score."""
    signals: Classes
    """0 buy, 1 hold, 2 sell, after the filters."""


def decide(scores: Floats, strategy: Strategy, time: Times) -> Decided:
    """Positions from scores: probabilities of the classes of the label, (n, 3) of buy, hold and sell, or (n, 1) forecast returns.

    A row with a NaN holds. Buy opens a long position or closes a short one, sell closes a long one or opens a short one
    where the strategy allows that; nothing turns from one side to the other at once. Filters in order: confidence,
    hours since the last change of position, a signal for the side already held.
    """
    rules = strategy.decisions
    width = len(strategy.classes) or 1
    if scores.shape != (len(time), width):
        raise Invalid(f"{strategy.task} decisions need scores of shape ({len(time)}, {width}), got {scores.shape}")
    raw, confidence = signals_of(scores, rules, strategy.label.signals)
    targets, signals = _walk(raw, time.astype("datetime64[us]"), rules)
    return Decided(targets, confidence, signals)


def signals_of(scores: Floats, rules: Decisions, meaning: Sequence[int] = (BUY, HOLD, SELL)) -> tuple[Classes, Floats]:
    """What each score says by itself, before the filters: 0 buy, 1 hold, 2 sell, and the confidence.

    `meaning` are the signals of the classes; a single column is a forecast return.
    """
    return _forecasts(scores[:, 0], rules) if scores.shape[1] == 1 else _classes(scores, rules, np.array(meaning, dtype=np.int8))


def _classes(scores: Floats, rules: Decisions, signals: Classes) -> tuple[Classes, Floats]:
    known: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(scores), axis=1)
    filled = np.where(known[:, None], scores, 0.0)
    confidence = np.where(known, filled.max(axis=1, initial=0.0), np.nan)
    sure = known & (np.nan_to_num(confidence) >= rules.confidence_threshold)
    return np.where(sure, signals[filled.argmax(axis=1)], HOLD).astype(np.int8), confidence


def _forecasts(returns: Floats, rules: Decisions) -> tuple[Classes, Floats]:
    if rules.cost_model is None:
        raise Invalid("regression decisions need decisions.cost_model")
    threshold = rules.cost_model.threshold
    known = np.isfinite(returns)
    filled = np.where(known, returns, 0.0)
    confidence = np.where(known, np.minimum(1.0, np.abs(filled) / (FULL_CONFIDENCE * threshold)), np.nan)
    signals = np.where(filled > threshold, BUY, np.where(filled < -threshold, SELL, HOLD))
    return signals.astype(np.int8), confidence


def _walk(raw: Classes, time: Times, rules: Decisions) -> tuple[Classes, Classes]:
    """The positions that follow from the signals, one after the other; bars without a signal are stepped over."""
    lowest = -1 if rules.allow_short_from_flat or rules.output_format == "regression" else 0
    apart = np.timedelta64(round(rules.filters.min_signal_separation * 3600 * 1e6), "us")
    signals, changes = np.full(len(raw), HOLD, dtype=np.int8), np.zeros(len(raw), dtype=np.int8)
    position, changed_at = 0, None
    for t in np.flatnonzero(raw != HOLD).tolist():
        step = 1 if raw[t] == BUY else -1
        if changed_at is not None and time[t] - changed_at < apart:
            continue
        if rules.position_awareness and step == position:
            continue
        signals[t] = raw[t]
        if lowest <= position + step <= 1:
            position, changed_at = position + step, time[t]
            changes[t] = step
    targets: Classes = np.cumsum(changes, dtype=np.int64).astype(np.int8)
    return targets, signals
