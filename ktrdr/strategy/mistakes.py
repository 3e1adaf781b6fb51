"""What is wrong with a document, in words: every mistake with its place, its value and the nearest valid one."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from ktrdr.errors import Problem
from ktrdr.strategy.retired import REFUSED

INVISIBLE = {"memberships"}
"""Names of the models that the document does not write."""
WHOLE = "document"
"""The place of a mistake that belongs to no key."""
SHOWN = 60
"""Longest value shown in a problem."""
BOUNDS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
BOUND_WORDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
WRONG_TYPE = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text (put it in quotes)",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "missing": "is missing",
}


def nearest(value: object, known: Iterable[str]) -> str | None:
    """The known name most like `value`, if any is."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(value).lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def unknown(message: str, near: str | None) -> PydanticCustomError:
    """A validator's way to name the nearest valid value."""
    return PydanticCustomError("unknown_name", "{sentence}", {"sentence": message, "nearest": near})


def several(problems: Sequence[Problem]) -> PydanticCustomError:
    """A validator's way to report more than one problem, each with its place below the validated part."""
    return PydanticCustomError("several", "{count} problems", {"count": len(problems), "problems": list(problems)})


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every mistake that validating a document as `model` found."""
    found: list[Problem] = []
    for detail in error.errors(include_url=False):
        place = place_of(detail["loc"])
        if detail["type"] == "several":
            found += [replace(p, place=joined(place, p.place)) for p in detail["ctx"]["problems"]]
        else:
            found.append(_problem(detail, place, model))
    return found


def joined(above: str, below: str) -> str:
    """One place below another."""
    if WHOLE in (above, below):
        return below if above == WHOLE else above
    return above + below if below.startswith("[") or not above else f"{above}.{below}"


def place_of(loc: Sequence[int | str]) -> str:
    """A path as people write it, such as `nn_inputs[0].timeframes`."""
    place = ""
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
        elif step not in INVISIBLE and not step.startswith(("[", "function-", "tuple[", "literal[")):
            place = joined(place, step)
    return place or WHOLE


def shown(value: object) -> str | None:
    """A value as the document has it, shortened; None for a whole section."""
    if value is None or isinstance(value, dict):
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _problem(detail: ErrorDetails, place: str, model: type[BaseModel]) -> Problem:
    kind, context, loc = detail["type"], detail.get("ctx", {}), detail["loc"]
    value = None if kind == "missing" else shown(detail["input"])
    if kind == "extra_forbidden":
        key, known = str(loc[-1]), _fields_at(model, loc[:-1])
        if why := REFUSED.get(re.sub(r"\[\d+]", "[]", place)):
            return Problem(place, f"there is no key {key!r} here: {why}", value=value)
        return Problem(place, f"there is no key {key!r} here; known: {', '.join(known)}", value=value, nearest=nearest(key, known))
    if kind == "literal_error":
        known = [str(x) for x in _literals(_annotation_at(model, loc))]
        return Problem(place, f"{value!r} is not one of {', '.join(known)}", value=value, nearest=nearest(value, known))
    if kind in BOUNDS:
        bound = BOUNDS[kind]
        limit = int(context[bound]) if context[bound] == int(context[bound]) else context[bound]
        whole = not isinstance(context[bound], float)
        return Problem(place, f"{value} must be {BOUND_WORDS[bound]} {limit}", value=value, nearest=_within(bound, limit, whole=whole))
    if kind == "too_short":
        return Problem(place, f"must have at least {context['min_length']}, has {context['actual_length']}", value=value)
    if kind == "too_long":
        return Problem(place, f"must have at most {context['max_length']}, has {context['actual_length']}", value=value)
    if kind == "string_pattern_mismatch":
        return Problem(place, f"{value!r} must be a name: letters, digits, _ and -, no blanks or dots", value=value)
    if kind == "value_error":
        return Problem(place, str(context["error"]), value=value)
    if kind in WRONG_TYPE:
        said = WRONG_TYPE[kind] + (f", is {value!r}" if value is not None else "")
        return Problem(place, said, value=value, nearest=_as_type(kind, value))
    return Problem(place, detail["msg"], value=value, nearest=context.get("nearest"))


def _within(bound: str, limit: float, *, whole: bool) -> str | None:
    """The value nearest to one outside of a bound; a bound that is not reached has none, unless only whole numbers count."""
    if bound in ("ge", "le"):
        return str(limit)
    return str(limit + (1 if bound == "gt" else -1)) if whole else None


def _as_type(kind: str, value: str | None) -> str | None:
    """What was perhaps meant by a value of a wrong type: 14 by "14" or 14.0, true by "yes"."""
    if kind == "bool_type":
        return {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}.get(str(value).lower())
    number = re.fullmatch(r"([+-]?\d+)(\.0*)?", value or "") if kind in ("int_type", "int_from_float") else None
    return str(int(number[1])) if number else None


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    part = _annotation_at(model, loc)
    return list(part.model_fields) if isinstance(part, type) and issubclass(part, BaseModel) else []


def _annotation_at(model: type[BaseModel], loc: Sequence[int | str]) -> Any:
    """What stands at a path below a model: a model class, a literal, a plain type."""
    here: Any = model
    for step in loc:
        here = _bare(here)
        if get_origin(here) in (Union, types.UnionType):  # one of several models, by the tag that its errors carry
            here = next((get_args(variant)[0] for variant in get_args(here) if Tag(str(step)) in get_args(variant)), here)
        elif isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(step))
            here = field.annotation if field else None
        elif get_origin(here) in (dict, tuple):
            here = get_args(here)[-1] if get_origin(here) is dict else get_args(here)[0]
    return _bare(here)


def _bare(annotation: Any) -> Any:
    """An annotation without `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        kept = [a for a in get_args(annotation) if a is not type(None)]
        return _bare(kept[0]) if len(kept) == 1 else annotation
    return annotation


def _literals(annotation: Any) -> list[Any]:
    return [x for a in get_args(annotation) for x in (get_args(a) or (a,))]
