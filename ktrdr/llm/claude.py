"""The designer that is a language model: Claude, or any other that models.toml names."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ktrdr.agents.designer import Assessment, AssessmentContext, Brief, Design, Desk, Lesson, Trials, Verdict
from ktrdr.agents.offline import OfflineDesigner
from ktrdr.agents.tools import DesignTools, assessment_prompt
from ktrdr.llm.models import LanguageModel, choose_model
from ktrdr.market.bars import Bars
from ktrdr.settings import Settings

if TYPE_CHECKING:
    from ktrdr.llm.conversation import Conversation

JSON = dict[str, Any]
Sentence = Annotated[str, Field(min_length=1, max_length=600)]
Sentences = Annotated[list[Sentence], Field(max_length=5)]


@dataclass(frozen=True)
class ClaudeDesigner:
    """Has a language model propose strategies and judge results; it gets no file system, no shell and no network."""

    settings: Settings

    def ready(self, model: str | None) -> str | None:
        """The id of the model that will be asked."""
        chosen = self._model(model)
        chosen.secret()
        chosen.worst(1, 1)
        return chosen.id

    def design(self, brief: Brief, bars: Bars, desk: Desk) -> Design:
        """A strategy from the model; with `brief.family`, the region that it names, searched."""
        tools = DesignTools(brief, bars, desk.library)
        return self._family(brief, bars, desk, tools) if brief.family else self._strategy(brief, desk, tools)

    def _strategy(self, brief: Brief, desk: Desk, tools: DesignTools) -> Design:
        model = self._model(brief.model)
        talk = self._talk(model, desk, "a strategy")

        async def looked_up(tool: str, act: Callable[[], str]) -> str:
            return str((await talk.effect(tool, lambda: {"said": act()}))["said"])

        async def strategy_schema() -> str:
            """The grammar of a strategy document, with an example."""
            return await looked_up("strategy_schema", tools.strategy_schema)

        async def list_indicators() -> str:
            """Every indicator with its parameters, defaults and outputs."""
            return await looked_up("list_indicators", tools.list_indicators)

        async def data_summary(symbol: str, timeframe: str) -> str:
            """The bars of a series, as far as the training sees them."""
            return await looked_up("data_summary", lambda: tools.data_summary(symbol, timeframe))

        async def recent_strategies(limit: Annotated[int, Field(ge=1, le=20)] = 8) -> str:
            """What was tried before on these bars, how it ended, and what was learned from it."""
            return await looked_up("recent_strategies", lambda: tools.recent_strategies(limit))

        async def validate_strategy(yaml: str) -> JSON:
            """Say whether a document is a strategy that can be trained here, with every mistake and its place."""
            return await talk.effect("validate_strategy", lambda: tools.validate_strategy(yaml))

        async def save_strategy(yaml: str) -> JSON:
            """Save the complete strategy document; this ends the design."""
            found = await talk.effect("save_strategy", lambda: tools.save_strategy(yaml))
            if "errors" in found:
                raise talk.reject(found["errors"])
            return found

        offered: list[Callable[..., Awaitable[Any]]] = [
            strategy_schema,
            list_indicators,
            data_summary,
            recent_strategies,
            validate_strategy,
        ]
        desk.report(0, 1, f"Asking {model.id} for a strategy")
        saved = talk.held(tools.prompt("design", "save_strategy"), offered, save_strategy, "save_strategy")
        count = brief.earlier_trials + 1
        return Design(
            name=saved["saved"], text=saved["text"], hypothesis=hypothesis_of(saved["text"]),
            designed_by=f"{model.id} ({model.provider})",
            trials=Trials(count=count, reason="a language model proposed it; how many ideas it weighed is not known"),
        )  # fmt: skip

    def _family(self, brief: Brief, bars: Bars, desk: Desk, tools: DesignTools) -> Design:
        """The model names indicators, the search fills in the rest; every candidate is a trial."""
        model = self._model(brief.model)
        talk = self._talk(model, desk, "a family")
        known = tools.searchable()

        async def save_family(indicators: Annotated[list[str], Field(min_length=3, max_length=10)], hypothesis: Sentence) -> JSON:
            """Save which indicators the search may combine, and the idea behind them; this ends the choice."""

            def act() -> JSON:
                strange = sorted(set(indicators) - set(known))
                if strange:
                    said = f"unknown: {', '.join(strange)[:200]}; known: {', '.join(known)}"
                    return {"errors": [{"place": "indicators", "message": said}]}
                return {"indicators": sorted(set(indicators)), "hypothesis": hypothesis}

            found = await talk.effect("save_family", act)
            if "errors" in found:
                raise talk.reject(found["errors"])
            return found

        desk.report(0, brief.candidates, f"Asking {model.id} where to search")
        family = talk.held(tools.prompt("family", "save_family"), [], save_family, "save_family")
        found = OfflineDesigner().design(brief.model_copy(update={"pool": tuple(family["indicators"])}), bars, desk)
        by = f"{model.id} ({model.provider}) chose {', '.join(family['indicators'])}; {found.designed_by.partition(' — ')[0]} filled it in"
        return found.model_copy(update={
            "designed_by": by, "notes": (f"The idea: {family['hypothesis']}", *found.notes),
        })  # fmt: skip

    def assess(self, context: AssessmentContext, desk: Desk) -> Assessment:
        """What the model makes of the results."""
        model = self._model(context.model)
        talk = self._talk(model, desk, "an assessment")

        async def save_assessment(
            verdict: Verdict, strengths: Sentences, weaknesses: Sentences, suggestions: Sentences,
            lessons: Annotated[list[Lesson], Field(max_length=3)] | None = None,
        ) -> JSON:  # fmt: skip
            """Save the assessment; this ends it."""
            said = {"verdict": verdict, "strengths": strengths, "weaknesses": weaknesses, "suggestions": suggestions}
            return {**said, "lessons": [each.model_dump() for each in lessons or ()]}

        figures = {"gates": context.gates, "training": context.training, "backtest": context.backtest,
                   "trials": context.trials.model_dump() if context.trials else None}  # fmt: skip
        desk.report(0, 1, f"Asking {model.id} for a judgement")
        prompt = assessment_prompt(context, json.dumps(figures, default=str, allow_nan=False), "save_assessment")
        said = talk.held(prompt, [], save_assessment, "save_assessment")
        return Assessment(**said, assessed_by=f"{model.id} ({model.provider})")

    def _model(self, name: str | None) -> LanguageModel:
        return choose_model(name or self.settings.model, self.settings.home)

    def _talk(self, model: LanguageModel, desk: Desk, noun: str) -> Conversation:
        from ktrdr.llm.conversation import Conversation, Terms

        own = self.settings
        terms = Terms(model, own.llm_timeout_seconds, own.llm_output_tokens, own.llm_retry_seconds)
        return Conversation(terms, desk, "Claude" if model.provider == "anthropic" else model.id, noun)


def hypothesis_of(text: str) -> str:
    """The idea that a strategy document names."""
    from ktrdr.strategy.load import load_strategy

    return load_strategy(text, "the designed strategy").strategy.hypothesis or ""
