"""The network as functions on tensors; torch comes in with them, never with this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ktrdr.models.predict import PARTS, Architecture, Perceptron, Recurrent, Singles
from ktrdr.models.tsk import RuleBase
from ktrdr.strategy.sections import Layers, ModelSpec, RuleLayer, Training
from ktrdr.training.rules import RuleLearner, learner_of, rules_forward

if TYPE_CHECKING:
    from torch import Generator, Tensor

LEAST_MISSED = 1e-6
"""Keeps the gradient of the focal loss finite where an answer is certain and right."""
HEAVIEST_CLASS = 10.0
"""No class counts for more than so many times its rows: a handful of rows must not rule the fit."""


def shape_of(model: ModelSpec, inputs: int, outputs: int, groups: tuple[int, ...] = ()) -> Architecture:
    """The network that a strategy describes; `groups` counts the words of each of its fuzzy sets, which rules need to know."""
    own = model.architecture
    if isinstance(own, RuleLayer):
        return learner_of(own, inputs, outputs, groups)
    if isinstance(own, Layers):
        return Perceptron(inputs=inputs, hidden=own.hidden_layers, outputs=outputs, activation=own.activation)
    hidden = (own.hidden_size,) * own.num_layers
    return Recurrent(kind=model.type, inputs=inputs, hidden=hidden, outputs=outputs, sequence_length=own.sequence_length)


def initial_weights(architecture: Architecture, seed: int) -> dict[str, Singles]:
    """Uniform in ±1/sqrt(inputs) of each layer, a pure function of the seed."""
    random, found = np.random.default_rng(seed), {}
    for name, shape in architecture.shapes().items():
        if len(shape) == 2:
            bound = 1 / np.sqrt(shape[1])
        found[name] = random.uniform(-bound, bound, shape).astype(np.float32)
    return found


def forward(
    weights: Mapping[str, Tensor], architecture: Architecture, x: Tensor, dropout: float = 0.0, random: Generator | None = None
) -> Tensor:
    """The outputs of rows, or of sequences of them; with a generator, hidden units are dropped out as in training."""
    import torch
    from torch.nn import functional

    if isinstance(architecture, RuleBase):
        assert isinstance(architecture, RuleLearner)  # rules that are finished are answered in numpy
        return rules_forward(weights, architecture, x)

    def thinned(x: Tensor) -> Tensor:
        if dropout == 0 or random is None:
            return x
        return x * torch.empty_like(x).bernoulli_(1 - dropout, generator=random).div_(1 - dropout)

    last = len(architecture.hidden) - 1
    if isinstance(architecture, Recurrent):
        for i, units in enumerate(architecture.hidden):
            own, start = [weights[f"layers.{i}.{part}"] for part in PARTS], x.new_zeros(1, len(x), units)
            how = (own, True, 1, 0.0, random is not None, False, True)
            x = torch.lstm(x, (start, start), *how)[0] if architecture.kind == "lstm" else torch.gru(x, start, *how)[0]
            x = thinned(x if i < last else x[:, -1])
    else:
        activate = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "leaky_relu": functional.leaky_relu}
        for i in range(last + 1):
            x = functional.linear(x, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"])
            x = thinned(activate[architecture.activation](x))
    return functional.linear(x, weights[f"{architecture.last}.weight"], weights[f"{architecture.last}.bias"])


class Judged(NamedTuple):
    """How a batch was answered."""

    objective: Tensor
    """What the gradient descends: a mean, weighted by row."""
    loss: Tensor
    """Sum over rows of the plain loss that is reported."""
    hits: Tensor
    """Rows answered right."""


class Criterion(NamedTuple):
    """What a training strives for."""

    training: Training
    classification: bool
    target_scale: float
    """Forecasts are learned in units of the typical return; losses are reported in returns."""

    def judge(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Judged:
        """Objective, plain loss and hits of a batch; without weights all rows count alike."""
        lost, loss, hits = self._classes(outputs, targets) if self.classification else self._forecasts(outputs[:, 0], targets)
        return Judged(lost.mean() if weights is None else (weights * lost).sum() / weights.sum(), loss, hits)

    def _classes(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        by_class = logits.t().contiguous()  # many times as fast as across the rows
        entropy = -by_class.log_softmax(dim=0).gather(0, targets.unsqueeze(0))[0]
        lost = entropy
        if self.training.loss == "focal":
            missed = (1 - (-entropy).exp()).clamp_min(LEAST_MISSED)
            lost = missed**self.training.focal_gamma * entropy
        return lost, entropy.detach().sum(), (by_class.max(dim=0).indices == targets).sum()

    def _forecasts(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from torch.nn import functional

        if self.training.loss == "mse":
            lost = (outputs - targets) ** 2
        else:
            lost = functional.huber_loss(outputs, targets, delta=self.huber_delta, reduction="none")
        return lost, lost.detach().sum() * self.target_scale**2, (outputs.sign() == targets.sign()).sum()

    @property
    def huber_delta(self) -> float:
        """Where the loss turns from square to straight, in units of the typical return."""
        return self.training.huber_delta / self.target_scale


def class_weights_of(targets: np.ndarray, classes: int) -> Singles:
    """Inverse class frequencies, mean 1 over the rows before the limit; 0 for a class that does not occur."""
    counts = np.bincount(targets, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return np.minimum(weights, HEAVIEST_CLASS).astype(np.float32)
