"""What strategies of the earlier system wrote is understood, or explained."""

from __future__ import annotations

import pytest

from ktrdr.indicators.base import INDICATORS
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.migrate import migrate

TEXT = """\
name: earlier
training_data: {{symbols: [X], timeframes: [1h]}}
indicators:
  one: {{type: {type}{parameters}}}
nn_inputs: [{{raw_indicator: one, timeframes: all}}]
model: {{type: mlp, architecture: {{hidden_layers: [4]}}}}
decisions: {{}}
training: {{}}
"""
ALIASES = {"bbands": "bollingerbands", "sma": "simplemovingaverage", "ema": "exponentialmovingaverage", "wma": "weightedmovingaverage"}
RETIRED = {
    "aroon": "include_oscillator: true",
    "donchian": "include_middle: false",
    "EMA": "adjust: false",
}
EARLIER: dict[str, str] = {
    "rvi": "period: 10, signal_period: 4", "fishertransform": "period: 10, smoothing: 3",
    "bollingerbandwidth": "period: 20, multiplier: 2.0, source: close", "keltnerchannels": "period: 20, atr_period: 10, multiplier: 2.0",
    "squeezeintensity": "bb_period: 20, bb_multiplier: 2.0, kc_period: 20, kc_multiplier: 2.0, source: close",
    "supertrend": "period: 10, multiplier: 3.0", "parabolicsar": "initial_af: 0.02, step_af: 0.02, max_af: 0.2",
    "ichimoku": "tenkan_period: 9, kijun_period: 26, senkou_b_period: 52, displacement: 26", "zigzag": "threshold: 0.05, source: close",
    "vwap": "period: 20, use_typical_price: true", "cmf": "period: 21", "adline": "use_sma_smoothing: false, smoothing_period: 21",
    "volumeratio": "period: 20",
}  # fmt: skip
"""Parameters and defaults."""


@pytest.mark.parametrize("name", INDICATORS.names())
def test_a_type_is_found_in_any_case_and_by_the_name_of_its_former_class(name: str) -> None:
    cls = INDICATORS.get(name)
    for spelling in (name.upper(), cls.__name__, f"{cls.__name__}Indicator"):
        assert INDICATORS.get(spelling) is cls


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_found(alias: str) -> None:
    assert INDICATORS.name_of(INDICATORS.get(alias)) == ALIASES[alias]


@pytest.mark.parametrize("name", EARLIER)
def test_its_parameters_and_their_defaults_are_the_earlier_ones(name: str) -> None:
    written, defaults = (load_strategy(TEXT.format(type=name, parameters=p), name).strategy for p in (f", {EARLIER[name]}", ""))
    assert written.indicators["one"].build() == defaults.indicators["one"].build()
    assert written.content_hash == defaults.content_hash
    assert len(type(defaults.indicators["one"].build()).model_fields) == EARLIER[name].count(":")


@pytest.mark.parametrize("name", RETIRED)
def test_a_parameter_that_changes_nothing_is_left_out_with_a_warning(name: str) -> None:
    loaded = load_strategy(TEXT.format(type=name, parameters=f", {RETIRED[name]}"), name)
    (warning,) = loaded.warnings
    assert warning.place == f"indicators.one.{RETIRED[name].partition(':')[0]}"
    assert warning.line == 4
    assert warning.message.startswith("has no effect: ")
    assert loaded.strategy == load_strategy(TEXT.format(type=name, parameters=""), name).strategy


def test_a_migrated_strategy_names_the_parameter_it_left_out() -> None:
    old = "name: old\nindicators:\n  - {name: EMA, feature_id: ema, period: 9, adjust: true}\nfuzzy_sets: {ema: {low: [0, 1, 2]}}\n"
    migrated = migrate(old, "old.yaml")
    assert migrated.dropped == ("indicators.ema.adjust",)
    assert "adjust" not in migrated.text


def test_the_zigzag_is_never_a_feature_without_a_warning_that_names_it() -> None:
    (warning,) = load_strategy(TEXT.format(type="zigzag", parameters=""), "zigzag").warnings
    assert warning.place == "indicators.one"
    assert warning.message.startswith("zigzag gives the last confirmed pivot")
    assert "would know the future" in warning.message
    assert not load_strategy(TEXT.format(type="rsi", parameters=""), "rsi").warnings
