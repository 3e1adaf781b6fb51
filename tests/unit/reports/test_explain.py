"""A strategy in plain words, short enough for a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.reports.explain import explain
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "explained"
MOMENTUM = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")


def bundled(name: str) -> Strategy:
    return load_strategy((FOLDER / "strategies" / f"{name}.yaml").read_text(encoding="utf-8"), name).strategy


@pytest.mark.parametrize("name", ["momentum", "mean_reversion", "trend_momentum", "channel_break", "trend_pullback"])
def test_a_bundled_strategy_reads_as_written_down(name):
    lines = explain(bundled(name))
    assert "\n".join(lines) + "\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert len(lines) <= 12


def test_many_inputs_are_cut_short():
    strategy = bundled("momentum")
    many = {f"set_{i}": strategy.fuzzy_sets["strength"] for i in range(20)}
    inputs = [{"fuzzy_set": name, "timeframes": "all"} for name in many]
    document = strategy.model_dump(mode="json", exclude_none=True)
    document |= {"fuzzy_sets": {name: s.model_dump() for name, s in many.items()}, "nn_inputs": inputs}
    lines = explain(Strategy.model_validate(document))
    assert len(lines) <= 12
    assert any(line == "  and 15 more" for line in lines)


def test_a_forecast_is_explained_by_what_it_must_beat():
    text = MOMENTUM.replace(
        "  output_format: classification\n  confidence_threshold: 0.5\n",
        "  output_format: regression\n  cost_model: {round_trip_cost: 0.002, min_edge_multiplier: 1.5}\n",
    ).replace("{source: zigzag, zigzag_threshold: 0.005}", "{source: forward_return, horizon: 12}")
    said = "\n".join(explain(load_strategy(text, "r").strategy))
    assert "forecasts the return.\nIt learned from the return over the next 12 bars." in said
    assert "Buys at the next open when it forecasts more than 0.30%" in said
    assert "goes short" in said


def test_a_raw_input_and_other_timeframes_are_named():
    text = MOMENTUM.replace("timeframes: [1h]", "timeframes: [1h, 4h]").replace(
        "  - {fuzzy_set: trend, timeframes: all}", "  - {raw_indicator: adx_14.plus_di, timeframes: [4h], normalization: zscore}"
    )
    said = "\n".join(explain(load_strategy(text, "r").strategy))
    assert "rsi (14) (on 1h, 4h): falling (< 50)" in said
    assert "adx plus_di (14) (on 4h): its value, scaling: zscore" in said


def test_a_recurrent_network_says_how_far_it_looks_back():
    written = "  type: mlp\n  architecture: {hidden_layers: [32, 16], dropout: 0.1, activation: relu}\n"
    assert written in MOMENTUM
    for layers, shape in ((2, "64 and 64 units in 2 layers"), (1, "64 units in one layer")):
        text = MOMENTUM.replace(written, f"  type: lstm\n  architecture: {{sequence_length: 30, num_layers: {layers}}}\n")
        lines = explain(load_strategy(text, "r").strategy)
        said = f"A recurrent network (lstm) of {shape} reads the last 30 bars in their order, weighs how true each word is"
        assert any(line.startswith(said) for line in lines), lines
