"""The schema for editors agrees with what loading says."""

# ruff: noqa: E501 - a case is a line of the table
from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
import yaml

from ktrdr.strategy.load import Loaded, load_strategy
from ktrdr.strategy.schema import meanings, strategy_schema
from ktrdr.strategy.sections import RecurrentLayers
from tests.unit.strategy.conftest import changed

SCHEMA = strategy_schema()
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
BUNDLED = sorted(path.name for path in (files("ktrdr.sample") / "strategies").iterdir() if path.name.endswith(".yaml"))


def document(text: str) -> Any:
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


@pytest.mark.parametrize("name", BUNDLED)
def test_what_comes_with_the_product_fits_the_schema(name: str) -> None:
    text = (files("ktrdr.sample") / "strategies" / name).read_text(encoding="utf-8")
    assert [error.message for error in VALIDATOR.iter_errors(document(text))] == []
    assert VALIDATOR.is_valid(document(load_strategy(text, name).strategy.to_yaml()))


SHORT = {
    "as it is": ("[EURUSD]", "[EURUSD]"),
    "one symbol": ("[EURUSD]", "EURUSD"),
    "a list under its other name": ("[EURUSD]", "{symbols: [A, B]}"),
    "full timeframes": ("[1h, 4h]", "{mode: multi_timeframe, list: [1h, 4h], base_timeframe: 4h}"),
    "a date range": ("  start_date: 2012-01-01\n  end_date: 2014-01-01\n", "  date_range: {start: 2012-01-01, end: 2014-01-01}\n"),
    "hyperparameters of the model": ("type: mlp", "type: mlp\n  training: {epochs: 5, lr_scheduler: step}"),
    "a shape": ("[30, 50, 70]", "{type: gaussian, parameters: [50, 10]}"),
    "a trapezoid": ("[30, 50, 70]", "[30, 45, 55, 70]"),
    "another name of a shape": ("[30, 50, 70]", "{type: triangularmf, parameters: [30, 50, 70]}"),
    "a partition": ("    low: [0, 0, 40]\n    mid: [30, 50, 70]\n    high: [60, 100, 100]\n", "    partition: {count: 3}\n"),
    "a recurrent network": ("type: mlp\n  architecture: {hidden_layers: [16, 8]}", "type: gru\n  architecture: {sequence_length: 9}"),
    "an alias": ("type: rsi,", "type: sma,"),
    "an outside series": ("indicators:\n  rsi_14: {", "context_data: [{provider: fred, series: DGS10, frequency: daily, delay_hours: 18}]\nindicators:\n  x: {type: roc, data_source: fred_DGS10}\n  rsi_14: {"),
    "other labels": ("{source: zigzag, zigzag_threshold: 0.01}", "{source: triple_barrier, compute_weights: true}"),
    "a version as a number": ("description:", "version: 3.0\ndescription:"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHORT)
def test_every_way_to_write_it_that_loads_fits_the_schema(kind: str, load: Callable[..., Loaded]) -> None:
    load(SHORT[kind])
    assert [error.message for error in VALIDATOR.iter_errors(document(changed(SHORT[kind])))] == []


WRONG = {
    "misspelt key": ("epochs: 10", "epoch: 10"), "parameter out of bounds": ("period: 14", "period: 1000"), "unknown parameter": ("period: 14", "perid: 14"),
    "unknown indicator": ("type: rsi,", "type: rsii,"), "unknown label": ("source: zigzag", "source: zigzak"), "unknown network": ("type: mlp", "type: mpl"),
    "membership of two numbers": ("[30, 50, 70]", "[30, 70]"), "unknown timeframe": ("[1h, 4h]", "[1h, 4x]"), "text for a number": ("epochs: 10", "epochs: ten"),
    "missing section": ("decisions:\n  output_format: classification\n", ""), "split out of bounds": ("epochs: 10", "data_split: {train: 2}"),
    "key of another network": ("{hidden_layers: [16, 8]}", "{hidden_layers: [16, 8], sequence_length: 5}"), "set without an indicator": ("    indicator: rsi_14\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_by_itself_does_not_fit(kind: str, problems: Callable[..., list[Any]]) -> None:
    assert problems(WRONG[kind])
    assert not VALIDATOR.is_valid(document(changed(WRONG[kind])))


def test_editors_are_told_what_a_key_means() -> None:
    assert meanings(RecurrentLayers)["sequence_length"] == "Bars of the base timeframe that an answer looks at, its own the last."
    assert (
        SCHEMA["$defs"]["Filters"]["properties"]["min_signal_separation"]["description"] == "Least hours between two changes of position."
    )
    rsi = next(each for each in SCHEMA["$defs"]["IndicatorSpec"]["oneOf"] if each["title"] == "rsi")
    assert rsi["description"].startswith("Relative strength")
    assert rsi["properties"]["period"]["maximum"] == 100
