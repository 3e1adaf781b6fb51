"""Why a model decided as it did on one bar: what it saw, which rules fired, and what would have changed its mind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.scores import Part
from ktrdr.models.tsk import fire
from ktrdr.reports.inputs import Input
from ktrdr.reports.rules import SIGNALS, Classes, Floats, Rulebook, RuleReport, answer_in_words

Singles = NDArray[np.float32]
Say = Callable[[Singles], Floats]
"""What a model answers to rows of its inputs."""
GRID, ROUNDS = 64, 3
"""Values of an input that are tried between its lowest and its highest, and how often the step is divided by as many."""
PAIR_GRID = 16
"""The same for two inputs together, where none alone is enough."""
DIGITS = range(3, 18)


class Reading(Part):
    """An input as it was."""

    input: str
    timeframe: str
    indicator: str
    value: float
    words: dict[str, float]
    """How far each word of the strategy held, from 0 to 1."""


class Held(Part):
    """How far a word that a rule asks for held."""

    feature_id: str
    degree: float
    """Of the strategy's word."""
    boundary: float
    steepness: float
    holds: float
    """1 / (1 + exp(-steepness * (degree - boundary)))."""


class Vote(Part):
    """What a rule had to say."""

    number: int
    text: str
    conditions: tuple[Held, ...]
    weight: float
    strength: float
    """Natural logarithm: weight + sum of log(holds)."""
    share: float
    """exp(sharpness * strength), divided by the sum of all rules."""
    answer: dict[str, float]
    contribution: dict[str, float]
    """share * answer; the rules' sum is the answer."""


class Change(Part):
    """Another value of an input."""

    input: str
    timeframe: str
    indicator: str
    value: float
    to: float


class Flip(Part):
    """The nearest change of the inputs that gives another signal."""

    changes: tuple[Change, ...]
    distance: float
    """Of all changes together, as a share of the range that each input has had."""
    signal: str
    answer: dict[str, float]


class BarExplanation(Part):
    """Why a model decided as it did on one bar."""

    time: str
    signal: str
    """Before the filters: buy, hold or sell."""
    answer: dict[str, float]
    """Of the model."""
    readings: tuple[Reading, ...]
    sharpness: float
    votes: tuple[Vote, ...]
    """The strongest first."""
    voted: dict[str, float]
    """What the rules answered together; that of the model where they are the model."""
    flip: Flip | None
    """None where no change of one or two inputs, within what they have been, gives another signal."""


class Explanation(Part):
    """What is known of a model's reasons; the content of `explanation.json`."""

    report: RuleReport
    bar: BarExplanation | None = None


def explain_row(book: Rulebook, row: Singles) -> tuple[tuple[Vote, ...], dict[str, float]]:
    """What each rule had to say of a row, the strongest first, and what they said together."""
    firing = fire(book.base, book.weights, row[None])
    votes = []
    for r, (asked, said) in enumerate(zip(book.conditions, book.answers, strict=True)):
        places = [book.strategy.feature_ids.index(condition.feature_id) for condition in asked]
        held = tuple(
            Held(feature_id=c.feature_id, degree=float(row[p]), boundary=c.boundary, steepness=c.steepness,
                 holds=float(firing.terms[0, p]))
            for c, p in zip(asked, places, strict=True)
        )  # fmt: skip
        share = float(firing.shares[0, r])
        votes.append(Vote(
            number=r + 1, text=book.texts[r], conditions=held, weight=float(book.weights["rules.weight"][r]),
            strength=float(firing.strengths[0, r]), share=share, answer=answer_in_words(said, book.strategy.classes),
            contribution=answer_in_words(share * said, book.strategy.classes),
        ))  # fmt: skip
    return tuple(sorted(votes, key=lambda vote: -vote.share)), answer_in_words(firing.answers[0], book.strategy.classes)


def readings_of(inputs: Sequence[Input], row: Singles, values: Floats) -> tuple[Reading, ...]:
    """What the model saw."""
    return tuple(
        Reading(input=one.name, timeframe=one.timeframe, indicator=one.indicator, value=float(value),
                words={f"{c.fuzzy_set} {c.word}": float(row[c.place]) for c in one.columns if c.word})
        for one, value in zip(inputs, values, strict=True)
    )  # fmt: skip


def nearest_flip(  # noqa: PLR0917 - a model, and where it stands
    say: Say, signals: Callable[[Floats], Classes], inputs: Sequence[Input], row: Singles, values: Floats, ranges: tuple[Floats, Floats],
    classes: Sequence[str] = SIGNALS,
) -> Flip | None:  # fmt: skip
    """The nearest change that gives another signal: of one input, else of two together; each stays within its range.

    `values` are the indicators behind the row, `ranges` the lowest and the highest that each has had. What is stated is
    rounded to as few digits as still flip.
    """
    now = signals(say(row[None]))[0]
    search = _Search(say, lambda rows: signals(say(rows)) != now, inputs, row, values, *ranges)
    changed = search.of_one() or search.of_two()
    if changed is None:
        return None
    answer = say(search.rows({place: np.array([to]) for place, to in changed.items()}, 1))
    changes = [
        Change(input=inputs[place].name, timeframe=inputs[place].timeframe, indicator=inputs[place].indicator,
               value=float(values[place]), to=to)
        for place, to in changed.items()
    ]  # fmt: skip
    distance = sum(search.distance(place, to) for place, to in changed.items())
    return Flip(changes=tuple(changes), distance=distance, signal=SIGNALS[signals(answer)[0]], answer=answer_in_words(answer[0], classes))


class _Search:
    """A search around one row."""

    def __init__(  # noqa: PLR0917 - the ground it works on
        self, say: Say, flips: Callable[[Singles], NDArray[np.bool_]], inputs: Sequence[Input], row: Singles, values: Floats,
        low: Floats, high: Floats,
    ) -> None:  # fmt: skip
        self.say, self.flips, self.inputs, self.row, self.values, self.low, self.high = say, flips, inputs, row, values, low, high
        self.movable = [place for place in range(len(inputs)) if low[place] < high[place]]

    def rows(self, changed: dict[int, Floats], count: int) -> Singles:
        """The row with other values of some inputs."""
        rows = np.repeat(self.row[None], count, axis=0)
        for place, values in changed.items():
            self.inputs[place].put(rows, values)
        return rows

    def distance(self, place: int, to: float) -> float:
        """How far a value is, as a share of the input's range."""
        return float(abs(to - self.values[place]) / (self.high[place] - self.low[place]))

    def of_one(self) -> dict[int, float] | None:
        """The nearest change of a single input."""
        between = {place: np.linspace(self.low[place], self.high[place], GRID) for place in self.movable}
        for _ in range(ROUNDS):
            if not between:
                return None
            flipped = self.flips(np.concatenate([self.rows({place: grid}, len(grid)) for place, grid in between.items()]))
            parts = np.split(flipped, len(between))
            between = {
                p: closer for (p, grid), f in zip(between.items(), parts, strict=True) if (closer := self._closer(p, grid, f)) is not None
            }
        if not between:
            return None
        nearest = min(between, key=lambda place: self.distance(place, float(between[place][-1])))
        return self._rounded({nearest: float(between[nearest][-1])})

    def _closer(self, place: int, grid: Floats, flipped: NDArray[np.bool_]) -> Floats | None:
        """A finer grid from the last value that does not flip to the nearest that does, which comes last."""
        if not flipped.any():
            return None
        value, candidates = self.values[place], grid[flipped]
        to = candidates[np.argmin(np.abs(candidates - value))]
        inside = grid[~flipped & (np.minimum(value, to) <= grid) & (grid <= np.maximum(value, to))]
        return np.linspace(inside[np.argmin(np.abs(inside - to))] if len(inside) else value, to, GRID)

    def _rounded(self, found: dict[int, float]) -> dict[int, float]:
        """The values with as few digits as still flip, moved by no more than a hundredth of the way."""
        candidates = [{place: float(f"{to:.{digits}g}") for place, to in found.items()} for digits in DIGITS]
        near = [c for c in candidates if all(abs(c[p] - to) <= 0.01 * abs(to - self.values[p]) for p, to in found.items())]
        tried = {place: np.array([c[place] for c in near] + [found[place]]) for place in found}
        best = int(np.argmax(self.flips(self.rows(tried, len(near) + 1))))
        return {place: float(values[best]) for place, values in tried.items()}

    def of_two(self) -> dict[int, float] | None:
        """The nearest change of two inputs together, on a coarse grid."""
        best: tuple[float, dict[int, float]] | None = None
        for a, b in combinations(self.movable, 2):
            first, second = (np.linspace(self.low[p], self.high[p], PAIR_GRID) for p in (a, b))
            x, y = (grid.ravel() for grid in np.meshgrid(first, second, indexing="ij"))
            flipped = np.flatnonzero(self.flips(self.rows({a: x, b: y}, len(x))))
            for i in flipped.tolist():
                found = {a: float(x[i]), b: float(y[i])}
                far = sum(self.distance(place, to) for place, to in found.items())
                if best is None or far < best[0]:
                    best = (far, found)
        return self._rounded(best[1]) if best else None
