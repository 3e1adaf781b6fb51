"""A YAML text as plain values, with the line on which each of them stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from ktrdr.errors import InvalidStrategy, Problem
from ktrdr.strategy.mistakes import WHOLE, joined

MAX_CHARACTERS = 200_000
MAX_DEPTH = 20
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")
"""Numbers such as 1e-3, which YAML 1.1 takes for text."""
TEXT = "tag:yaml.org,2002:str"
TIMESTAMP = "tag:yaml.org,2002:timestamp"


@dataclass
class Document:
    """What a YAML text says and where."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """Place, such as `nn_inputs[0].fuzzy_set`, to line number from 1."""
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, place: str) -> int | None:
        """The line of a place, or of the nearest section around it that is written."""
        while place:
            if place in self.lines:
                return self.lines[place]
            cut = max(place.rfind("."), place.rfind("["))
            place = place[: max(cut, 0)]
        return None


def read_document(text: str, source: str) -> Document:
    """The values of a YAML text; raises InvalidStrategy where it is not one mapping of plain values."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidStrategy(source, [Problem(WHOLE, f"has {len(text):,} characters; a strategy has at most {MAX_CHARACTERS:,}")])
    try:
        _refuse_tricks(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise InvalidStrategy(source, [Problem(WHOLE, "is not a mapping; a strategy begins with `name: ...`", line=1)])
        document = Document()
        document.values = _mapping(node, "", document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = f"is not valid YAML: {error.problem or error.context}"
        raise InvalidStrategy(source, [Problem(WHOLE, said, line=mark.line + 1 if mark else None)]) from None
    except yaml.YAMLError as error:
        raise InvalidStrategy(source, [Problem(WHOLE, f"is not valid YAML: {error}")]) from None
    return document


def _refuse_tricks(text: str, source: str) -> None:
    """No anchors, no aliases, no towers of brackets, no second document: a reader must see what stands there."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InvalidStrategy(source, [Problem(WHOLE, "anchors (&) and aliases (*) are not read; write it out", line=line)])
        if depth > MAX_DEPTH:
            raise InvalidStrategy(source, [Problem(WHOLE, f"is nested more than {MAX_DEPTH} levels deep", line=line)])


def _mapping(node: yaml.MappingNode, place: str, document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(place or WHOLE, "a key must be a word", line=line))
            continue
        key = key_node.value
        here = joined(place, key)
        if key in values:
            first = document.lines[here]
            document.problems.append(Problem(here, f"is written twice; the first time on line {first}", line=line))
            continue
        document.lines[here] = line
        values[key] = _value(value_node, here, document)
    return values


def _value(node: yaml.Node, place: str, document: Document) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, document)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for i, item in enumerate(node.value):
            document.lines[f"{place}[{i}]"] = item.start_mark.line + 1
            items.append(_value(item, f"{place}[{i}]", document))
        return items
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.tag in (TEXT, TIMESTAMP):
        plain = node.style is None
        return float(node.value.replace("_", "")) if plain and EXPONENT.fullmatch(node.value) else node.value
    try:
        return SafeConstructor().construct_object(node)
    except ValueError:
        return node.value
