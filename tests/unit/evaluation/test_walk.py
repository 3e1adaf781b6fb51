"""Learned again and again from what came before: dates that never meet, and what an honest learner keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pytest

from ktrdr.backtest.costs import default_costs
from ktrdr.errors import NoData
from ktrdr.evaluation.leaks import Tape
from ktrdr.evaluation.proof import arbitrary
from ktrdr.evaluation.walk import walk
from ktrdr.market.bars import as_datetime
from ktrdr.strategy.features import Features, Fitted
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import build_samples
from tests.unit.evaluation.conftest import H1
from tests.unit.evaluation.test_proof import TWO_CLOCKS

COSTS = default_costs("BTCUSD")


@dataclass(frozen=True)
class Learned:
    """An arbitrary function of the inputs in place of a network; it trades often."""

    strategy: Strategy
    scaling: dict[str, Fitted]

    def predict(self, features: Features) -> np.ndarray:
        return arbitrary(self.strategy, self.scaling, COSTS).predict(features)


@pytest.fixture(scope="module")
def strategy() -> Strategy:
    return load_strategy(TWO_CLOCKS, "test").strategy


@pytest.fixture(scope="module")
def model(strategy: Strategy, tape: Tape) -> Learned:
    dates = as_datetime(tape[H1].time[100]), as_datetime(tape[H1].known_at[-1])
    return Learned(strategy, build_samples(strategy, {"BTCUSD": tape}, *dates).scaling)


def test_every_training_ends_where_its_test_begins(strategy: Strategy, tape: Tape, model: Learned) -> None:
    asked: list[tuple[datetime, datetime]] = []

    def train(start: datetime, end: datetime) -> Learned:
        asked.append((start, end))
        return model

    base = tape[H1]
    dates = as_datetime(base.time[0]), as_datetime(base.known_at[-1])
    anchored, rolling = walk(strategy, tape, dates, COSTS, train, folds=4, window=2)
    assert (anchored.anchored, rolling.anchored) == (True, False)
    assert len(asked) == 7, "the first training is the same both ways"
    parts = [as_datetime(base.time[row]) for row in range(0, 600, 100)]
    assert [step.train_start for step in anchored.steps] == [parts[0]] * 4
    assert [step.train_start for step in rolling.steps] == parts[:4]
    for found in (anchored, rolling):
        assert [step.train_end for step in found.steps] == parts[2:]
        assert [step.test_end for step in found.steps] == [*parts[3:], dates[1]]
        assert found.positive == pytest.approx(np.mean([(step.outside or 0) > 0 for step in found.steps]))
        assert all(step.trades > 0 for step in found.steps)
    assert anchored.steps[0] == rolling.steps[0]


def test_what_is_tested_does_not_depend_on_what_comes_after(strategy: Strategy, tape: Tape, model: Learned) -> None:
    base = tape[H1]
    dates = as_datetime(base.time[0]), as_datetime(base.time[450])
    whole = walk(strategy, tape, dates, COSTS, lambda start, end: model)
    cut = {size: bars.between(None, dates[1]) for size, bars in tape.items()}
    assert walk(strategy, cut, dates, COSTS, lambda start, end: model) == whole


def test_a_step_that_cannot_be_learned_says_why(strategy: Strategy, tape: Tape, model: Learned) -> None:
    edge = as_datetime(tape[H1].time[240])

    def train(start: datetime, end: datetime) -> Learned:
        if end == edge:
            raise NoData("too few rows")
        return replace(model)

    base = tape[H1]
    anchored, _ = walk(strategy, tape, (as_datetime(base.time[0]), as_datetime(base.known_at[-1])), COSTS, train)
    assert (anchored.steps[0].reason, anchored.steps[0].outside) == ("too few rows", None)
    assert anchored.steps[1].reason is None
