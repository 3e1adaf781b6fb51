"""One step down the gradient, on all weights of a network as one vector, and for several networks at once.

The rules are those of `torch.optim`, whose import alone costs a second and whose calls would take most of the time of a
step on networks as small as these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
MEMORY = {"adam": ("mean", "square"), "sgd": ("velocity",), "rmsprop": ("square",)}
"""The vectors that each optimizer keeps between steps."""
ALIGNED = 16
"""Every array begins at a multiple of so many numbers, which is a line of the cache."""
WHOLE = 64
"""And every vector is a multiple of so many long, that no sum depends on how many networks there are."""


@dataclass(frozen=True)
class Layout:
    """Where each array of a network lies in the vector of its weights."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of each array; the network's own may be smaller, what is beyond it is 0 and stays so."""

    @property
    def starts(self) -> dict[str, int]:
        """First number of each array."""
        found, first = {}, 0
        for name, shape in self.shapes.items():
            found[name] = first
            first += -(-int(np.prod(shape)) // ALIGNED) * ALIGNED
        return found | {"": -(-first // WHOLE) * WHOLE}

    def place(self, own: Mapping[str, tuple[int, ...]]) -> np.ndarray:
        """Where the numbers of the network's own arrays lie, one array after the other."""
        starts, found = self.starts, []
        for name, shape in own.items():
            whole = np.arange(np.prod(self.shapes[name])).reshape(self.shapes[name]) + starts[name]
            found.append(whole[tuple(slice(size) for size in shape)].ravel())
        return np.concatenate(found)


class Descent:
    """The weights of some networks of one layout, their gradients, and what their optimizers remember; a row for each."""

    def __init__(
        self, trainings: Sequence[Training], layout: Layout, weights: Sequence[Mapping[str, Singles]],
        memory: Sequence[Mapping[str, Singles]], device: str = "cpu",
    ) -> None:  # fmt: skip
        import torch

        self.trainings, self._layout = list(trainings), layout
        self._shapes = [{name: array.shape for name, array in own.items()} for own in weights]
        self._places = [torch.from_numpy(layout.place(shapes)).to(device) for shapes in self._shapes]
        size, kept = layout.starts[""], MEMORY[trainings[0].optimizer]
        self.vector = torch.zeros(len(weights), size, device=device)
        self.gradient = torch.zeros_like(self.vector)
        self._memory = {name: torch.zeros_like(self.vector) for name in kept}
        self._clips, self._decays = (
            torch.tensor([[getattr(one, key)] for one in trainings], device=device) for key in ("gradient_clip", "weight_decay")
        )
        for row, (place, own, before) in enumerate(zip(self._places, weights, memory, strict=True)):
            self.vector[row, place] = torch.from_numpy(np.concatenate([array.ravel() for array in own.values()])).to(device)
            for name in kept if before else ():
                self._memory[name][row, place] = torch.from_numpy(before[name].copy()).to(device)

    def arrays(self, of: Tensor) -> dict[str, Tensor]:
        """Views of the arrays of all networks in their weights or gradients, by name."""
        starts, found = self._layout.starts, {}
        for name, shape in self._layout.shapes.items():
            part = of[:, starts[name] : starts[name] + int(np.prod(shape))]
            found[name] = part.view(len(of), *shape)
        return found

    def network(self, row: int) -> dict[str, Tensor]:
        """The arrays of one network, as large as they are: views of its weights."""
        whole = self.arrays(self.vector)
        return {name: whole[name][row][tuple(slice(size) for size in shape)] for name, shape in self._shapes[row].items()}

    def weights(self, row: int) -> dict[str, Singles]:
        """A copy of the weights of one network."""
        return {name: np.ascontiguousarray(tensor.detach().cpu().numpy()).copy() for name, tensor in self.network(row).items()}

    def memory(self, row: int) -> dict[str, Singles]:
        """A copy of what one optimizer remembers."""
        return {name: kept[row, self._places[row]].cpu().numpy() for name, kept in self._memory.items()}

    def pace(self, rates: Sequence[float], firsts: Sequence[int], steps: int) -> Tensor:
        """How far each of the next steps goes (steps, 2, networks, 1); `firsts` counts each network's steps so far.

        First the factor of the move, then what the root of the mean square is multiplied with.
        """
        import torch

        number = np.asarray(firsts) + np.arange(1, steps + 1)[:, None]
        rate, root = np.broadcast_to(np.asarray(rates, float), number.shape), np.ones(number.shape)
        if self.trainings[0].optimizer == "adam":
            rate, root = rate / (1 - BETAS[0] ** number), 1 / np.sqrt(1 - BETAS[1] ** number)
        return torch.from_numpy(np.stack([-rate, root], axis=1).astype(np.float32)[..., None]).to(self.vector.device)

    def move(self, pace: Tensor) -> None:
        """Move the first networks, as many as the pace names, against their gradients."""
        import torch

        count, first = pace.shape[1], self.trainings[0]
        gradient, vector = self.gradient[:count], self.vector[:count]
        gradient.mul_((self._clips[:count] / (torch.linalg.vector_norm(gradient, dim=1, keepdim=True) + 1e-6)).clamp_(max=1.0))
        gradient.addcmul_(vector, self._decays[:count])
        if first.optimizer == "sgd":
            velocity = self._memory["velocity"][:count].mul_(MOMENTUM).add_(gradient)
            vector.addcmul_(velocity, pace[0])
            return
        smoothing = SMOOTHING if first.optimizer == "rmsprop" else BETAS[1]
        square = self._memory["square"][:count].mul_(smoothing).addcmul_(gradient, gradient, value=1 - smoothing)
        root = square.sqrt().mul_(pace[1]).add_(EPSILON)
        mean = gradient if first.optimizer == "rmsprop" else self._memory["mean"][:count].lerp_(gradient, 1 - BETAS[0])
        vector.addcmul_(torch.div(mean, root, out=root), pace[0])
