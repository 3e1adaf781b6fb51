"""Several networks trained at once: each as if it were alone, and what a pass over the rows computes is what torch would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from ktrdr.errors import Invalid
from ktrdr.models.predict import Perceptron
from ktrdr.strategy.sections import Training
from ktrdr.strategy.spec import Strategy
from ktrdr.training.fit import Fitted, fit_together
from ktrdr.training.learner import Learner
from ktrdr.training.networks import forward, initial_weights
from ktrdr.training.passes import kin
from ktrdr.training.state import FitState
from ktrdr.training.windows import Samples
from tests.contracts.test_training_fit import ROUGH, content, learned, samples_of, strategy_of, through_a_file

pytestmark = pytest.mark.torch
Task = tuple[Samples, Strategy]
RETURNS = "labels: {source: forward_return}"


def together(tasks: list[Task], resume: dict[int, FitState] | None = None) -> tuple[list[Fitted | Invalid], list[tuple[int, FitState]]]:
    states: list[tuple[int, FitState]] = []
    return fit_together(tasks, on_batch=lambda _: None, on_epoch=lambda *given: states.append(given), resume=resume), states


def narrower(samples: Samples) -> Samples:
    """The same rows with one input less."""
    slices = {name: getattr(samples, name) for name in ("train", "validation", "test")}
    return replace(samples, feature_ids=samples.feature_ids[:2], **{n: replace(s, values=s.values[:, :2]) for n, s in slices.items()})


def mixed() -> list[Task]:
    """Networks that differ in everything that they may."""
    weighed = samples_of(count=200)
    weights = np.linspace(0.5, 1.5, 200).astype(np.float32)
    return [
        (samples_of(), strategy_of(ROUGH, epochs=14, rate=0.3)),
        (samples_of(count=333), strategy_of("weight_decay: 0.01, gradient_clip: 0.2", epochs=9, seed=8)),
        (narrower(samples_of(count=411)), strategy_of("class_weights: none", rate=0.02, dropout=0.5)),
        (replace(weighed, train=replace(weighed.train, weights=weights)), strategy_of("lr_scheduler: {type: exponential}", seed=9)),
        (samples_of(), strategy_of(dropout=0.0, seed=10)),
        (samples_of(), strategy_of("loss: focal", seed=11)),
        (samples_of(count=250), strategy_of("loss: focal, focal_gamma: 0.7", seed=12)),
        (samples_of("regression"), strategy_of(RETURNS, activation="tanh")),
        (samples_of("regression", count=320), strategy_of(f"{RETURNS}, huber_delta: 0.001", activation="tanh", seed=2)),
        (samples_of(length=3), strategy_of(network="gru")),
        (samples_of(), strategy_of("optimizer: sgd", layers="hidden_layers: [5], activation: sigmoid")),
        (samples_of(count=280), strategy_of("optimizer: sgd", layers="hidden_layers: [5], activation: sigmoid", seed=3)),
        (samples_of(count=20), strategy_of(layers="hidden_layers: [1, 3], activation: relu")),
    ]


def test_each_network_ends_with_the_bits_it_has_alone() -> None:
    tasks = mixed()
    found, _ = together(tasks)
    for (samples, strategy), company in zip(tasks, found, strict=True):
        assert isinstance(company, Fitted)
        assert content(company) == content(learned(strategy, samples)[0]), strategy.training


def test_the_company_does_go_together() -> None:
    learners = [Learner(samples, strategy, "cpu") for samples, strategy in mixed()]
    kinds = [kin(one) for one in learners]
    assert len({each for each in kinds if each is not None}) == 5
    assert kinds[0] == kinds[1] == kinds[2] == kinds[3]
    assert kinds[9] is None
    assert kinds[12] is None


def test_resumed_in_mid_course_all_end_with_the_same_bytes() -> None:
    tasks = mixed()[:7]
    whole, states = together(tasks)
    for stop in (3, len(states) // 2, len(states) - 2):
        kept = {place: through_a_file(state) for place, state in states[:stop]}
        again, _ = together(tasks, kept)
        assert [content(one) for one in again if isinstance(one, Fitted)] == [content(one) for one in whole if isinstance(one, Fitted)]


def test_one_that_cannot_be_trained_leaves_the_others_alone() -> None:
    samples, strategy = samples_of(), strategy_of()
    far = replace(samples, train=replace(samples.train, values=samples.train.values * np.float32(1e38)))
    off = replace(samples, validation=replace(samples.validation, values=samples.validation.values * np.float32(1e38)))
    huge, fine, lost = together([(far, strategy), (samples, strategy), (off, strategy)])[0]
    assert isinstance(huge, Invalid)
    assert isinstance(lost, Invalid)
    assert "features are too large" in huge.message
    assert "diverged in epoch 1" in lost.message
    assert isinstance(fine, Fitted)
    assert content(fine) == content(learned(strategy, samples)[0])


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "huber", "mse"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "leaky_relu"])
def test_a_step_goes_where_torch_would_go(loss: str, activation: str) -> None:
    """One batch of all rows, so that their order does not matter."""
    import torch

    forecasts = loss in ("huber", "mse")
    samples = samples_of("regression" if forecasts else "classification", count=90)
    weights = np.linspace(0.2, 1.8, 90).astype(np.float32)
    samples = replace(samples, train=replace(samples.train, weights=weights))
    more = f"optimizer: sgd, weight_decay: 0.0, loss: {loss}, {RETURNS if forecasts else 'class_weights: balanced'}"
    strategy = strategy_of(more, epochs=1, dropout=0.0, activation=activation)
    training = strategy.training.model_copy(update={"batch_size": 1000, "gradient_clip": 1e9})
    strategy = strategy.model_copy(update={"training": training})
    fitted, (state,) = learned(strategy, samples)
    learner = Learner(samples, strategy, "cpu")
    assert isinstance(fitted.architecture, Perceptron)
    start = {name: torch.from_numpy(array).requires_grad_() for name, array in initial_weights(fitted.architecture, 7).items()}
    rows = learner.train
    judged = learner.criterion.judge(forward(start, fitted.architecture, rows.values), rows.targets, rows.weights)
    judged.objective.backward()
    assert judged.loss.item() / 90 == pytest.approx(fitted.history.train_loss[0], rel=1e-5)
    for name, tensor in start.items():
        assert tensor.grad is not None
        assert tensor.grad.abs().max() > 1e-4
        np.testing.assert_allclose(state.weights[name], (tensor - 0.01 * tensor.grad).detach().numpy(), atol=2e-7)


KEYS = [
    "loss: focal", "loss: focal, focal_gamma: 1.0", "optimizer: sgd", "optimizer: rmsprop", "weight_decay: 0.1", "gradient_clip: 0.01",
    "class_weights: none", "early_stopping: {patience: 1, min_delta: 0.5}", "lr_scheduler: {type: step, step_size: 2}",
    "lr_scheduler: {type: exponential}", "lr_scheduler: {type: exponential, gamma: 0.9}", "seed: 8", "learning_rate: 0.02", "epochs: 5",
    "batch_size: 64",
]  # fmt: skip
FORECAST_KEYS = ["loss: huber", "loss: mse", "loss: huber, huber_delta: 0.0001"]


def given(more: str) -> Strategy:
    """The usual strategy with some keys changed."""
    usual = strategy_of()
    training = Training.model_validate(usual.training.model_dump() | yaml.safe_load(f"{{{more}}}"))
    return usual.model_copy(update={"training": training})


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_every_key_of_training_changes_the_run(network: str) -> None:
    def of(strategy: Strategy) -> Strategy:
        return strategy.model_copy(update={"model": strategy_of(network=network).model})

    seen = [of(strategy_of()), *(of(given(more)) for more in KEYS)]
    length = seen[0].model.architecture.sequence_length
    runs = {content(learned(strategy, samples_of(length=length))[0]) for strategy in seen}
    assert len(runs) == len(seen)
    forecasts = [of(strategy_of(f"{RETURNS}, {more}")) for more in FORECAST_KEYS]
    assert len({content(learned(strategy, samples_of("regression", length=length))[0]) for strategy in forecasts}) == len(forecasts)


def test_a_row_that_counts_for_nothing_teaches_nothing() -> None:
    samples = samples_of()
    weights = np.ones(300, np.float32)
    weights[:100] = 0
    turned = samples.train.targets.copy()
    turned[:100] = (turned[:100] + 1) % 3
    strategy = strategy_of("class_weights: none")
    runs = [
        learned(strategy, replace(samples, train=replace(samples.train, targets=targets, weights=weights)))[0]
        for targets in (samples.train.targets, turned)
    ]
    assert all((runs[0].weights[name] == array).all() for name, array in runs[1].weights.items())
    unweighed = learned(strategy, samples)[0]
    assert any((unweighed.weights[name] != array).any() for name, array in runs[0].weights.items())
