"""The reference page of all indicators: `python -m ktrdr.indicators.reference` prints it."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from ktrdr.indicators.base import INDICATORS, Indicator

OPENING = """\
# Indicators

Printed by `python -m ktrdr.indicators.reference`.

A strategy names an indicator by its type, or by another name of it, in any case: `rsi_14: {type: rsi, period: 14}`. Of several
outputs `rsi_14` means the first and `macd_1.signal` any other. A value at a bar uses bars up to and including that one, and is not
known (NaN) only until enough bars are there. Where TA-Lib has an indicator, its definition holds.
"""
LIMITS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def page() -> str:
    """The page as Markdown: a table of all, then each with its definition, parameters and outputs."""
    rows = [f"| [{name}](#{name}) | {cls.category.replace('_', ' ')} | {first_line(cls)} |" for name, cls in known()]
    table = ["| type | category | what it says |", "|---|---|---|", *rows, ""]
    return "\n".join([OPENING, *table, *(line for name, cls in known() for line in section(name, cls))])


def known() -> list[tuple[str, type[Indicator]]]:
    """Every indicator with its name."""
    return [(INDICATORS.name_of(cls), cls) for cls in INDICATORS]


def first_line(cls: type[Indicator]) -> str:
    """What an indicator is, in a sentence."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def section(name: str, cls: type[Indicator]) -> list[str]:
    """One indicator: definition, warm-up, outputs, parameters."""
    facts = [
        inspect.getdoc(cls.compute),
        f"Outputs: {', '.join(f'`{output}`' for output in cls.outputs)}." if cls.outputs else "One output.",
        f"Also called {', '.join(f'`{alias}`' for alias in cls.aliases)}." if cls.aliases else "",
        "Needs volume; a series without it is refused." if cls.needs_volume else "",
        f"Warning in every strategy that uses it: {name} {cls.caution}." if cls.caution else "",
        *(f"`{key}` of earlier strategies has no effect: {why}." for key, why in cls.retired.items()),
    ]
    lines = [f"## {name}", "", inspect.getdoc(cls) or "", "", " ".join(fact for fact in facts if fact), ""]
    properties = cls.model_json_schema()["properties"] if cls.model_fields else {}
    if properties:
        lines += ["| parameter | default | values |", "|---|---|---|"]
        lines += [f"| `{key}` | {shown(value['default'])} | {allowed(value)} |" for key, value in properties.items()]
        lines.append("")
    return lines


def allowed(schema: dict[str, Any]) -> str:
    """The values a parameter may take, in words."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema["type"] == "boolean":
        return "true, false"
    kind = "whole number" if schema["type"] == "integer" else "number"
    return " ".join([kind, *(f"{word} {shown(schema[limit])}" for limit, word in LIMITS.items() if limit in schema)])


def shown(value: object) -> str:
    """A value as a strategy writes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.stdout.write(page())
