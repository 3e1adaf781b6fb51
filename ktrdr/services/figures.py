"""What is counted and timed while the backend runs, for `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ktrdr.operations.engine import Slot
from ktrdr.operations.model import Operation
from ktrdr.operations.new import type_of

SHORT = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0)
CYCLE = "agent_research"
PHASES = {"agent_design": "designing", "training": "training", "backtesting": "backtesting", "agent_assessment": "assessing"}
"""The phase of a cycle that a child of it does."""
OUTCOMES = ("completed", "gate_failed", "failed", "cancelled")
GATES, PASSED, REFUSED = ("training", "backtest"), "passed", "refused"
TOKENS = ("input_tokens", "output_tokens")
"""Those of a cache are part of the first."""
LONG = (0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28800)


class OperationFigures:
    """Counts and times of operations; those of the rows are asked for when they are shown."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        each = ["type", "status"]
        self._rows = Gauge("ktrdr_operations", "Operations by type and status, over all rows.", each, registry=own)
        self._workers = Gauge("ktrdr_workers", "Places where operations can run.", ["profile", "status"], registry=own)
        self._ended = Counter("ktrdr_operations_ended", "Operations that ended since the backend started.", each, registry=own)
        self._attempts = Counter("ktrdr_operation_attempts", "Attempts that ended operations needed.", ["type"], registry=own)
        self._waited = seconds("ktrdr_operation_queue_seconds", "Time in the queue before the first start.", LONG, own)
        self._took = seconds("ktrdr_operation_duration_seconds", "Time from first start to end.", LONG, own)
        self._cancel = seconds("ktrdr_cancel_seconds", "Time from asking for a cancel to its end.", SHORT, own)
        self._cycles = Counter("agent_cycles", "Research cycles that ended.", ["outcome"], registry=own)
        self._cycle = Histogram("agent_cycle_duration_seconds", "Time of a research cycle.", buckets=LONG, registry=own)
        self._phase = Histogram("agent_phase_duration_seconds", "Time of a phase of a cycle.", ["phase"], buckets=LONG, registry=own)
        self._gates = Counter("agent_gate_results", "What gates said.", ["gate", "result"], registry=own)
        self._tokens = Counter("agent_tokens", "Tokens that language models read and wrote.", ["phase"], registry=own)
        self._tokens_used = Gauge("agent_tokens_used", "The same since the backend started.", ["phase"], registry=own)
        self._cost = Counter("agent_cost_dollars", "What language models cost, in US dollars.", ["phase"], registry=own)
        # What is counted rarely is shown from zero, so that its first time is seen as an increase.
        for outcome in OUTCOMES:
            self._cycles.labels(outcome)
        for phase in PHASES.values():
            for figure in (self._phase, self._tokens, self._tokens_used, self._cost):
                figure.labels(phase)
        for gate in GATES:
            for result in (PASSED, REFUSED):
                self._gates.labels(gate, result)

    def ended(self, operation: Operation) -> None:
        """An operation has ended."""
        self._count(operation)
        took = operation.duration_seconds or 0.0
        if operation.operation_type == CYCLE:
            refused = operation.error is not None and operation.error.code == "gate_failed"
            self._cycles.labels("gate_failed" if refused else operation.status.value).inc()
            self._cycle.observe(took)
            for gate in (operation.result_summary or {}).get("gates", ()):
                self._gates.labels(gate["gate"], PASSED if gate["passed"] else REFUSED).inc()
        elif (phase := phase_of(operation)) is not None:
            self._phase.labels(phase).observe(took)
            self._used(phase, operation)

    def _used(self, phase: str, operation: Operation) -> None:
        """What a phase asked of language models, also one that failed; a phase without them says nothing of it."""
        details = operation.error.details if operation.error else {}
        spent = (operation.result_summary or details).get("spent")
        if spent:
            tokens = sum(spent[name] for name in TOKENS)
            self._tokens.labels(phase).inc(tokens)
            self._tokens_used.labels(phase).inc(tokens)
            self._cost.labels(phase).inc(spent["cost_usd"])

    def _count(self, operation: Operation) -> None:
        name = operation.operation_type
        self._ended.labels(name, operation.status.value).inc()
        self._attempts.labels(name).inc(operation.attempt)
        if operation.started_at and operation.completed_at:
            self._waited.labels(name).observe((operation.started_at - operation.created_at).total_seconds())
            self._took.labels(name).observe((operation.completed_at - operation.started_at).total_seconds())

    def cancelled(self, operation: Operation, seconds: float) -> None:
        """A cancel took so long, from the request to the end."""
        self._cancel.labels(operation.operation_type).observe(seconds)

    def text(self, rows: list[tuple[str, str, int]], slots: list[Slot]) -> bytes:
        """All figures in the text form of Prometheus."""
        self._rows.clear()
        for name, status, number in rows:
            self._rows.labels(name, status).set(number)
        self._workers.clear()
        for slot in slots:
            self._workers.labels(slot.profile, "busy" if slot.operation_id else "idle").inc()
        return generate_latest(self.registry)


def phase_of(operation: Operation) -> str | None:
    """The phase of a cycle that an operation does; None where it belongs to none."""
    return PHASES.get(operation.operation_type) if type_of(operation.parent_operation_id) == CYCLE else None


def seconds(name: str, meaning: str, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    """Times by type of operation."""
    return Histogram(name, meaning, ["type"], buckets=buckets, registry=registry)
