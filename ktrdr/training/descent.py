"""One step down the gradient, on all weights as one vector.

The rules are those of `torch.optim`, whose import alone costs a second and whose calls would take most of the time of a
step on networks as small as these.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ktrdr.models.predict import Singles
from ktrdr.strategy.sections import Training

if TYPE_CHECKING:
    from torch import Tensor

MOMENTUM = 0.9
"""Of sgd."""
SMOOTHING = 0.99
"""Of rmsprop's mean square."""
BETAS = (0.9, 0.999)
EPSILON = 1e-8
LARGEST_GRADIENT = 1.0
"""Longer gradients are cut to this length."""
MEMORY = {"adam": ("mean", "square"), "sgd": ("velocity",), "rmsprop": ("square",)}
"""The vectors that each optimizer keeps between steps."""


class Descent:
    """The weights of a network, their gradient, and what the optimizer remembers."""

    def __init__(self, training: Training, weights: dict[str, Singles], memory: dict[str, Singles], device: str = "cpu") -> None:
        import torch

        self.training = training
        self._vector = torch.from_numpy(np.concatenate([array.ravel() for array in weights.values()])).to(device)
        self._gradient = torch.zeros_like(self._vector)
        kept = MEMORY[training.optimizer]
        before = {name: torch.from_numpy(array.copy()).to(device) for name, array in memory.items()}
        self._memory = {name: before[name] if memory else torch.zeros_like(self._vector) for name in kept}
        self.tensors: dict[str, Tensor] = {}
        """The weights by name: views of the vector, whose gradients are views of the gradient."""
        first = 0
        for name, array in weights.items():
            part = slice(first, first := first + array.size)
            tensor = self._vector[part].view(array.shape).detach().requires_grad_()
            tensor.grad = self._gradient[part].view(array.shape)
            self.tensors[name] = tensor

    def weights(self) -> dict[str, Singles]:
        """A copy of the weights."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.tensors.items()}

    def memory(self) -> dict[str, Singles]:
        """A copy of what the optimizer remembers."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self._memory.items()}

    def step(self, objective: Tensor, rate: float, number: int) -> None:
        """Move against the gradient of the objective; `number` counts the steps of the training from 1."""
        import torch

        self._gradient.zero_()
        objective.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            gradient, vector = self._gradient, self._vector
            gradient.mul_((LARGEST_GRADIENT / (gradient.norm() + 1e-6)).clamp_(max=1.0))
            if self.training.weight_decay > 0:
                gradient.add_(vector, alpha=self.training.weight_decay)
            if self.training.optimizer == "sgd":
                velocity = self._memory["velocity"].mul_(MOMENTUM).add_(gradient)
                vector.add_(velocity, alpha=-rate)
                return
            smoothing = SMOOTHING if self.training.optimizer == "rmsprop" else BETAS[1]
            square = self._memory["square"].mul_(smoothing).addcmul_(gradient, gradient, value=1 - smoothing)
            if self.training.optimizer == "rmsprop":
                vector.addcdiv_(gradient, square.sqrt().add_(EPSILON), value=-rate)
                return
            mean = self._memory["mean"].lerp_(gradient, 1 - BETAS[0])
            root = square.sqrt().div_(math.sqrt(1 - BETAS[1] ** number)).add_(EPSILON)
            vector.addcdiv_(mean, root, value=-rate / (1 - BETAS[0] ** number))
