"""From the rules that were learned to the few that are kept.

Rules that say nothing new go first, then one by one those that are missed least, then single words.
What is left learns its answers anew, and weighs the strongest rule so much that it alone nearly always decides. Here every
row counts the same: what a rule answers is how often each label came after it, whatever the weights of the descent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.tsk import Floats, RuleBase, Singles, mixed, powers_of, shares_of, sum_of
from ktrdr.strategy.decisions import Classes
from ktrdr.training.rules import MOST_ROWS, SHARPNESS, Conditions, RuleLearner, asked_for, learned_terms
from ktrdr.training.windows import Slice

Says = Callable[[Floats], Classes]
"""What answers mean, before the filters."""
LOST = {"train": 0.02, "validation": 0.005}
"""Share of what was learned that pruning may give away on each slice: of the loss of the frequencies, less that of the rules.

A rule about something that the validation slice happens not to have is kept for the training slice."""
CLEAR = 0.985
"""Share of the validation rows in which the strongest rule alone must say what all of them together say."""
SHARPER = (SHARPNESS, 4.0, 8.0, 16.0, 32.0)
RARE = 0.002
"""A rule that is the strongest in a smaller share of the training rows says nothing worth reading."""
PRIOR = 5.0
"""Rows of usual answers that each rule is given beside its own, so that none is certain after a handful."""
FEW, MANY = 4, 20
"""Rounds in which answers are learned anew: between two removals, and at last."""
LEAST_PROBABILITY = 1e-9
LEAST_LOST = 1e-6
"""Rise of a loss that is noise."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows to judge by."""

    log_terms: Floats
    targets: NDArray[Any]
    spread: float
    """Variance of forecasts' targets, in which their loss is measured."""


@dataclass(frozen=True, eq=False)
class _Draft:
    """Some rules; arrays end with the ELSE rule."""

    asks: tuple[Conditions, ...]
    weight: Floats
    answers: Floats
    """Probabilities, or forecasts."""
    sharpness: float

    def shares(self, rows: _Rows) -> Floats:
        """The weight of each rule in each row."""
        return shares_of(self._strengths(rows), self.sharpness)

    def _strengths(self, rows: _Rows) -> Floats:
        columns = [sum_of(rows.log_terms, np.array(c)) + w for c, w in zip(self.asks, self.weight[:-1], strict=True)]
        return np.column_stack([*columns, np.full(len(rows.log_terms), self.weight[-1])])

    def loss(self, rows: _Rows) -> float:
        """Cross-entropy, or squared error as a share of the variance."""
        answers = mixed(self.shares(rows), self.answers)
        if answers.shape[1] == 1:
            return float(((answers[:, 0] - rows.targets.astype(np.float64)) ** 2).mean() / rows.spread)
        given = answers[np.arange(len(answers)), rows.targets.astype(np.int64)]
        return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())

    def losses_without(self, rows: _Rows) -> Floats:
        """For each rule, the loss without it: what all say together, less what it says."""
        powers = powers_of(self._strengths(rows), self.sharpness)
        forecast = self.answers.shape[1] == 1
        said = self.answers[:, 0] if forecast else self.answers[:, rows.targets.astype(np.int64)].T
        weights, told = _others(powers), _others(powers * said)
        # Where a rule is alone in a row, the others are too weak beside it to be told from nothing.
        given = np.divide(told, weights, out=np.full_like(told, np.nan), where=weights > 0)
        losses: Floats
        if forecast:
            losses = ((given - rows.targets[:, None].astype(np.float64)) ** 2).mean(axis=0) / rows.spread
        else:
            losses = -np.log(np.maximum(given, LEAST_PROBABILITY)).mean(axis=0)
        for r in np.flatnonzero(np.isnan(losses)).tolist():
            losses[r] = self.without(r).loss(rows)
        return losses

    def without(self, rule: int) -> _Draft:
        """All rules but one."""
        return self.kept([r for r in range(len(self.asks)) if r != rule])

    def kept(self, which: list[int]) -> _Draft:
        """These rules alone, in this order, and the ELSE rule."""
        row = [*which, len(self.asks)]
        return replace(self, asks=tuple(self.asks[r] for r in which), weight=self.weight[row], answers=self.answers[row])


def finished(  # noqa: PLR0917 - what was learned, from what, for what
    learner: RuleLearner, weights: dict[str, Singles], train: Slice, validation: Slice, says: Says, check: Callable[[], None]
) -> tuple[RuleBase, dict[str, Singles]]:  # fmt: skip
    """The rules that are kept; `check` may end the work at any time. The same rows and weights give the same bytes."""
    terms = learned_terms(learner, weights)
    slices = {"train": _rows(train, terms), "validation": _rows(validation, terms)}
    rows, judged = slices.values()
    draft = _without_idle(_merged(_draft(learner, weights)), rows)
    draft = _pruned(_refitted(draft, rows, FEW), slices, learner.max_rules, check)
    draft = _merged(_shortened(draft, slices, check))
    draft = _without_idle(_sharpened(draft, rows, judged, says, check), rows)
    return _written(learner, _refitted(draft, rows, MANY), terms)


def _rows(part: Slice, terms: tuple[Singles, Singles]) -> _Rows:
    chosen = np.linspace(0, len(part) - 1, min(len(part), MOST_ROWS)).astype(np.int64)
    values, targets = part.values[part.ends[chosen]].astype(np.float64), part.targets[chosen]
    boundary, steepness = (array.astype(np.float64) for array in terms)
    log_terms = -np.logaddexp(0.0, -steepness * (values - boundary))
    spread = float(np.var(targets)) if targets.dtype != np.int64 else 1.0
    return _Rows(log_terms, targets, spread or 1.0)


def _draft(learner: RuleLearner, weights: dict[str, Singles]) -> _Draft:
    asks = [tuple(np.flatnonzero(row).tolist()) for row in asked_for(weights["rules.choice"], learner)]
    answers = weights["answers.weight"].astype(np.float64)
    if learner.outputs > 1:
        powers = np.exp(answers - answers.max(axis=1, keepdims=True))
        answers = powers / powers.sum(axis=1, keepdims=True)
    draft = _Draft(tuple(asks), weights["rules.weight"].astype(np.float64), answers, SHARPNESS)
    speaking = [r for r, conditions in enumerate(asks) if conditions]
    if speaking:
        return draft.kept(speaking)
    return replace(draft.kept([0]), asks=((0,),))  # a model of no rules could not be told from a fault


def _merged(draft: _Draft) -> _Draft:
    """Rules that ask for the same as one, as strong as they were together."""
    same: dict[Conditions, list[int]] = {}
    for r, conditions in enumerate(draft.asks):
        same.setdefault(conditions, []).append(r)
    one = draft.kept([places[0] for places in same.values()])
    for r, places in enumerate(same.values()):
        powers = draft.sharpness * draft.weight[places]
        one.weight[r] = np.logaddexp.reduce(powers) / draft.sharpness
        one.answers[r] = np.average(draft.answers[places], axis=0, weights=np.exp(powers - powers.max()))
    return one


def _without_idle(draft: _Draft, rows: _Rows) -> _Draft:
    """Without those that are hardly ever the strongest; the most frequent first."""
    strongest = np.bincount(draft.shares(rows).argmax(axis=1), minlength=len(draft.asks) + 1) / len(rows.targets)
    order = sorted(range(len(draft.asks)), key=lambda r: (-strongest[r], draft.asks[r]))
    return draft.kept([r for r in order if strongest[r] >= RARE] or order[:1])


class _Measure:
    """How much worse than the best so far some rules are, on either slice."""

    def __init__(self, draft: _Draft, slices: dict[str, _Rows]) -> None:
        self.slices = slices
        self.best = {name: draft.loss(rows) for name, rows in slices.items()}
        self.allowed = {name: max(LOST[name] * (_ignorance(rows) - self.best[name]), LEAST_LOST) for name, rows in slices.items()}

    def missed(self, draft: _Draft) -> float:
        """The larger rise of the two losses; 1 is as much as may be given away."""
        return max((draft.loss(rows) - self.best[name]) / self.allowed[name] for name, rows in self.slices.items())

    def missed_each(self, draft: _Draft) -> Floats:
        """The same for each rule that could be left out."""
        rises = [(draft.losses_without(rows) - self.best[name]) / self.allowed[name] for name, rows in self.slices.items()]
        worse: Floats = np.max(rises, axis=0)
        return worse

    def settle(self, draft: _Draft, *, forced: bool) -> None:
        """Go on from these rules; what there were too many rules for is not missed any more."""
        for name, rows in self.slices.items():
            self.best[name] = draft.loss(rows) if forced else min(self.best[name], draft.loss(rows))


def _pruned(draft: _Draft, slices: dict[str, _Rows], most: int, check: Callable[[], None]) -> _Draft:
    """Without the rules that are missed least, as long as the losses hold or there are too many."""
    measure = _Measure(draft, slices)
    while len(draft.asks) > 1:
        check()
        missed = measure.missed_each(draft)
        best, forced = int(np.argmin(missed)), len(draft.asks) > most
        if not forced and missed[best] > 1:
            break
        draft = _refitted(draft.without(best), slices["train"], FEW)
        measure.settle(draft, forced=forced)
    return draft


def _shortened(draft: _Draft, slices: dict[str, _Rows], check: Callable[[], None]) -> _Draft:
    """Without the single words that nobody misses."""
    measure = _Measure(draft, slices)
    for r in range(len(draft.asks)):
        for column in draft.asks[r]:
            check()
            shorter = tuple(c for c in draft.asks[r] if c != column)
            if not shorter:
                break
            trial = _refitted(replace(draft, asks=(*draft.asks[:r], shorter, *draft.asks[r + 1 :])), slices["train"], FEW)
            if measure.missed(trial) <= 1:
                draft = trial
                measure.settle(draft, forced=False)
    return draft


def _sharpened(draft: _Draft, rows: _Rows, judged: _Rows, says: Says, check: Callable[[], None]) -> _Draft:
    """With the least sharpness at which the strongest rule alone speaks for all."""
    for sharpness in SHARPER:
        check()
        draft = _refitted(replace(draft, sharpness=sharpness), rows, MANY)
        shares = draft.shares(judged)
        if (says(mixed(shares, draft.answers)) == says(draft.answers[shares.argmax(axis=1)])).mean() >= CLEAR:
            break
    return draft


def _refitted(draft: _Draft, rows: _Rows, rounds: int) -> _Draft:
    """With the answers that suit the training rows best, given how much each rule counts in each.

    Probabilities by expectation maximization (each round shares a row out among the rules by how well they foretold it);
    forecasts by least squares with a touch of ridge. Sums go through einsum, whose order no number of threads changes.
    """
    shares, answers = draft.shares(rows), draft.answers
    if answers.shape[1] == 1:
        square = np.einsum("nr,ns->rs", shares, shares) + PRIOR * np.eye(len(answers))
        return replace(draft, answers=np.linalg.solve(square, np.einsum("nr,n->r", shares, rows.targets.astype(np.float64)))[:, None])
    classes = rows.targets.astype(np.int64)
    member = np.eye(answers.shape[1])[classes]
    usual = member.mean(axis=0)
    for _ in range(rounds):
        told = shares * answers[:, classes].T
        told /= np.maximum(told.sum(axis=1, keepdims=True), LEAST_PROBABILITY)
        counts = np.einsum("nr,nc->rc", told, member) + PRIOR * usual
        answers = counts / counts.sum(axis=1, keepdims=True)
    return replace(draft, answers=answers)


def _others(columns: Floats) -> Floats:
    """For each column but the last, the sum of all others in each row; nothing is subtracted, so that nothing small is lost."""
    zero = np.zeros((len(columns), 1))
    before = np.cumsum(np.hstack([zero, columns[:, :-2]]), axis=1)
    after = np.cumsum(columns[:, :0:-1], axis=1)[:, ::-1]
    others: Floats = before + after
    return others


def _ignorance(rows: _Rows) -> float:
    """The loss of always answering with the frequencies."""
    if rows.targets.dtype != np.int64:
        return 1.0
    shares = np.bincount(rows.targets.astype(np.int64)) / len(rows.targets)
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _written(learner: RuleBase, draft: _Draft, terms: tuple[Singles, Singles]) -> tuple[RuleBase, dict[str, Singles]]:
    base = RuleBase(inputs=learner.inputs, outputs=learner.outputs, groups=learner.groups, rules=len(draft.asks))
    asks = np.zeros((base.rules, base.inputs), np.float32)
    for r, conditions in enumerate(draft.asks):
        asks[r, list(conditions)] = 1.0
    answers = draft.answers if base.outputs == 1 else np.log(np.maximum(draft.answers, LEAST_PROBABILITY))
    arrays: dict[str, NDArray[Any]] = {
        "terms.boundary": terms[0], "terms.steepness": terms[1], "rules.asks": asks, "rules.weight": draft.weight,
        "rules.sharpness": np.array([draft.sharpness]), "answers.weight": answers,
    }  # fmt: skip
    return base, {name: array.astype(np.float32) for name, array in arrays.items()}
