"""What `/metrics` says of operations and cycles that have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ktrdr.operations.engine import Slot
from ktrdr.operations.model import ErrorRecord, Operation, Status
from ktrdr.services.figures import OperationFigures

BORN = datetime(2026, 1, 1, tzinfo=UTC)


def ended(operation_type: str, status: Status, seconds: float = 3, **fields: Any) -> Operation:
    return Operation(
        operation_id=f"op_{operation_type}", operation_type=operation_type, status=status, created_at=BORN, attempt=2,
        started_at=BORN + timedelta(seconds=1), completed_at=BORN + timedelta(seconds=1 + seconds), **fields,
    )  # fmt: skip


def shown(figures: OperationFigures) -> dict[str, float]:
    lines = figures.text([("training", "completed", 7)], [Slot("a", "light", "op_1", 1), Slot("b", "light")]).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def test_operations_are_counted_and_timed() -> None:
    figures = OperationFigures()
    figures.ended(ended("training", Status.COMPLETED))
    figures.ended(ended("training", Status.FAILED, 5))
    figures.cancelled(ended("dummy", Status.CANCELLED), 0.07)
    found = shown(figures)
    assert found['ktrdr_operations{status="completed",type="training"}'] == 7
    assert found['ktrdr_operations_ended_total{status="failed",type="training"}'] == 1
    assert found['ktrdr_operation_attempts_total{type="training"}'] == 4
    assert found['ktrdr_operation_queue_seconds_sum{type="training"}'] == 2
    assert found['ktrdr_operation_duration_seconds_sum{type="training"}'] == 8
    assert found['ktrdr_cancel_seconds_bucket{le="0.05",type="dummy"}'] == 0
    assert found['ktrdr_cancel_seconds_bucket{le="0.1",type="dummy"}'] == 1
    assert found['ktrdr_workers{profile="light",status="busy"}'] == found['ktrdr_workers{profile="light",status="idle"}'] == 1


def test_cycles_their_phases_and_gates_are_counted() -> None:
    figures = OperationFigures()
    gates = [{"gate": "training", "passed": True}, {"gate": "backtest", "passed": False}]
    refused = ErrorRecord(code="gate_failed", message="Backtest gate failed: drawdown_too_high (45.2% > 40.0%)")
    figures.ended(ended("agent_research", Status.FAILED, 60, error=refused, result_summary={"gates": gates}))
    figures.ended(ended("agent_research", Status.COMPLETED, 40, result_summary={"gates": gates[:1]}))
    figures.ended(ended("agent_research", Status.CANCELLED))
    figures.ended(ended("training", Status.COMPLETED, 4, parent_operation_id="op_agent_research_20261121_093000_1a2b3c4d"))
    figures.ended(ended("training", Status.COMPLETED, 4))  # nobody's child: no phase
    figures.ended(ended("training", Status.COMPLETED, 4, parent_operation_id="op_training_campaign_20261121_093000_1a2b3c4d"))
    found = shown(figures)
    outcomes = {outcome: found[f'agent_cycles_total{{outcome="{outcome}"}}'] for outcome in ("gate_failed", "completed", "cancelled")}
    assert outcomes == {"gate_failed": 1, "completed": 1, "cancelled": 1}
    assert found["agent_cycle_duration_seconds_sum"] == 103
    assert found['agent_phase_duration_seconds_sum{phase="training"}'] == 4
    assert found['agent_gate_results_total{gate="training",result="passed"}'] == 2
    assert found['agent_gate_results_total{gate="backtest",result="refused"}'] == 1


def test_tokens_and_dollars_are_counted_by_phase_also_of_a_phase_that_failed() -> None:
    figures = OperationFigures()
    spent = {"calls": 2, "input_tokens": 107, "output_tokens": 20, "cache_read_tokens": 3, "cache_write_tokens": 4, "cost_usd": 0.25}
    child = {"parent_operation_id": "op_agent_research_20261121_093000_1a2b3c4d"}
    assert shown(figures)['agent_tokens_total{phase="designing"}'] == 0
    figures.ended(ended("agent_design", Status.COMPLETED, result_summary={"spent": spent}, **child))
    failed = ErrorRecord(code="unavailable", message="Claude API error: rate_limit_exceeded", details={"spent": spent})
    figures.ended(ended("agent_design", Status.FAILED, error=failed, **child))
    figures.ended(ended("agent_design", Status.COMPLETED, result_summary={"strategy_name": "found by a search"}, **child))
    figures.ended(ended("agent_assessment", Status.COMPLETED, result_summary={"spent": spent | {"cost_usd": 0.0}}, **child))
    found = shown(figures)
    assert found['agent_tokens_total{phase="designing"}'] == found['agent_tokens_used{phase="designing"}'] == 254
    assert found['agent_cost_dollars_total{phase="designing"}'] == 0.5
    assert found['agent_tokens_total{phase="assessing"}'] == 127
    assert found['agent_cost_dollars_total{phase="assessing"}'] == 0
    assert found['agent_tokens_total{phase="training"}'] == 0
