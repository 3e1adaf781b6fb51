"""Explaining a model as an operation: rules with what each earned, a student of a network, and the reasons of one bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.cli.results import explanation as shown
from ktrdr.errors import Invalid, NoData, NotFound
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.model_explanation import ModelExplanation
from ktrdr.operations.job import Cancelled
from ktrdr.reports.why import Explanation
from tests.contracts.test_research_cycle import run, workspace_in
from tests.planted import planted_bars, planted_strategy

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
TRAINED, TESTED = {"start_date": "2020-01-01", "end_date": "2020-06-01"}, {"start_date": "2020-06-01", "end_date": "2020-09-01"}
AT = "2020-08-10T07:30"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Bars with planted rules, a tsk and an mlp that learned from the first five months, and an lstm after one epoch."""
    workspace = workspace_in(tmp_path_factory.mktemp("explained"))
    workspace.bars.write(planted_bars())
    lstm = "{type: lstm, architecture: {hidden_size: 4, num_layers: 1, sequence_length: 5}}"
    for name, network in (("rules", "tsk"), ("layers", "mlp"), ("memory", lstm)):
        changes = {"name: planted": f"name: {name}"} | ({"epochs: 20": "epochs: 1"} if name == "memory" else {})
        if name == "layers":
            changes["  - {fuzzy_set: strength, timeframes: all}"] = "  - {raw_indicator: rsi_9, timeframes: all, normalization: zscore}"
            changes["  strength: {indicator"] = "  unused: {indicator"
        ran = run(workspace, "training", {"strategy": planted_strategy(network, **changes).to_yaml(), **TRAINED})
        assert ran.raised is None, ran.raised
    return workspace


def explained(workspace: Workspace, model: str, **given: Any) -> tuple[JSON, list[str]]:
    ran = run(workspace, "model_explanation", {"model": model, **TESTED, **given})
    assert ran.raised is None, ran.raised
    return ran.result, shown(ran.operation)


def test_the_rules_of_a_tsk_share_out_the_whole_result(workspace: Workspace) -> None:
    found, lines = explained(workspace, "rules")
    report, said = found["report"], "\n".join(lines)
    assert (report["origin"], report["called"], report["network"], report["in_sample"]) == ("model", "rules", "tsk", False)
    assert report["fidelity"]["value"] >= 0.98
    assert report["fidelity"]["together"] == 1.0
    assert sum(rule["bars"] for rule in report["rules"]) == report["bars"] > 2000
    assert sum(rule["trades"] for rule in report["rules"]) == report["trades"] > 3
    assert sum(rule["net_pnl"] for rule in report["rules"]) == pytest.approx(report["net_pnl"], rel=1e-9)
    bought = [rule for rule in report["rules"] if rule["signal"] == "buy"]
    assert bought[0]["precision"] > 0.8
    assert {c["word"] for c in bought[0]["conditions"]} == {"down", "up"}
    assert "Rules of rules (tsk), AAA 1h" in said
    assert "Fidelity: " in said
    assert "sketch" not in said
    assert all(len(line) <= 80 for line in lines if "/" not in line)


def test_the_file_holds_what_the_result_says_and_comes_back(workspace: Workspace) -> None:
    found, _ = explained(workspace, "rules", at=AT)
    text = Path(found["files"]["explanation"]).read_text(encoding="utf-8")
    assert json.loads(text) == {"report": found["report"], "bar": found["bar"]}
    assert Explanation.model_validate_json(text).report.schema_version == 1
    again, _ = explained(workspace, "rules", at=AT)
    assert Path(again["files"]["explanation"]).read_text(encoding="utf-8") == text


def test_a_backtest_of_rules_writes_what_each_earned(workspace: Workspace) -> None:
    text = workspace.models.load(ModelExplanation(model="rules").prepare(workspace).model).strategy.to_yaml()
    result = run(workspace, "backtesting", {"strategy": text, **TESTED}).result
    report = json.loads(Path(result["files"]["explanation"]).read_text(encoding="utf-8"))["report"]
    assert sum(rule["net_pnl"] for rule in report["rules"]) == pytest.approx(result["metrics"]["total_return"], rel=1e-6)
    assert sum(rule["trades"] for rule in report["rules"]) == result["trade_count"]
    assert report == explained(workspace, "rules")[0]["report"]


def test_a_network_is_explained_by_a_student_that_is_called_no_more_than_it_is(workspace: Workspace) -> None:
    for model in ("layers", "memory"):
        found, lines = explained(workspace, model)
        report, said = found["report"], "\n".join(lines)
        assert report["origin"] == "student"
        faithful = report["fidelity"]["value"] >= 0.95
        assert report["called"] == ("rules" if faithful else "sketch")
        assert f"{'Rules' if faithful else 'Sketch'} learned from the answers of {model}" in said
        assert ("a sketch of the model, not its rules" in said) is not faithful
        assert sum(rule["net_pnl"] for rule in report["rules"]) == pytest.approx(report["net_pnl"], rel=1e-9, abs=1e-6)


def test_the_reasons_of_a_bar_add_up_and_the_flip_is_named(workspace: Workspace) -> None:
    found, lines = explained(workspace, "rules", at=AT)
    bar, said = found["bar"], "\n".join(lines)
    assert bar["time"] == "2020-08-10T07:00:00+00:00"
    for name, value in bar["answer"].items():
        assert sum(vote["contribution"][name] for vote in bar["votes"]) == pytest.approx(value, abs=1e-9)
    assert [vote["share"] for vote in bar["votes"]] == sorted((vote["share"] for vote in bar["votes"]), reverse=True)
    assert bar["flip"]["signal"] != bar["signal"]
    assert f"Why rules (tsk) said {bar['signal'].upper()} on the bar of 2020-08-10 07:00 (UTC)" in said
    assert "It would have said" in said
    assert str(bar["flip"]["changes"][0]["to"]) in said.replace("\n", " ")


@pytest.mark.parametrize("model", ["layers", "memory"])
def test_the_flip_of_a_network_is_its_own_and_not_its_students(workspace: Workspace, model: str) -> None:
    from ktrdr.reports.inputs import answers_at, inputs_of
    from ktrdr.strategy.decisions import signals_of
    from tests.planted import HOUR

    found, _ = explained(workspace, model, at=AT)
    bar = found["bar"]
    network = workspace.models.load(found["model_path"])
    features = network.features({HOUR: planted_bars()})
    place = int(np.searchsorted(features.time, np.datetime64(bar["time"][:19])))
    assert bar["answer"]["buy"] == pytest.approx(network.predict(features)[place, 0], abs=1e-9)
    if bar["flip"] is None:
        return
    row = features.values[place][None].copy()
    for change in bar["flip"]["changes"]:
        next(i for i in inputs_of(network.strategy, network.scaling) if i.name == change["input"]).put(row, np.array([change["to"]]))
    before = features.values[place - network.architecture.sequence_length + 1 : place]
    signal = signals_of(answers_at(network, before, row), network.strategy.decisions)[0][0]
    assert ("buy", "hold", "sell")[signal] == bar["flip"]["signal"] != bar["signal"]


def test_a_model_is_found_by_strategy_operation_or_folder(workspace: Workspace) -> None:
    path = Path(ModelExplanation(model="rules", **TESTED).prepare(workspace).model)
    for named in (path.name, str(path), f"rules/{path.name}"):
        assert Path(ModelExplanation(model=named, **TESTED).prepare(workspace).model) == path
    about = ModelExplanation(model="rules", **TESTED, at=AT).prepare(workspace).metadata()
    assert (about["strategy_name"], about["symbol"], about["parameters"]["at"]) == ("rules", "AAA", AT)


def test_without_dates_it_is_judged_on_the_test_slice(workspace: Workspace) -> None:
    ready = ModelExplanation(model="rules").prepare(workspace)
    split = workspace.models.load(ready.model).training.split
    assert ready.start_date == split.test_start
    assert ready.end_date == "2020-06-01"
    found = run(workspace, "model_explanation", {"model": "rules"}).result
    assert found["report"]["in_sample"] is False
    known, lines = explained(workspace, "rules", start_date="2020-02-01")
    assert known["report"]["in_sample"] is True
    assert any("in-sample" in line for line in lines)


def test_what_cannot_be_explained_is_refused_with_a_hint(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="there is no model 'nothing'; trained strategies: "):
        ModelExplanation(model="nothing").prepare(workspace)
    with pytest.raises(Invalid, match="is not a date"):
        ModelExplanation(model="rules", **TESTED, at="noon").prepare(workspace)
    with pytest.raises(NoData):
        ModelExplanation(model="rules", symbol="ZZZ").prepare(workspace)
    early = run(workspace, "model_explanation", {"model": "rules", **TESTED, "at": "2020-01-01T05:00"})
    assert isinstance(early.raised, NoData)
    assert "has no answer at 2020-01-01 05:00: its inputs are known from 2020-01-02 00:00 on" in early.raised.message


def test_it_can_be_cancelled_while_it_learns(workspace: Workspace) -> None:
    stopped = run(workspace, "model_explanation", {"model": "layers", **TESTED}, stop_at={"Learning rules": Cancelled()})
    assert isinstance(stopped.raised, Cancelled)
