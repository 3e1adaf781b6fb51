"""Learning rules by descent: what a rule asks for is a hard choice from the first step on.

A choice has no gradient, so the step goes by that of the soft choice behind it (straight-through estimator: Bengio,
Léonard and Courville 2013). Rules learned softly and hardened in the end lose most of what they knew.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.tsk import RuleBase, Singles
from ktrdr.strategy.sections import RuleLayer

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Conditions = tuple[int, ...]
"""The columns of the words that a rule asks for."""

BOUNDARY, REACH = 0.5, 0.4
"""A word holds from the degree 0.5 on, and learning moves that by so much: never beyond the slope that the strategy draws."""
STEEPNESS = 12.0
"""Of the sharpened degree at its boundary; learning halves it or doubles it at most."""
SHARPNESS = 2.0
"""Of the shares while rules are learned."""
NEVER = 30.0
"""Taken from the logarithm of the strength of a rule that asks for nothing."""
ELSE = -1.5
"""Logarithm of the strength of the ELSE rule at first."""
MOST_ROWS = 8_000
"""Rows of a slice, evenly spaced, in which rules to begin with are looked for, and by which they are pruned."""
BEAM, LEAST_COVER = 40, 0.01
"""Combinations that are made longer, and the share of the rows that one must hold for."""


class RuleLearner(RuleBase):
    """Rules that are being learned: what each asks for is a choice still open."""

    max_rules: int
    max_conditions: int
    learn_terms: bool

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights it has, by name."""
        return {
            "terms.boundary": (self.inputs,),
            "terms.steepness": (self.inputs,),
            "rules.choice": (self.rules, self.inputs),
            "rules.weight": (self.rules + 1,),
            "answers.weight": (self.rules + 1, self.outputs),
        }


def learner_of(own: RuleLayer, inputs: int, outputs: int, groups: tuple[int, ...]) -> RuleLearner:
    """The rules that a strategy begins to learn with."""
    return RuleLearner(inputs=inputs, outputs=outputs, groups=groups, **own.model_dump())


def initial_rules(learner: RuleLearner, values: Singles, targets: NDArray[np.generic]) -> dict[str, Singles]:
    """Rules to begin with: combinations of words after which one answer is much more frequent than usual.

    Found as subgroups are (Lavrač, Kavšek, Flach and Todorovski 2004): by weighted relative accuracy, where a row that
    an earlier rule holds for counts half as much for the next.
    """
    rows = np.linspace(0, len(values) - 1, min(len(values), MOST_ROWS)).astype(np.int64)
    holds, classes = values[rows] >= BOUNDARY, _classes_of(np.asarray(targets)[rows])
    counts = np.bincount(classes, minlength=3)
    worth = np.where(counts > 0, len(classes) / np.maximum(counts, 1), 0.0)
    found = _seeds(learner, holds, np.eye(3)[classes], worth)
    choice = np.full((learner.rules, learner.inputs), -1.0)
    answers = np.zeros((learner.rules + 1, learner.outputs))
    for r, conditions in enumerate(found):
        choice[r, list(conditions)] = 1.0
        held = np.logical_and.reduce(holds[:, list(conditions)], axis=1)
        answers[r] = _answer(learner, classes[held], np.asarray(targets)[rows][held], worth)
    weights = {name: np.zeros(shape, np.float32) for name, shape in learner.shapes().items()}
    weight = np.append(np.zeros(learner.rules), ELSE)
    given = {"rules.choice": choice, "rules.weight": weight, "answers.weight": answers}
    return weights | {name: array.astype(np.float32) for name, array in given.items()}


def _classes_of(targets: NDArray[np.generic]) -> NDArray[np.int64]:
    """The class of each target; of forecasts whether it is among the highest third, the middle or the lowest."""
    if targets.dtype == np.int64:
        return targets.astype(np.int64)
    low, high = np.quantile(targets.astype(np.float64), (1 / 3, 2 / 3))
    return np.where(targets > high, 0, np.where(targets < low, 2, 1)).astype(np.int64)


def _answer(learner: RuleLearner, classes: NDArray[np.int64], targets: NDArray[np.generic], worth: Floats) -> Floats:
    """What is usual in the rows that a rule holds for, in the units that are learned in."""
    if learner.outputs == 1:
        return np.array([float(np.sign(targets.astype(np.float64).mean())) if len(targets) else 0.0])
    usual = worth * np.bincount(classes, minlength=3) + 1.0
    answer: Floats = np.log(usual / usual.sum())
    return answer


def _seeds(learner: RuleLearner, holds: NDArray[np.bool_], member: Floats, worth: Floats) -> list[Conditions]:
    """What the rules ask for at first, the most telling first; fewer words, and earlier ones, where two tell as much."""
    group = np.repeat(np.arange(len(learner.groups)), learner.groups)
    candidates: dict[Conditions, NDArray[np.bool_]] = {}
    longer: dict[Conditions, NDArray[np.bool_]] = {(): np.ones(len(holds), dtype=bool)}
    for _ in range(learner.max_conditions):
        grown: dict[Conditions, NDArray[np.bool_]] = {}
        for conditions, held in longer.items():
            for column in range(learner.inputs):
                if group[column] not in group[list(conditions)]:
                    grown.setdefault(tuple(sorted((*conditions, column))), held & holds[:, column])
        grown = {c: held for c, held in grown.items() if held.mean() >= LEAST_COVER}
        if not grown:
            break
        gains = _gains(np.column_stack(list(grown.values())).astype(np.float64), member, worth)
        best = np.argsort(-gains, kind="stable")[:BEAM]
        longer = {c: grown[c] for c in (list(grown)[i] for i in best)}
        candidates |= longer
    if not candidates:
        return [(r % learner.inputs,) for r in range(learner.rules)]
    named, masks = list(candidates), np.column_stack(list(candidates.values())).astype(np.float64)
    counted, found = np.ones(len(holds)), list[Conditions]()
    free = np.ones(len(named), dtype=bool)
    for _ in range(min(learner.rules, len(named))):
        best_one = int(np.argmax(np.where(free, _gains(masks, member * counted[:, None], worth), -np.inf)))
        found.append(named[best_one])
        free[best_one] = False
        counted = np.where(masks[:, best_one] > 0, counted / 2, counted)  # halves are exact, so that sums are in any order
    return found


def _gains(masks: Floats, member: Floats, worth: Floats) -> Floats:
    """How much more frequent than usual the most telling class is where a mask holds, in rows, each class worth the same."""
    counts = (masks.T @ member) * worth
    usual = member.sum(axis=0) * worth
    gains: Floats = (counts - counts.sum(axis=1, keepdims=True) * (usual / usual.sum())).max(axis=1)
    return gains


def rules_forward(weights: Mapping[str, Tensor], learner: RuleLearner, x: Tensor) -> Tensor:
    """The answers of rows: logarithms of probabilities, or forecasts."""
    import torch
    from torch.nn import functional

    moved = float(learner.learn_terms)
    steepness = STEEPNESS * 2 ** (moved * torch.tanh(weights["terms.steepness"]))
    boundary = BOUNDARY + moved * REACH * torch.tanh(weights["terms.boundary"])
    log_terms = functional.logsigmoid(steepness * (x - boundary))
    asks = _chosen(weights["rules.choice"], learner)
    idle = NEVER * (asks.detach().sum(dim=1) < 0.5)
    weight = weights["rules.weight"]
    strengths = torch.cat([log_terms @ asks.T + weight[:-1] - idle, weight[-1:].expand(len(x), 1)], dim=1)
    shares = torch.softmax(SHARPNESS * strengths, dim=1)
    given = weights["answers.weight"]
    if learner.outputs == 1:
        return shares @ given
    return (shares @ torch.softmax(given, dim=1)).clamp_min(1e-12).log()


def _chosen(choice: Tensor, learner: RuleLearner) -> Tensor:
    """1 where a rule asks for a word: of each group the likeliest, if likelier than none, and no more than are allowed."""
    import torch

    soft = torch.cat([torch.softmax(torch.cat([part, part.new_zeros(len(part), 1)], dim=1), dim=1)[:, :-1]
                      for part in torch.split(choice, list(learner.groups), dim=1)], dim=1)  # fmt: skip
    hard = torch.from_numpy(asked_for(choice.detach().cpu().numpy(), learner)).to(soft)
    return hard + soft - soft.detach()


def asked_for(choice: Singles, learner: RuleLearner) -> Singles:
    """The hard choice, in numpy."""
    asks = np.zeros_like(choice)
    edges = np.cumsum((0, *learner.groups))
    for first, last in pairwise(edges):
        best = first + choice[:, first:last].argmax(axis=1)
        asks[np.arange(len(choice)), best] = choice[np.arange(len(choice)), best] > 0
    ranked = np.argsort(np.where(asks > 0, -choice, np.inf), axis=1, kind="stable")[:, learner.max_conditions :]
    np.put_along_axis(asks, ranked, 0.0, axis=1)
    return asks


def learned_terms(learner: RuleLearner, weights: Mapping[str, Singles]) -> tuple[Singles, Singles]:
    """Boundary and steepness of each word as they were learned."""
    if not learner.learn_terms:
        return np.full(learner.inputs, BOUNDARY, np.float32), np.full(learner.inputs, STEEPNESS, np.float32)
    boundary = BOUNDARY + REACH * np.tanh(weights["terms.boundary"].astype(np.float64))
    steepness = STEEPNESS * 2 ** np.tanh(weights["terms.steepness"].astype(np.float64))
    return boundary.astype(np.float32), steepness.astype(np.float32)
