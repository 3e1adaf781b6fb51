"""Strategies, models and indicators."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from ktrdr.api.deps import Answer, TheWorkspace
from ktrdr.errors import Invalid, InvalidStrategy
from ktrdr.indicators.base import INDICATORS
from ktrdr.kinds.base import Workspace
from ktrdr.market.timeframe import Timeframe
from ktrdr.reports.explain import explain
from ktrdr.stores.models import SavedModel
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.migrate import migrate
from ktrdr.strategy.rules import input_ids
from ktrdr.strategy.schema import strategy_schema
from ktrdr.strategy.sections import NNInput
from ktrdr.strategy.spec import Strategy

router = APIRouter()


class StrategySummary(BaseModel):
    """One strategy; one that has mistakes says so in `problem`."""

    name: str
    source: str
    path: str
    description: str | None = None
    symbols: list[str] = []
    timeframes: list[str] = []
    problem: str | None = None


class StrategyDetail(StrategySummary):
    """One strategy with its text, and in plain words."""

    text: str
    in_words: list[str] = []
    assessment: dict[str, Any] | None = None


class Feature(BaseModel):
    """One input of a network."""

    feature_id: str
    timeframe: str
    fuzzy_set: str | None
    membership: str | None
    indicator: str


class FeatureList(BaseModel):
    """The inputs of a strategy's network, in order."""

    strategy_name: str
    features: list[Feature]
    count: int


class Document(BaseModel, extra="forbid"):
    """A strategy by name, or as text with a name for its source."""

    strategy_name: str | None = None
    strategy: str | None = None
    source: str | None = None


class Found(BaseModel):
    """A mistake or a doubt, with its place."""

    place: str
    message: str
    line: int | None = None
    value: str | None = None
    nearest: str | None = None


class Validation(BaseModel):
    """Whether a strategy can be run, every mistake, and every doubt."""

    valid: bool
    name: str
    errors: list[Found]
    warnings: list[Found]
    features: int | None = None


class Migration(BaseModel):
    """A version 2 strategy as version 3, and what was left out."""

    text: str
    dropped: list[str]


class IndicatorSummary(BaseModel):
    """One indicator that strategies may use."""

    name: str
    aliases: list[str]
    category: str
    description: str
    outputs: list[str]
    needs_volume: bool
    parameters: dict[str, Any]


def summary(name: str, source: str, path: str, text: str) -> StrategySummary:
    """What is known of a strategy at a glance."""
    shown = StrategySummary(name=name, source=source, path=path)
    try:
        strategy = load_strategy(text, path).strategy
    except InvalidStrategy as error:
        return shown.model_copy(update={"problem": error.message})
    timeframes = [timeframe.name for timeframe in strategy.timeframes]
    return shown.model_copy(update={"description": strategy.description, "symbols": list(strategy.symbols), "timeframes": timeframes})


def document(body: Document, workspace: Workspace) -> tuple[str, str]:
    """The text that is meant, and what to call it."""
    if body.strategy is not None:
        return body.strategy, body.source or "the strategy"
    if body.strategy_name is None:
        raise Invalid("neither strategy_name nor strategy was given", hint="send one of them")
    stored = workspace.strategies.read(body.strategy_name)
    return stored.text, body.strategy_name


@router.get("/strategies", tags=["strategies"])
async def list_strategies(workspace: TheWorkspace) -> Answer[list[StrategySummary]]:
    """List the strategies that are known by name."""

    def look() -> list[StrategySummary]:
        return [summary(s.name, s.source, str(s.path), workspace.strategies.read(s.name).text) for s in workspace.strategies.list()]

    return Answer(data=await asyncio.to_thread(look))


@router.post("/strategies/validate", tags=["strategies"])
async def validate_strategy(body: Document, workspace: TheWorkspace) -> Answer[Validation]:
    """Check a strategy and explain every mistake with its place."""
    text, name = document(body, workspace)
    try:
        loaded = await asyncio.to_thread(load_strategy, text, name)
    except InvalidStrategy as error:
        mistakes = [Found(**asdict(problem)) for problem in error.problems]
        return Answer(data=Validation(valid=False, name=name, errors=mistakes, warnings=[]))
    doubts = [Found(**asdict(problem)) for problem in loaded.warnings]
    return Answer(data=Validation(valid=True, name=name, errors=[], warnings=doubts, features=len(loaded.strategy.feature_ids)))


@router.post("/strategies/migrate", tags=["strategies"])
async def migrate_strategy(body: Document, workspace: TheWorkspace) -> Answer[Migration]:
    """Turn a version 2 strategy into version 3."""
    migrated = await asyncio.to_thread(migrate, *document(body, workspace))
    return Answer(data=Migration(text=migrated.text, dropped=[str(dropped) for dropped in migrated.dropped]))


@router.get("/schemas/strategy", tags=["strategies"])
async def show_schema() -> Answer[dict[str, Any]]:
    """Show the grammar of strategies as JSON Schema, with which editors complete and check what is typed."""
    return Answer(data=await asyncio.to_thread(strategy_schema))


@router.get("/strategies/{name}", tags=["strategies"])
async def show_strategy(name: str, workspace: TheWorkspace) -> Answer[StrategyDetail]:
    """Show a strategy: its text, and what it does in plain words."""
    stored = await asyncio.to_thread(workspace.strategies.read, name)
    shown = summary(stored.name, stored.source, str(stored.path), stored.text)
    words = [] if shown.problem else list(explain(load_strategy(stored.text, name).strategy))
    detail = StrategyDetail(**shown.model_dump(), text=stored.text, in_words=words, assessment=workspace.strategies.assessment(name))
    return Answer(data=detail)


@router.get("/strategies/{name}/features", tags=["strategies"])
async def show_features(name: str, workspace: TheWorkspace) -> Answer[FeatureList]:
    """List the inputs of a strategy's network, in the order that is the model's contract."""
    return Answer(data=await asyncio.to_thread(features_of, (await asyncio.to_thread(workspace.strategies.read, name)).text, name))


@router.post("/strategies/features", tags=["strategies"])
async def features_of_text(body: Document, workspace: TheWorkspace) -> Answer[FeatureList]:
    """List the inputs of the network of a strategy that is sent as text."""
    return Answer(data=await asyncio.to_thread(features_of, *document(body, workspace)))


def features_of(text: str, source: str) -> FeatureList:
    """The inputs of the network a text describes."""
    strategy = load_strategy(text, source).strategy
    places = ((entry, timeframe) for entry in strategy.nn_inputs for timeframe in strategy.timeframes_of(entry))
    rows = [row for entry, timeframe in places for row in inputs(strategy, entry, timeframe)]
    return FeatureList(strategy_name=strategy.name, features=rows, count=len(rows))


def inputs(strategy: Strategy, entry: NNInput, timeframe: Timeframe) -> Iterator[Feature]:
    """The inputs that one entry of nn_inputs makes on one timeframe."""
    ids = input_ids(entry.model_copy(update={"timeframes": "all"}), (timeframe.name,), strategy.fuzzy_sets)
    fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
    words: Iterable[str | None] = fuzzy_set.words if fuzzy_set else (None,)
    reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
    for feature_id, word in zip(ids, words, strict=True):
        yield Feature(feature_id=feature_id, timeframe=timeframe.name, fuzzy_set=entry.fuzzy_set, membership=word, indicator=reference)


@router.get("/models", tags=["models"])
async def list_models(workspace: TheWorkspace) -> Answer[list[SavedModel]]:
    """List trained models, newest first."""
    return Answer(data=await asyncio.to_thread(workspace.models.list))


@router.get("/indicators", tags=["indicators"])
async def list_indicators() -> Answer[list[IndicatorSummary]]:
    """List the indicators that strategies may use."""
    return Answer(data=[
        IndicatorSummary(
            name=INDICATORS.name_of(indicator), aliases=list(indicator.aliases), category=indicator.category,
            description=(indicator.__doc__ or "").strip().splitlines()[0], outputs=list(indicator.outputs),
            needs_volume=indicator.needs_volume, parameters={n: f.default for n, f in indicator.model_fields.items()},
        )
        for indicator in INDICATORS
    ])  # fmt: skip
