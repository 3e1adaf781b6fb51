"""The grammar of strategies as JSON Schema, which editors read to complete and check what is typed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from ktrdr.fuzzy.sets import COUNTS, NO_WORDS, SHORTHAND, FuzzySet, Membership
from ktrdr.indicators.base import INDICATORS
from ktrdr.labels.base import DEFAULT, LABELS
from ktrdr.market.timeframe import SECONDS
from ktrdr.registry import Registry
from ktrdr.strategy.sections import Part
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
NUMBER: JSON = {"type": "number"}
TEXT: JSON = {"type": "string"}
DATE: JSON = {"type": "string", "format": "date"}
TIMEFRAME: JSON = {"title": "timeframe", "enum": list(SECONDS)}
NAMED = ("indicators.*", "training.labels")
"""Where one of many registered things stands, each with parameters of its own."""


def strategy_schema() -> JSON:
    """Every key of a strategy document, in its full and in its shorter forms, with its values and its meaning."""
    schema = Strategy.model_json_schema()
    parts: JSON = schema["$defs"]
    for name, cls in _classes(Part).items():
        properties: JSON = (schema if cls is Strategy else parts.get(name, {})).get("properties", {})
        for key, said in meanings(cls).items() if properties else ():
            if key in properties:
                properties[key]["description"] = said
    source = parts["IndicatorSpec"]["properties"]["data_source"]
    parts["IndicatorSpec"] = {"oneOf": list(_named(INDICATORS, "type", {"data_source": source}))}
    parts["LabelSpec"] = {"oneOf": list(_named(LABELS, "source", {}))}
    parts["FuzzySet"], parts["Membership"] = _fuzzy_set(), _membership()
    _short_forms(schema, parts)
    return {"$schema": DRAFT, **schema, "title": "ktrdr strategy"}


def every_key(schema: JSON, node: JSON | None = None, place: str = "") -> Iterator[tuple[str, JSON]]:
    """Every key by its place, with what the schema says of it.

    `*` stands for a name of the user's choice and `[]` for any entry of a list; the parameters of indicators and labels
    stand below their name, as in `indicators.*:rsi.period`. `model.training` is what `training` is.
    """
    node = schema if node is None else node
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    named = f"{place}:{node.get('title')}" if place in NAMED and "properties" in node else place
    for key, below in node.get("properties", {}).items():
        here = f"{named}.{key}".removeprefix(".")
        yield here, below
        if here != "model.training":
            yield from every_key(schema, below, here)
    for variant in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from every_key(schema, variant, place)
    for below in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
        if isinstance(below, dict) and "JsonValue" not in str(below):
            yield from every_key(schema, below, f"{place}.*")
    if isinstance(node.get("items"), dict):
        yield from every_key(schema, node["items"], f"{place}[]")


def meanings(cls: type[BaseModel]) -> dict[str, str]:
    """What the text below each field of a class says."""
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(written, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(written.body, written.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _classes(cls: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for below in cls.__subclasses__():
        found |= {below.__name__: below, **_classes(below)}
    return found


def _named(registry: Registry[Any], key: str, common: JSON) -> Iterable[JSON]:
    """One object for each registered thing: its name under `key`, its parameters beside it."""
    for name in registry.names():
        cls = registry.get(name)
        properties = cls.model_json_schema().get("properties", {})
        for parameter, said in meanings(cls).items():
            properties[parameter]["description"] = said
        yield {
            "type": "object", "title": name, "description": (inspect.getdoc(cls) or "").splitlines()[0],
            "properties": {key: {"enum": [name, *cls.aliases]}, **properties, **common},
            "required": [] if name == DEFAULT and registry is LABELS else [key], "additionalProperties": False,
        }  # fmt: skip


def _fuzzy_set() -> JSON:
    whole = FuzzySet.model_json_schema()
    return {
        "type": "object", "description": whole["description"], "required": ["indicator"],
        "properties": {"indicator": TEXT, "partition": {"$ref": "#/$defs/Partition"}},
        "additionalProperties": {"$ref": "#/$defs/Membership"}, "minProperties": len(NO_WORDS),
    }  # fmt: skip


def _membership() -> JSON:
    whole = Membership.model_json_schema()
    bare = [{"type": "array", "items": NUMBER, "minItems": count, "maxItems": count} for count in SHORTHAND]
    shapes = [
        {"type": "object", "properties": {"type": {"enum": [shape, f"{shape}mf"]}, "parameters": _list_of(NUMBER, count, count)},
         "required": ["type", "parameters"], "additionalProperties": False}
        for shape, count in COUNTS.items()
    ]  # fmt: skip
    return {"description": whole["description"], "oneOf": [*bare, *shapes]}


def _list_of(item: JSON, least: int = 1, most: int | None = None) -> JSON:
    return {"type": "array", "items": item, "minItems": least} | ({"maxItems": most} if most else {})


def _short_forms(schema: JSON, parts: JSON) -> None:
    """What may be written in fewer words than the full form."""
    for section, item in (("Symbols", TEXT), ("Timeframes", TIMEFRAME)):
        full = parts[section]
        full["properties"][section.lower()] = _list_of(item) | {"description": "The same as `list`."}
        full.pop("required")
        parts[section] = {"description": full["description"], "anyOf": [item, _list_of(item), full]}
    dates = {"type": "object", "properties": {"start": DATE, "end": DATE}, "additionalProperties": False}
    parts["TrainingData"]["properties"]["date_range"] = dates | {"description": "The same as start_date and end_date."}
    parts["NNInput"]["properties"]["timeframes"] |= {"anyOf": [{"const": "all"}, TIMEFRAME, _list_of(TIMEFRAME)]}
    scheduler = parts["LRScheduler"]
    kinds = scheduler["properties"]["type"]["enum"]
    parts["LRScheduler"] = {"description": scheduler["description"], "oneOf": [{"enum": kinds}, scheduler]}
    series = parts["ContextSeries"]
    series["properties"] |= {"series": TEXT | {"description": "The same as `symbol`."}, "frequency": {"enum": ["daily", "weekly"]}}
    series["required"] = ["provider"]
    for variant in schema["properties"]["model"]["oneOf"]:
        network = parts[variant["$ref"].rpartition("/")[2]]
        network["properties"]["training"] = {"$ref": "#/$defs/Training", "description": "The same as `training`, which wins."}
    schema["properties"]["version"] = {"type": ["string", "number"]}
    schema["required"].remove("training")
