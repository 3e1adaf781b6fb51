"""Every key that a strategy may hold has an effect: changing it changes what is seen, learned, decided or earned."""

from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import yaml

from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.errors import InvalidStrategy, KtrdrError
from ktrdr.indicators.base import INDICATORS
from ktrdr.kinds.backtesting import decisions
from ktrdr.kinds.given import given_range
from ktrdr.labels.base import LABELS
from ktrdr.market.bars import Bars
from ktrdr.market.resample import resample
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.schema import every_key, strategy_schema
from ktrdr.training.run import learn
from ktrdr.training.windows import build_samples
from tests.contracts.every_key import CASES, GONE, ONE_VALUE, SECTIONS, WORDS, Values

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
H1, D1 = Timeframe("1h"), Timeframe("1d")
BASE = yaml.safe_load("""
name: base
training_data: {symbols: [AAA], timeframes: [1h], start_date: "2024-01-02", end_date: "2024-01-25", history_required: 50}
indicators:
  strength: {type: rsi, period: 5}
  up: {type: macd, fast_period: 2, slow_period: 5, signal_period: 3}
fuzzy_sets:
  force: {indicator: strength, low: [0, 20, 60], high: [40, 80, 100]}
nn_inputs:
  - {fuzzy_set: force, timeframes: all}
  - {raw_indicator: up.line, timeframes: all}
model: {type: mlp, architecture: {hidden_layers: [4], dropout: 0.0}}
decisions: {confidence_threshold: 0.34, filters: {min_signal_separation: 0}}
training: {epochs: 2, learning_rate: 0.01, batch_size: 64, labels: {source: zigzag, zigzag_threshold: 0.015}}
backtest: {date_range: {start: "2024-01-25", end: "2024-01-30"}}
""")


def changed(document: JSON, values: Values) -> JSON:
    """A copy of a document with values at places."""
    result = deepcopy(document)
    for place, value in values.items():
        *above, key = re.findall(r"[^.\[\]]+", place)
        section: Any = result
        for step in above:
            section = section[int(step)] if isinstance(section, list) else section.setdefault(step, {})
        if value is GONE:
            del section[key]
        else:
            section[int(key) if isinstance(section, list) else key] = deepcopy(value)
    return result


@cache
def bars_of(symbol: str, provider: str = "") -> Bars:
    random = np.random.default_rng(list(f"{symbol}{provider}".encode()))
    count = 800
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.006, count)))
    opens = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(3600, "s")
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
    return Bars.checked(symbol, H1, time, open=opens, high=high, low=low, close=close, volume=random.integers(1, 99, count))


def sized(bars: Bars, timeframe: Timeframe) -> Bars:
    return bars if timeframe == H1 else resample(bars, timeframe)


@cache
def result_of(text: str) -> str:
    """Everything that comes of a strategy, from its features to its equity; the error where nothing does."""
    try:
        strategy = load_strategy(text, "text").strategy
        dates, tested = (given_range(None, None, own, "it") for own in (strategy.date_range, strategy.backtest_range))
        outside = {s.key: s.published(sized(bars_of(s.symbol, s.stored_by or ""), Timeframe(s.timeframe))) for s in strategy.outside}
        tapes = {symbol: {size: sized(bars_of(symbol), size) for size in strategy.timeframes} | outside for symbol in strategy.symbols}
        samples = build_samples(strategy, tapes, *dates)
        model = learn(samples, strategy, lambda _: None, lambda _: None)
        tape = {size: own.between(None, tested[1]) for size, own in tapes[strategy.symbols[0]].items()}
        bars, _, decided = decisions(model, strategy, tape, tested)
        own, costs = strategy.decisions.costs, default_costs(strategy.symbols[0])
        equity = run_backtest(bars, decided.targets, costs.overridden(own.commission, own.slippage) if own else costs, 1e5).equity
    except KtrdrError as error:
        return error.message
    seen = hashlib.sha256(f"{samples.digest()} {model.scores.model_dump_json()}".encode())
    for array in (*(model.weights[name] for name in sorted(model.weights)), decided.signals, decided.targets, equity):
        seen.update(np.ascontiguousarray(array).tobytes())
    return f"{seen.hexdigest()} after {len(bars)} bars"


def result(document: JSON) -> str:
    return result_of(yaml.safe_dump(document, sort_keys=False))


ALL = sorted({key for key, _ in every_key(strategy_schema())})
PARAMETER = re.compile(r"(indicators\.\*|training\.labels):(\w+)\.(\w+)")
COMMON = {"type": "indicators.*.type", "data_source": "indicators.*.data_source", "source": "training.labels.source"}


def test_the_schema_has_every_key_that_there_is() -> None:
    """So that a key cannot escape by not being in the schema."""
    assert len(ALL) > 200
    assert {
        "training.data_split.train",
        "model.architecture.num_layers",
        "indicators.*:rsi.period",
        "training.labels:zigzag.zigzag_threshold",
    } <= set(ALL)


def test_every_key_has_a_case() -> None:
    known = {*CASES, *WORDS, *SECTIONS, *ONE_VALUE}
    plain = {key for key in ALL if not PARAMETER.fullmatch(key)} | set(COMMON.values())
    assert sorted(plain - known) == [], "add each to tests/contracts/every_key.py"
    assert sorted(known - plain) == [], "these are no keys any more"


@pytest.mark.parametrize("key", CASES)
def test_changing_it_changes_a_result(key: str) -> None:
    needed, change = CASES[key]
    before = changed(BASE, needed)
    there = result(before)
    assert there.endswith("bars"), there
    assert result(changed(before, change)) != there


@pytest.mark.parametrize("key", WORDS)
def test_words_about_a_strategy_change_nothing(key: str) -> None:
    other = {"version": "3.1", "deployment": {"target_symbols": {"mode": "universal"}}}.get(key, "other")
    assert result(changed(BASE, {key: other})) == result(BASE)


@pytest.mark.parametrize("key", ONE_VALUE)
def test_a_value_that_nothing_knows_is_refused(key: str) -> None:
    needed = {"context_data": [{"provider": "fred", "symbol": "RATE", "timeframe": "1d"}]} if key.startswith("context") else {}
    with pytest.raises(InvalidStrategy, match="is not one of"):
        load_strategy(yaml.safe_dump(changed(BASE, {**needed, key.replace("[]", "[0]"): ONE_VALUE[key]})), "text")


# --- the parameters of indicators and labels

PARAMETERS = [
    match
    for key in ALL
    if (match := PARAMETER.fullmatch(key)) and not (match[3] in COMMON and (match[3] != "source" or "labels" in match[1]))
]
OTHERS: dict[tuple[str, str], tuple[JSON, Any]] = {
    ("adline", "smoothing_period"): ({"use_sma_smoothing": True}, 5),
    ("parabolicsar", "max_af"): ({}, 0.05),
    ("regime", "vol_crisis_threshold"): ({}, 1.0),
    ("regime", "atr_period"): ({}, 60),
    ("regime", "micro_atr_mult"): ({"progression_tolerance": 0.1}, 2.0),
    ("regime", "progression_tolerance"): ({"micro_atr_mult": 0.5}, 0.1),
    ("triple_barrier", "cusum_threshold"): ({}, 0.02),
    ("triple_barrier", "cusum_multiplier"): ({}, 3.0),
}
"""What other parameters must be for one to matter, and its other value, where half as much again will not do."""


def another(name: str, parameter: str, value: Any, options: list[Any]) -> tuple[JSON, Any]:
    if (name, parameter) in OTHERS:
        return OTHERS[name, parameter]
    if isinstance(value, bool):
        return {}, not value
    if options:
        return {}, next(option for option in options if option != value)
    return {}, value + max(1, value // 2) if isinstance(value, int) else value * 1.5


@pytest.mark.parametrize("match", PARAMETERS, ids=lambda m: f"{m[2]}.{m[3]}")
def test_changing_a_parameter_changes_the_values(match: re.Match[str]) -> None:
    name, parameter = match[2], match[3]
    cls: Any = (INDICATORS if match[1].startswith("indicators") else LABELS).get(name)
    field = cls.model_json_schema()["properties"][parameter]
    needed, value = another(name, parameter, cls.model_fields[parameter].default, field.get("enum", []))
    one, other = cls(**needed), cls(**needed, **{parameter: value})
    if parameter == "compute_weights":
        assert (one.weighs, other.weighs) == (False, True)  # what it changes in learning: tests/unit/training/test_weights.py
    else:
        assert values_of(one) != values_of(other)


def values_of(rule: Any) -> str:
    bars = bars_of("AAA")
    columns = rule.compute(bars) if hasattr(rule, "compute") else {"label": rule.label(bars).values}
    return hashlib.sha256(json.dumps({name: column.tolist() for name, column in columns.items()}).encode()).hexdigest()
