"""Things found by folder."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.errors import NotFound
from ktrdr.indicators.base import INDICATORS
from ktrdr.indicators.bollingerbands import BollingerBands
from ktrdr.registry import Registry


def test_a_class_is_found_by_file_name_alias_and_class_name_in_any_case() -> None:
    for spelling in ("bollingerbands", "BBANDS", " BollingerBands "):
        assert INDICATORS.get(spelling) is BollingerBands


def test_names_are_sorted_and_are_those_of_the_files() -> None:
    assert list(INDICATORS.names()) == sorted(INDICATORS.names())
    assert len(list(INDICATORS)) == len(INDICATORS.names())
    assert INDICATORS.name_of(BollingerBands) == "bollingerbands"


def test_an_unknown_name_is_an_error_with_the_nearest_and_all_known() -> None:
    with pytest.raises(NotFound, match="there is no indicator called 'bolinger'") as caught:
        INDICATORS.get("bolinger")
    assert caught.value.details == {"nearest": "bollingerbands"}
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean 'bollingerbands'? known: adline, adx")


def test_a_name_like_nothing_has_no_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        INDICATORS.get("?!")
    assert caught.value.details == {"nearest": None}
    assert INDICATORS.nearest("bband") == "bbands"


def test_one_file_registers_one_class() -> None:
    registry: Registry[Any] = Registry("thing", "ktrdr.fuzzy")
    first, second = type("First", (), {}), type("Second", (), {})
    assert registry.add(first) is first
    assert registry.add(first) is first
    with pytest.raises(TypeError, match="registers two classes; one thing is one file"):
        registry.add(second)
