"""The network's answer in numpy alone, equal to torch's within rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Weights = Mapping[str, Singles]
ROWS = 4096
"""Rows at a time: they stay in the cache, and as every block has this shape, a row's answer never depends on how many
rows come after it."""
LEAK = np.float32(0.01)


class Architecture(BaseModel):
    """The shape of a multi-layer perceptron."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp"] = "mlp"
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: Literal["relu", "tanh", "sigmoid", "leaky_relu"]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights it has, by name."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        found: dict[str, tuple[int, ...]] = {}
        for i, (before, after) in enumerate(pairwise(sizes)):
            found |= {f"layers.{i}.weight": (after, before), f"layers.{i}.bias": (after,)}
        return found


ACTIVATIONS: dict[str, Callable[[Singles], Singles]] = {
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "tanh": np.tanh,
    "sigmoid": lambda x: (np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))).astype(np.float32),
    "leaky_relu": lambda x: np.where(x > 0, x, LEAK * x),
}


def outputs_of(architecture: Architecture, weights: Weights, values: Singles) -> Floats:
    """The raw outputs of each row (logits, or the forecast)."""
    activate, last = ACTIVATIONS[architecture.activation], len(architecture.hidden)
    found = np.empty((len(values), architecture.outputs))
    block = np.zeros((ROWS, architecture.inputs), dtype=np.float32)
    for first in range(0, len(values), ROWS):
        part = values[first : first + ROWS]
        block[: len(part)] = part
        x: Singles = block
        for i in range(last + 1):
            x = x @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
            if i < last:
                x = activate(x)
        found[first : first + ROWS] = x[: len(part)]
    return found


def softmax(logits: Floats) -> Floats:
    """Probabilities from logits, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
