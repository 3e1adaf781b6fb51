"""Rules that are the model: a zero-order Takagi-Sugeno-Kang system, answered in numpy.

A word of the strategy holds to a degree between 0 and 1; the model sharpens that degree at a boundary of its own, the
same for all rules. A rule asks for some words; how strongly it fires is the product of how far they hold, and what it
says is a fixed answer. The answer of the model is the mean of what the rules say, weighted by how strongly they fire,
with one rule more, the ELSE rule, that fires always and as strongly as it has learned. `docs/reference/rules.md` has
the formulas and their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.strategy.spec import Strategy

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Weights = Mapping[str, Singles]


class RuleBase(BaseModel):
    """The shape of a set of rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tsk"] = "tsk"
    inputs: int
    outputs: int
    groups: tuple[int, ...]
    """How many words each fuzzy set has, in the order of the inputs; a rule asks for one of them at most."""
    rules: int
    """Without the ELSE rule, which is one more."""
    sequence_length: ClassVar[int] = 1
    at_once: ClassVar[int] = 4096
    last: ClassVar[str] = "answers"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights it has, by name; where there is one for each rule, the last is that of the ELSE rule."""
        return {
            "terms.boundary": (self.inputs,),
            "terms.steepness": (self.inputs,),
            "rules.asks": (self.rules, self.inputs),
            "rules.weight": (self.rules + 1,),
            "rules.sharpness": (1,),
            "answers.weight": (self.rules + 1, self.outputs),
        }


class Firing(NamedTuple):
    """What the rules make of some rows."""

    terms: Floats
    """How far each word holds, sharpened: a column per input."""
    strengths: Floats
    """Natural logarithm of how strongly each rule fires: a column per rule, the ELSE rule last."""
    shares: Floats
    """Weight of each rule in the answer; a row sums to 1."""
    answers: Floats
    """The answer: probabilities of buy, hold and sell, or a forecast."""

    @property
    def strongest(self) -> NDArray[np.int64]:
        """The rule that weighs most in each row."""
        found: NDArray[np.int64] = self.shares.argmax(axis=1)
        return found


def word_groups(strategy: Strategy) -> tuple[int, ...]:
    """How many words each fuzzy set has on each of its timeframes, in the order of the inputs; a raw input counts as one."""
    sizes = ((strategy.fuzzy_sets[e.fuzzy_set].words if e.fuzzy_set else (None,), strategy.timeframes_of(e)) for e in strategy.nn_inputs)
    return tuple(len(words) for words, timeframes in sizes for _ in timeframes)


def fire(base: RuleBase, weights: Weights, values: Singles) -> Firing:
    """How strongly the rules fire on rows, and what they answer together; no row depends on another."""
    boundary, steepness = (weights[f"terms.{name}"].astype(np.float64) for name in ("boundary", "steepness"))
    log_terms = -np.logaddexp(0.0, -steepness * (values.astype(np.float64) - boundary))
    asked, weight = weights["rules.asks"] > 0, weights["rules.weight"].astype(np.float64)
    strengths = np.empty((len(values), base.rules + 1))
    strengths[:, -1] = weight[-1]
    for r in range(base.rules):
        strengths[:, r] = weight[r] + sum_of(log_terms, np.flatnonzero(asked[r]))
    shares = shares_of(strengths, float(weights["rules.sharpness"][0]))
    return Firing(np.exp(log_terms), strengths, shares, mixed(shares, said(base, weights)))


def sum_of(columns: Floats, chosen: NDArray[np.int64]) -> Floats:
    """The sum of some columns, row by row in a fixed order."""
    total = np.zeros(len(columns))
    for column in chosen:
        total += columns[:, column]
    return total


def powers_of(strengths: Floats, sharpness: float) -> Floats:
    """How much each rule counts beside the strongest of its row, which has 1."""
    powers: Floats = np.exp(sharpness * (strengths - strengths.max(axis=1, keepdims=True)))
    return powers


def shares_of(strengths: Floats, sharpness: float) -> Floats:
    """The weight of each rule from the logarithm of its strength: the higher the sharpness, the more the strongest counts."""
    powers = powers_of(strengths, sharpness)
    total = np.zeros(len(powers))
    for r in range(powers.shape[1]):
        total += powers[:, r]
    shares: Floats = powers / total[:, None]
    return shares


def mixed(shares: Floats, answers: Floats) -> Floats:
    """The mean of the rules' answers by their shares."""
    found = np.zeros((len(shares), answers.shape[1]))
    for r, answer in enumerate(answers):
        found += shares[:, r : r + 1] * answer
    return found


def said(base: RuleBase, weights: Weights) -> Floats:
    """What each rule answers by itself, the ELSE rule last: probabilities, or a forecast."""
    given = weights["answers.weight"].astype(np.float64)
    if base.outputs == 1:
        return given
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def rule_outputs(base: RuleBase, weights: Weights, values: Singles) -> Floats:
    """The answers as a network gives them: logarithms of probabilities, or forecasts."""
    answers = fire(base, weights, values).answers
    return answers if base.outputs == 1 else np.log(answers)
