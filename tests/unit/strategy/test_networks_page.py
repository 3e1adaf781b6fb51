"""The page on networks names every key with its default, and its examples are right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ktrdr.strategy.load import Loaded
from ktrdr.strategy.sections import Layers, RecurrentLayers

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "networks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("types", "part"), [("`mlp`", Layers), ("`lstm` `gru`", RecurrentLayers)])
def test_every_key_stands_in_the_table(types: str, part: type[Layers] | type[RecurrentLayers]) -> None:
    table = [line.split("|") for line in PAGE.splitlines() if line.startswith(f"| {types} |")]
    rows = {cells[2].strip(" `"): cells[4].strip(" `") for cells in table}
    assert rows == {name: "" if field.is_required() else str(field.default) for name, field in part.model_fields.items()}


def test_its_examples_are_right(load: Callable[..., Loaded]) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    written = "model:\n  type: mlp\n  architecture: {hidden_layers: [16, 8]}\n"
    number = "  - raw_indicator: macd_1.signal\n    timeframes: [1h]\n    normalization: zscore\n"  # rules ask for words
    assert [load((written, example), (number, "")).strategy.model.type for example in examples] == ["tsk", "mlp", "lstm"]
