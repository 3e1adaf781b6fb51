"""The leak proof of a strategy: its features, decisions and trades, its labels, and what is fitted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import SIGNAL
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import simulated, trade
from ktrdr.evaluation.leaks import (
    Check,
    LeakProof,
    Tape,
    check_fills,
    check_fit,
    check_future,
    check_spans,
    check_warm_up,
    cuts_for,
    first_known,
    until,
)  # fmt: skip
from ktrdr.evaluation.splits import Fold, Spans
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.models.predict import softmax
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import Features, Fitted, compute_features, fit_scaling, numbers_of
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import Samples, build_samples

SEED = 7
CAPITAL = 100_000.0
NEARBY = 2000
"""Bars behind the warm-up among which a backtest's own proof cuts: short histories are cheap, and a leak shows in any."""
FEW = 4
"""Cuts among them."""
Floats = NDArray[np.float64]
Column = NDArray[Any]
Predict = Callable[[Features], Floats]
OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A strategy at work: from bars to what it sees, what it wants, and what it deals."""

    strategy: Strategy
    """That decides."""
    seen: Strategy
    """Whose features the network reads."""
    predict: Predict
    scaling: dict[str, Fitted]
    costs: Costs
    capital: float = CAPITAL

    def features(self, tape: Tape) -> Features:
        """What the network sees of every base bar."""
        return compute_features(self.seen, tape, self.scaling)

    def targets(self, features: Features, first: int) -> NDArray[np.int8]:
        """The position wanted after each bar from `first` on."""
        return decide(self.predict(features)[first:], self.strategy, features.time[first:]).targets

    def dealings(self, bars: Bars, targets: NDArray[np.int8], history: Bars) -> Floats:
        """What was dealt on each bar by the strategy's own will: position entered and its price, position left and its price."""
        ledger = simulated(bars, targets, self.costs, self.capital, execution=self.strategy.execution, history=history).ledger
        left = ledger.reason == SIGNAL
        return dealt(len(bars), (ledger.entry_bar, ledger.side, ledger.entry_fill),
                     (ledger.exit_bar[left], ledger.side[left], ledger.exit_fill[left]))  # fmt: skip


def dealt(count: int, entered: tuple[Column, Column, Column], left: tuple[Column, Column, Column]) -> Floats:
    """A row per bar from the bar, the side and the price of each entry and of each exit."""
    rows = np.zeros((count, 4))
    for place, (bar, side, price) in ((0, entered), (2, left)):
        rows[bar, place], rows[bar, place + 1] = side, price
    return rows


DEALT = ("side entered", "price of entry", "side left", "price of exit")


def trained(model: Model, strategy: Strategy, costs: Costs, capital: float) -> Pipeline:
    """A strategy with its model."""
    return Pipeline(strategy, model.strategy, model.predict, model.scaling, costs, capital)


def arbitrary(strategy: Strategy, scaling: dict[str, Fitted], costs: Costs, seed: int = SEED) -> Pipeline:
    """A strategy before its training: in place of the network stands an arbitrary function of each row.

    It answers to the least change of any feature, so it trades often, and where it differs something else did before.
    """
    classes = strategy.task == "classification"
    weights = np.random.default_rng(seed).uniform(-3, 3, (len(strategy.feature_ids), len(strategy.classes) or 1))
    cost_model = strategy.decisions.cost_model

    def predict(features: Features) -> Floats:
        answers = np.zeros((len(features.values), weights.shape[1]))
        for column, weight in zip(features.values.T, weights, strict=True):  # never `@`: its last bits depend on the number of rows
            answers += column[:, None] * weight
        answers -= np.floor(answers)
        return softmax(8 * answers) if classes else (answers - 0.5) * 8 * (cost_model.threshold if cost_model else 1.0)

    return Pipeline(strategy, strategy, predict, scaling, costs)


def prove_backtest(
    pipeline: Pipeline, tape: Tape, features: Features, targets: NDArray[np.int8], result: Backtest, *, seed: int = SEED
) -> LeakProof:
    """The proof that goes with a backtest, for less than the backtest itself takes.

    Features are computed again at a few cuts near their beginning, and features, decisions and trades at one cut within
    the bars tested. `features` are those of the whole tape, `targets` and `result` those of the bars tested.
    """
    base = pipeline.strategy.base_timeframe
    bars = tape[base]
    first = len(bars) - len(targets)
    begin = earliest(tape, base)
    early = cuts_for(features.values, FEW, seed, begin, max(begin, first_known(features.values)) + NEARBY)
    return LeakProof.of(_checks(pipeline, tape, features, (targets, result), (early, _within(first, len(bars), (seed,)))), seed)


def prove_strategy(
    strategy: Strategy, tape: Tape, dates: tuple[datetime, datetime], costs: Costs, *, cuts: int, seed: int = SEED,
    on_step: OnStep = lambda done, total, what: None,
) -> LeakProof:  # fmt: skip
    """The whole proof of a strategy of one symbol on the bars of some dates; older bars serve as warm-up.

    Beside what goes with a backtest, here at `cuts` bars each: the labels' spans against the split of a training on these
    dates, and what inputs are scaled by. No model is needed, see `arbitrary`. `on_step(done, total, what)` is called
    before each cut, and what it raises ends the work.
    """
    samples = build_samples(strategy, {tape[strategy.base_timeframe].symbol: tape}, *dates)
    base = tape[strategy.base_timeframe]
    pipeline = arbitrary(strategy, samples.scaling, costs, seed)
    features = pipeline.features(tape)
    first = int(np.searchsorted(base.time, as_time(dates[0])))
    targets = pipeline.targets(features, first)
    result = trade(base.rows(slice(first, None)), targets, costs, CAPITAL, execution=strategy.execution, history=[base])
    early = cuts_for(features.values, cuts, seed, earliest(tape, base.timeframe))
    late = _within(first, len(base), range(seed, seed + cuts))
    return LeakProof.of(
        (
            *_checks(pipeline, tape, features, (targets, result), (early, late), on_step=on_step),
            check_split(strategy, samples, base, dates[1]),
            check_scaling(strategy, samples, tape, seed),
        ),
        seed,
    )


def _checks(
    pipeline: Pipeline, tape: Tape, features: Features, ran: tuple[NDArray[np.int8], Backtest],
    cuts: tuple[tuple[int, ...], tuple[int, ...]], *, on_step: OnStep = lambda done, total, what: None,
) -> Iterator[Check]:  # fmt: skip
    """Features at early and late cuts; decisions and trades at the late ones; warm-up and fills as they are."""
    base, (targets, result), (early, late) = pipeline.strategy.base_timeframe, ran, cuts
    bars, first = tape[base], len(tape[base]) - len(targets)
    tested = bars.rows(slice(first, None))
    everywhere = sorted({*early, *late})
    seen: dict[int, Features] = {}
    wanted: dict[int, NDArray[np.int8]] = {}

    def features_of(part: Tape) -> Features:
        length = len(part[base])
        if length not in seen:
            on_step(len(seen), len(everywhere), "Cut")
            seen[length] = pipeline.features(part)
        return seen[length]

    def targets_of(part: Tape) -> NDArray[np.int8]:
        length = len(part[base])
        if length not in wanted:
            wanted[length] = pipeline.targets(features_of(part), first)
        return wanted[length]

    def dealings_of(part: Tape) -> Floats:
        return pipeline.dealings(part[base].rows(slice(first, None)), targets_of(part), part[base])

    idle, still = np.zeros(first, np.int8), np.zeros((first, len(DEALT)))
    whole = np.concatenate((idle, targets))
    yield check_future("features", lambda part: features_of(part).values, tape, base, everywhere, columns=features.ids,
                       whole=features.values)  # fmt: skip
    yield check_future("decisions", lambda part: np.concatenate((idle, targets_of(part))), tape, base, late, columns=("position",),
                       whole=whole)  # fmt: skip
    yield check_future("trades", lambda part: np.concatenate((still, dealings_of(part))), tape, base, late, columns=DEALT,
                       whole=np.concatenate((still, _dealt_in(result, len(tested)))))  # fmt: skip
    yield check_warm_up("warm_up", features.values, whole, bars, least_history(pipeline.seen, tape, features))
    yield check_fills("fills", tested, targets, result.trades, pipeline.costs)


def _dealt_in(result: Backtest, count: int) -> Floats:
    trades = result.trades
    left = trades.reason == SIGNAL
    return dealt(count, (trades.entry_bar, trades.side, trades.entry_price),
                 (trades.exit_bar[left], trades.side[left], trades.exit_price[left]))  # fmt: skip


def _within(first: int, count: int, seeds: Iterable[int]) -> tuple[int, ...]:
    """Cuts within the bars from `first` on, each leaving two of them and taking one away at least."""
    low, high = first + 1, count - 2
    if high < low:
        return ()
    return tuple(sorted({int(np.random.default_rng(seed).integers(low, high, endpoint=True)) for seed in seeds}))


def earliest(tape: Tape, base: Timeframe) -> int:
    """The first base bar by which every series whose volume begins late has shown some; volume indicators refuse it before."""
    shown = [own.known_at[int(np.argmax(own.volume > 0))] for own in tape.values() if own.has_volume and own.volume[0] == 0]
    return int(np.searchsorted(tape[base].known_at, max(shown))) if shown else 0


def least_history(strategy: Strategy, tape: Tape, features: Features) -> NDArray[np.int64]:
    """For each feature the first base bar at which its indicator is known, computed from the indicator itself."""
    base = tape[strategy.base_timeframe]
    enough = max(first_known(features.values), earliest(tape, base.timeframe))
    part = until(tape, base.timeframe, min(enough, len(base) - 1))
    found: list[int] = []
    for entry in strategy.nn_inputs:
        words = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        name, _, output = (words.indicator if words else entry.raw_indicator or "").partition(".")
        indicator = strategy.indicators[name].build()
        for timeframe in strategy.timeframes_of(entry):
            own = part[strategy.read_by(name, timeframe)]
            column = indicator.compute(own)[output or (indicator.outputs[0] if indicator.outputs else "value")]
            row = first_known(column)
            known = row < len(column)
            at = int(np.searchsorted(base.known_at, own.known_at[row])) if known else len(part[base.timeframe])
            found += [at] * (len(words.words) if words else 1)
    return np.array(found, dtype=np.int64)


def check_split(strategy: Strategy, samples: Samples, bars: Bars, end: datetime) -> Check:
    """No label that training or the choice of the epoch reads looks into what comes after it; of one symbol."""
    complete = bars.rows(slice(0, int(np.searchsorted(bars.known_at, as_time(end), side="right"))))
    parts = [np.searchsorted(complete.time, part.time) for part in (samples.train, samples.validation, samples.test)]
    rows = np.concatenate(parts)
    spans = Spans(rows, strategy.label.label(complete).last_read[rows])
    train, validation, test = np.split(np.arange(len(rows)), np.cumsum([len(part) for part in parts])[:-1])
    purged = samples.split.purged_rows
    folds = (Fold(train, np.concatenate((validation, test)), purged, samples.split.embargo_rows), Fold(validation, test, 0, 0))
    return check_spans("labels", spans, folds, complete)


def check_scaling(strategy: Strategy, samples: Samples, tape: Tape, seed: int = SEED) -> Check:
    """What raw inputs are scaled by, and the words of partitions, come from the training rows alone, whatever the future is."""
    base = tape[strategy.base_timeframe]
    learned = np.isin(base.time, samples.train.time)
    given = numbers_of(samples.scaling)

    def fit(part: Tape) -> Floats:
        return np.array(list(numbers_of(fit_scaling(strategy, compute_features(strategy, part), learned)).values()))

    used, names = np.array(list(given.values())), tuple(given)
    row = int(np.flatnonzero(learned)[-1])
    found = check_fit("scaling", fit, tape, base.timeframe, row, seed=seed, columns=names)
    if found.passed and not np.array_equal(fit(tape), used):
        said = "the inputs are scaled by other numbers than the training rows alone give"
        return Check(name="scaling", passed=False, reason=said, figures=found.figures, bar=row, time=as_datetime(base.time[row]))
    return found
