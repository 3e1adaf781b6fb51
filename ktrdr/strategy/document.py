"""A YAML text as plain values, with the line on which each of them stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import ReaderError

from ktrdr.errors import InvalidStrategy, Problem
from ktrdr.strategy.mistakes import WHOLE, joined

MAX_CHARACTERS = 200_000
MAX_DEPTH = 20
MAX_VALUES = 5_000
MAX_KEY = 100
"""Most characters of a key."""
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")
"""Numbers such as 1e-3, which YAML 1.1 takes for text."""
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]{0,17})")
"""Whole numbers as people write them; others, such as 017 and 1:30, YAML 1.1 would take for 15 and 90."""
UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Characters that steer a terminal, turn the direction of reading, or cannot be written to a file."""
TAG = "tag:yaml.org,2002:"
TEXT, TIMESTAMP, WHOLE_NUMBER, NUMBER = (TAG + name for name in ("str", "timestamp", "int", "float"))
PLAIN_TAGS = {None, "!", TEXT, WHOLE_NUMBER, NUMBER, *(TAG + name for name in ("bool", "null", "seq", "map"))}


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
    except ReaderError as error:
        said = f"is not valid YAML: the character U+{ord(text[error.position]):04X} cannot be shown"
        raise InvalidStrategy(source, [Problem(WHOLE, said, line=text.count("\n", 0, error.position) + 1)]) from None
    except yaml.YAMLError as error:
        raise InvalidStrategy(source, [Problem(WHOLE, f"is not valid YAML: {error}")]) from None
    return document


def _refuse_tricks(text: str, source: str) -> None:
    """No anchors, aliases or tags, no towers of brackets, no heaps of values: a reader must see what stands there."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        tag = getattr(event, "tag", None)
        said = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            said = "anchors (&) and aliases (*) are not read; write it out"
        elif tag not in PLAIN_TAGS:
            said = f"is not valid YAML for a strategy: the tag {tag!r} is not read; write plain values"
        elif depth > MAX_DEPTH:
            said = f"is nested more than {MAX_DEPTH} levels deep"
        elif values > MAX_VALUES:
            said = f"has more than {MAX_VALUES:,} values"
        if said:
            line = event.start_mark.line + 1 if event.start_mark else None
            raise InvalidStrategy(source, [Problem(WHOLE, said, line=line)])


def _mapping(node: yaml.MappingNode, place: str, document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if wrong := _wrong_key(key_node):
            document.problems.append(Problem(place or WHOLE, wrong, line=line))
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


def _wrong_key(node: yaml.Node) -> str | None:
    if not isinstance(node, yaml.ScalarNode):
        return "a key must be a word"
    if len(node.value) > MAX_KEY:
        return f"a key has {len(node.value):,} characters, at most {MAX_KEY} are read"
    return f"a key has {_hidden(node.value)}" if UNSHOWABLE.search(node.value) else None


def _hidden(text: str) -> str:
    return f"the character U+{ord(UNSHOWABLE.findall(text)[0]):04X}, which cannot be shown"


def _value(node: yaml.Node, place: str, document: Document) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, document)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for i, item in enumerate(node.value):
            document.lines[f"{place}[{i}]"] = item.start_mark.line + 1
            items.append(_value(item, f"{place}[{i}]", document))
        return items
    if not isinstance(node, yaml.ScalarNode):
        return None
    if UNSHOWABLE.search(node.value):
        document.problems.append(Problem(place, f"has {_hidden(node.value)}", line=node.start_mark.line + 1))
    return _scalar(node)


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.tag in (TEXT, TIMESTAMP):
        plain = node.style is None
        return float(node.value.replace("_", "")) if plain and EXPONENT.fullmatch(node.value) else node.value
    if (node.tag == WHOLE_NUMBER and not DECIMAL.fullmatch(node.value)) or (node.tag == NUMBER and ":" in node.value):
        return node.value
    try:
        return SafeConstructor().construct_object(node)
    except (ValueError, LookupError):  # a tag says what the text is not
        return node.value
