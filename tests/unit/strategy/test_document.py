"""YAML texts as plain values with their lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ktrdr.errors import InvalidStrategy, Problem
from ktrdr.strategy.document import MAX_CHARACTERS, MAX_VALUES, read_document


def test_values_come_with_their_lines() -> None:
    document = read_document("a: 1\nb:\n  - c: [x, y]\n  - 2\n", "text")
    assert document.values == {"a": 1, "b": [{"c": ["x", "y"]}, 2]}
    assert document.lines == {"a": 1, "b": 2, "b[0]": 3, "b[0].c": 3, "b[0].c[0]": 3, "b[0].c[1]": 3, "b[1]": 4}


def test_a_place_that_is_not_written_has_the_line_of_what_is_around_it() -> None:
    document = read_document("a:\n  b:\n    - c: 1\n", "text")
    assert document.line_of("a.b[0].missing.deeper") == 3
    assert document.line_of("a.nothing") == 1
    assert document.line_of("elsewhere") is None


def test_plain_numbers_with_exponents_are_numbers_and_quoted_ones_are_text() -> None:
    values = read_document("a: 1e-3\nb: 2.5E+2\nc: '1e-3'\nd: 1_0e2", "text").values
    assert values == {"a": 0.001, "b": 250.0, "c": "1e-3", "d": 1000.0}


def test_dates_and_keys_stay_text() -> None:
    assert read_document("2020: 2012-01-01\non: 1", "text").values == {"2020": "2012-01-01", "on": 1}


def test_whole_numbers_are_read_as_people_write_them_and_never_in_another_base() -> None:
    values = read_document("a: -12\nb: 1_000\nc: 017\nd: 0x1F\ne: 0b11\nf: 1:30\ng: 1:30.5\nh: 0\ni: " + "9" * 19, "text").values
    assert values == {"a": -12, "b": 1000, "c": "017", "d": "0x1F", "e": "0b11", "f": "1:30", "g": "1:30.5", "h": 0, "i": "9" * 19}


def test_a_tag_that_its_text_does_not_fit_leaves_the_text() -> None:
    assert read_document("a: !!bool maybe\nb: !!float ''\nc: !!int ''", "text").values == {"a": "maybe", "b": "", "c": ""}


@pytest.mark.parametrize("character", ["\x1b", "\0", "\r", "\x7f", "\x9b", "\u202e", "\ud800", "\uffff"])
def test_a_character_that_cannot_be_shown_is_a_mistake_in_values_and_keys(character: str) -> None:
    code = f"{ord(character):04X}"
    document = read_document(f'a: "x\\u{code}"\n"k\\u{code}": 1\nb: "tab\\t and\\nline"', "text")
    assert [str(p) for p in document.problems] == [
        f"line 1, a: has the character U+{code}, which cannot be shown",
        f"line 2, document: a key has the character U+{code}, which cannot be shown",
    ]
    assert document.values["b"] == "tab\t and\nline"


def test_a_key_has_an_end() -> None:
    document = read_document(f"{'k' * 100}: 1\n{'k' * 101}: [1, 2]", "text")
    assert document.values == {"k" * 100: 1}
    assert [str(p) for p in document.problems] == ["line 2, document: a key has 101 characters, at most 100 are read"]


def test_plain_values_are_read_as_yaml_has_them() -> None:
    values = read_document("a: true\nb: null\nc: 1.5\nd: .inf\ne: text\nf: !!int many", "text").values
    assert values == {"a": True, "b": None, "c": 1.5, "d": float("inf"), "e": "text", "f": "many"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a mapping"),
        ("- 1\n- 2", "line 1, document: is not a mapping"),
        ("a: [1, 2", "is not valid YAML"),
        ("a: 1\n b: 2", "line 2, document: is not valid YAML"),
        ("a: &x 1\nb: *x", r"line 1, document: anchors \(&\) and aliases"),
        ("a: {<<: *x}", "aliases"),
        ("a: " + "[" * 50 + "]" * 50, "nested more than 20 levels"),
        ("a: 1\n---\nb: 2", "is not valid YAML"),
        ("a: !!python/name:os.system x", "is not valid YAML"),
        (
            "a: 1\nb: !!python/object/apply:os.system {args: [id]}",
            "line 2, document: .* the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("!mine\na: 1", "the tag '!mine' is not read; write plain values"),
        ("a: [" + "1," * MAX_VALUES + "]", "has more than 5,000 values"),
        ("a: 1\nb: \x1b[2J", r"line 2, document: is not valid YAML: the character U\+001B cannot be shown"),
        ("a: \x00", "is not valid YAML"),
        ("a: 1\n" * (MAX_CHARACTERS // 4), "characters; a strategy has at most 200,000"),
    ],
)
def test_a_text_that_is_no_plain_mapping_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidStrategy, match=said):
        read_document(text, "text")


def test_a_key_written_twice_or_that_is_no_word_is_a_mistake() -> None:
    document = read_document("a: 1\nb: {x: 1, x: 2}\na: 3\n? [c]\n: 4", "text")
    assert document.values == {"a": 1, "b": {"x": 1}}
    assert [str(p) for p in document.problems] == [
        "line 2, b.x: is written twice; the first time on line 2",
        "line 3, a: is written twice; the first time on line 1",
        "line 4, document: a key must be a word",
    ]


def test_mistakes_of_spelling_yaml_are_reported_with_the_others(problems: Callable[..., list[Problem]]) -> None:
    found = problems(("epochs: 10", "epochs: 10\n  epochs: 20"), ("period: 14", "period: 0"))
    assert [(p.place, p.line) for p in found] == [("indicators.rsi_14.period", 9), ("training.epochs", 30)]
