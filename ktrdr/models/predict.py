"""The network's answer in numpy alone, equal to torch's within rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ktrdr.models.tsk import RuleBase, rule_outputs

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Weights = Mapping[str, Singles]
LEAK = np.float32(0.01)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int
    outputs: int


class Perceptron(_Shape):
    """The shape of a multi-layer perceptron."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...]
    activation: Literal["relu", "tanh", "sigmoid", "leaky_relu"]
    sequence_length: ClassVar[int] = 1
    at_once: ClassVar[int] = 4096

    @property
    def last(self) -> str:
        """The layer that gives the outputs."""
        return f"layers.{len(self.hidden)}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights it has, by name."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        found: dict[str, tuple[int, ...]] = {}
        for i, (before, after) in enumerate(pairwise(sizes)):
            found |= {f"layers.{i}.weight": (after, before), f"layers.{i}.bias": (after,)}
        return found


class Recurrent(_Shape):
    """The shape of an LSTM or GRU; the output layer reads what the last layer holds after the last row of a sequence."""

    kind: Literal["lstm", "gru"]
    hidden: tuple[int, ...]
    sequence_length: int
    at_once: ClassVar[int] = 256
    last: ClassVar[str] = "output"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights it has, by name: of each layer those for its input, for its own state, and the biases of both."""
        gates = 4 if self.kind == "lstm" else 3
        found: dict[str, tuple[int, ...]] = {}
        for i, (before, units) in enumerate(pairwise((self.inputs, *self.hidden))):
            sizes = ((gates * units, before), (gates * units, units), (gates * units,), (gates * units,))
            found |= {f"layers.{i}.{part}": size for part, size in zip(PARTS, sizes, strict=True)}
        return found | {"output.weight": (self.outputs, self.hidden[-1]), "output.bias": (self.outputs,)}


PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Weights of a recurrent layer, in the order and layout of torch."""
Architecture = Annotated[Perceptron | Recurrent | RuleBase, Field(discriminator="kind")]


def _sigmoid(x: Singles) -> Singles:
    share: Singles = (np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))).astype(np.float32)
    return share


ACTIVATIONS: dict[str, Callable[[Singles], Singles]] = {
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "leaky_relu": lambda x: np.where(x > 0, x, LEAK * x),
}


def outputs_of(architecture: Architecture, weights: Weights, values: Singles, ends: Rows) -> Floats:
    """The raw outputs (logits, or the forecast) of the sequences of rows that end in `ends`; of an mlp a sequence is one row.

    So many sequences are taken at a time that they stay in the cache; as every block has the same shape, an answer never
    depends on how many rows come after it.
    """
    found = np.empty((len(ends), architecture.outputs))
    block = np.full(architecture.at_once, ends[0] if len(ends) else 0)
    for first in range(0, len(ends), len(block)):
        part = ends[first : first + len(block)]
        block[: len(part)] = part
        if isinstance(architecture, Recurrent):
            answers = _recurrent(architecture, weights, values, block)
        elif isinstance(architecture, RuleBase):
            found[first : first + len(block)] = rule_outputs(architecture, weights, values[part])
            continue
        else:
            answers = _perceptron(architecture, weights, values, block)
        found[first : first + len(block)] = answers[: len(part)]
    return found


def _perceptron(architecture: Perceptron, weights: Weights, values: Singles, ends: Rows) -> Singles:
    activate, last = ACTIVATIONS[architecture.activation], len(architecture.hidden)
    x = values[ends]
    for i in range(last + 1):
        x = x @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
        if i < last:
            x = activate(x)
    return x


def _recurrent(architecture: Recurrent, weights: Weights, values: Singles, ends: Rows) -> Singles:
    step = _lstm if architecture.kind == "lstm" else _gru
    layers = [tuple(weights[f"layers.{i}.{part}"] for part in PARTS) for i in range(len(architecture.hidden))]
    states = [(np.zeros((len(ends), units), np.float32),) * 2 for units in architecture.hidden]
    for back in range(architecture.sequence_length - 1, -1, -1):
        x = values[ends - back]
        for i, (w_in, w_own, b_in, b_own) in enumerate(layers):
            states[i] = step(x @ w_in.T + b_in, states[i][0] @ w_own.T + b_own, *states[i])
            x = states[i][0]
    return x @ weights["output.weight"].T + weights["output.bias"]


def _lstm(given: Singles, own: Singles, _: Singles, cell: Singles) -> tuple[Singles, Singles]:
    """Output and cell after one more row."""
    take, keep, new, show = np.split(given + own, 4, axis=1)
    cell = _sigmoid(keep) * cell + _sigmoid(take) * np.tanh(new)
    return _sigmoid(show) * np.tanh(cell), cell


def _gru(given: Singles, own: Singles, before: Singles, _: Singles) -> tuple[Singles, Singles]:
    """Output after one more row; it has no cell beside it."""
    (reset, keep, new), (own_reset, own_keep, own_new) = np.split(given, 3, axis=1), np.split(own, 3, axis=1)
    share = _sigmoid(keep + own_keep)
    after = (np.float32(1) - share) * np.tanh(new + _sigmoid(reset + own_reset) * own_new) + share * before
    return after, after


def softmax(logits: Floats) -> Floats:
    """Probabilities from logits, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
