from __future__ import annotations

from typing import Any

import pytest

from ktrdr.cli.follow import Bars, Lines, exit_code, nested, outcome, status_line
from ktrdr.cli.output import Output
from ktrdr.operations.model import Operation
from tests.cli_api import operation


def record(**changes: Any) -> Operation:
    return Operation.model_validate(operation(**changes))


def failed(code: str) -> Operation:
    return record(status="failed", error={"code": code, "message": "it broke"})


ENDS = [
    (record(status="completed"), 0, "Training completed successfully!"),
    (record(status="completed", result_summary={"status": "complete"}), 0, "Training completed successfully!"),
    (record(status="completed", result_summary={"status": "partial"}), 3, "Training completed, but only in part"),
    (failed("worker_lost"), 1, "Training failed: it broke"),
    (failed("gate_failed"), 4, "Training failed: it broke"),
    (record(status="cancelled"), 130, "Training was cancelled"),
]


@pytest.mark.parametrize(("operation", "code", "line"), ENDS)
def test_the_exit_code_and_the_last_line_tell_how_it_ended(operation: Operation, code: int, line: str) -> None:
    assert (exit_code(operation), outcome(operation, "Training")) == (code, line)


def test_the_step_is_shown_as_the_backend_words_it() -> None:
    step = {"current_step": "Epoch 5/10 · Batch 120/500 🖥️ RTX 3090: 85%"}
    assert status_line(record(progress=step)) == "Status: running - Epoch 5/10 · Batch 120/500 🖥️ RTX 3090: 85%"
    assert status_line(record(progress={})) == "Status: running"
    assert status_line(record(progress=step, cancelling=True)).startswith("Status: cancelling - ")


def test_a_line_is_printed_for_each_step_and_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    view = Lines(Output())
    for epoch, percentage in ((1, 0), (1, 3), (1, 9.9), (1, 10), (1, 12), (2, 15), (2, 16), (2, 100)):
        view.show(record(progress={"current_step": f"Epoch {epoch}/2", "percentage": percentage, "steps_completed": epoch}))
    view.close()
    assert capsys.readouterr().out.splitlines() == [
        "Status: running - Epoch 1/2 (0 %)", "Status: running - Epoch 1/2 (10 %)", "Status: running - Epoch 2/2 (15 %)",
        "Status: running - Epoch 2/2 (100 %)",
    ]  # fmt: skip


def cycle(child: dict[str, Any], phase: str = "training") -> Operation:
    progress = {"percentage": 41.5, "current_step": "Training model", "context": {"child": child}}
    return record(operation_type="agent_research", metadata={"phase": phase}, progress=progress)


def test_a_cycle_has_a_bar_for_itself_its_phase_and_the_batch_its_phase_is_at() -> None:
    child = {
        "operation_type": "training", "percentage": 40.0, "current_step": "Epoch 5/10 · Batch 120/500",
        "context": {"batch_number": 120, "batch_total_per_epoch": 500},
    }  # fmt: skip
    assert nested(cycle(child)) == [
        ("Status: running - Research", 41.5), ("  └─ 2/4 training", 40.0), ("    └─ Epoch 5/10 · Batch 120/500", 24.0),
    ]  # fmt: skip


def test_levels_without_data_are_left_out() -> None:
    child = {"operation_type": "agent_design", "percentage": 3.0, "current_step": "", "context": {}}
    assert nested(cycle(child, "something new")) == [("Status: running - Research", 41.5), ("  └─ agent_design", 3.0)]
    assert nested(record(progress={"percentage": 5.0})) == [("Status: running", 5.0)]


def test_bars_fit_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    bars = Bars()
    child = {"operation_type": "training", "percentage": 40.0, "current_step": "a step in many words " * 8, "context": {}}
    bars.show(cycle(child))
    bars.show(record(progress={"percentage": 50.0, "current_step": "again without a child"}))
    bars.close()
    shown = capsys.readouterr().out.splitlines()
    assert shown
    assert max(map(len, shown)) <= 80
