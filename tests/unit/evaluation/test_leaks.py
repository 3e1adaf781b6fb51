"""Planted leaks: every one is caught and named with its bar, and what leaks nothing is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ktrdr.agents.grammar import Gene, partition
from ktrdr.backtest.costs import Costs
from ktrdr.backtest.run import run_backtest
from ktrdr.evaluation.leaks import (
    Check,
    LeakProof,
    check_fills,
    check_fit,
    check_future,
    check_spans,
    check_warm_up,
    cuts_for,
    first_known,
    until,
    with_another_future,
)  # fmt: skip
from ktrdr.evaluation.splits import Fold, Spans, purged_kfold
from ktrdr.labels.forward_return import ForwardReturn
from ktrdr.labels.zigzag import ZigZag
from ktrdr.market.bars import Bars
from tests.unit.evaluation.conftest import H1, H4, Tape

Array = np.ndarray
COSTS = Costs(commission=0.0005, slippage=0.0002, spread=0.01)


def closes(tape: Tape) -> Array:
    return tape[H1].close


def trailing(values: Array, span: int) -> Array:
    out = np.full(len(values), np.nan)
    if len(values) >= span:
        out[span - 1 :] = np.lib.stride_tricks.sliding_window_view(values, span).mean(axis=1)
    return out


def shifted(values: Array, by: int) -> Array:
    """The value `by` bars later, NaN at the end."""
    return np.concatenate((values[by:], np.full(min(by, len(values)), np.nan)))


def smoothed(values: Array, share: float = 0.2) -> Array:
    out = values.copy()
    for t in range(1, len(out)):
        out[t] = share * values[t] + (1 - share) * out[t - 1]
    return out


# --- what knows the future


def best_of_all_spans(tape: Tape) -> Array:
    """The trailing mean whose sign went best with the next return, over the whole sample."""
    close = closes(tape)
    ahead = shifted(close, 1) / close - 1
    scored = [(np.nansum(np.sign(close - trailing(close, span)) * ahead), span) for span in range(2, 40) if span <= len(close)]
    return trailing(close, max(scored)[1]) if scored else np.full(len(close), np.nan)


def by_open_time(tape: Tape) -> Array:
    """The four-hour bar that has begun, before it is complete."""
    row = np.searchsorted(tape[H4].time, tape[H1].time, side="right") - 1
    return np.where(row >= 0, tape[H4].close[np.maximum(row, 0)], np.nan) if len(tape[H4]) else np.full(len(tape[H1]), np.nan)


def back_filled(tape: Tape) -> Array:
    values = trailing(closes(tape), 14)
    return np.where(np.isnan(values), values[first_known(values)] if first_known(values) < len(values) else np.nan, values)


def interpolated(tape: Tape) -> Array:
    """A figure published every tenth bar, with a line drawn to the next one."""
    close = closes(tape)
    return np.interp(np.arange(len(close)), np.arange(0, len(close), 10), close[::10])


def mean_return_of_the_hour(tape: Tape) -> Array:
    close, hour = closes(tape), np.arange(len(tape[H1])) % 24
    ahead = np.nan_to_num(shifted(close, 1) / close - 1)
    means = np.bincount(hour, ahead, 24) / np.maximum(np.bincount(hour, minlength=24), 1)
    return means[hour]


def high_of_the_day(tape: Tape) -> Array:
    bars = tape[H1]
    day = (bars.time.astype("datetime64[D]") - bars.time[0].astype("datetime64[D]")).astype(int)
    return np.maximum.reduceat(bars.high, np.flatnonzero(np.diff(day, prepend=-1)))[day]


def low_pass(tape: Tape) -> Array:
    waves = np.fft.rfft(closes(tape))
    waves[len(waves) // 8 + 1 :] = 0
    return np.fft.irfft(waves, len(closes(tape)))


def line_through_all(tape: Tape) -> Array:
    close, t = closes(tape), np.arange(len(tape[H1]), dtype=float)
    if len(close) < 2:
        return np.zeros(len(close))
    slope = float(((t - t.mean()) * (close - close.mean())).sum() / ((t - t.mean()) ** 2).sum())
    return close - (close.mean() + slope * (t - t.mean()))


def volatility(values: Array, span: int = 20) -> Array:
    return np.sqrt(trailing(np.diff(np.log(values), prepend=np.log(values[:1])) ** 2, span))


def calm_or_rough(tape: Tape) -> Array:
    """Whether the volatility of the moment is above the median of the whole sample."""
    now = volatility(closes(tape))
    return np.where(np.isnan(now), np.nan, now > np.nanmedian(now)) if np.isfinite(now).any() else now


def bars_to_the_next_high(tape: Tape) -> Array:
    close, top = closes(tape), np.maximum.accumulate(closes(tape))
    fresh = np.append(np.flatnonzero(close >= top), len(close))
    return (fresh[np.searchsorted(fresh, np.arange(len(close)), side="right").clip(0, len(fresh) - 1)] - np.arange(len(close))).astype(
        float
    )


def divided_by_a_later_split(tape: Tape) -> Array:
    """A split of two for one at bar 450, by which all earlier prices were divided."""
    known = len(tape[H1]) > 450
    return closes(tape) / np.where((np.arange(len(tape[H1])) < 450) & known, 2.0, 1.0)


def first_component(tape: Tape) -> Array:
    """Prices and volumes on the direction in which the whole sample spreads most."""
    rows = np.stack([closes(tape), np.log(tape[H1].volume)], axis=1)
    centred = rows - rows.mean(axis=0)
    spread = centred.T @ centred
    angle = 0.5 * np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])
    return centred @ np.array([np.cos(angle), np.sin(angle)])


def rank_within_the_day(tape: Tape) -> Array:
    day = np.arange(len(tape[H1])) // 24
    return np.concatenate([np.argsort(np.argsort(closes(tape)[day == each])) for each in range(day[-1] + 1)]).astype(float)


def weighted_by_what_it_paid(tape: Tape) -> Array:
    """Past moves, weighted by what following them paid over the whole sample."""
    moves = np.diff(closes(tape), prepend=closes(tape)[:1])
    paid = np.nansum(np.sign(moves[:-1]) * moves[1:])
    return np.sign(moves) * paid


LEAKS: dict[str, Callable[[Tape], Array]] = {
    "negative shift": lambda tape: shifted(closes(tape), 1),
    "negative shift of a signal, as an integer": lambda tape: np.append(np.diff(closes(tape)) > 0, False).astype(np.int8),
    "centred window": lambda tape: shifted(trailing(closes(tape), 11), 5),
    "future maximum": lambda tape: np.array([closes(tape)[t : t + 10].max() for t in range(len(tape[H1]))]),
    "whole-sample z-score": lambda tape: (closes(tape) - closes(tape).mean()) / (closes(tape).std() + 1e-9),
    "whole-sample scaling": lambda tape: (closes(tape) - closes(tape).min()) / (np.ptp(closes(tape)) + 1e-9),
    "global rank": lambda tape: np.argsort(np.argsort(closes(tape))) / len(tape[H1]),
    "whole-sample quantile bins": lambda tape: np.searchsorted(np.quantile(closes(tape), [0.25, 0.5, 0.75]), closes(tape)),
    "volume over its whole-sample mean": lambda tape: tape[H1].volume / tape[H1].volume.mean(),
    "backfilled warm-up": back_filled,
    "interpolated between publications": interpolated,
    "higher timeframe by its open time": by_open_time,
    "feature derived from the target": lambda tape: ForwardReturn(horizon=3).label(tape[H1]).values,
    "repainting pivot": lambda tape: ZigZag(zigzag_threshold=0.03).label(tape[H1]).values,
    "price adjusted by what comes later": lambda tape: closes(tape) / closes(tape)[-1],
    "filter run forwards and backwards": lambda tape: smoothed(smoothed(closes(tape))[::-1])[::-1],
    "low-pass over the whole sample": low_pass,
    "trend line through the whole sample": line_through_all,
    "what is still to be traded": lambda tape: np.cumsum(tape[H1].volume[::-1])[::-1],
    "mean next return of the hour": mean_return_of_the_hour,
    "high of the day before it is over": high_of_the_day,
    "gap to the next open": lambda tape: shifted(tape[H1].open, 1) / closes(tape),
    "parameter chosen on the whole sample": best_of_all_spans,
    "regime by the whole sample's median": calm_or_rough,
    "bars until the next high": bars_to_the_next_high,
    "lowest of the bars around": lambda tape: shifted(-trailing(-np.minimum(tape[H1].low, closes(tape)), 7), 3),
    "divided by a later split": divided_by_a_later_split,
    "first component of the whole sample": first_component,
    "rank within the day before it is over": rank_within_the_day,
    "weight chosen on the whole sample": weighted_by_what_it_paid,
}
CLEAN: dict[str, Callable[[Tape], Array]] = {
    "trailing mean": lambda tape: trailing(closes(tape), 14),
    "expanding z-score": lambda tape: np.array([(closes(tape)[t] - closes(tape)[: t + 1].mean()) for t in range(len(tape[H1]))]),
    "exponential mean": lambda tape: smoothed(closes(tape)),
    "highest so far": lambda tape: np.maximum.accumulate(tape[H1].high),
    "last return, two columns": lambda tape: np.stack([trailing(closes(tape), 3), closes(tape)], axis=1),
    "sign of the last return": lambda tape: np.sign(np.diff(closes(tape), prepend=closes(tape)[:1])).astype(np.int8),
}


def proved(compute: Callable[[Tape], Array], tape: Tape, seed: int = 3) -> Check:
    return check_future("feature", compute, tape, H1, cuts_for(compute(tape), 5, seed))


def test_thirty_ways_to_know_the_future_are_planted_in_features_alone() -> None:
    assert len(LEAKS) >= 30


@pytest.mark.parametrize("name", LEAKS)
def test_a_feature_that_knows_the_future_is_caught_with_its_bar(name: str, tape: Tape) -> None:
    found = proved(LEAKS[name], tape)
    assert not found.passed
    assert found.bar is not None
    assert found.time is not None
    assert found.figures["cut_off"] != found.figures["whole"]
    assert found.bar <= int(found.figures["cut"] or 0)
    assert f"bar {found.bar}" in found.reason


@pytest.mark.parametrize("name", CLEAN)
def test_a_feature_that_does_not_is_left_alone(name: str, tape: Tape) -> None:
    found = proved(CLEAN[name], tape)
    assert found.passed, found.reason
    assert found.bar is None
    assert found.figures["cuts"] == len(cuts_for(CLEAN[name](tape), 5, 3))


def test_the_first_bar_that_is_wrong_is_the_one_reported(tape: Tape) -> None:
    """Fifty bars of look-ahead from bar 100 on."""

    def from_bar_100(part: Tape) -> Array:
        values = closes(part).copy()
        values[100:] = shifted(closes(part), 50)[100:]
        return values

    found = check_future("feature", from_bar_100, tape, H1, (300, 120, 200), columns=("close",))
    assert (found.bar, found.figures["cut"], found.figures["column"]) == (100, 120, "close")
    assert found.time is not None
    assert (found.time.day, found.time.hour) == (5, 4)
    assert found.figures["cut_off"] is None


def test_rows_that_do_not_belong_to_bars_are_a_leak_too(tape: Tape) -> None:
    assert "599 rows were computed for 600 bars" in proved(lambda part: closes(part)[1:], tape).reason
    short = check_future("feature", lambda part: closes(part) if len(part[H1]) == 600 else closes(part)[:5], tape, H1, (50,))
    assert "5 rows of 1 were computed for the first 51 bars" in short.reason


def test_bars_that_are_too_few_prove_nothing(bars_of: Callable[..., Bars]) -> None:
    assert not proved(closes, {H1: bars_of(1)}).passed


def test_cutting_keeps_what_is_complete_and_nothing_else(tape: Tape) -> None:
    for row in (0, 2, 3, 4, 100, 599):
        part = until(tape, H1, row)
        assert len(part[H1]) == row + 1
        assert len(part[H4]) == (row + 1) // 4
        assert (part[H4].known_at <= part[H1].known_at[-1]).all()


def test_another_future_shares_the_past_and_has_bars_of_its_own(tape: Tape) -> None:
    other = with_another_future(tape, H1, 101, seed=1)
    for size in (H1, H4):
        kept = len(until(tape, H1, 101)[size])
        assert other[size].rows(slice(0, kept)).digest() == tape[size].rows(slice(0, kept)).digest()
        assert not np.isin(other[size].close[kept:], tape[size].close[kept:]).any()
        columns = {name: getattr(other[size], name) for name in ("open", "high", "low", "close", "volume")}
        Bars.checked("X", size, other[size].time, **columns)


# --- warm-up


def positions(tape: Tape, knowing: Array) -> Array:
    wanted = np.sign(np.diff(closes(tape), prepend=closes(tape)[:1]))
    return np.where(np.isnan(knowing), 0, wanted).astype(np.int8)


def test_a_warm_up_filled_with_zeros_is_caught(tape: Tape) -> None:
    honest = trailing(closes(tape), 14)
    assert check_warm_up("warm_up", honest, positions(tape, honest), tape[H1], 13).passed
    filled = np.nan_to_num(honest)
    assert proved(lambda part: np.nan_to_num(trailing(closes(part), 14)), tape).passed, "no cut can show it"
    found = check_warm_up("warm_up", filled, positions(tape, honest), tape[H1], 13)
    assert (found.passed, found.bar) == (False, 0)
    two = np.stack([honest, np.nan_to_num(trailing(closes(tape), 20), nan=1.0)], axis=1)
    found = check_warm_up("warm_up", two, positions(tape, honest), tape[H1], np.array([13, 19]))
    assert "value 1 of bar 0 is known" in found.reason


def test_a_decision_without_features_is_caught(tape: Tape) -> None:
    knowing = trailing(closes(tape), 14)
    knowing[300:310] = np.nan
    wanted = positions(tape, trailing(closes(tape), 14))
    wanted[299:303] = (1, 1, -1, 1)
    found = check_warm_up("warm_up", knowing, wanted, tape[H1])
    assert (found.passed, found.bar) == (False, 301)
    wanted[300:310] = wanted[299]
    assert check_warm_up("warm_up", knowing, wanted, tape[H1]).passed
    assert check_warm_up("warm_up", knowing, positions(tape, closes(tape)), tape[H1]).bar == 1


# --- fills


def test_fills_are_at_the_open_after_the_decision(tape: Tape) -> None:
    bars, wanted = tape[H1], positions(tape, closes(tape))
    result = run_backtest(bars, wanted, COSTS, 1000.0)
    honest = check_fills("fills", bars, wanted, result.trades, COSTS)
    assert honest.passed, honest.reason
    assert honest.figures["trades"] == len(result.trades) > 100
    assert check_fills("fills", bars, np.zeros(600, np.int8), run_backtest(bars, np.zeros(600, np.int8), COSTS, 1.0).trades, COSTS).passed


@pytest.mark.parametrize(("name", "changed"), [
    ("at the close that decided", lambda bars, trades: replace(trades, entry_price=bars.close[trades.entry_bar - 1])),
    ("at the open of the bar that decided", lambda bars, trades: replace(trades, entry_price=bars.open[trades.entry_bar - 1])),
    ("at the best price of the next bar", lambda bars, trades: replace(trades, entry_price=bars.low[trades.entry_bar])),
    ("on the bar that decided", lambda bars, trades: replace(trades, entry_bar=trades.entry_bar - 1)),
    ("without costs", lambda bars, trades: replace(trades, entry_price=bars.open[trades.entry_bar])),
    ("left at the close of the bar that decided", lambda bars, trades: replace(trades, exit_price=bars.close[trades.exit_bar - 1])),
    ("left on the bar that decided", lambda bars, trades: replace(trades, exit_bar=trades.exit_bar - 1)),
    ("left at the high", lambda bars, trades: replace(trades, exit_price=bars.high[trades.exit_bar])),
    ("left before it was wanted", lambda bars, trades: replace(trades, exit_bar=trades.entry_bar)),
])  # fmt: skip
def test_other_fills_are_caught(name: str, changed: Callable, tape: Tape) -> None:
    bars, wanted = tape[H1], positions(tape, closes(tape))
    found = check_fills("fills", bars, wanted, changed(bars, run_backtest(bars, wanted, COSTS, 1000.0).trades), COSTS)
    assert not found.passed, name
    assert found.bar is not None


def test_fills_that_nobody_decided_are_caught(tape: Tape) -> None:
    bars, wanted = tape[H1], positions(tape, closes(tape))
    trades = run_backtest(bars, wanted, COSTS, 1000.0).trades
    for others in (np.zeros(600, np.int8), np.roll(wanted, 1), -wanted):
        found = check_fills("fills", bars, others, trades, COSTS)
        assert not found.passed
        assert "without a decision at the close before" in found.reason
    leaving = wanted.copy()
    leaving[trades.exit_bar[5] - 1] = trades.side[5]
    assert check_fills("fills", bars, leaving, trades, COSTS).bar == trades.exit_bar[5]


def test_decisions_that_know_how_their_trade_ends_are_caught(tape: Tape) -> None:
    def only_winners(part: Tape) -> Array:
        wanted = positions(part, closes(part))
        kept = wanted.copy()
        if len(wanted) > 2:
            for trade in run_backtest(part[H1], wanted, COSTS, 1000.0).trades:
                if trade.net_pnl < 0:
                    kept[trade.entry_bar - 1 : trade.exit_bar] = 0
        return kept

    assert not check_future("decisions", only_winners, tape, H1, (200, 301, 402)).passed
    assert check_future("decisions", lambda part: positions(part, closes(part)), tape, H1, (200, 301, 402)).passed


def test_trades_that_know_the_end_are_caught(tape: Tape) -> None:
    """The size of each position is chosen by the result of the whole backtest."""

    def equity(part: Tape, scale: Callable[[Array], float]) -> Array:
        found = run_backtest(part[H1], positions(part, closes(part)), COSTS, 1000.0).equity[:-1]
        return np.append(found * scale(found), np.nan)

    cuts = (200, 400)
    assert not check_future("trades", lambda part: equity(part, lambda e: 1 / e.max()), tape, H1, cuts).passed


# --- splits


def label_spans(tape: Tape, horizon: int = 24) -> Spans:
    targets = ForwardReturn(horizon=horizon).label(tape[H1])
    rows = np.flatnonzero(np.isfinite(targets.values))
    return Spans(rows, targets.last_read[rows])


def test_labels_that_cross_into_the_test_are_caught(tape: Tape) -> None:
    spans = label_spans(tape)
    rows, edge = np.arange(len(spans)), 400
    found = check_spans("labels", spans, [Fold(rows[:edge], rows[edge:], 0, 0)], tape[H1])
    assert (found.passed, found.bar) == (False, 376)
    assert "reads bars 376 to 400, test sample 400 bars 400 to 424" in found.reason
    assert check_spans("labels", spans, [Fold(rows[:376], rows[edge:], 24, 0)], tape[H1]).passed


def test_a_shuffled_split_is_caught(tape: Tape) -> None:
    spans, mixed = label_spans(tape), np.random.default_rng(1).permutation(576)
    assert not check_spans("labels", spans, [Fold(np.sort(mixed[:400]), np.sort(mixed[400:]), 0, 0)]).passed


def test_a_sample_on_both_sides_is_caught(tape: Tape) -> None:
    spans = Spans(np.arange(100), np.arange(100))
    found = check_spans("labels", spans, [Fold(np.arange(51), np.arange(50, 100), 0, 0)])
    assert (found.passed, found.figures["samples_on_both_sides"]) == (False, 1)


def test_purged_folds_are_left_alone(tape: Tape) -> None:
    found = check_spans("labels", label_spans(tape), purged_kfold(label_spans(tape), 5, embargo=6), tape[H1])
    assert found.passed
    assert found.figures["purged"] == 2 * 4 * 24


# --- what is fitted


def test_a_scaler_fitted_on_the_whole_sample_is_caught(tape: Tape) -> None:
    def moments(part: Tape, rows: slice) -> Array:
        return np.array([closes(part)[rows].mean(), closes(part)[rows].std()])

    found = check_fit("scaling", lambda part: moments(part, slice(None)), tape, H1, 399, seed=1, columns=("mean", "deviation"))
    assert (found.passed, found.bar, found.figures["column"], found.figures["changed"]) == (False, 399, "mean", 2)
    assert check_fit("scaling", lambda part: moments(part, slice(0, 400)), tape, H1, 399, seed=1).passed
    assert not check_fit("scaling", lambda part: moments(part, slice(0, 401)), tape, H1, 399, seed=1).passed, "one bar too many"


def test_a_fuzzy_partition_fitted_on_the_whole_sample_is_caught(tape: Tape) -> None:
    gene = Gene("roc", (("period", 12),))

    def centres(part: Tape, rows: slice) -> Array:
        words = partition(gene, gene.values(part[H1])[rows])
        assert words is not None
        return np.array(words["middle"])

    assert not check_fit("partition", lambda part: centres(part, slice(None)), tape, H1, 399, seed=1).passed
    assert check_fit("partition", lambda part: centres(part, slice(0, 400)), tape, H1, 399, seed=1).passed


def test_inputs_chosen_on_the_whole_sample_are_caught(tape: Tape) -> None:
    def chosen(part: Tape, rows: slice) -> Array:
        ahead = shifted(closes(part), 1) / closes(part) - 1
        kept = [span for span in range(2, 40) if abs(np.nansum((np.sign(closes(part) - trailing(closes(part), span)) * ahead)[rows])) > 0.1]
        return np.array(kept)

    assert not check_fit("inputs", lambda part: chosen(part, slice(None)), tape, H1, 399, seed=1).passed
    assert check_fit("inputs", lambda part: chosen(part, slice(0, 399)), tape, H1, 399, seed=1).passed


def test_a_proof_passes_where_every_check_does() -> None:
    good, bad = (Check(name=name, passed=passed, reason="because", figures={}) for name, passed in (("one", True), ("two", False)))
    assert LeakProof.of([good], 1).passed
    assert LeakProof.of([good, bad], 1).sentence() == "two: because"
    assert not LeakProof.of([], 1).passed
