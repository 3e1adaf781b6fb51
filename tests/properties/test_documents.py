"""Whatever a text says, loading it gives a strategy or explains what is wrong."""

from __future__ import annotations

from importlib.resources import files

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.errors import InvalidStrategy
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

TEXT = (files("ktrdr.sample") / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
PLAIN = yaml.safe_load(TEXT)
ODD = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=5), st.sampled_from([[], {}, [[1]], {"a": {}}]))


def places(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in below for place in places(child, (*path, key)))]


def loaded_or_explained(text: str) -> Strategy | None:
    """The strategy, or None where the text has mistakes; any other error fails the test."""
    try:
        return load_strategy(text, "text").strategy
    except InvalidStrategy as error:
        if not error.problems or not all(p.message and p.place for p in error.problems):
            raise ValueError("a refusal without its reasons") from error
        return None


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(places(PLAIN)[1:]), odd=ODD)
def test_an_odd_value_anywhere_is_explained_or_fine(place: tuple[str | int, ...], odd: object) -> None:
    document = yaml.safe_load(TEXT)
    section = document
    for step in place[:-1]:
        section = section[step]
    section[place[-1]] = odd
    strategy = loaded_or_explained(yaml.safe_dump(document))
    assert strategy is None or loaded_or_explained(strategy.to_yaml()) == strategy


@settings(max_examples=100, deadline=None)
@given(start=st.integers(0, len(TEXT)), length=st.integers(1, 40), put=st.text(max_size=8))
def test_a_damaged_text_is_explained_or_fine(start: int, length: int, put: str) -> None:
    strategy = loaded_or_explained(TEXT[:start] + put + TEXT[start + length :])
    assert strategy is None or strategy.feature_ids
