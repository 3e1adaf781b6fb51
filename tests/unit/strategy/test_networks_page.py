"""The page on networks names every key with its default, and its examples are right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ktrdr.strategy.load import Loaded
from ktrdr.strategy.sections import Layers, RecurrentLayers, RuleLayer

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGE, RULES = ((REFERENCE / name).read_text(encoding="utf-8") for name in ("networks.md", "rules.md"))
RAW = "  - raw_indicator: macd_1.signal\n    timeframes: [1h]\n    normalization: zscore\n"


@pytest.mark.parametrize(("types", "part"), [("`mlp`", Layers), ("`lstm` `gru`", RecurrentLayers)])
def test_every_key_stands_in_the_table(types: str, part: type[Layers] | type[RecurrentLayers]) -> None:
    table = [line.split("|") for line in PAGE.splitlines() if line.startswith(f"| {types} |")]
    rows = {cells[2].strip(" `"): cells[4].strip(" `") for cells in table}
    assert rows == {name: "" if field.is_required() else str(field.default) for name, field in part.model_fields.items()}


def test_its_examples_are_right(load: Callable[..., Loaded]) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    written = "model:\n  type: mlp\n  architecture: {hidden_layers: [16, 8]}\n"
    rules, *networks = examples
    assert [load((written, example)).strategy.model.type for example in networks] == ["mlp", "lstm"]
    assert load((written, rules), (RAW, "")).strategy.model.type == "tsk"


def test_every_key_of_rules_stands_on_their_page() -> None:
    rows = {cells[1].strip(" `"): cells[3].strip() for line in RULES.splitlines() if len(cells := line.split("|")) == 6 and "`" in cells[1]}
    assert rows == {name: str(field.default).lower() for name, field in RuleLayer.model_fields.items()}
