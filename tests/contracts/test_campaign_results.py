"""What campaigns come to, their children run on the spot: scores and their spread, candidates and their places."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from ktrdr.agents.candidates import Candidate, GateAnswer, ranked, sentence
from ktrdr.agents.designer import Place
from ktrdr.agents.tools import DesignTools
from ktrdr.cli import results
from ktrdr.errors import GateError
from ktrdr.kinds.training_campaign import SeedResult, median_of
from ktrdr.operations.model import Status
from tests.contracts.test_claude import BARS, brief, new_desk
from tests.contracts.test_research_cycle import LENIENT, run, workspace_in

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
GOAL = "find a momentum edge in EURUSD"
TEXT = """
name: tiny
training_data: {symbols: [EURUSD], timeframes: [1h], history_required: 100, start_date: "2015-01-01", end_date: "2015-05-01"}
indicators:
  roc_5: {type: roc, period: 5}
fuzzy_sets:
  change: {indicator: roc_5, down: [-1, -0.3, 0], level: [-0.3, 0, 0.3], up: [0, 0.3, 1]}
nn_inputs:
  - {fuzzy_set: change, timeframes: all}
model: {type: mlp, architecture: {hidden_layers: [4]}}
decisions: {output_format: classification}
training: {epochs: 2, learning_rate: 0.01, seed: 7, labels: {source: zigzag, zigzag_threshold: 0.004}}
"""
TRAINING = {"strategy": TEXT, "source": "tiny.yaml"}


def files_of(path: str) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(Path(path).iterdir())}


def test_every_training_of_a_campaign_is_the_one_that_it_would_be_alone(tmp_path):
    workspace = workspace_in(tmp_path)
    ran = run(workspace, "training_campaign", {"seeds": 4, "training": TRAINING})
    found = ran.result
    assert [one["seed"] for one in found["seeds"]] == [7, 8, 9, 10]
    assert (found["completed"], found["failed"]) == (4, 0)
    for score in ("accuracy", "final_loss", "loss_decrease"):
        values = [one["scores"][score] for one in found["seeds"]]
        spread = found["spread"][score]
        assert (spread["mean"], spread["sd"]) == (pytest.approx(statistics.fmean(values)), pytest.approx(statistics.stdev(values)))
        assert (spread["min"], spread["max"]) == (min(values), max(values))
    middle = sorted((one["scores"]["accuracy"], one["seed"]) for one in found["seeds"])[1]
    assert found["median"]["seed"] == middle[1]
    alone = run(workspace, "training", {**TRAINING, "strategy": TEXT.replace("seed: 7", "seed: 9")}).result
    assert files_of(alone["model_path"]) == files_of(found["seeds"][2]["model_path"])
    assert run(workspace, "training", TRAINING).result["gate_inputs"]["accuracy"] == found["seeds"][0]["scores"]["accuracy"]
    assert workspace.trials.count("EURUSD") == 4 + 2
    lines = results.summary(ran.operation)
    assert "Campaign results of tiny: 4 of 4 trainings have a result" in lines
    assert any(line.startswith("sd ") for line in lines)


def test_a_campaign_without_a_single_result_fails_and_names_each(tmp_path):
    short = {**TRAINING, "end_date": "2015-01-08"}
    ran = run(workspace_in(tmp_path), "training_campaign", {"seeds": 2, "training": short})
    assert ran.operation.status is Status.FAILED
    assert ran.operation.error is not None
    assert ran.operation.error.code == "all_failed"
    assert ran.operation.error.message.startswith("none of the 2 trainings has a result; seed 7: ")
    assert [one["seed"] for one in ran.raised.details["children"]] == [7, 8]


def test_one_that_failed_is_shown_among_the_others(tmp_path):
    workspace = workspace_in(tmp_path)
    first = run(workspace, "training_campaign", {"seeds": 3, "training": TRAINING})
    lost = first.link.children["seed 8"].model_copy(update={"status": Status.CANCELLED, "result_summary": None})
    children = first.link.children | {"seed 8": lost}
    found = run(workspace, "training_campaign", {"seeds": 3, "training": TRAINING}, children=children).result
    assert (found["completed"], found["failed"], found["seeds"][1]["scores"]) == (2, 1, None)
    assert found["spread"]["accuracy"]["count"] == 2


def test_the_candidates_of_a_goal_are_different_strategies_in_their_places(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    ran = run(workspace, "research_campaign", {"candidates": 2, "research": {"brief": GOAL, "tries": 3}})
    found = ran.result
    assert (found["goal"], found["passed"]) == (GOAL, 2)
    assert sorted(one["seed"] for one in found["candidates"]) == [7, 8]
    assert len({one["strategy_name"] for one in found["candidates"]}) == 2
    assert {one["same_as"] for one in found["candidates"]} == {None}
    sharpe = [one["figures"]["sharpe_ratio"] for one in found["candidates"]]
    assert sharpe == sorted(sharpe, reverse=True)
    by_seed = {one["seed"]: one for one in found["candidates"]}
    assert by_seed[7]["trials"] < by_seed[8]["trials"] == found["trials"]
    assert found["sentence"].startswith("2 of 2 cycles passed every gate, none of them promoted, so none is shown to be more than luck")
    assert any(line.startswith("Verdict: 2 of 2 cycles") for line in results.summary(ran.operation))


def test_where_no_cycle_passes_the_campaign_ends_as_a_gate_does(tmp_path):
    ran = run(
        workspace_in(tmp_path, gate_min_accuracy=0.99), "research_campaign", {"candidates": 2, "research": {"brief": GOAL, "tries": 2}}
    )
    assert isinstance(ran.raised, GateError)
    assert ran.operation.error is not None
    assert (ran.operation.status, ran.operation.error.code) == (Status.FAILED, "gate_failed")
    assert ran.operation.error.message == "none of 2 cycles passed its gates: 2 refused by the training gate"
    assert len(ran.result["candidates"]) == 2
    assert any(line.startswith("Verdict: None of 2 cycles passed its gates") for line in results.summary(ran.operation))


def answered(seed: int, *gates: bool, name: str | None = "one", **more: Any) -> Candidate:
    said = tuple(GateAnswer(gate=gate, passed=passed, reason="so") for gate, passed in zip(("training", "backtest"), gates, strict=False))
    return Candidate(seed=seed, operation_id=f"op_{seed}", status="completed", strategy_name=name, gates=said, **more)


def test_the_best_comes_first_and_a_copy_is_named():
    found = [
        answered(1, name=None, error_message="lost"),
        answered(2, False, name="b"),
        answered(3, True, False, name="c", figures={"sharpe_ratio": 3.0}),
        answered(4, True, True, name="d", passed=True, promoted=False, figures={"sharpe_ratio": 1.0}),
        answered(5, True, True, name="d", passed=True, promoted=False, figures={"sharpe_ratio": 0.5}),
        answered(6, True, True, name="e", passed=True, promoted=True, figures={"sharpe_ratio": 0.2}),
    ]
    placed = ranked(found)
    assert [one.seed for one in placed] == [6, 4, 5, 3, 2, 1]
    assert [one.same_as for one in placed] == [None, None, "op_4", None, None, None]
    assert sentence(found) == (
        "3 of 6 cycles passed every gate, 1 of them promoted; 1 refused by the training gate, 1 refused by the backtest gate, "
        "1 without a result"
    )
    assert sentence(found[:3]).startswith("none of 3 cycles passed its gates: ")


def test_the_training_in_the_middle_is_one_of_them():
    def result(seed: int, accuracy: float | None) -> SeedResult:
        scores = {"accuracy": accuracy}
        return SeedResult(seed=seed, operation_id="", status=Status.COMPLETED, scores=scores, model_path="", error_message=None)

    assert median_of([result(1, 0.6), result(2, 0.5), result(3, 0.7), result(4, 0.55)]).seed == 4
    assert median_of([result(1, 0.5), result(2, 0.5), result(3, 0.5)]).seed == 2
    assert median_of([result(1, None)]) is None


def test_language_models_of_a_campaign_are_told_to_begin_elsewhere():
    def prompt(place: Place | None) -> str:
        return DesignTools(brief(place=place), BARS, new_desk().library).prompt("design", "save_strategy")

    alone, *several = (prompt(place) for place in (None, Place(number=1, of=2), Place(number=2, of=2)))
    assert "You are designer" not in alone
    told = [text.partition("build on at least one of these indicators: ")[2].partition(".")[0].split(", ") for text in several]
    assert told[0]
    assert told[1]
    assert not set(told[0]) & set(told[1])
