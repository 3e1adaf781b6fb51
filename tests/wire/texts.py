"""What a model writes: strategies, assessments, and whatever a schema asks for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from tests.wire.asked import JSON, Asked

MOMENTUM = Path(__file__).resolve().parents[2] / "ktrdr" / "sample" / "strategies" / "momentum.yaml"
SYMBOL = re.compile(r"(?i:\bsymbols?\b)\W{1,4}([A-Z][A-Z0-9._=^-]{0,31})\b|\b([A-Z]{6}|AAPL|SPY)\b")
TIMEFRAME = re.compile(r"\b(1m|5m|15m|30m|1h|2h|4h|1d|1w)\b")
DATE = re.compile(r"\b(\d{4}-\d\d-\d\d)\b")

MISTAKES = {
    "unknown_key": lambda text: text.rstrip() + "\nrisk_management: {stop_loss: 0.02}\n",
    "unknown_indicator": lambda text: re.sub(r"type: rsi\b", "type: rsii", text),
    "no_epochs": lambda text: re.sub(r"epochs: \d+", "epochs: 0", text),
    "not_yaml": lambda text: text.rstrip() + "\nbroken: [1, 2\n",
    "path_as_name": lambda text: re.sub(r"(?m)^name: .*$", "name: ../../escape", text),
}
"""Mistakes of a designer by their names, each a change to a right text."""


def named(asked: Asked) -> JSON:
    """The symbol and the bar size that a request names."""
    symbol, timeframe = SYMBOL.search(asked.text), TIMEFRAME.search(asked.text)
    found = {"symbol": symbol and (symbol[1] or symbol[2]), "timeframe": timeframe and timeframe[1]}
    return {key: value for key, value in found.items() if value}


def momentum(asked: Asked) -> str:
    """The bundled momentum strategy under a name of its own, on the symbol, bar size and first two dates that are asked for."""
    text = MOMENTUM.read_text(encoding="utf-8")
    for key, value in named(asked).items():
        text = _with(text, rf"{key}s: \[.*\]", f"{key}s: [{value}]")
    dates = list(dict.fromkeys(DATE.findall(asked.text)))[:2]
    if len(dates) == 2 and dates[0] < dates[1]:
        text = _with(text, r"start_date: .*", f"start_date: {dates[0]}")
        text = _with(text, r"end_date: .*", f"end_date: {dates[1]}")
        text = _with(text, r"(?s)\nbacktest:.*", "")
    return _with(text, r"(?m)^name: .*$", f"name: wire_{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _with(text: str, pattern: str, new: str) -> str:
    changed, times = re.subn(pattern, new, text, count=1)
    assert times == 1, f"the momentum strategy no longer has {pattern}"
    return changed


def sober(asked: Asked) -> JSON:
    """An assessment that says little and is right."""
    return {
        "verdict": "mediocre",
        "strengths": ["it trades on one idea that can be named"],
        "weaknesses": ["one symbol and one period say little"],
        "suggestions": ["try the same idea on another symbol"],
        "lessons": [{"claim": "the momentum of a day carries little after costs", "evidence": "Sharpe ratio 1.2", "scope": "EURUSD 1h"}],
    }


def arguments(schema: JSON, known: JSON, main: str | None = None) -> JSON:
    """Arguments for a tool: what is known by name, each in the type wanted; `main` goes to the first text argument."""
    root = schema
    wanted = schema.get("properties", {})
    texts = [name for name, part in wanted.items() if _resolved(part, root).get("type") == "string"]
    if main is not None:
        known = known | {"yaml" if "yaml" in wanted else (texts or ["yaml"])[0]: main}
    required = schema.get("required", [])
    return {
        name: _fitted(known[name], part, root) if name in known else example(part, root)
        for name, part in wanted.items()
        if name in known or name in required
    }


def example(schema: JSON, root: JSON | None = None) -> Any:
    """The plainest value that a JSON schema allows."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(part, root) for name, part in schema.get("properties", {}).items() if name in schema.get("required", [])}
        case "array":
            return [example(schema.get("items", {}), root) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return "as said".ljust(schema.get("minLength", 0), ".")


def _resolved(schema: JSON, root: JSON) -> JSON:
    """A schema behind its reference, or the first of its alternatives that is not null."""
    while True:
        if "$ref" in schema:
            here: Any = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                here = here[step]
            schema = here
            continue
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not options:
            return schema
        schema = next((option for option in options if option.get("type") != "null"), options[0])


def _fitted(value: Any, schema: JSON, root: JSON) -> Any:
    """A list where text is wanted is joined; text where a list is wanted stands alone in it."""
    kind = _resolved(schema, root).get("type")
    if kind == "string" and isinstance(value, list):
        return "; ".join(map(str, value))
    return [value] if kind == "array" and isinstance(value, str) else value
