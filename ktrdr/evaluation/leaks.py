"""Does anything know the future? Checks on functions of bars and on the values that come of them.

What is checked is given as a function from bars to values, one row per base bar, whatever stands behind it. Every check
says whether it passed, why, in figures, and at which bar it first went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import SIGNAL
from ktrdr.backtest.result import Trades
from ktrdr.evaluation.splits import Fold, Spans, overlaps
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe

Tape = Mapping[Timeframe, Bars]
"""All bars that a strategy reads, by their size."""
Values = NDArray[Any]
Compute = Callable[[Tape], Values]
"""From bars to values: one row per base bar, of any width."""
Figures = dict[str, int | float | str | None]
NEAR = 1e-9
"""Share of a price by which two ways to compute a fill may differ."""


class Check(BaseModel):
    """One question about the future, and its answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    passed: bool
    reason: str
    figures: Figures
    bar: int | None = None
    """The first bar, as a row of the base bars, at which it goes wrong."""
    time: datetime | None = None
    """Start of that bar."""


class LeakProof(BaseModel):
    """All checks of one pipeline; it passes where every check does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    passed: bool
    checks: tuple[Check, ...]
    seed: int
    """Of the cuts and of the changed futures."""

    @classmethod
    def of(cls, checks: Iterable[Check], seed: int) -> LeakProof:
        """The proof that follows from these checks."""
        found = tuple(checks)
        return cls(passed=bool(found) and all(check.passed for check in found), checks=found, seed=seed)

    def sentence(self) -> str:
        """The first thing that is wrong, or that nothing is."""
        return next((f"{check.name}: {check.reason}" for check in self.checks if not check.passed), "nothing knows the future")


def until(tape: Tape, base: Timeframe, row: int) -> dict[Timeframe, Bars]:
    """What is known when base bar `row` closes: the bars of every size that are complete by then."""
    now = tape[base].known_at[row]
    return {size: own.rows(slice(0, int(np.searchsorted(own.known_at, now, side="right")))) for size, own in tape.items()}


def with_another_future(tape: Tape, base: Timeframe, row: int, seed: int) -> dict[Timeframe, Bars]:
    """The same bars up to the close of base bar `row`; behind it, prices and volumes that went another way."""
    random, now = np.random.default_rng(seed), tape[base].known_at[row]
    return {size: _changed(own, int(np.searchsorted(own.known_at, now, side="right")), random) for size, own in sorted(tape.items())}


def _changed(bars: Bars, kept: int, random: np.random.Generator) -> Bars:
    """Each later bar in its own shape at another price: steps of 1 %, volumes of half to double."""
    count = len(bars) - kept
    price = np.concatenate((np.ones(kept), np.exp(np.clip(np.cumsum(random.normal(0, 0.01, count)), -5, 5))))
    volume = np.concatenate((np.ones(kept), random.uniform(0.5, 2, count)))
    prices = {name: getattr(bars, name) * price for name in ("open", "high", "low", "close")}
    return replace(bars, **prices, volume=bars.volume * volume)


def first_known(values: Values) -> int:
    """The first row without a gap; the number of rows where there is none."""
    known = np.logical_and.reduce(~np.isnan(_wide(values)), axis=1)
    return int(known.argmax()) if known.any() else len(values)


def cuts_for(values: Values, count: int, seed: int, first: int = 0, last: int | None = None) -> tuple[int, ...]:
    """Rows after which to cut the future off: the first, one inside of the warm-up, and `count` at random behind it.

    None lies before `first` or after `last`, which is the last but one row by default; there are none where the bars are too
    few. A value that is filled in from behind shows at the first cut, one that looks ahead at any.
    """
    end = len(values) - 2 if last is None else min(last, len(values) - 2)
    if end < first:
        return ()
    warm = min(max(first, first_known(values)), end)
    drawn = np.random.default_rng(seed).integers(warm, end, size=count, endpoint=True).tolist()
    return tuple(sorted({first, max(first, warm // 2), *drawn}))


def check_future(name: str, compute: Compute, tape: Tape, base: Timeframe, cuts: Sequence[int], *, columns: Sequence[str] = (),
                 whole: Values | None = None) -> Check:  # fmt: skip
    """No value up to a bar may change when the bars behind it are cut off.

    `columns` names the values of a row for the report; `whole` is what `compute` gives for the whole tape, where that is
    known already.
    """
    bars = tape[base]
    values = _wide(compute(tape) if whole is None else whole)
    figures: Figures = {"bars": len(bars), "cuts": len(cuts)}
    if not cuts:
        return Check(name=name, passed=False, reason=f"{len(bars)} bars are too few to cut any off", figures=figures)
    figures |= {"first_cut": min(cuts), "last_cut": max(cuts)}
    if len(values) != len(bars):
        return Check(name=name, passed=False, reason=f"{len(values)} rows were computed for {len(bars)} bars", figures=figures)
    found: tuple[int, int, int, Any] | None = None
    for cut in cuts:
        early = _wide(compute(until(tape, base, cut)))
        if early.shape != (cut + 1, values.shape[1]):
            said = f"{early.shape[0]} rows of {early.shape[1]} were computed for the first {cut + 1} bars"
            return _wrong(name, said, {**figures, "cut": cut}, bars, cut)
        differ = np.argwhere(~same(values[: cut + 1], early))
        if len(differ) and (found is None or differ[0][0] < found[0]):
            row, column = differ[0].tolist()
            found = (row, column, cut, early[row, column])
    if found is None:
        return Check(name=name, passed=True, reason=f"the same at all {len(cuts)} cuts", figures=figures)
    row, column, cut, seen = found
    what = columns[column] if columns else f"value {column}"
    was, then = _figure(seen), _figure(values[row, column])
    reason = f"{what} of bar {row} is {was} where the bars end at {cut}, and {then} where they go on"
    return _wrong(name, reason, {**figures, "cut": cut, "column": what, "cut_off": was, "whole": then}, bars, row)


def check_warm_up(name: str, values: Values, targets: Values, bars: Bars, least: int | NDArray[np.int64] = 0) -> Check:
    """No value is known before its bar `least`, and no position is taken or left on a bar whose values are not all known.

    `values` and `targets` have a row per bar, a position being -1, 0 or 1; `least` may say another bar for each value of
    a row.
    """
    there = ~np.isnan(_wide(values))
    known = np.logical_and.reduce(there, axis=1)
    figures: Figures = {"bars": len(bars), "warm_up": first_known(values), "unknown": int((~known).sum())}
    if (early := np.argwhere(there & (np.arange(len(there))[:, None] < least))).size:
        row, column = early[0].tolist()
        least_of = int(np.broadcast_to(least, there.shape[1:])[column])
        said = f"value {column} of bar {row} is known, though nothing can be before bar {least_of}"
        return _wrong(name, said, {**figures, "least": least_of}, bars, row)
    moved = np.diff(targets, prepend=np.zeros(1, targets.dtype)) != 0
    if (blind := np.flatnonzero(moved & ~known)).size:
        said = f"the position changes at bar {blind[0]}, where not every value is known"
        return _wrong(name, said, {**figures, "changes": len(blind)}, bars, int(blind[0]))
    return Check(name=name, passed=True, reason=f"nothing is decided on {figures['unknown']} bars with a gap", figures=figures)


def check_fills(name: str, bars: Bars, targets: Values, trades: Trades, costs: Costs) -> Check:
    """Every position is taken and left at the open of the bar after the one that decided it, with the costs of that side.

    `targets` are the positions wanted after each bar's close. What ends with the data or in ruin is left at a close.
    """
    figures: Figures = {"bars": len(bars), "trades": len(trades)}
    entry, leave, side = trades.entry_bar, trades.exit_bar, trades.side.astype(np.int64)
    signal = trades.reason == SIGNAL
    wrong: list[tuple[int, str]] = []
    for at, what, applies in ((entry, "entered", np.ones(len(trades), bool)), (leave, "left", signal)):
        wanted = targets[np.maximum(at - 1, 0)] == side
        undecided = applies & ((at < 1) | (wanted if what == "left" else ~wanted))
        direction = side if what == "entered" else -side
        fair = _fill(bars.open[at], direction, costs)
        paid = trades.entry_price if what == "entered" else trades.exit_price
        unfair = applies & ~undecided & ~(np.abs(paid - fair) <= NEAR * fair)
        wrong += [
            (int(at[i]), f"a trade is {what} at bar {at[i]} without a decision at the close before") for i in np.flatnonzero(undecided)
        ]
        wrong += [(int(at[i]), f"a trade is {what} at bar {at[i]} for {paid[i]:.10g}, its open gives {fair[i]:.10g}")
                  for i in np.flatnonzero(unfair)]  # fmt: skip
    if wrong:
        row, said = min(wrong)
        return _wrong(name, said, {**figures, "wrong": len(wrong)}, bars, row)
    return Check(name=name, passed=True, reason=f"{len(trades)} trades, each filled at the open after its decision", figures=figures)


def _fill(price: NDArray[np.float64], direction: NDArray[np.int64], costs: Costs) -> NDArray[np.float64]:
    rates = costs.rates
    paid: NDArray[np.float64] = price * (1.0 + direction * rates.slippage) + direction * rates.markup
    return paid


def check_spans(name: str, spans: Spans, folds: Sequence[Fold], bars: Bars | None = None) -> Check:
    """No training sample's span meets that of a sample it is judged on, and none is on both sides."""
    figures: Figures = {"samples": len(spans), "folds": len(folds), "purged": sum(fold.purged for fold in folds)}
    for number, fold in enumerate(folds):
        if (both := np.intersect1d(fold.train, fold.test)).size:
            said = f"sample {both[0]} is learned from and judged on in fold {number}"
            return _wrong(name, said, {**figures, "fold": number, "samples_on_both_sides": len(both)}, bars, int(spans.begins[both[0]]))
        for train, test in overlaps(spans, fold):
            said = (
                f"training sample {train} of fold {number} reads bars {spans.begins[train]} to {spans.ends[train]}, "
                f"test sample {test} bars {spans.begins[test]} to {spans.ends[test]}"
            )
            return _wrong(name, said, {**figures, "fold": number}, bars, int(spans.begins[train]))
    return Check(name=name, passed=True, reason=f"no span crosses between training and test in {len(folds)} folds", figures=figures)


def check_fit(
    name: str, fit: Compute, tape: Tape, base: Timeframe, row: int, *, seed: int, columns: Sequence[str] = ()
) -> Check:  # fmt: skip
    """What is fitted on the bars up to base bar `row` must not change when the bars behind it go another way.

    `fit` gives the fitted numbers, such as offsets and scales or the centres of fuzzy sets; `columns` names them.
    """
    bars = tape[base]
    own, other = np.ravel(fit(tape)), np.ravel(fit(with_another_future(tape, base, row, seed)))
    figures: Figures = {"numbers": len(own), "fitted_until": row}
    if own.shape != other.shape:
        return _wrong(name, f"{len(own)} numbers are fitted, {len(other)} with another future", figures, bars, row)
    differ = np.flatnonzero(~same(own, other))
    if not len(differ):
        said = f"{len(own)} fitted numbers, the same with another future" if len(own) else "nothing is fitted"
        return Check(name=name, passed=True, reason=said, figures=figures)
    at = int(differ[0])
    what = columns[at] if columns else f"number {at}"
    was, then = _figure(own[at]), _figure(other[at])
    figures |= {"column": what, "changed": len(differ), "own": was, "other": then}
    return _wrong(name, f"{what} is {was}, and {then} with another future after bar {row}", figures, bars, row)


def same(one: Values, other: Values) -> NDArray[np.bool_]:
    """Where two arrays hold the same bits, two gaps being the same."""
    equal: NDArray[np.bool_] = one == other
    return equal | (np.isnan(one) & np.isnan(other))


def _wide(values: Values) -> Values:
    return values[:, None] if values.ndim == 1 else values


def _figure(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _wrong(name: str, reason: str, figures: Figures, bars: Bars | None, row: int) -> Check:
    time = as_datetime(bars.time[row]) if bars is not None and 0 <= row < len(bars) else None
    return Check(name=name, passed=False, reason=reason, figures=figures, bar=row, time=time)
