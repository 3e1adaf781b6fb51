"""From the rules that were learned to the few that are kept.

Rules that say nothing new go first, then one by one those that the validation slice misses least, then single words.
What is left learns its answers anew, and weighs the strongest rule so much that it alone nearly always decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.tsk import Floats, RuleBase, Singles, Weights, mixed, said, shares_of, sum_of
from ktrdr.strategy.decisions import signals_of
from ktrdr.strategy.sections import Decisions
from ktrdr.training.rules import MOST_ROWS, SHARPNESS, Conditions, RuleLearner, asked_for, learned_terms
from ktrdr.training.windows import Slice

LOST = 0.005
"""Share of what was learned that pruning may give away: of the loss of knowing nothing but the frequencies, less that of the rules."""
CLEAR = 0.985
"""Share of the validation rows in which the strongest rule alone must say what all of them together say."""
SHARPER = (SHARPNESS, 4.0, 8.0, 16.0, 32.0)
RARE = 0.002
"""A rule that is the strongest in a smaller share of the training rows says nothing worth reading."""
PRIOR = 5.0
"""Rows of usual answers that each rule is given beside its own, so that none is certain after a handful."""
FEW, MANY = 4, 40
"""Rounds in which answers are learned anew: between two removals, and at last."""
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows to judge by."""

    log_terms: Floats
    targets: NDArray[np.generic]
    worth: Floats
    """Weight of each row; the mean is 1."""
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
        columns = [sum_of(rows.log_terms, np.array(c)) + w for c, w in zip(self.asks, self.weight[:-1], strict=True)]
        return shares_of(np.column_stack([*columns, np.full(len(rows.log_terms), self.weight[-1])]), self.sharpness)

    def loss(self, rows: _Rows) -> float:
        """Cross-entropy, or squared error as a share of the variance."""
        answers = mixed(self.shares(rows), self.answers)
        if answers.shape[1] == 1:
            return float(((answers[:, 0] - rows.targets) ** 2).mean() / rows.spread)
        given = answers[np.arange(len(answers)), rows.targets.astype(np.int64)]
        return float(-(rows.worth * np.log(np.maximum(given, LEAST_PROBABILITY))).mean())

    def kept(self, which: list[int]) -> _Draft:
        """These rules alone, in this order, and the ELSE rule."""
        row = [*which, len(self.asks)]
        return replace(self, asks=tuple(self.asks[r] for r in which), weight=self.weight[row], answers=self.answers[row])


def finished(  # noqa: PLR0917 - what was learned, from what, for what
    learner: RuleLearner, weights: dict[str, Singles], train: Slice, validation: Slice, decisions: Decisions,
    class_weights: Singles | None, check: Callable[[], None],
) -> tuple[RuleBase, dict[str, Singles]]:  # fmt: skip
    """The rules that are kept; `check` may end the work at any time. The same rows and weights give the same bytes."""
    terms = learned_terms(learner, weights)
    rows, judged = (_rows(part, terms, class_weights) for part in (train, validation))
    draft = _without_idle(_draft(learner, weights), rows)
    draft = _pruned(_refitted(draft, rows, FEW), rows, judged, learner.max_rules, check)
    draft = _shortened(draft, rows, judged, check)
    draft = _without_idle(_sharpened(draft, rows, judged, decisions, check), rows)
    return _written(learner, _refitted(draft, rows, MANY), terms)


def _rows(part: Slice, terms: tuple[Singles, Singles], class_weights: Singles | None) -> _Rows:
    chosen = np.linspace(0, len(part) - 1, min(len(part), MOST_ROWS)).astype(np.int64)
    values, targets = part.values[part.ends[chosen]].astype(np.float64), part.targets[chosen]
    boundary, steepness = (array.astype(np.float64) for array in terms)
    log_terms = -np.logaddexp(0.0, -steepness * (values - boundary))
    worth = np.ones(len(targets)) if class_weights is None else class_weights.astype(np.float64)[targets]
    spread = float(np.var(targets)) if targets.dtype != np.int64 else 1.0
    return _Rows(log_terms, targets, worth / worth.mean(), spread or 1.0)


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


def _without_idle(draft: _Draft, rows: _Rows) -> _Draft:
    """Without those that ask for the same as another, or are hardly ever the strongest; the most frequent first."""
    strongest = np.bincount(draft.shares(rows).argmax(axis=1), minlength=len(draft.asks) + 1) / len(rows.targets)
    order = sorted(range(len(draft.asks)), key=lambda r: (-strongest[r], draft.asks[r]))
    first = {draft.asks[r]: r for r in reversed(order)}
    kept = [r for r in order if first[draft.asks[r]] == r and strongest[r] >= RARE]
    return draft.kept(kept or order[:1])


def _pruned(draft: _Draft, rows: _Rows, judged: _Rows, most: int, check: Callable[[], None]) -> _Draft:
    """Without the rules that are missed least, as long as the loss holds or there are too many."""
    reference = draft.loss(judged)
    given_away = LOST * max(_ignorance(judged) - reference, 0.0)
    while len(draft.asks) > 1:
        check()
        each = range(len(draft.asks))
        fewer = [draft.kept([other for other in each if other != r]) for r in each]
        losses = [one.loss(judged) for one in fewer]
        best = int(np.argmin(losses))
        if len(draft.asks) <= most and losses[best] > reference + given_away:
            break
        draft = _refitted(fewer[best], rows, FEW)
        reference = min(reference, draft.loss(judged)) if len(draft.asks) <= most else draft.loss(judged)
    return draft


def _shortened(draft: _Draft, rows: _Rows, judged: _Rows, check: Callable[[], None]) -> _Draft:
    """Without the single words that are missed by nobody."""
    reference = draft.loss(judged)
    given_away = LOST * max(_ignorance(judged) - reference, 0.0)
    for r in range(len(draft.asks)):
        for column in draft.asks[r]:
            check()
            shorter = tuple(c for c in draft.asks[r] if c != column)
            if not shorter:
                break
            trial = _refitted(replace(draft, asks=(*draft.asks[:r], shorter, *draft.asks[r + 1 :])), rows, FEW)
            if trial.loss(judged) <= reference + given_away:
                draft, reference = trial, min(reference, trial.loss(judged))
    return draft


def _sharpened(draft: _Draft, rows: _Rows, judged: _Rows, decisions: Decisions, check: Callable[[], None]) -> _Draft:
    """With the least sharpness at which the strongest rule alone speaks for all."""
    for sharpness in SHARPER:
        check()
        draft = _refitted(replace(draft, sharpness=sharpness), rows, MANY)
        shares = draft.shares(judged)
        together, _ = signals_of(mixed(shares, draft.answers), decisions)
        alone, _ = signals_of(draft.answers[shares.argmax(axis=1)], decisions)
        if (together == alone).mean() >= CLEAR:
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
    member = np.eye(answers.shape[1])[classes] * rows.worth[:, None]
    usual = member.sum(axis=0) / member.sum()
    for _ in range(rounds):
        told = shares * answers[:, classes].T
        told /= np.maximum(told.sum(axis=1, keepdims=True), LEAST_PROBABILITY)
        counts = np.einsum("nr,nc->rc", told, member) + PRIOR * usual
        answers = counts / counts.sum(axis=1, keepdims=True)
    return replace(draft, answers=answers)


def _ignorance(rows: _Rows) -> float:
    """The loss of always answering with the frequencies."""
    if rows.targets.dtype != np.int64:
        return 1.0
    shares = np.bincount(rows.targets.astype(np.int64), weights=rows.worth) / rows.worth.sum()
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _written(learner: RuleBase, draft: _Draft, terms: tuple[Singles, Singles]) -> tuple[RuleBase, dict[str, Singles]]:
    base = RuleBase(inputs=learner.inputs, outputs=learner.outputs, groups=learner.groups, rules=len(draft.asks))
    asks = np.zeros((base.rules, base.inputs), np.float32)
    for r, conditions in enumerate(draft.asks):
        asks[r, list(conditions)] = 1.0
    answers = draft.answers if base.outputs == 1 else np.log(np.maximum(draft.answers, LEAST_PROBABILITY))
    arrays = {
        "terms.boundary": terms[0], "terms.steepness": terms[1], "rules.asks": asks, "rules.weight": draft.weight,
        "rules.sharpness": np.array([draft.sharpness]), "answers.weight": answers,
    }  # fmt: skip
    return base, {name: array.astype(np.float32) for name, array in arrays.items()}


def answered_anew(base: RuleBase, weights: Weights, train: Slice) -> dict[str, Singles]:
    """The same rules with the answers that are right most often, each row worth the same."""
    terms = (weights["terms.boundary"], weights["terms.steepness"])
    asks = tuple(tuple(np.flatnonzero(row).tolist()) for row in weights["rules.asks"])
    draft = _Draft(asks, weights["rules.weight"].astype(np.float64), said(base, weights), float(weights["rules.sharpness"][0]))
    return _written(base, _refitted(draft, _rows(train, terms, None), MANY), terms)[1]
