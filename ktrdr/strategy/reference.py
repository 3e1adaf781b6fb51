"""The reference page of strategy documents: `python -m ktrdr.strategy.reference` prints it."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from ktrdr.indicators.reference import LIMITS, shown
from ktrdr.labels.base import CLASSES, LABELS, Label
from ktrdr.market.timeframe import SECONDS
from ktrdr.strategy.retired import REFUSED, WITHOUT_EFFECT
from ktrdr.strategy.schema import NAMED, TIMEFRAME, every_key, meanings, strategy_schema

JSON = dict[str, Any]
ELSEWHERE = (*(f"{name}:" for name in NAMED), "fuzzy_sets.*.*")
"""What is explained below or on a page of its own."""
EXAMPLE = ">" * 3
OPENING = """\
# Strategies

Printed by `python -m ktrdr.strategy.reference`.

A strategy is a YAML document: indicators, words for their values, a network that reads the words, and what is decided on its
answer. Commands take it by its name (`strategies/<name>.yaml` of the present folder, then of the home, then what comes with the
product) or by its path. A key that is not listed here, a value out of its bounds and a name that nothing has are mistakes;
`ktrdr validate` says them all, each with its line, its value and the nearest valid one. `ktrdr show schema > strategy.schema.json`
writes the same grammar for editors; with `# yaml-language-server: $schema=strategy.schema.json` in its first line a document is
checked and completed while it is typed. `ktrdr check` looks at bars too: whether anything knows the future, and on how many bars no
word of an input holds.

Shorter forms say the same: `symbols: EURUSD`, `symbols: [A, B]`, `timeframes: [1h, 4h]` (the first decides), `date_range: {start,
end}` for start_date and end_date, a bare list of three or four numbers for a shape, `lr_scheduler: step`. Dates are UTC, the end is
not included. Hyperparameters may stand in `model.training`; where `training` has the same key it wins, and the other is a warning.
`ktrdr migrate` rewrites documents of version 2.

In the tables `*` is a name of your choice and `[]` any entry of a list. Bar sizes: {sizes}.
"""
LABELLING = """\
## Labels

What a bar should have predicted, from the bars after it. Of each label the last bar that it reads is known. A row of the training
slice whose label reads a bar of the next slice is left out, and so are as many bars behind each boundary as half of the labels look
ahead at most (no less than 1 % of the rows); the same holds between validation and test. `manifest.json` keeps both figures:
`label_span` (half of the labels, the farthest one), `split.embargo_rows` and `split.purged_rows`.

Classes other than buy, hold and sell are signals too, as listed: buy opens a long position or closes a short one, sell the other
way round, hold leaves things as they are.
"""
OUTSIDE = """\
## Outside series

An index, a rate or another symbol whose bars are stored here may be read by any indicator of any strategy:

```yaml
context_data:
  - {provider: fred, series: DGS10, frequency: daily, delay_hours: 18}
indicators:
  rate_move: {type: roc, period: 5, data_source: fred_DGS10}
```

Load it first, such as `ktrdr data load DGS10 --timeframe 1d --provider files --file dgs10.csv`. An indicator sees its bars alone, on
their own clock; each base bar gets the newest value that was published when it closed: the end of the series' bar plus
`delay_hours`. Between two values the last one counts, over ten days without one none does. An input on it names the base timeframe
alone. Values must be above zero, so spreads, positions and calendars of events are refused.
"""


def page() -> str:
    """The page as Markdown: every key by section, the labels, the outside series, and what earlier documents may still say."""
    schema = strategy_schema()
    sections: dict[str, list[str]] = {}
    for place, node in dict(every_key(schema)).items():
        said = values(node, schema)
        if not place.startswith(ELSEWHERE) and said not in ("section", "list of section"):
            section = place.partition(".")[0].removesuffix("[]") if "." in place else "the document"
            sections.setdefault(section, []).append(f"| `{place}` | {said} | {default(node)} | {meaning(node, schema)} |")
    lines = [OPENING.replace("{sizes}", ", ".join(SECONDS))]
    for section, rows in sections.items():
        lines += [f"## {section}", "", "| key | values | default | meaning |", "|---|---|---|---|", *rows, ""]
    lines += ["The parameters of an indicator stand beside its type: [indicators](indicators.md). Shapes: [fuzzy sets](fuzzy.md). The"]
    lines += ["networks: [networks](networks.md).", "", LABELLING]
    for name in LABELS.names():
        lines += labelling(name, LABELS.get(name))
    lines += [OUTSIDE, "## Documents of earlier versions", "", "These keys change nothing; each is a warning.", ""]
    lines += ["| key | why |", "|---|---|", *(f"| `{place}` | {why} |" for place, why in WITHOUT_EFFECT.items()), ""]
    lines += ["These ask for something that is not given; each is a mistake.", "", "| key | why |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{place}` | {why} |" for place, why in REFUSED.items())]) + "\n"


def labelling(name: str, cls: type[Label]) -> list[str]:
    """One labelling rule: definition, classes, parameters."""
    said = dict(zip(cls.classes, (CLASSES[signal] for signal in cls.signals), strict=True))
    classes = ", ".join(f"{word} ({signal})" if word != signal else word for word, signal in said.items())
    about = f"Classes: {classes}." if cls.task == "classification" else "A forecast; decisions.output_format: regression."
    retired = [f"`{key}` of earlier strategies has no effect: {why}." for key, why in cls.retired.items()]
    definition = " ".join([(inspect.getdoc(cls.label) or "").partition(f"\n\n{EXAMPLE}")[0], about, *retired])
    lines = [
        f"### {name}",
        "",
        inspect.getdoc(cls) or "",
        "",
        definition,
        "",
        "| parameter | values | default | meaning |",
        "|---|---|---|---|",
    ]
    known = meanings(cls)
    for key, node in cls.model_json_schema()["properties"].items():
        lines.append(f"| `{key}` | {values(node, {})} | {default(node)} | {known.get(key, '')} |")
    return [*lines, ""]


def values(node: JSON, schema: JSON) -> str:
    """The values that a key may have, in words."""
    if "$ref" in node:
        return values(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    if node.get("title") == TIMEFRAME["title"]:
        return "bar size"
    if "const" in node or "enum" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    variants = [each for each in (*node.get("anyOf", ()), *node.get("oneOf", ())) if each.get("type") != "null"]
    if variants:
        return " or ".join(dict.fromkeys(values(each, schema) for each in variants))
    kind = node.get("type")
    if kind == "array":
        return f"list of {values(node['items'], schema)}" if isinstance(node.get("items"), dict) else "list"
    names = {"integer": "whole number", "number": "number", "boolean": "true, false", "object": "section", "string": "text"}
    said = names.get(str(kind), "any")
    return " ".join([said, *(f"{word} {figure(node[limit])}" for limit, word in LIMITS.items() if limit in node)])


def figure(limit: float) -> str:
    """A limit in full."""
    return f"{int(limit):,}" if limit == int(limit) else shown(limit)


def default(node: JSON) -> str:
    """The default, where there is one that says something."""
    value = node.get("default")
    return f"`{shown(value)}`" if value is not None and not isinstance(value, dict | list) else ""


def meaning(node: JSON, schema: JSON) -> str:
    """What a key says, from its own text or that of its section."""
    if "description" in node:
        return " ".join(str(node["description"]).split())
    refs = [each["$ref"].rpartition("/")[2] for each in (node, *node.get("anyOf", ())) if "$ref" in each]
    return " ".join(str(schema["$defs"][refs[0]].get("description", "")).split()) if len(refs) == 1 else ""


if __name__ == "__main__":
    sys.stdout.write(page())
