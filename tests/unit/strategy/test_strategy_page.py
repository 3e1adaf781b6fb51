"""The reference page of strategies."""

from __future__ import annotations

from pathlib import Path

from ktrdr.labels.base import LABELS
from ktrdr.strategy.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "strategy.md"


def test_the_strategy_reference_is_complete() -> None:
    """`docs/reference/strategy.md` is what `python -m ktrdr.strategy.reference` prints."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_it_tells_of_every_label_and_its_parameters() -> None:
    text = page()
    for name in LABELS.names():
        part = text.partition(f"### {name}\n")[2].partition("\n##")[0]
        assert all(f"| `{key}` |" in part for key in LABELS.get(name).model_fields), name
