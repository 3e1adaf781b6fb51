"""What research, design and assessment settle before they begin."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ktrdr.agents.cycle import Plan
from ktrdr.errors import Invalid, NoData, NotFound
from ktrdr.kinds.agent_assessment import AgentAssessment
from ktrdr.kinds.agent_design import AgentDesign
from ktrdr.kinds.agent_research import AgentResearch
from ktrdr.kinds.base import KINDS, Workspace
from ktrdr.stores.trials import Trial

ASKED = {"agent_research", "agent_design", "agent_assessment", "training", "backtesting", "data_load", "dummy"}


def test_the_asked_types_of_operations_are_there():
    assert set(KINDS.names()) >= ASKED
    assert all(KINDS.get(name).__doc__ for name in ASKED)


def settled(kind: AgentResearch | AgentDesign) -> Plan:
    assert kind.plan is not None
    return kind.plan


def test_a_goal_is_understood_and_its_series_divided_by_time(workspace: Workspace):
    ready = AgentResearch(brief="find a momentum edge in EURUSD").prepare(workspace)
    dates = settled(ready).dates
    series = workspace.bars.find(
        "EURUSD", settled(ready).goal and next(s.timeframe for s in workspace.bars.series() if s.symbol == "EURUSD")
    )
    whole, train = (dates.test_end - dates.train_start), (dates.train_end - dates.train_start)
    assert dates.train_start == series.first
    assert train / whole == pytest.approx(0.7, abs=0.01)
    assert (dates.test_start - dates.train_end).days == 2
    about = ready.metadata()
    assert about["phase"] == "designing"
    assert about["understood"].startswith("momentum on EURUSD 1h")
    assert about["parameters"] == {"seed": 7, "tries": 32}


def test_without_a_goal_the_default_one_is_named(workspace: Workspace):
    about = AgentResearch().prepare(workspace).metadata()
    assert about["brief"] == "find a momentum edge"
    assert "by default: the goal, as none was given" in about["understood"]


def test_a_goal_about_bars_that_are_not_there_is_refused_before_anything_runs(workspace: Workspace):
    with pytest.raises(NoData, match="the goal names GBPUSD"):
        AgentResearch(brief="momentum in GBPUSD").prepare(workspace)


def test_an_unknown_designer_is_refused_with_the_known_ones(workspace: Workspace):
    for kind in (AgentResearch(designer="oracle"), AgentDesign(designer="oracle")):
        with pytest.raises(Invalid, match="no designer called 'oracle'") as refused:
            kind.prepare(workspace)
        assert refused.value.hint == "known: claude, offline, scripted"


def test_a_given_strategy_is_trained_and_tested_on_its_own_dates(workspace: Workspace):
    ready = AgentResearch(strategy="momentum").prepare(workspace)
    assert settled(ready).dates.sentence() == "trained 2012-01-01 to 2017-01-01, tested 2017-01-01 to 2019-01-01"
    assert ready.metadata()["phase"] == "training"
    assert ready.strategy_text is not None
    with pytest.raises(NotFound):
        AgentResearch(strategy="nothing").prepare(workspace)


def test_a_given_strategy_without_dates_gets_its_series_divided(workspace: Workspace):
    text = workspace.strategies.read("momentum").text.split("backtest:")[0]
    for line in ("  start_date: 2012-01-01\n", "  end_date: 2017-01-01\n"):
        text = text.replace(line, "")
    workspace.strategies.save("undated", text.replace("name: momentum", "name: undated"))
    dates = settled(AgentResearch(strategy="undated").prepare(workspace)).dates
    assert dates.train_end < dates.test_start


def test_a_strategy_that_would_be_tested_on_its_training_is_refused(workspace: Workspace):
    text = (
        workspace.strategies.read("momentum")
        .text.replace("start: 2017-01-01", "start: 2016-01-01")
        .replace("name: momentum", "name: leaky")
    )
    workspace.strategies.save("leaky", text)
    with pytest.raises(Invalid, match="do not lie behind its training"):
        AgentResearch(strategy="leaky").prepare(workspace)


def test_a_design_counts_what_was_tried_on_its_bars_before(workspace: Workspace):
    first = AgentDesign(brief="momentum in EURUSD").prepare(workspace)
    assert first.earlier_trials == 0
    tried = Trial(
        key="k",
        symbol="EURUSD",
        timeframe="1h",
        start=datetime(2010, 1, 1, tzinfo=UTC),
        end=datetime(2011, 1, 1, tzinfo=UTC),
        kind="search",
        operation_id="op",
        content_hash="h",
        score=0.1,
    )
    workspace.trials.append(tried)
    assert AgentDesign(brief="momentum in EURUSD").prepare(workspace).earlier_trials == 1


def test_only_the_offline_designer_needs_a_process_with_torch():
    assert AgentDesign().launch_profile() == "torch"
    assert AgentDesign(designer="scripted").launch_profile() == "light"
    assert AgentResearch().launch_profile() == "light"


def test_what_was_settled_survives_the_row(workspace: Workspace):
    ready = AgentResearch(brief="momentum in EURUSD").prepare(workspace)
    kept = AgentResearch.model_validate(json.loads(ready.model_dump_json()))
    assert kept == ready
    assert AgentDesign(plan=settled(ready)).prepare(workspace).plan == settled(ready)


def test_an_assessment_says_what_it_judges_and_who_does(workspace: Workspace):
    context = {"strategy_name": "momentum", "strategy_text": "", "gates": (), "training": {}, "backtest": {}, "trials": None}
    about = AgentAssessment(context=context, designer="scripted").prepare(workspace).metadata()
    assert (about["strategy_name"], about["designer"]) == ("momentum", "scripted")
    with pytest.raises(Invalid, match="no designer called 'oracle'"):
        AgentAssessment(context=context, designer="oracle").prepare(workspace)
