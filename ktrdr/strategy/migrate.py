"""Version 2 strategies, rewritten as version 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from ktrdr.errors import Invalid
from ktrdr.strategy.document import read_document
from ktrdr.strategy.mistakes import place_of
from ktrdr.strategy.spec import Strategy
from ktrdr.strategy.written import written_out

NO_IDS = {"name", "type", "feature_id"}


@dataclass(frozen=True)
class Migrated:
    """A version 3 text, and the places of what it left out because nothing reads it."""

    text: str
    dropped: tuple[str, ...]


def migrate(text: str, source: str) -> Migrated:
    """The version 3 form of a version 2 strategy; what else is wrong with it, loading the result will say.

    Each indicator of the list is named by its `feature_id`, each fuzzy set reads the indicator of its own name, every
    set on every timeframe becomes an input, and keys that nothing reads are left out.
    """
    document = read_document(text, source).values
    if not isinstance(document.get("indicators"), list):
        raise Invalid(f"{source} is not a version 2 strategy: its indicators are no list", hint="ktrdr validate <name or path>")
    document["version"] = "3.0"
    document["indicators"] = dict(_indicator(i, entry) for i, entry in enumerate(document["indicators"]))
    sets = document.get("fuzzy_sets")
    if isinstance(sets, dict):
        document["fuzzy_sets"] = {name: {"indicator": name, **words} if isinstance(words, dict) else words for name, words in sets.items()}
        document["nn_inputs"] = [{"fuzzy_set": name, "timeframes": "all"} for name in sets]
    written = written_out(document)
    document, retired = written.document, tuple(doubt.place for doubt in written.doubts)
    dropped = (*retired, *_drop_unread(document))
    return Migrated(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True), dropped)


def _indicator(position: int, entry: Any) -> tuple[str, Any]:
    if not isinstance(entry, dict):
        return f"indicator_{position}", entry
    kind = str(entry.get("name", entry.get("type", ""))).lower()
    name = str(entry.get("feature_id", kind or f"indicator_{position}"))
    return name, {"type": kind} | {key: value for key, value in entry.items() if key not in NO_IDS}


def _drop_unread(document: dict[str, Any]) -> tuple[str, ...]:
    """Remove the keys of the sections that version 3 does not know; returns their places."""
    try:
        Strategy.model_validate(document)
    except ValidationError as error:
        unread = [detail["loc"] for detail in error.errors() if detail["type"] == "extra_forbidden"]
    else:
        return ()
    for *above, key in unread:
        section: Any = document
        for step in (step for step in above if not str(step).startswith("[")):  # a tag of the checks, not a key
            section = section.get(step) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(key, None)
    return tuple(place_of(loc) for loc in unread)
