"""Personas: what a language model of a certain kind answers to a request.

Each is a function of the request and of the texts to be written. Where a conversation stands is read from the request
alone, so that a client that was restarted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from tests.wire.asked import JSON, Asked
from tests.wire.hostile import hostile_assessments, hostile_texts
from tests.wire.reply import Answer, Call, Failure, Reply, Say
from tests.wire.texts import MISTAKES, arguments, momentum, named, sober

SAVING = ("save_strategy", "save_assessment")


@dataclass(frozen=True)
class Texts:
    """What is written: texts, or functions that make them from the request."""

    strategy: str | Callable[[Asked], str] = momentum
    assessment: JSON | Callable[[Asked], JSON] = sober

    def strategy_for(self, asked: Asked) -> str:
        """The strategy's document."""
        return self.strategy if isinstance(self.strategy, str) else self.strategy(asked)

    def assessment_for(self, asked: Asked) -> JSON:
        """The arguments of save_assessment."""
        return self.assessment(asked) if callable(self.assessment) else self.assessment


Persona = Callable[[Asked, Texts], Answer]
PERSONAS: dict[str, Persona] = {}
"""Every persona by its name, which is the first part of an address."""


def persona(function: Persona) -> Persona:
    """Make a function known under its own name."""
    PERSONAS[function.__name__] = function
    return function


# --- those that do what they are asked for, well or badly


@persona
def honest(asked: Asked, texts: Texts) -> Reply:
    """Validates and saves a strategy, or saves an assessment, and ends."""
    if "save_strategy" in asked.tools:
        text = texts.strategy_for(asked)
        if asked.times("save_strategy"):
            return ending(asked, "The strategy is saved.")
        first = "validate_strategy" in asked.tools and not asked.times("validate_strategy")
        return saying("I follow the swing of a day.", with_text(asked, "validate_strategy" if first else "save_strategy", text))
    if "save_assessment" in asked.tools and not asked.times("save_assessment"):
        return saying("I have read the figures.", assessing(asked, texts.assessment_for(asked)))
    return ending(asked, "That is all.")


@persona
def thorough(asked: Asked, texts: Texts) -> Reply:
    """Reads with every tool at once, then does as the honest one."""
    unread = [name for name in asked.reading if not asked.times(name)]
    return saying("First I look around.", *(plain(asked, name) for name in unread)) if unread else honest(asked, texts)


@persona
def repairs_once(asked: Asked, texts: Texts) -> Reply:
    """Saves with a mistake, `repairs_once:unknown_indicator` for one of MISTAKES, and mends it after the tool's error."""
    saving = next((name for name in SAVING if name in asked.tools), None)
    if saving is None or asked.times(saving) > 1:
        return ending(asked, "Mended and saved.")
    mended = asked.times(saving) == 1
    if saving == "save_assessment":
        right = texts.assessment_for(asked)
        return saying("My verdict:", assessing(asked, right if mended else right | {"verdict": "excellent"}))
    text = texts.strategy_for(asked)
    wrong = MISTAKES[asked.argument or "unknown_key"](text)
    return saying("I see the mistake." if mended else "Here it is.", with_text(asked, saving, text if mended else wrong))


@persona
def never_saves(asked: Asked, texts: Texts) -> Reply:
    """Talks, and calls no tool but the one that ends."""
    return ending(asked, "Momentum is a fine idea. One could follow the swing of a day, and one day I shall.")


@persona
def loops(asked: Asked, texts: Texts) -> Reply:
    """Calls a reading tool for ever."""
    names = [*asked.reading, *asked.tools]
    return saying("Once more.", plain(asked, names[0])) if names else ending(asked, "There is no tool.")


@persona
def bad_arguments(asked: Asked, texts: Texts) -> Reply:
    """Arguments of wrong types, an unknown tool, arguments that are no JSON, then honest; `bad_arguments:types` and so on: only that."""
    name = next((name for name in SAVING if name in asked.tools), None)
    if name is None:
        return ending(asked, "There is nothing to save.")
    properties = asked.tools[name].get("properties", {"yaml": {}})
    calls = {
        "types": Call(name, dict.fromkeys(properties, 42)),
        "missing": Call(name, {}),
        "more": Call(name, {**dict.fromkeys(properties, "x"), "path": "/etc/passwd"}),
        "unknown": Call("run_shell", {"command": "id"}),
        "broken": Call(name, '{"yaml": "name: bro'),
        "list": Call(name, '["yaml"]'),
    }
    if asked.argument:
        return saying("So.", calls[asked.argument])
    turn = len(asked.made)
    return saying("So.", list(calls.values())[turn]) if turn < len(calls) else honest(replace(asked, made=asked.made[len(calls) :]), texts)


@cache
def _hostile() -> tuple[dict[str, str], dict[str, JSON]]:
    return dict(hostile_texts()), dict(hostile_assessments())


@persona
def hostile(asked: Asked, texts: Texts) -> Answer:
    """Saves one of the hostile texts or assessments, twice; `hostile:<its name>`."""
    strategies, assessments = _hostile()
    saving = "save_assessment" if asked.argument in assessments else "save_strategy"
    if asked.argument not in strategies and asked.argument not in assessments:
        return Failure(404, "not_found_error", f"no hostile text is called {asked.argument!r}")
    if saving not in asked.tools:
        return honest(asked, texts)
    if asked.times(saving) > 1:
        return ending(asked, "As you wish.")
    if saving == "save_assessment":
        return saying("Trust me.", Call(saving, assessments[asked.argument]))
    return saying("Trust me.", with_text(asked, saving, strategies[asked.argument]))


@persona
def refuses(asked: Asked, texts: Texts) -> Reply:
    """Does not want to answer."""
    return Reply((Say("I cannot help with that."),), stop="refusal")


# --- the parts they are made of


def saying(words: str, *calls: Call) -> Reply:
    """Words before calls."""
    return Reply((Say(words), *calls))


def ending(asked: Asked, words: str) -> Reply:
    """The last answer: by the output tool where one is offered, as JSON where that is asked for, else in words."""
    names = {"name", "strategy_name"}
    saved = next((call.arguments for call in reversed(asked.made) if call.name == "save_strategy" and isinstance(call.arguments, dict)), {})
    first = next((line for line in str(saved.get("yaml", "")).splitlines() if line.startswith("name: ")), "name: none")
    known = dict.fromkeys(names, first.removeprefix("name: "))
    if asked.output_tool:
        return Reply((Call(asked.output_tool, arguments(asked.tools[asked.output_tool], known)),))
    if asked.output_schema is not None:
        return Reply((Say(Call("", arguments(asked.output_schema, known)).written),))
    return Reply((Say(words),))


def plain(asked: Asked, name: str) -> Call:
    """A tool with what the request names, and else the plainest arguments that its schema allows."""
    return Call(name, arguments(asked.tools[name], named(asked)))


def with_text(asked: Asked, name: str, text: str) -> Call:
    """A tool that takes a strategy's text."""
    return Call(name, arguments(asked.tools[name], {}, main=text))


def assessing(asked: Asked, assessment: JSON) -> Call:
    """save_assessment with an assessment."""
    return Call("save_assessment", arguments(asked.tools["save_assessment"], assessment))
