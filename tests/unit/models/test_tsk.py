"""Rules answered in numpy: the formulas by hand, and a folder that holds them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ktrdr.errors import InvalidStrategy
from ktrdr.models.manifest import load, to_files
from ktrdr.models.predict import outputs_of, softmax
from ktrdr.models.tsk import RuleBase, fire, said, word_groups
from ktrdr.strategy.load import load_strategy
from tests.unit.models.conftest import MLP, TEXT, model_of

BASE = RuleBase(inputs=4, outputs=3, groups=(2, 2), rules=2)
RAW = "  - {raw_indicator: roc_2, timeframes: [1h], normalization: zscore}\n"
WEIGHTS = {
    "terms.boundary": [0.5, 0.5, 0.4, 0.6], "terms.steepness": [12, 12, 10, 20], "rules.asks": [[1, 0, 0, 1], [0, 1, 0, 0]],
    "rules.weight": [0.2, -0.1, -1.5], "rules.sharpness": [2.0], "answers.weight": [[2, 0, -1], [-1, 0, 2], [0, 1, 0]],
}  # fmt: skip


def weights() -> dict[str, np.ndarray]:
    return {name: np.array(values, np.float32) for name, values in WEIGHTS.items()}


def by_hand(row: list[float]) -> list[float]:
    """The answer to a row, from the page of the rules."""
    given = {name: array.astype(float).tolist() for name, array in weights().items()}
    holds = [1 / (1 + math.exp(-s * (x - b))) for x, b, s in zip(row, given["terms.boundary"], given["terms.steepness"], strict=True)]
    strengths = [
        math.exp(w) * math.prod(h for h, asked in zip(holds, asks, strict=True) if asked)
        for w, asks in zip(given["rules.weight"], [*given["rules.asks"], [0, 0, 0, 0]], strict=True)
    ]
    powers = [strength ** given["rules.sharpness"][0] for strength in strengths]
    answers = [[math.exp(a) / sum(math.exp(b) for b in answer) for a in answer] for answer in given["answers.weight"]]
    return [sum(p / sum(powers) * answer[c] for p, answer in zip(powers, answers, strict=True)) for c in range(3)]


def test_the_answer_is_the_mean_of_the_rules_by_their_strength() -> None:
    rows = np.random.default_rng(1).random((50, 4)).astype(np.float32)
    found = fire(BASE, weights(), rows)
    np.testing.assert_allclose(found.answers, [by_hand(row) for row in rows.astype(float).tolist()], atol=1e-12)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(softmax(outputs_of(BASE, weights(), rows, np.arange(50))), found.answers, atol=1e-12)


def test_a_row_is_answered_the_same_among_any_others() -> None:
    rows = np.random.default_rng(2).random((9000, 4)).astype(np.float32)
    whole = outputs_of(BASE, weights(), rows, np.arange(9000))
    for part in (slice(0, 1), slice(4090, 4100), slice(8999, 9000)):
        np.testing.assert_array_equal(outputs_of(BASE, weights(), rows[part], np.arange(part.stop - part.start)), whole[part])


def test_a_forecast_is_the_mean_of_forecasts() -> None:
    base = BASE.model_copy(update={"outputs": 1})
    given = weights() | {"answers.weight": np.array([[0.01], [-0.02], [0.0]], np.float32)}
    rows = np.random.default_rng(3).random((20, 4)).astype(np.float32)
    found = fire(base, given, rows)
    np.testing.assert_allclose(found.answers, found.shares @ said(base, given), atol=1e-15)
    assert (outputs_of(base, given, rows, np.arange(20)) == found.answers).all()


def test_a_model_of_rules_comes_back_as_it_was(tmp_path: Path) -> None:
    text = TEXT.replace(RAW, "").replace(MLP, "{type: tsk, architecture: {max_rules: 3}}")
    shape = RuleBase(inputs=4, outputs=3, groups=word_groups(load_strategy(text, "test").strategy), rules=2)
    assert shape.groups == (2, 2)
    model = model_of(text, shape)
    model.scaling.clear()
    for name, content in to_files(model).items():
        (tmp_path / name).write_bytes(content)
    again = load(tmp_path)
    assert again.architecture == shape
    assert to_files(again) == to_files(model)


def test_rules_cannot_ask_a_number_without_words() -> None:
    with pytest.raises(InvalidStrategy) as error:
        load_strategy(TEXT.replace(MLP, "{type: tsk}"), "test")
    assert "nn_inputs[1].raw_indicator" in str(error.value)
    assert "partition: {count: 3}" in str(error.value)


@pytest.mark.parametrize(("written", "place"), [
    ("{type: tsk, architecture: {rules: 1}}", "model.architecture.rules"),
    ("{type: tsk, architecture: {hidden_layers: [8]}}", "model.architecture.hidden_layers"),
    ("{type: tks, architecture: {max_rules: 4}}", "model.type"),
])  # fmt: skip
def test_a_mistake_in_the_section_is_named(written: str, place: str) -> None:
    with pytest.raises(InvalidStrategy) as error:
        load_strategy(TEXT.replace(RAW, "").replace(MLP, written), "test")
    assert [problem.place for problem in error.value.problems] == [place]
