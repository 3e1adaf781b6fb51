"""Rules planted in bars are found again, printed, and good for as much as a network that cannot be read."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ktrdr.models.model import Model
from ktrdr.models.predict import softmax
from ktrdr.models.tsk import RuleBase, fire
from ktrdr.reports.inputs import answers_at, inputs_of, values_of
from ktrdr.reports.rules import own_rules
from ktrdr.reports.why import explain_row, nearest_flip
from ktrdr.strategy.decisions import signals_of
from ktrdr.training.distil import distil
from ktrdr.training.fit import fit
from ktrdr.training.rules import RuleLearner, asked_for, initial_rules, learned_terms, learner_of, rules_forward
from ktrdr.training.run import train_model
from ktrdr.training.windows import build_samples
from tests.planted import HOUR, LONG, SHORT, START, end_of, planted_bars, planted_strategy

pytestmark = pytest.mark.torch


def learn(network: str, **changes: str) -> Model:
    bars = planted_bars()
    tape = {"AAA": {HOUR: bars}}
    return train_model(planted_strategy(network, **changes), tape, START, end_of(bars), lambda _: None, lambda _: None)


@pytest.fixture(scope="module")
def rules() -> Model:
    return learn("tsk")


def test_rules_are_as_accurate_as_a_network(rules: Model) -> None:
    network = learn("mlp")
    assert rules.scores.test.accuracy >= network.scores.test.accuracy - 0.01
    assert rules.scores.test.accuracy > rules.scores.baselines.majority_accuracy + 0.05
    assert rules.scores.initial_loss == pytest.approx(np.log(3), abs=1e-6)


def test_the_planted_rules_are_printed_with_their_thresholds(rules: Model) -> None:
    assert isinstance(rules.architecture, RuleBase)
    assert rules.architecture.rules <= 8
    book = own_rules(rules, rules.strategy.decisions)
    assert book is not None
    found = {}
    for text in book.texts:
        if planted := re.fullmatch(r"IF (.*) THEN (BUY|SELL) \((\d+)%\)", text):
            found[planted[2]] = planted[1]
            assert int(planted[3]) > 85
    assert found.keys() == {"BUY", "SELL"}
    for signal, short, long in (("BUY", "down", "up"), ("SELL", "up", "down")):
        sides = {"down": "below about -", "up": "above about "}
        said = re.fullmatch(
            rf"change_3 is {short} \(roc \(3\) {sides[short]}([\d.]+)\) AND change_24 is {long} \(roc \(24\) {sides[long]}([\d.]+)\)",
            found[signal],
        )
        assert said, found[signal]
        assert float(said[1]) == pytest.approx(SHORT, abs=0.05)
        assert float(said[2]) == pytest.approx(LONG, abs=0.2)


def test_the_strongest_rule_alone_says_what_all_of_them_say(rules: Model) -> None:
    bars = planted_bars(seed=9)
    features = rules.features({HOUR: bars})
    book = own_rules(rules, rules.strategy.decisions)
    assert book is not None
    firing = fire(book.base, book.weights, features.values[features.known])
    together, alone = book.signals(firing.answers), book.signals(book.answers[firing.strongest])
    assert (together == alone).mean() >= 0.98


def test_a_decision_can_be_computed_from_its_explanation_alone_and_its_flip_flips_it(rules: Model) -> None:
    """Over 10,000 bars that were not learned from; the flips of every twentieth."""
    bars = planted_bars(10_100, seed=4)
    strategy, features = rules.strategy, rules.features({HOUR: bars})
    book, inputs = own_rules(rules, strategy.decisions), inputs_of(strategy, rules.scaling)
    assert book is not None
    values = values_of(strategy, inputs, {HOUR: bars})
    known = np.flatnonzero(features.known)[:10_000]
    assert len(known) == 10_000
    predicted, worst, flipped = rules.predict(features), 0.0, 0
    ranges = values[known].min(axis=0), values[known].max(axis=0)

    def signals(answers: np.ndarray) -> np.ndarray:
        return signals_of(answers, strategy.decisions)[0]

    for bar in known.tolist():
        votes, together = explain_row(book, features.values[bar])
        written = json.loads(json.dumps({"sharpness": float(book.weights["rules.sharpness"][0]), "votes": [v.model_dump() for v in votes]}))
        again = recomputed(written)
        worst = max(worst, *(abs(again[name] - predicted[bar, i]) for i, name in enumerate(("buy", "hold", "sell"))))
        worst = max(worst, *(abs(sum(v["contribution"][name] for v in written["votes"]) - again[name]) for name in together))
        if bar % 20 == 0:
            found = nearest_flip(lambda rows: answers_at(rules, rows[:0], rows), signals, inputs, features.values[bar], values[bar], ranges)
            assert found is not None
            row = features.values[bar].copy()
            for change in found.changes:
                for i, name in enumerate(strategy.feature_ids):
                    for fuzzy_set in change.input.split(", "):
                        if name.startswith(f"1h_{fuzzy_set}_"):
                            shape = strategy.fuzzy_sets[fuzzy_set].memberships[name.removeprefix(f"1h_{fuzzy_set}_")]
                            row[i] = np.float32(shape.degree(np.array([change.to]))[0])
            assert ("buy", "hold", "sell")[signals(rules.answers(row[None], np.arange(1)))[0]] == found.signal
            assert signals(predicted[bar][None])[0] != signals(rules.answers(row[None], np.arange(1)))[0]
            flipped += 1
    assert worst <= 1e-9
    assert flipped == 500


def recomputed(written: dict) -> dict[str, float]:
    """The answer, from nothing but what an explanation says; the formulas stand in docs/reference/rules.md."""
    powers = []
    for vote in written["votes"]:
        strength = vote["weight"]
        for held in vote["conditions"]:
            strength += np.log(1 / (1 + np.exp(-held["steepness"] * (held["degree"] - held["boundary"]))))
        powers.append(np.exp(written["sharpness"] * strength))
    total = sum(powers)
    return {
        name: sum(p / total * v["answer"][name] for p, v in zip(powers, written["votes"], strict=True)) for name in ("buy", "hold", "sell")
    }


def test_a_nearest_flip_is_near(rules: Model) -> None:
    """No value of that input between the one it had and nine tenths of the way to the flip gives another signal."""
    bars = planted_bars(seed=5)
    strategy, features = rules.strategy, rules.features({HOUR: bars})
    inputs = inputs_of(strategy, rules.scaling)
    values, known = values_of(strategy, inputs, {HOUR: bars}), np.flatnonzero(features.known)
    ranges = values[known].min(axis=0), values[known].max(axis=0)
    for bar in known[::300].tolist():

        def say(rows: np.ndarray) -> np.ndarray:
            return answers_at(rules, rows[:0], rows)

        def signals(answers: np.ndarray) -> np.ndarray:
            return signals_of(answers, strategy.decisions)[0]

        found = nearest_flip(say, signals, inputs, features.values[bar], values[bar], ranges)
        assert found is not None
        if len(found.changes) > 1:
            continue
        change = found.changes[0]
        place = next(i for i, one in enumerate(inputs) if one.name == change.input)
        way = np.linspace(change.value, change.value + 0.9 * (change.to - change.value), 50)
        rows = np.repeat(features.values[bar][None], 50, axis=0)
        inputs[place].put(rows, way)
        assert (signals(say(rows)) == signals(say(rows[:1]))).all()


def test_what_descent_learns_is_what_numpy_answers() -> None:
    import torch

    strategy, bars = planted_strategy(), planted_bars(2000)
    samples = build_samples(strategy, {"AAA": {HOUR: bars}}, START, end_of(bars))
    learner = learner_of(strategy.model.architecture, 9, 3, (3, 3, 3))
    weights = initial_rules(learner, samples.train.values, samples.train.targets)
    random = np.random.default_rng(1)
    weights |= {name: (weights[name] + random.normal(0, 0.3, weights[name].shape)).astype(np.float32) for name in weights}
    boundary, steepness = learned_terms(learner, weights)
    done = {
        "terms.boundary": boundary, "terms.steepness": steepness, "rules.asks": asked_for(weights["rules.choice"], learner),
        "rules.weight": weights["rules.weight"], "rules.sharpness": np.array([2.0], np.float32),
        "answers.weight": weights["answers.weight"],
    }  # fmt: skip
    idle = done["rules.asks"].sum(axis=1) == 0
    done["rules.weight"][:-1][idle] -= 30.0
    base = RuleBase(inputs=9, outputs=3, groups=(3, 3, 3), rules=learner.rules)
    given = rules_forward(
        {name: torch.from_numpy(array) for name, array in weights.items()}, learner, torch.from_numpy(samples.test.values)
    )
    np.testing.assert_allclose(softmax(given.numpy()), fire(base, done, samples.test.values).answers, atol=2e-5)


def test_no_rule_asks_for_more_than_it_may_nor_twice_of_one_set() -> None:
    learner = RuleLearner(inputs=9, outputs=3, groups=(3, 3, 3), rules=40, max_rules=8, max_conditions=2, learn_terms=True)
    asks = asked_for(np.random.default_rng(1).normal(0, 1, (40, 9)).astype(np.float32), learner)
    assert asks.sum(axis=1).max() == 2
    assert asks.reshape(40, 3, 3).sum(axis=2).max() == 1


def test_every_key_changes_what_is_learned(rules: Model) -> None:
    few = learn("{type: tsk, architecture: {max_rules: 2}}")
    assert isinstance(few.architecture, RuleBase)
    assert few.architecture.rules <= 2
    short = learn("{type: tsk, architecture: {max_conditions: 1}}")
    assert short.weights["rules.asks"].sum(axis=1).max() == 1
    fixed = learn("{type: tsk, architecture: {learn_terms: false}}")
    assert set(fixed.weights["terms.boundary"].tolist()) == {0.5}
    assert set(rules.weights["terms.boundary"].tolist()) != {0.5}


def test_labels_in_random_order_teach_nothing() -> None:
    strategy, bars = planted_strategy(), planted_bars(3000)
    samples = build_samples(strategy, {"AAA": {HOUR: bars}}, START, end_of(bars))
    random = np.random.default_rng(3)
    shuffled = {
        name: replace(part, targets=random.permutation(part.targets))
        for name, part in (("train", samples.train), ("validation", samples.validation))
    }
    fitted = fit(replace(samples, **shuffled), strategy, on_batch=lambda _: None, on_epoch=lambda _: None)
    shares = np.bincount(shuffled["train"].targets) / len(samples.train)
    firing = fire(fitted.architecture, fitted.weights, samples.test.values)
    assert np.abs(firing.answers - shares).max() < 0.2


def test_forecasts_are_learned_as_well() -> None:
    bars = planted_bars()
    strategy = planted_strategy("tsk", **{
        "{output_format: classification, allow_short_from_flat: true, filters: {min_signal_separation: 0}}":
            "{output_format: regression, cost_model: {round_trip_cost: 0.001, min_edge_multiplier: 1.5}}",
        "{source: triple_barrier, pt: 2, sl: 2, max_holding_period: 1, vol_span: 50}": "{source: forward_return, horizon: 1}",
    })  # fmt: skip
    model = train_model(strategy, {"AAA": {HOUR: bars}}, START, end_of(bars), lambda _: None, lambda _: None)
    book = own_rules(model, strategy.decisions)
    assert book is not None
    said = " ".join(book.texts)
    assert re.search(r"change_3 is down .* THEN BUY \(forecast \+1\.\d+%\)", said)
    assert re.search(r"change_3 is up .* THEN SELL \(forecast -1\.\d+%\)", said)


def test_a_student_says_in_rules_what_a_network_answers() -> None:
    network, bars = learn("mlp"), planted_bars()
    student = distil(network, {HOUR: bars}, lambda _: None)
    later = planted_bars(seed=11)
    signals, _ = signals_of(network.predict(features := network.features({HOUR: later})), network.strategy.decisions)
    firing = fire(student.base, student.weights, features.values[features.known])
    said, _ = signals_of(firing.answers, student.decisions)
    assert (said == signals[features.known]).mean() > 0.9
    again = distil(network, {HOUR: bars}, lambda _: None)
    assert all((again.weights[name] == array).all() for name, array in student.weights.items())
