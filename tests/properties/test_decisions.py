"""Positions against a plain state machine, for any scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.labels.base import BUY, HOLD
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

TEXT = """\
name: any
training_data: {{symbols: [X], timeframes: [1h]}}
indicators: {{rsi: {{type: rsi}}}}
nn_inputs: [{{raw_indicator: rsi, timeframes: all}}]
model: {{type: mlp, architecture: {{hidden_layers: [4]}}}}
decisions:
  confidence_threshold: {threshold}
  allow_short_from_flat: {short}
  position_awareness: {aware}
  filters: {{min_signal_separation: {apart}}}
training: {{}}
"""


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    text = TEXT.format(
        threshold=draw(st.sampled_from([0.0, 0.34, 0.5, 0.9])),
        short=str(draw(st.booleans())).lower(),
        aware=str(draw(st.booleans())).lower(),
        apart=draw(st.sampled_from([0, 1, 2.5, 7])),
    )
    return load_strategy(text, "any").strategy


def walked(scores: np.ndarray, hours: list[int], strategy: Strategy) -> list[int]:
    """The rules of the decisions section, one bar after the other."""
    rules, position, changed, targets = strategy.decisions, 0, None, []
    for row, hour in zip(scores.tolist(), hours, strict=True):
        signal = HOLD if any(x != x for x in row) or max(row) < rules.confidence_threshold else row.index(max(row))
        if changed is not None and hour - changed < rules.filters.min_signal_separation:
            signal = HOLD
        before = position
        if signal != HOLD:
            step = 1 if signal == BUY else -1
            if position == 0 and (step == 1 or rules.allow_short_from_flat):
                position = step
            elif position == -step:
                position = 0
        if position != before:
            changed = hour
        targets.append(position)
    return targets


@settings(max_examples=150, deadline=None)
@given(strategy=strategies(), seed=st.integers(0, 2**32 - 1), count=st.integers(0, 60), sharpness=st.sampled_from([0.2, 1.0]))
def test_positions_are_those_of_the_rules(strategy: Strategy, seed: int, count: int, sharpness: float) -> None:
    random = np.random.default_rng(seed)
    scores = random.dirichlet([sharpness] * 3, count)
    scores[random.random(count) < 0.1] = np.nan
    hours = np.cumsum(random.integers(1, 4, count)).tolist()
    time = np.datetime64("2020-01-01", "us") + np.array(hours, dtype="timedelta64[h]")
    decided = decide(scores, strategy, time)
    assert decided.targets.tolist() == walked(scores, hours, strategy)
    cut = count // 2
    assert decide(scores[:cut], strategy, time[:cut]).targets.tolist() == decided.targets[:cut].tolist()
