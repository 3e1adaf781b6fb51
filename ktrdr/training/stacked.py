"""Several perceptrons of one shape, computed in each call together: a step on networks this small costs more in calls than
in arithmetic.

On the CPU every call has the same shape for each network whatever stands beside it, so that a network ends with the same
bits alone and in company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ktrdr.models.predict import LEAK, Perceptron, Singles
from ktrdr.training.descent import Descent, Layout
from ktrdr.training.learner import Learner
from ktrdr.training.networks import LEAST_MISSED, Judged
from ktrdr.training.state import BatchPosition, Course

if TYPE_CHECKING:
    from torch import Tensor

OnBatch = Callable[[BatchPosition], None]
INPUTS = 16
"""Inputs are filled up with zeros to a multiple of so many, so that networks with a few more or less go together."""
ROWS = 32
"""And batches likewise, with rows that count for nothing."""
HALVES = 1 << 16
"""Dropout is decided by random numbers of 16 bits."""


class Stacked:
    """Perceptrons of one shape, each with its own rows, weights, seed, rates and dropout.

    Those with more batches come first, so that the networks that still have one are always the first ones.
    """

    def __init__(
        self, learners: Sequence[Learner], weights: Sequence[dict[str, Singles]], memory: Sequence[dict[str, Singles]], device: str
    ) -> None:
        import torch
        from torch.nn.functional import pad

        self.learners, self.device = list(learners), device
        shape, training = learners[0].architecture, learners[0].training
        assert isinstance(shape, Perceptron)
        self.shape = shape.model_copy(update={"inputs": -(-shape.inputs // INPUTS) * INPUTS})
        self.batch = min(training.batch_size, len(learners[0].train.targets))
        self.rows = -(-self.batch // ROWS) * ROWS
        self.counts = [len(one.train.targets) for one in learners]
        self.steps = [-(-count // self.batch) for count in self.counts]
        assert self.steps == sorted(self.steps, reverse=True)
        self.descent = Descent([one.training for one in learners], Layout(self.shape.shapes()), weights, memory, device)
        names = [f"layers.{i}" for i in range(len(shape.hidden) + 1)]
        arrays, slopes = self.descent.arrays(self.descent.vector), self.descent.arrays(self.descent.gradient)
        self.layers = [(arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in names]
        self.slopes = [(slopes[f"{name}.weight"], slopes[f"{name}.bias"]) for name in names]
        self.values = torch.cat(
            [pad(one.read(one.train, one.train.ends), (0, self.shape.inputs - one.architecture.inputs)) for one in learners]
        )
        self.targets = torch.cat([one.train.targets for one in learners])
        self.weights = torch.cat([one.train.weights for one in learners])
        self.goal = Goal.of(learners, device)
        shares = np.array([[one.dropout] for one in learners])
        self.limits, self.lifts = np.round(shares * HALVES).astype(np.uint16), (1 / (1 - shares)).astype(np.float32)

    def epoch(self, courses: Sequence[Course], on_batch: OnBatch) -> list[Judged]:
        """Pass once over the rows of each network."""
        import torch

        randoms = [_random(one.training.seed, course.epochs_run) for one, course in zip(self.learners, courses, strict=True)]
        order, present = (torch.from_numpy(array).to(self.device) for array in self._order(randoms))
        targets, weights = self.targets[order], self.weights[order].mul_(present)
        self.goal.aim(targets, weights.div_(weights.sum(dim=2, keepdim=True).clamp_min_(1e-30)))
        outputs = torch.zeros(*order.shape[:2], self.shape.outputs, self.rows, device=self.device)
        done = [course.epochs_run * steps for course, steps in zip(courses, self.steps, strict=True)]
        pace = self.descent.pace([course.learning_rate for course in courses], done, self.steps[0])
        position, epochs = courses[0].epochs_run + 1, self.learners[0].training.epochs
        with torch.no_grad():
            for step in range(self.steps[0]):
                on_batch(BatchPosition(position, epochs, step + 1, self.steps[0]))
                count = sum(steps > step for steps in self.steps)
                self._step(step, order[step, :count], randoms[:count], outputs[step, :count])
                self.descent.move(pace[step, :, :count])
        return [self._judged(row, outputs, targets) for row in range(len(self.learners))]

    def _order(self, randoms: Sequence[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
        """Rows by step, network and place in the batch, and 1 where there is one; in its stead any row stands there."""
        shape = (self.steps[0], len(self.learners), self.rows)
        order, present = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        first = 0
        for row, (random, count, steps) in enumerate(zip(randoms, self.counts, self.steps, strict=True)):
            places = np.arange(steps * self.batch)
            order[:steps, row, : self.batch] = np.resize(random.permutation(count) + first, places.shape).reshape(steps, self.batch)
            present[:steps, row, : self.batch] = (places < count).reshape(steps, self.batch)
            first += count
        return order, present

    def _step(self, step: int, order: Tensor, randoms: Sequence[np.random.Generator], outputs: Tensor) -> None:
        """Answer a batch of each network and find the gradients, which are those that torch would find.

        Answers lie class by class, which softmax and sums are quick on.
        """
        import torch

        count = len(order)
        layers = [(weight[:count], bias[:count]) for weight, bias in self.layers]
        masks = self._masks(randoms)
        activate, slope_of = _activation(self.shape.activation)
        read = [self.values.index_select(0, order.flatten()).view(count, self.rows, -1)]
        active: list[Tensor] = []
        for (weight, bias), mask in zip(layers[:-1], masks, strict=True):
            active.append(activate(torch.baddbmm(bias.unsqueeze(1), read[-1], weight.mT)))
            read.append(active[-1] if mask is None else active[-1] * mask)
        weight, bias = layers[-1]
        torch.baddbmm(bias.unsqueeze(2), weight, read[-1].mT, out=outputs)
        slope = self.goal.slope(outputs, step)  # (networks, classes, rows)
        for i in range(len(layers) - 1, -1, -1):
            of_weight, of_bias = self.slopes[i]
            torch.bmm(slope, read[i], out=of_weight[:count])
            torch.sum(slope, 2, out=of_bias[:count])
            if i > 0:
                back, mask = torch.bmm(slope.mT, layers[i][0]), masks[i - 1]
                slope = slope_of(back if mask is None else back.mul_(mask), active[i - 1]).mT

    def _masks(self, randoms: Sequence[np.random.Generator]) -> list[Tensor] | list[None]:
        """For each hidden layer what dropout multiplies its units with."""
        import torch

        hidden, count = self.shape.hidden, len(randoms)
        if not self.limits.any():
            return [None] * len(hidden)
        drawn = np.stack([random.bit_generator.random_raw(self.rows * sum(hidden) // 4) for random in randoms]).view(np.uint16)
        masks = torch.from_numpy(np.multiply(drawn >= self.limits[:count], self.lifts[:count], dtype=np.float32)).to(self.device)
        parts = torch.split(masks, [self.rows * units for units in hidden], dim=1)
        return [part.view(count, self.rows, units) for part, units in zip(parts, hidden, strict=True)]

    def _judged(self, row: int, outputs: Tensor, targets: Tensor) -> Judged:
        """Loss and hits of a network's answers on the way."""
        steps, count = self.steps[row], self.counts[row]
        answers = outputs[:steps, row, :, : self.batch].transpose(1, 2).flatten(0, 1)[:count]
        return self.learners[row].criterion.judge(answers, targets[:steps, row, : self.batch].flatten()[:count])


class Goal:
    """What the objective of several networks says about their outputs."""

    def __init__(self, loss: str, classes: int, gammas: Tensor, deltas: Tensor) -> None:
        self.loss, self.classes, self.gammas, self.deltas = loss, classes, gammas, deltas

    @classmethod
    def of(cls, learners: Sequence[Learner], device: str) -> Goal:
        """That of networks of one kin."""
        import torch

        gammas = [one.training.focal_gamma for one in learners]
        deltas = [one.criterion.huber_delta for one in learners]
        loss = learners[0].training.loss
        sort = loss if learners[0].criterion.classification or loss == "mse" else "huber"
        each = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (gammas, deltas))
        return cls(sort, learners[0].architecture.outputs, *each)

    def aim(self, targets: Tensor, shares: Tensor) -> None:
        """Take up the targets of an epoch by step, network and row, and what each row counts in the mean of its batch."""
        import torch

        self.shares, self.marks = shares.unsqueeze(2), targets.unsqueeze(2)
        if not targets.is_floating_point():
            self.marks = (self.marks == torch.arange(self.classes, device=targets.device).view(-1, 1)).to(shares.dtype)

    def slope(self, outputs: Tensor, step: int) -> Tensor:
        """The gradient of the objective by the outputs of a step."""
        import torch

        count = len(outputs)
        marks, shares = self.marks[step, :count], self.shares[step, :count]
        if self.loss == "mse":
            return (outputs - marks).mul_(2 * shares)
        if self.loss == "huber":
            deltas = self.deltas[:count]
            return (outputs - marks).clamp_(-deltas, deltas).mul_(shares)
        slope = torch.softmax(outputs, dim=1)
        if self.loss == "focal":
            shares = shares * self._focus((slope * marks).sum(dim=1, keepdim=True), self.gammas[:count])
        return slope.sub_(marks).mul_(shares)

    @staticmethod
    def _focus(given: Tensor, gammas: Tensor) -> Tensor:
        """What focal loss multiplies the slope of the cross-entropy with, by the probability that the right class was given."""
        import torch

        missed = 1 - given
        near = missed.clamp_min(LEAST_MISSED)
        grows = gammas * near ** (gammas - 1) * given * -given.clamp_min(1e-30).log()
        return near**gammas + torch.where(missed > LEAST_MISSED, grows, 0.0)


def _random(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, epoch))))


def _activation(name: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]:
    """The function in place, and the slope behind it from the slope before it and its own value."""
    import torch

    backward, leak = torch.ops.aten, float(LEAK)

    def behind(slope: Tensor, active: Tensor) -> Tensor:
        rest = {"relu": (0,), "leaky_relu": (leak, True)}.get(name, ())
        found: Tensor = getattr(backward, "threshold_backward" if name == "relu" else f"{name}_backward")(slope, active, *rest)
        return found

    if name == "leaky_relu":
        return lambda x: torch.nn.functional.leaky_relu_(x, leak), behind
    return {"relu": torch.relu_, "tanh": torch.tanh_, "sigmoid": torch.sigmoid_}[name], behind
