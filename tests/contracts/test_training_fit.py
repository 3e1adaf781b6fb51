"""What learning promises: the same bytes again, also after an interruption, and the best weights in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from ktrdr.errors import Conflict, Invalid
from ktrdr.models.model import Split
from ktrdr.models.predict import Perceptron, Recurrent, outputs_of, softmax
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.sections import Training
from ktrdr.strategy.spec import Strategy
from ktrdr.training.descent import Descent, Layout
from ktrdr.training.fit import Fitted, fit
from ktrdr.training.networks import class_weights_of, forward, initial_weights
from ktrdr.training.score import cross_entropy, forecast_loss
from ktrdr.training.state import BatchPosition, FitState
from ktrdr.training.windows import Samples, Slice

pytestmark = pytest.mark.torch

TEXT = """
name: small
training_data: {{symbols: [AAA], timeframes: [1h]}}
indicators: {{roc_2: {{type: roc, period: 2}}}}
fuzzy_sets: {{change: {{indicator: roc_2, down: [-9, -3, 0], level: [-3, 0, 3], up: [0, 3, 9]}}}}
nn_inputs: [{{fuzzy_set: change, timeframes: all}}]
model: {{type: {network}, architecture: {{{layers}, dropout: {dropout}}}}}
decisions: {decisions}
training: {{epochs: {epochs}, batch_size: 32, learning_rate: {rate}, seed: {seed}, {more}}}
"""
LAYERS = {
    "mlp": "hidden_layers: [8, 6], activation: {activation}", "lstm": "hidden_size: 5, num_layers: 2, sequence_length: 3",
    "gru": "hidden_size: 5, num_layers: 2, sequence_length: 3",
}  # fmt: skip
FORECASTS = "{output_format: regression, cost_model: {round_trip_cost: 0.001, min_edge_multiplier: 1.5}}"
ROUGH = "early_stopping: {patience: 4, min_delta: 0.001}, lr_scheduler: {type: reduce_on_plateau, patience: 2, gamma: 0.5}"
"""With a learning rate of 0.3 the loss jumps, the rate is cut and the training stops early."""


def strategy_of(
    more: str = "", *, network: str = "mlp", layers: str | None = None, epochs: int = 6, rate: float = 0.01, dropout: float = 0.2,
    seed: int = 7, activation: str = "relu",
) -> Strategy:  # fmt: skip
    forecasts = "forward_return" in more
    own = (layers or LAYERS[network]).format(activation=activation)
    given = {"epochs": epochs, "rate": rate, "dropout": dropout, "seed": seed, "network": network, "layers": own}
    return load_strategy(
        TEXT.format(**given, decisions=FORECASTS if forecasts else "{output_format: classification}", more=more), "test"
    ).strategy


def slice_of(count: int, seed: int, task: str, length: int) -> Slice:
    """Rows whose targets follow from the row itself, and with sequences from the one before it too."""
    random = np.random.default_rng(seed)
    read = random.random((count + length - 1, 3)).astype(np.float32)
    ends = np.arange(length - 1, len(read))
    values = (read[ends] + read[ends - 1]) / 2 if length > 1 else read
    noise = random.normal(0, 0.2, count)
    if task == "regression":
        targets = 0.02 * (values[:, 0] - values[:, 1]) + 0.005 * noise
    else:
        targets = (values[:, 0] + noise > 0.5).astype(np.int64) + (values[:, 1] * values[:, 2] + noise > 0.4)
    return Slice(read, targets, np.array([], "datetime64[us]"), ends)


def samples_of(task: str = "classification", count: int = 300, length: int = 1) -> Samples:
    split = Split(train_end="", validation_start="", validation_end="", test_start="", embargo_rows=0, purged_rows=0)
    ids = ("1h_change_down", "1h_change_level", "1h_change_up")
    slices = (slice_of(n, seed, task, length) for n, seed in ((count, 1), (100, 2), (100, 3)))
    return Samples(ids, task, *slices, {}, split, "", "", {})


def learned(strategy: Strategy, samples: Samples | None = None, resume: FitState | None = None) -> tuple[Fitted, list[FitState]]:
    states: list[FitState] = []
    rows = samples or samples_of(strategy.task, length=strategy.model.architecture.sequence_length)
    return fit(rows, strategy, on_batch=lambda _: None, on_epoch=states.append, resume=resume), states


def content(fitted: Fitted) -> tuple[bytes, str]:
    rest = [fitted.epochs_run, fitted.best_epoch, fitted.stopped_early, fitted.initial_loss.hex(), fitted.history.model_dump_json()]
    return save(fitted.weights), json.dumps(rest)


def through_a_file(state: FitState) -> FitState:
    written, tensors = state.to_parts()
    return FitState.from_parts(json.loads(json.dumps(written, allow_nan=False)), load(save(tensors)))


@pytest.mark.parametrize(("network", "optimizer"), [*((n, "adam") for n in LAYERS), ("mlp", "sgd"), ("mlp", "rmsprop")])
def test_resumed_after_any_epoch_it_ends_with_the_same_bytes(network: str, optimizer: str) -> None:
    strategy = strategy_of(f"optimizer: {optimizer}, {ROUGH}", network=network, epochs=14, rate=0.3)
    whole, states = learned(strategy)
    assert whole.stopped_early
    assert len(set(whole.history.learning_rate)) > 1
    for state in states:
        again, _ = learned(strategy, resume=through_a_file(state))
        assert content(again) == content(whole)


@pytest.mark.parametrize("stop", [(2, 3), (4, 9)])
def test_interrupted_in_mid_epoch_it_goes_on_from_the_last_whole_one(stop: tuple[int, int]) -> None:
    strategy, samples = strategy_of(ROUGH, epochs=14, rate=0.3), samples_of()
    states: list[FitState] = []

    def killed(position: BatchPosition) -> None:
        if (position.epoch, position.batch) == stop:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(samples, strategy, on_batch=killed, on_epoch=states.append)
    assert states[-1].position == f"epoch {stop[0] - 1}"
    again, _ = learned(strategy, resume=through_a_file(states[-1]))
    assert content(again) == content(learned(strategy)[0])


FORGETFUL = {
    "epoch": lambda state: replace(state, course=state.course.model_copy(update={"epochs_run": state.course.epochs_run + 1})),
    "weights": lambda state: replace(state, weights=state.best),
    "optimizer": lambda state: replace(state, optimizer={}),
    "best weights": lambda state: replace(state, best=state.weights),
    "learning rate": lambda state: replace(state, course=state.course.model_copy(update={"learning_rate": 0.3})),
    "plateau": lambda state: replace(state, course=state.course.model_copy(update={"plateau": 0})),
    "early stopping": lambda state: replace(state, course=state.course.model_copy(update={"milestone": None, "stalled": 0})),
}


@pytest.mark.parametrize("network", ["mlp", "lstm"])
@pytest.mark.parametrize("part", FORGETFUL)
def test_a_state_without_one_of_its_parts_would_be_noticed(part: str, network: str) -> None:
    """So that the equality above means something."""
    strategy = strategy_of(ROUGH, network=network, epochs=14, rate=0.3)
    whole, states = learned(strategy)
    assert any(content(learned(strategy, resume=FORGETFUL[part](state))[0]) != content(whole) for state in states)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    assert content(learned(strategy_of())[0]) == content(learned(strategy_of())[0])
    assert content(learned(strategy_of())[0]) != content(learned(strategy_of(seed=8))[0])


def test_a_state_of_other_rows_is_refused() -> None:
    _, states = learned(strategy_of())
    with pytest.raises(Conflict, match="other bars or another strategy"):
        learned(strategy_of(), samples_of(count=200), states[0])
    with pytest.raises(Conflict, match="other bars or another strategy"):
        learned(strategy_of(rate=0.02), resume=states[0])


def test_the_weights_of_the_best_epoch_are_kept_and_not_those_of_the_last() -> None:
    fitted, states = learned(strategy_of(epochs=12, rate=0.3))
    validation = samples_of().validation
    assert fitted.best_epoch < fitted.epochs_run
    answers = (outputs_of(fitted.architecture, w, validation.values, validation.ends) for w in (fitted.weights, states[-1].weights))
    kept, last = (cross_entropy(softmax(outputs), validation.targets) for outputs in answers)
    assert kept == pytest.approx(min(fitted.history.val_loss), rel=1e-5)
    assert last == pytest.approx(fitted.history.val_loss[-1], rel=1e-5)
    assert last > kept


def test_it_learns_what_there_is_to_learn() -> None:
    fitted, _ = learned(strategy_of(epochs=30, dropout=0.0))
    assert fitted.initial_loss == pytest.approx(np.log(3), abs=0.3)
    assert fitted.history.val_loss[-1] < 0.8 * fitted.initial_loss
    assert fitted.history.val_accuracy[-1] > 0.6


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_forecasts_come_out_in_returns(loss: str) -> None:
    strategy = strategy_of(f"loss: {loss}, labels: {{source: forward_return}}", epochs=30, dropout=0.0)
    samples = samples_of("regression")
    fitted, _ = learned(strategy, samples)
    forecast = outputs_of(fitted.architecture, fitted.weights, samples.validation.values, samples.validation.ends)[:, 0]
    assert np.corrcoef(forecast, samples.validation.targets)[0, 1] > 0.9
    assert forecast_loss(forecast, samples.validation.targets, strategy.training) == pytest.approx(min(fitted.history.val_loss), rel=1e-3)
    zero = forecast_loss(np.zeros(len(samples.train)), samples.train.targets, strategy.training)
    assert fitted.initial_loss == pytest.approx(zero, rel=1e-5)


def test_a_class_that_does_not_occur_does_no_harm() -> None:
    samples = samples_of()
    without = replace(samples.train, targets=np.where(samples.train.targets == 1, 0, samples.train.targets))
    fitted, _ = learned(strategy_of(), replace(samples, train=without))
    assert np.isfinite(fitted.history.val_loss).all()
    alone = replace(samples.train, targets=np.zeros_like(samples.train.targets))
    assert learned(strategy_of(), replace(samples, train=alone))[0].history.train_accuracy[-1] > 0.99


def test_rare_classes_count_for_more_up_to_a_limit() -> None:
    weights = class_weights_of(np.repeat([0, 1, 2], [900, 90, 10]), 3)
    assert weights.tolist() == pytest.approx([1000 / 2700, 1000 / 270, 10.0])
    assert class_weights_of(np.array([0, 0, 2]), 3)[1] == 0


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    plain, focal = learned(strategy_of()), learned(strategy_of("loss: focal, focal_gamma: 0.0"))
    np.testing.assert_allclose(plain[0].weights["layers.0.weight"], focal[0].weights["layers.0.weight"], atol=1e-5)
    focused = learned(strategy_of("loss: focal, focal_gamma: 2.0"))
    assert np.abs(plain[0].weights["layers.0.weight"] - focused[0].weights["layers.0.weight"]).max() > 1e-3


def test_dropout_disturbs_learning_and_not_judging() -> None:
    without, with_it = learned(strategy_of(dropout=0.0))[0], learned(strategy_of(dropout=0.5))[0]
    assert without.history.train_loss[0] < with_it.history.train_loss[0]
    assert without.initial_loss == with_it.initial_loss


def test_weight_decay_keeps_weights_small() -> None:
    sizes = [np.abs(learned(strategy_of(f"weight_decay: {decay}"))[0].weights["layers.0.weight"]).sum() for decay in (0.0, 0.1)]
    assert sizes[1] < 0.5 * sizes[0]


def test_every_batch_and_every_epoch_is_told() -> None:
    positions: list[BatchPosition] = []
    states: list[FitState] = []
    fit(samples_of(), strategy_of(epochs=2), on_batch=positions.append, on_epoch=states.append)
    assert [(p.epoch, p.batch) for p in positions] == [(epoch, batch) for epoch in (1, 2) for batch in range(1, 11)]
    assert {(p.epochs, p.batches) for p in positions} == {(2, 10)}
    assert [state.position for state in states] == ["epoch 1", "epoch 2"]
    assert positions[-1].items == (20, 20)


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence() -> None:
    strategy, samples = strategy_of("loss: mse, labels: {source: forward_return}"), samples_of("regression")
    with pytest.raises(Invalid, match="diverged in epoch 1") as caught:
        learned(strategy, replace(samples, validation=replace(samples.validation, values=samples.validation.values * np.float32(1e25))))
    assert caught.value.hint == "lower training.learning_rate (now 0.01)"


def test_features_beyond_single_precision_are_said() -> None:
    samples = samples_of()
    huge = replace(samples, train=replace(samples.train, values=samples.train.values * np.float32(1e38)))
    with pytest.raises(Invalid, match="features are too large") as caught:
        learned(strategy_of(), huge)
    assert "normalization" in (caught.value.hint or "")


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_steps_are_those_of_torchs_own_optimizers(optimizer: str) -> None:
    import torch

    training = Training(optimizer=optimizer, learning_rate=0.01, weight_decay=0.01)
    shape = Perceptron(inputs=3, hidden=(4,), outputs=3, activation="tanh")
    start = initial_weights(shape, 1)
    mine = Descent([training], Layout(shape.shapes()), [start], [{}])
    slopes, own = mine.arrays(mine.gradient), {}
    for name, array in mine.arrays(mine.vector).items():
        own[name] = array[0].detach().requires_grad_()
        own[name].grad = slopes[name][0]
    pace = mine.pace([0.01], [0], 20)
    theirs = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in start.items()}
    given = {"lr": 0.01, "weight_decay": 0.01}
    makers = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    peer = torch.optim.SGD(theirs.values(), momentum=0.9, **given) if optimizer == "sgd" else makers[optimizer](theirs.values(), **given)
    for step in range(1, 21):
        x = torch.from_numpy(np.random.default_rng(step).normal(0, 3, (16, 3)).astype(np.float32))
        mine.gradient.zero_()
        (forward(own, shape, x) ** 2).sum().backward()
        mine.move(pace[step - 1])
        peer.zero_grad()
        (forward(theirs, shape, x) ** 2).sum().backward()
        torch.nn.utils.clip_grad_norm_(theirs.values(), 1.0)
        peer.step()
    for name, array in mine.weights(0).items():
        np.testing.assert_allclose(array, theirs[name].detach().numpy(), atol=2e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "leaky_relu"])
def test_numpy_predicts_what_torch_predicts(activation: str) -> None:
    import torch

    shape = Perceptron(inputs=3, hidden=(8, 6), outputs=3, activation=activation)
    weights, values = initial_weights(shape, 3), np.random.default_rng(1).normal(0, 2, (5000, 3)).astype(np.float32)
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    expected = torch.softmax(forward(tensors, shape, torch.from_numpy(values)), dim=1).numpy()
    np.testing.assert_allclose(softmax(outputs_of(shape, weights, values, np.arange(5000))), expected, atol=1e-6)


@pytest.mark.parametrize("network", ["lstm", "gru"])
def test_numpy_reads_a_sequence_as_torch_does(network: str) -> None:
    import torch

    shape = Recurrent(kind=network, inputs=3, hidden=(8, 6), outputs=3, sequence_length=7)
    weights, values = initial_weights(shape, 3), np.random.default_rng(1).normal(0, 2, (900, 3)).astype(np.float32)
    tensors, ends = {name: torch.from_numpy(array) for name, array in weights.items()}, np.arange(6, 900)
    expected = forward(tensors, shape, torch.from_numpy(values[ends[:, None] + np.arange(-6, 1)])).numpy()
    np.testing.assert_allclose(outputs_of(shape, weights, values, ends), expected, atol=1e-6)


@pytest.mark.parametrize("network", ["lstm", "gru"])
def test_a_recurrent_network_is_torchs_own(network: str) -> None:
    import torch

    shape = Recurrent(kind=network, inputs=3, hidden=(5, 5), outputs=2, sequence_length=4)
    weights = {name: torch.from_numpy(array) for name, array in initial_weights(shape, 3).items()}
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[network](3, 5, num_layers=2, batch_first=True)
    own = {name: tensor for name, tensor in weights.items() if name.startswith("layers")}
    peer.load_state_dict({f"{name.split('.')[2]}_l{name.split('.')[1]}": tensor for name, tensor in own.items()})
    x = torch.from_numpy(np.random.default_rng(2).normal(0, 1, (6, 4, 3)).astype(np.float32))
    with torch.no_grad():
        expected = torch.nn.functional.linear(peer(x)[0][:, -1], weights["output.weight"], weights["output.bias"])
        torch.testing.assert_close(forward(weights, shape, x), expected)


@pytest.mark.parametrize("network", ["lstm", "gru"])
def test_a_recurrent_network_learns_from_the_rows_before(network: str) -> None:
    """The target is the sign of the row before, so that one row alone says nothing."""
    random, layers = np.random.default_rng(4), "hidden_size: 8, num_layers: 1, sequence_length: 3"
    slices = []
    for count in (600, 200, 200):
        values, ends = random.normal(0, 1, (count + 2, 3)).astype(np.float32), np.arange(2, count + 2)
        slices.append(Slice(values, np.where(values[ends - 1, 0] > 0, 0, 2), np.array([], "datetime64[us]"), ends))
    samples = replace(samples_of(), train=slices[0], validation=slices[1], test=slices[2])
    fitted, _ = learned(strategy_of(network=network, layers=layers, epochs=15, rate=0.02, dropout=0.0), samples)
    assert max(fitted.history.val_accuracy) > 0.9
    without, _ = learned(strategy_of(epochs=15, rate=0.02, dropout=0.0), samples)
    assert max(without.history.val_accuracy) < 0.65


def test_every_key_of_a_recurrent_network_changes_what_is_learned() -> None:
    whole = "hidden_size: 6, num_layers: 1, sequence_length: 5"
    usual = strategy_of(network="lstm", layers=whole)
    others = [
        strategy_of(network="gru", layers=whole),
        strategy_of(network="lstm", layers=whole.replace("size: 6", "size: 7")),
        strategy_of(network="lstm", layers=whole.replace("layers: 1", "layers: 2")),
        strategy_of(network="lstm", layers=whole, dropout=0.3),
    ]
    samples = samples_of(length=5)
    weights = [learned(strategy, samples)[0].weights for strategy in (usual, *others)]
    assert len({save(each) for each in weights}) == len(weights)
    shorter = learned(strategy_of(network="lstm", layers=whole.replace("length: 5", "length: 4")), samples)[0].weights
    assert any((shorter[name] != array).any() for name, array in weights[0].items())


def test_dropout_of_a_recurrent_network_disturbs_learning_and_not_judging() -> None:
    for layers in (1, 2):
        own = f"hidden_size: 8, num_layers: {layers}, sequence_length: 3"
        without, with_it = (learned(strategy_of(network="gru", layers=own, dropout=share))[0] for share in (0.0, 0.6))
        assert without.history.train_loss[0] < with_it.history.train_loss[0]
        assert without.initial_loss == with_it.initial_loss


def test_settings_of_the_process_are_left_as_they_were() -> None:
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist()
    learned(strategy_of(epochs=1))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist()) == before


def test_learning_loads_no_compiler() -> None:
    """numba and torch's own compiler take seconds to load, which every training would wait for."""
    train = (
        "import sys\nfrom tests.desk import OwnDesk\nfrom tests.contracts.test_designer_offline import brief_for, swings\n"
        "from ktrdr.agents.offline import OfflineDesigner\nbars = swings(1, 40_000)\n"
        "OfflineDesigner().design(brief_for(bars, 2), bars, OwnDesk(tried=[]))\n"
        "print(*(name for name in ('numba', 'torch._dynamo', 'torch._inductor', 'torch') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", train], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["torch"]
