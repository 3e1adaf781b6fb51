"""Learning: the loop over epochs, for one strategy or for several at once.

The same rows, strategy and machine give the same bytes: one thread, deterministic algorithms, and every random choice a
function of the seed and the epoch. A run that was resumed cannot be told from one that was not, nor, on a CPU, one of
several from one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ktrdr.errors import Invalid
from ktrdr.models.predict import Architecture, Singles
from ktrdr.models.scores import History
from ktrdr.strategy.spec import Strategy
from ktrdr.training.learner import Learner
from ktrdr.training.passes import kin, pass_of
from ktrdr.training.state import BatchPosition, FitState
from ktrdr.training.windows import Samples

THREADS = 1
FILLED = "fill_uninitialized_memory"
"""Of torch's deterministic mode, and of no use here: nothing is read before it is written."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was learned."""

    architecture: Architecture
    weights: dict[str, Singles]
    """Of the epoch with the lowest validation loss."""
    epochs_run: int
    best_epoch: int
    stopped_early: bool
    initial_loss: float
    """On the training slice before the first step, unweighted."""
    history: History


def fit(
    samples: Samples, strategy: Strategy, *, on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[FitState], None],
    resume: FitState | None = None, device: str = "cpu",
) -> Fitted:  # fmt: skip
    """Train the strategy's network on a device that torch knows.

    `on_batch` is called before each batch and `on_epoch` after each epoch with the state to go on from; what they raise
    ends the training. Raises Invalid where the loss is no longer a number.
    """
    states = {} if resume is None else {0: resume}
    (found,) = fit_together(
        [(samples, strategy)], on_batch=on_batch, on_epoch=lambda _, state: on_epoch(state), resume=states, device=device
    )
    if isinstance(found, Invalid):
        raise found
    return found


def fit_together(
    tasks: Sequence[tuple[Samples, Strategy]], *, on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[int, FitState], None],
    resume: Mapping[int, FitState] | None = None, device: str = "cpu",
) -> list[Fitted | Invalid]:  # fmt: skip
    """Train several networks; those of one kin, that is of one shape and one way to learn, go through their batches together.

    Each has its own rows, seed, rates and end, and comes out as if it had been trained alone. `on_epoch` names the task
    by its place, as `resume` does. A network that cannot be trained is an Invalid in the answer.
    """
    found: dict[int, Fitted | Invalid] = {}
    with repeatable():
        ready: dict[int, tuple[Learner, FitState]] = {}
        for place, (samples, strategy) in enumerate(tasks):
            learner = Learner(samples, strategy, device)
            try:
                state = (resume or {}).get(place) or learner.begin()
            except Invalid as error:
                found[place] = error
                continue
            state.must_fit(learner.fingerprint)
            ready[place] = learner, state
        groups = _kinds({place: learner for place, (learner, _) in ready.items()})
        batches = [max(ready[place][0].batches for place in group) for group in groups]
        for number, group in enumerate(groups):
            told = partial(_told, on_batch, sum(batches[:number]), sum(batches[number + 1 :]))
            found |= _train({place: ready[place] for place in group}, told, on_epoch, device)
    return [found[place] for place in range(len(tasks))]


def _told(on_batch: Callable[[BatchPosition], None], before: int, after: int, at: BatchPosition) -> None:
    on_batch(at._replace(before=before, after=after))


def _kinds(learners: Mapping[int, Learner]) -> list[list[int]]:
    """The places of those that go together; those with more rows first, as they have more batches."""
    found: dict[Hashable, list[int]] = {}
    for place, learner in learners.items():
        found.setdefault(kin(learner) or place, []).append(place)
    return [sorted(group, key=lambda place: -len(learners[place].train.targets)) for group in found.values()]


def _train(
    group: Mapping[int, tuple[Learner, FitState]], on_batch: Callable[[BatchPosition], None], on_epoch: Callable[[int, FitState], None],
    device: str,
) -> dict[int, Fitted | Invalid]:  # fmt: skip
    """Go on until the last network of a group has come to its end."""
    learners, states = {place: learner for place, (learner, _) in group.items()}, {place: state for place, (_, state) in group.items()}
    failed: dict[int, Fitted | Invalid] = {}
    going, way = list[int](), None
    while still := [place for place in group if place not in failed and not _ended(learners[place], states[place])]:
        if way is None or still != going:
            going, way = still, pass_of([learners[p] for p in still], [states[p] for p in still], device)
        for row, told in enumerate(way.epoch([states[place].course for place in going], on_batch)):
            place, before = going[row], states[going[row]]
            learner, training = learners[place], learners[place].training
            try:
                figures = learner.figures(before.course, told, way.descent.network(row))
            except Invalid as error:
                failed[place] = error
                continue
            course = before.course.after(figures, training.lr_scheduler, training.early_stopping)
            weights = way.descent.weights(row)
            best = weights if course.best_epoch == course.epochs_run else before.best
            states[place] = FitState(course, weights, best, way.descent.memory(row), learner.fingerprint, device)
            on_epoch(place, states[place])
    return {place: _fitted(learners[place], states[place], on_batch) for place in group if place not in failed} | failed


def _ended(learner: Learner, state: FitState) -> bool:
    return state.course.stopped or state.course.epochs_run >= learner.training.epochs


def _fitted(learner: Learner, state: FitState, on_batch: Callable[[BatchPosition], None]) -> Fitted:
    course, epochs = state.course, learner.training.epochs
    last = BatchPosition(course.epochs_run, epochs, learner.batches // epochs, learner.batches // epochs)
    architecture, weights = learner.kept(state.best, lambda: on_batch(last))
    return Fitted(
        architecture=architecture,
        weights=weights,
        epochs_run=course.epochs_run,
        best_epoch=course.best_epoch,
        stopped_early=course.stopped and course.epochs_run < learner.training.epochs,
        initial_loss=course.initial_loss,
        history=course.history,
    )


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread and repeatable algorithms while it lasts."""
    import torch
    from torch.utils import deterministic

    threads, strict, filled = torch.get_num_threads(), torch.get_deterministic_debug_mode(), getattr(deterministic, FILLED)
    torch.set_num_threads(THREADS)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms(True), which imports a compiler, two seconds long
    setattr(deterministic, FILLED, False)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(strict)
        setattr(deterministic, FILLED, filled)
