"""One epoch: every training row once, in an order that is a function of the seed and the epoch.

`Alone` takes any network and lets torch find the gradient. `Stacked` takes perceptrons of one shape, as many as there
are, and computes all of them together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ktrdr.models.predict import Perceptron, Singles
from ktrdr.training.descent import Descent, Layout
from ktrdr.training.learner import Learner
from ktrdr.training.networks import Judged, forward
from ktrdr.training.stacked import INPUTS, OnBatch, Stacked
from ktrdr.training.state import BatchPosition, Course, FitState

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Pass(Protocol):
    """How some networks go through their rows."""

    descent: Descent

    def epoch(self, courses: Sequence[Course], on_batch: OnBatch) -> list[Judged]:
        """Pass once over the rows of each network; loss and hits of the answers on the way."""


def kin(learner: Learner) -> Hashable:
    """What two networks must share to be computed in one call; None for one that goes alone.

    A layer of a single unit is multiplied by other rules, which do not give the same bits for one network as for several.
    """
    shape, training = learner.architecture, learner.training
    if not isinstance(shape, Perceptron) or 1 in shape.hidden:
        return None
    inputs = -(-shape.inputs // INPUTS)
    batch = min(training.batch_size, len(learner.train.targets))
    return inputs, shape.hidden, shape.outputs, shape.activation, training.optimizer, training.loss, batch, learner.dropout > 0


def pass_of(learners: Sequence[Learner], states: Sequence[FitState], device: str) -> Pass:
    """The way to go for networks that share their kin, each where its state says."""
    weights = [{name: state.weights[name] for name in one.architecture.shapes()} for one, state in zip(learners, states, strict=True)]
    memory = [state.optimizer for state in states]
    return (Alone if kin(learners[0]) is None else Stacked)(learners, weights, memory, device)


class Alone:
    """One network of any sort."""

    def __init__(
        self, learners: Sequence[Learner], weights: Sequence[dict[str, Singles]], memory: Sequence[dict[str, Singles]], device: str
    ) -> None:
        (self.learner,) = learners
        layout = Layout(self.learner.architecture.shapes())
        self.descent = Descent([self.learner.training], layout, weights, memory, device)
        slopes = self.descent.arrays(self.descent.gradient)
        self.tensors: dict[str, Tensor] = {}
        for name, array in self.descent.arrays(self.descent.vector).items():
            self.tensors[name] = array[0].detach().requires_grad_()
            self.tensors[name].grad = slopes[name][0]

    def epoch(self, courses: Sequence[Course], on_batch: OnBatch) -> list[Judged]:
        """Pass once over the rows."""
        import torch

        (course,), learner, rows = courses, self.learner, self.learner.train
        training, device, size = learner.training, learner.device, learner.training.batch_size
        random = _generator(training.seed, course.epochs_run, device)
        order = torch.randperm(len(rows.targets), generator=random, device=device)
        y, ends, weights = rows.targets[order], rows.ends[order], rows.weights[order]
        x = learner.read(rows, ends) if learner.alone else None  # all sequences at once would take too much memory
        batches = -(-len(y) // size)
        pace = self.descent.pace([course.learning_rate], [course.epochs_run * batches], batches)
        loss, hits = (torch.zeros((), dtype=kind, device=device) for kind in (torch.float64, torch.int64))
        for batch in range(batches):
            on_batch(BatchPosition(course.epochs_run + 1, training.epochs, batch + 1, batches))
            part = slice(batch * size, (batch + 1) * size)
            read = learner.read(rows, ends[part]) if x is None else x[part]
            outputs = forward(self.tensors, learner.architecture, read, learner.dropout, random)
            judged = learner.criterion.judge(outputs, y[part], weights[part])
            self.descent.gradient.zero_()
            judged.objective.backward()  # type: ignore[no-untyped-call]  # torch declares no types here
            self.descent.move(pace[batch])
            loss += judged.loss
            hits += judged.hits
        return [Judged(loss, loss, hits)]


def _generator(seed: int, epoch: int, device: str) -> Generator:
    import torch

    return torch.Generator(device).manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1))
