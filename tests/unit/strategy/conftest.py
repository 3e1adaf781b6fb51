"""A strategy text that tests change one line of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ktrdr.errors import InvalidStrategy, Problem
from ktrdr.strategy.load import Loaded, load_strategy

TEXT = """\
name: sample
description: A strategy for tests.
training_data:
  symbols: [EURUSD]
  timeframes: [1h, 4h]
  start_date: 2012-01-01
  end_date: 2014-01-01
indicators:
  rsi_14: {type: rsi, period: 14}
  macd_1: {type: macd}
fuzzy_sets:
  strength:
    indicator: rsi_14
    low: [0, 0, 40]
    mid: [30, 50, 70]
    high: [60, 100, 100]
nn_inputs:
  - fuzzy_set: strength
    timeframes: all
  - raw_indicator: macd_1.signal
    timeframes: [1h]
    normalization: zscore
model:
  type: mlp
  architecture: {hidden_layers: [16, 8]}
decisions:
  output_format: classification
training:
  epochs: 10
  labels: {source: zigzag, zigzag_threshold: 0.01}
"""

Change = tuple[str, str]


def changed(*changes: Change) -> str:
    """The sample text with pieces replaced; a piece that is not there is a mistake of the test."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """Loads the sample strategy with pieces replaced."""
    return lambda *changes: load_strategy(changed(*changes), "sample.yaml")


@pytest.fixture
def problems() -> Callable[..., list[Problem]]:
    """The mistakes found in the sample strategy with pieces replaced."""

    def find(*changes: Change) -> list[Problem]:
        with pytest.raises(InvalidStrategy) as caught:
            load_strategy(changed(*changes), "sample.yaml")
        return caught.value.problems

    return find
