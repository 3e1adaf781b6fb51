"""A research cycle from goal to verdict, its children run on the spot by an engine of a few lines."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.agents.designer import Assessment
from ktrdr.agents.offline import OfflineDesigner
from ktrdr.errors import CycleError, GateError, KtrdrError, Unavailable, WorkerError
from ktrdr.evaluation.trials import Curve
from ktrdr.kinds.base import KINDS, Kind, Workspace
from ktrdr.llm.scripted import MEDIOCRE, ScriptedDesigner
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Cancelled, Drained, Job
from ktrdr.operations.model import CheckpointRef, ErrorRecord, Operation, Status
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.stores.models import ModelStore
from ktrdr.stores.strategies import StrategyStore
from ktrdr.stores.trials import Trial, TrialLedger

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
NUMBERS = itertools.count(1)
HOUR = Timeframe("1h")
LENIENT = {
    "gate_min_accuracy": 0.0, "gate_max_loss": 9.0, "gate_min_loss_decrease": -9.0, "gate_min_win_rate": 0.0, "gate_max_drawdown": 1.0,
    "gate_min_sharpe": -99.0,
}  # fmt: skip


def swinging_bars(count: int = 4000, seed: int = 3) -> Bars:
    """Hourly bars whose swings go on for a while: an edge that a momentum strategy can find."""
    random = np.random.default_rng(seed)
    drift = np.repeat(random.choice([-1.0, 1.0], count // 40 + 1), 40)[:count] * 4e-4
    close = 1.2 * np.exp(np.cumsum(drift + random.normal(0, 4e-4, count)))
    opened = np.concatenate(([close[0]], close[:-1]))
    high, low = np.maximum(opened, close) * 1.0001, np.minimum(opened, close) * 0.9999
    time = np.datetime64("2015-01-01T00:00:00", "us") + np.arange(count) * np.timedelta64(1, "h")
    return Bars.checked("EURUSD", HOUR, time, open=opened, high=high, low=low, close=close, volume=np.zeros(count), provider="synthetic")


def workspace_in(folder: Path, designer: ScriptedDesigner | None = None, **settings: Any) -> Workspace:
    home = folder / "home"
    bars = BarStore(home / "bars")
    bars.write(swinging_bars())
    return Workspace(
        settings=Settings(home=home, design_candidates=4, **settings), bars=bars, strategies=StrategyStore(home / "strategies"),
        models=ModelStore(home / "models"), checkpoints=CheckpointStore(home / "checkpoints"), trials=TrialLedger(folder / "trials.sqlite"),
        designers={"offline": OfflineDesigner(), "scripted": designer or ScriptedDesigner()},
    )  # fmt: skip


@dataclass
class OnTheSpot:
    """The other end of a job's pipe: children run at once, and everything said is kept."""

    workspace: Workspace
    operation_id: str
    children: dict[str, Operation] = field(default_factory=dict)
    metadata: JSON = field(default_factory=dict)
    progress: list[JSON] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checkpoints: list[CheckpointRef] = field(default_factory=list)
    steps: JSON = field(default_factory=dict)
    stop_at: dict[str, Exception] = field(default_factory=dict)
    """A step of the progress (its beginning), and how it is interrupted there."""
    _stop: Exception | None = None

    def send(self, message: JSON) -> None:
        if message["type"] == "progress":
            self.progress.append(message["progress"])
            step = message["progress"]["current_step"]
            self._stop = next((why for begin, why in self.stop_at.items() if step.startswith(begin)), self._stop)
        elif message["type"] == "metadata":
            self.metadata |= message["metadata"]
        else:
            self.warnings.append(message["text"])

    def interruption(self) -> Exception | None:
        return self._stop

    def ask(self, message: JSON) -> Any:
        if message["type"] == "checkpoint":
            self.checkpoints.append(CheckpointRef.model_validate(message["checkpoint"]))
            return None
        if message["type"] == "recall":
            return self.steps.get(message["step_key"])
        if message["type"] == "write" and message["command"] != "append_trial":
            return self.steps.setdefault(message["step_key"], message["fields"].get("answer"))
        if message["type"] == "write":
            key = f"{self.operation_id} {message['step_key']}"
            curve = Curve.model_validate(given) if (given := message["fields"].pop("curve", None)) else None
            self.workspace.trials.append(Trial(key=key, operation_id=self.operation_id, **message["fields"]), curve)
            return None
        for wanted in message["children"]:
            if wanted["step"] not in self.children:
                child = json.loads(json.dumps(wanted["parameters"], allow_nan=False))
                self.children[wanted["step"]] = run(self.workspace, wanted["operation_type"], child).operation
            if message["metadata_key"]:
                self.metadata[message["metadata_key"]] = self.children[wanted["step"]].operation_id
        return {"parked": False, "operations": [self.children[wanted["step"]].model_dump(mode="json") for wanted in message["children"]]}


@dataclass
class Ran:
    operation: Operation
    link: OnTheSpot
    kind: Kind
    raised: Exception | None = None

    @property
    def result(self) -> JSON:
        assert self.operation.result_summary is not None, self.operation.error_message
        return self.operation.result_summary


def run(workspace: Workspace, operation_type: str, parameters: JSON, resumed: CheckpointRef | None = None, **link: Any) -> Ran:
    """Prepare and run one operation as a runner would."""
    given = KINDS.get(operation_type)(**parameters).prepare(workspace)
    kind = type(given).model_validate(json.loads(given.model_dump_json()))
    operation = Operation(
        operation_id=f"op_{operation_type}_20261121_093000_{next(NUMBERS):08x}", operation_type=operation_type, created_at=datetime.now(UTC)
    )
    pipe = OnTheSpot(workspace, operation.operation_id, **link)
    job = Job(operation, pipe, resumed)
    raised: Exception | None = None
    try:
        result = kind.run(job, workspace)
        json.dumps(result, allow_nan=False)
        ended = {"status": Status.COMPLETED, "result_summary": json.loads(json.dumps(result))}
    except KtrdrError as error:
        raised = error
        record = ErrorRecord(code=error.error_code, message=error.message, hint=error.hint)
        ended = {"status": Status.FAILED, "error": record, "result_summary": getattr(error, "result", None)}
    except (Cancelled, Drained) as error:
        raised, ended = error, {"status": Status.CANCELLED}
    return Ran(operation.model_copy(update={**ended, "warnings": pipe.warnings}), pipe, kind, raised)


def test_a_cycle_goes_from_a_goal_to_a_verdict(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    ran = run(workspace, "agent_research", {"brief": "find a momentum edge in EURUSD"})
    found = ran.result
    assert found["success"]
    assert found["verdict"] in {"promising", "mediocre", "poor"}
    assert found["strategy_name"].startswith("momentum_eurusd_1h_")
    assert [gate["gate"] for gate in found["gates"]] == ["training", "backtest"]
    assert set(found["backtest"]["benchmarks"]) == {"buy_and_hold", "flat", "volatility_hold", "random_entry"}
    assert found["costs"].startswith("per side: spread")
    assert "not by a language model" in found["designed_by"]
    assert found["trials"]["count"] == 4
    assert set(ran.link.children) == {"designing", "training", "backtesting", "assessing"}
    ids = {"design_op_id", "training_op_id", "backtest_op_id", "assessment_op_id"}
    assert {*ids, "phase", "strategy_name", "training_result", "backtest_result", "assessment_verdict"} <= set(ran.link.metadata)
    assert Assessment.model_validate(workspace.strategies.assessment(found["strategy_name"])).verdict == found["verdict"]
    assert all(Path(path).exists() for path in found["files"].values())


def test_the_strategy_is_trained_on_the_earlier_bars_and_tested_on_the_later(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    ran = run(workspace, "agent_research", {"brief": "momentum in EURUSD"})
    dates = {name: datetime.fromisoformat(moment) for name, moment in ran.result["dates"].items()}
    assert dates["train_end"] < dates["test_start"]
    assert datetime.fromisoformat(ran.result["backtest"]["start"]) >= dates["test_start"]
    assert ran.result["backtest"]["in_sample"] is False
    searched = [trial for trial in workspace.trials.list() if trial.kind == "search"]
    assert len(searched) == 4
    assert all(trial.end <= dates["train_end"] for trial in searched)
    assert {trial.kind for trial in workspace.trials.list()} == {"search", "training", "backtest"}


def test_a_refused_training_gate_ends_the_cycle_with_everything_that_was_measured(tmp_path):
    ran = run(workspace_in(tmp_path, gate_min_accuracy=0.999), "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"})
    assert isinstance(ran.raised, GateError)
    assert ran.raised.message.startswith("Training gate failed: accuracy_below_threshold (")
    found = ran.result
    assert (found["success"], found["verdict"], found["backtest"]) == (False, "no edge", None)
    assert found["backtest_reason"].startswith("the training gate refused it")
    assert found["training"]["baselines"]["majority_accuracy"] is not None
    assert "backtesting" not in ran.link.children


def test_a_refused_backtest_gate_keeps_the_backtest(tmp_path):
    strict = LENIENT | {"gate_min_win_rate": 1.01}
    ran = run(workspace_in(tmp_path, **strict), "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"})
    assert isinstance(ran.raised, GateError)
    assert ran.raised.message.startswith("Backtest gate failed: win_rate_too_low (")
    assert ran.result["backtest"]["metrics"]["total_trades"] > 0
    assert ran.result["verdict"] == "no edge"
    assert "assessing" not in ran.link.children


def test_a_design_that_fails_ends_the_cycle_with_its_reason(tmp_path):
    failing = ScriptedDesigner(failure=Unavailable("Claude API error: rate_limit_exceeded"))
    ran = run(workspace_in(tmp_path, failing), "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"})
    assert isinstance(ran.raised, CycleError)
    assert ran.raised.message == "Design phase failed: Claude API error: rate_limit_exceeded"
    assert ran.raised.details["phase"] == "designing"


def test_a_phase_that_takes_too_long_ends_the_cycle(tmp_path):
    parameters = {"brief": "momentum in EURUSD", "designer": "scripted", "phase_minutes": 1e-9}
    ran = run(workspace_in(tmp_path), "agent_research", parameters)
    assert isinstance(ran.raised, WorkerError)
    assert ran.raised.message == "Design phase failed: Worker timeout after 1e-09 minutes"
    assert ran.raised.error_code == "timeout"


def test_a_given_strategy_is_examined_without_a_design(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    designed = run(workspace, "agent_design", {"brief": "momentum in EURUSD", "designer": "scripted"}).result
    ran = run(workspace, "agent_research", {"strategy": designed["strategy_name"], "designer": "scripted"})
    assert ran.result["strategy_name"] == designed["strategy_name"]
    assert ran.result["verdict"] == "mediocre"
    assert ran.result["trials"]["deflated_probability"] is None
    assert "designing" not in ran.link.children


def test_an_assessment_is_offered_to_later_designs(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    first = run(workspace, "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"}).result
    assert workspace.strategies.assessment(first["strategy_name"]) == MEDIOCRE.model_dump(mode="json")
    second = run(workspace, "agent_design", {"brief": "momentum in EURUSD", "designer": "scripted"}).result
    assert second["notes"] == ["1 earlier experiments were shown to the designer."]
    assert second["strategy_name"] == first["strategy_name"]


def trained(workspace: Workspace, **parameters: Any) -> Ran:
    return run(workspace, "training", {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-05-01", **parameters})


def test_a_training_shows_every_epoch_and_ends_at_the_whole(tmp_path):
    ran = trained(workspace_in(tmp_path))
    tens = {report["percentage"] for report in ran.link.progress}
    assert {5.0 * epoch for epoch in range(21)} <= tens
    middle = next(report for report in ran.link.progress if report["current_step"].startswith("Epoch 5/20 · Batch "))
    assert middle["steps_completed"] == 5
    assert middle["context"]["epoch_index"] == 5
    assert middle["context"]["total_epochs"] == 20
    assert middle["context"]["resource_usage"] == {"gpu_used": False}
    assert set(middle["context"]["epoch_metrics"]) >= {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert ran.result["epochs_run"] == 20
    assert ran.link.progress[-1]["percentage"] == 100


def test_a_training_that_was_drained_ends_with_the_same_bytes(tmp_path):
    workspace = workspace_in(tmp_path)
    whole = Path(trained(workspace).result["model_path"])
    expected = {file.name: file.read_bytes() for file in whole.iterdir()}
    parameters = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-05-01"}
    begun = run(workspace, "training", parameters, stop_at={"Epoch 7/20": Drained()})
    assert isinstance(begun.raised, Drained)
    resumed = run(workspace, "training", parameters, begun.link.checkpoints[-1])
    steps = [report["current_step"] for report in resumed.link.progress]
    assert next(step for step in steps if step.startswith("Epoch")) == "Epoch 7/20 · Batch 1/7"
    assert {file.name: file.read_bytes() for file in Path(resumed.result["model_path"]).iterdir()} == expected


def test_a_cancelled_training_stops_at_the_next_batch(tmp_path):
    ran = run(
        workspace_in(tmp_path), "training", {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-05-01"},
        stop_at={"Epoch 2/20": Cancelled()},
    )  # fmt: skip
    assert isinstance(ran.raised, Cancelled)
    assert ran.link.progress[-1]["current_step"].startswith("Epoch 2/20")


def test_the_overrides_of_a_training_have_an_effect(tmp_path):
    workspace = workspace_in(tmp_path)
    plain = trained(workspace).result
    assert "analytics" not in plain
    detailed = trained(workspace, validation_split=0.3, detailed_analytics=True).result
    assert detailed["data_summary"]["rows"]["validation"] > plain["data_summary"]["rows"]["validation"]
    assert len(detailed["analytics"]["confusion_matrix"]) == 3


def test_a_backtest_uses_the_newest_model_and_writes_its_trades(tmp_path):
    workspace = workspace_in(tmp_path)
    model = trained(workspace).result["model_path"]
    ran = run(workspace, "backtesting", {"strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2015-06-05"})
    found = ran.result
    assert found["model_path"] == model
    assert (found["in_sample"], found["provider"], found["symbol"]) == (False, "synthetic", "EURUSD")
    assert found["leak_proof"]["passed"] is True
    assert [check["name"] for check in found["leak_proof"]["checks"]] == ["features", "decisions", "trades", "warm_up", "fills"]
    assert found["metrics"]["total_trades"] == len(Path(found["files"]["trades"]).read_text().splitlines()) - 1
    files = {name: Path(path).read_bytes() for name, path in found["files"].items()}
    again = run(workspace, "backtesting", {"strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2015-06-05"}).result
    assert again["leak_proof"] == found["leak_proof"]
    assert {name: Path(path).read_bytes() for name, path in again["files"].items()} == files


def test_a_strategy_is_proved_without_a_model(tmp_path):
    dates = {"strategy_name": "momentum", "start_date": "2015-02-01", "end_date": "2015-06-05"}
    ran = run(workspace_in(tmp_path), "strategy_check", {**dates, "cuts": 3})
    proof = ran.result["leak_proof"]
    assert proof["passed"] is True, proof
    assert [check["name"] for check in proof["checks"]][-2:] == ["labels", "scaling"]
    stopped = run(workspace_in(tmp_path / "other"), "strategy_check", dates, stop_at={"Reading bars": Cancelled()})
    assert isinstance(stopped.raised, Cancelled)


def test_a_backtest_on_the_dates_of_the_training_is_marked(tmp_path):
    workspace = workspace_in(tmp_path)
    trained(workspace)
    ran = run(workspace, "backtesting", {"strategy_name": "momentum", "start_date": "2015-03-01", "end_date": "2015-06-05"})
    assert ran.result["in_sample"] is True
    assert any(text.startswith("in-sample: ") for text in ran.link.warnings)


def test_costs_named_by_the_user_come_before_the_usual_ones(tmp_path):
    workspace = workspace_in(tmp_path)
    trained(workspace)
    dates = {"strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2015-06-05"}
    usual = run(workspace, "backtesting", dates).result
    dear = run(workspace, "backtesting", {**dates, "commission": 0.01, "slippage": 0.0, "initial_capital": 5000.0}).result
    assert usual["costs"]["sentence"] == "per side: spread 0.00005 in price, slippage 0.00001 in price"
    assert dear["costs"]["sentence"] == "per side: commission 1.0000%"
    assert dear["initial_capital"] == 5000
    assert dear["metrics"]["total_return_pct"] < usual["metrics"]["total_return_pct"]


def test_a_split_in_the_prices_is_a_warning_and_a_note_of_the_cycle(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    whole = swinging_bars()
    split = np.where(np.arange(len(whole)) < 3500, 1.0, 0.25)
    prices = {name: getattr(whole, name) * split for name in ("open", "high", "low", "close")}
    workspace.bars.write(Bars.checked("EURUSD", HOUR, whole.time, **prices, volume=whole.volume, provider="synthetic"), refresh=True)
    found = run(workspace, "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"}).result
    assert [note for note in found["notes"] if "1 x split like, first on 2015-05-26" in note]


def test_a_child_that_was_cancelled_ends_the_cycle(tmp_path):
    child = Operation(
        operation_id="op_agent_design_1", operation_type="agent_design", created_at=datetime.now(UTC), status=Status.CANCELLED
    )
    ran = run(workspace_in(tmp_path), "agent_research", {"brief": "momentum in EURUSD"}, children={"designing": child})
    assert isinstance(ran.raised, CycleError)
    assert ran.raised.message == "Design phase failed: it was cancelled"


def test_a_child_that_cannot_be_started_ends_the_cycle_with_the_reason(tmp_path):
    workspace = workspace_in(tmp_path, **LENIENT)
    designed = run(workspace, "agent_design", {"brief": "momentum in EURUSD", "designer": "scripted"}).operation
    assert designed.result_summary is not None
    broken = designed.model_copy(update={"result_summary": designed.result_summary | {"text": "name: nothing\n"}})
    ran = run(workspace, "agent_research", {"brief": "momentum in EURUSD", "designer": "scripted"}, children={"designing": broken})
    assert isinstance(ran.raised, CycleError)
    assert ran.raised.message.startswith("Training failed: ")


def test_a_backtest_that_was_drained_ends_with_the_same_bytes(tmp_path):
    workspace = workspace_in(tmp_path)
    workspace.bars.write(swinging_bars(230_000), refresh=True)
    trained(workspace)
    parameters = {"strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2041-01-01"}
    whole = run(workspace, "backtesting", parameters).result
    begun = run(workspace, "backtesting", parameters, stop_at={"200,000/": Drained()})
    assert isinstance(begun.raised, Drained)
    assert begun.link.checkpoints[-1].position == "bar 200000"
    resumed = run(workspace, "backtesting", parameters, begun.link.checkpoints[-1]).result
    assert not any(report["current_step"].startswith("200,000/") for report in begun.link.progress[:-1])
    for name, path in whole["files"].items():
        assert Path(path).read_bytes() == Path(resumed["files"][name]).read_bytes()


def test_a_model_can_be_named_and_one_of_another_version_is_a_warning(tmp_path):
    workspace = workspace_in(tmp_path)
    named = Path(trained(workspace).result["model_path"])
    trained(workspace, end_date="2015-04-01")
    other = workspace.strategies.read("momentum").text.replace("confidence_threshold: 0.5", "confidence_threshold: 0.6")
    dates = {"start_date": "2015-05-05", "end_date": "2015-06-05"}
    relative = str(named.relative_to(workspace.models.root))
    ran = run(workspace, "backtesting", {"strategy": other, "model_path": relative, **dates})
    assert ran.result["model_path"] == str(named)
    assert "the model was trained on another version of the strategy" in ran.link.warnings


def test_the_costs_of_the_strategy_come_before_the_usual_ones(tmp_path):
    workspace = workspace_in(tmp_path)
    dear = workspace.strategies.read("momentum").text.replace("  filters:", "  costs: {commission: 0.002}\n  filters:")
    run(workspace, "training", {"strategy": dear, "start_date": "2015-01-01", "end_date": "2015-05-01"})
    found = run(workspace, "backtesting", {"strategy": dear, "start_date": "2015-05-05", "end_date": "2015-06-05"}).result
    assert found["costs"]["sentence"] == "per side: commission 0.2000%, slippage 0.00001 in price"
