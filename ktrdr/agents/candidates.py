"""The candidates of a campaign: what each cycle of one goal has come up with, best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ktrdr.agents.cycle import CycleResult
from ktrdr.agents.designer import Noun

JSON = dict[str, Any]
FIGURES = ("sharpe_ratio", "total_return_pct", "max_drawdown_pct", "total_trades")
"""Of the backtest."""


class GateAnswer(Noun):
    """What a gate said."""

    gate: str
    passed: bool
    reason: str


class Candidate(Noun):
    """What one cycle came to; what it did not come to is None."""

    seed: int
    operation_id: str
    status: str
    strategy_name: str | None = None
    verdict: str | None = None
    gates: tuple[GateAnswer, ...] = ()
    passed: bool = False
    """Whether it passed every gate."""
    promoted: bool | None = None
    """Whether it is more than luck, given every trial that there was when it was tested."""
    failed_checks: tuple[str, ...] = ()
    """What it is not promoted for."""
    trials: int | None = None
    """How many there were then."""
    accuracy: float | None = None
    figures: dict[str, float | None] = Field(default_factory=dict)
    same_as: str | None = None
    """The cycle, above it in the table, that has come to the same strategy."""
    error_message: str | None = None


def candidate(seed: int, operation_id: str, status: str, result: CycleResult | None, error_message: str | None) -> Candidate:
    """What a cycle that has ended came to."""
    if result is None:
        return Candidate(seed=seed, operation_id=operation_id, status=status, error_message=error_message)
    promotion, metrics = result.promotion, (result.backtest or {}).get("metrics", {})
    return Candidate(
        seed=seed, operation_id=operation_id, status=status, strategy_name=result.strategy_name, verdict=result.verdict,
        gates=tuple(GateAnswer(**{name: gate[name] for name in GateAnswer.model_fields}) for gate in result.gates), passed=result.success,
        promoted=promotion.promoted if promotion else None,
        failed_checks=tuple(check.name for check in promotion.checks if not check.passed) if promotion else (),
        trials=promotion.trials.n if promotion else None,
        accuracy=result.training["gate_inputs"]["accuracy"] if result.training else None,
        figures={name: metrics.get(name) for name in FIGURES} if metrics else {}, error_message=error_message,
    )  # fmt: skip


def ranked(found: Sequence[Candidate]) -> list[Candidate]:
    """Best first: promoted, then through every gate, then through more gates, then by Sharpe ratio and by accuracy."""
    best = sorted(found, key=_place)
    first: dict[str, str] = {}
    return [
        one.model_copy(update={"same_as": earlier})
        if one.strategy_name and (earlier := first.setdefault(one.strategy_name, one.operation_id)) != one.operation_id
        else one
        for one in best
    ]


def _place(one: Candidate) -> tuple[object, ...]:
    sharpe, unknown = one.figures.get("sharpe_ratio"), float("-inf")
    return (
        not one.promoted, not one.passed, -sum(gate.passed for gate in one.gates), one.strategy_name is None,
        -(sharpe if sharpe is not None else unknown), -(one.accuracy if one.accuracy is not None else unknown), one.seed,
    )  # fmt: skip


def sentence(found: Sequence[Candidate]) -> str:
    """What the whole campaign came to.

    >>> sentence([Candidate(seed=7, operation_id="op_1", status="failed", error_message="no bars")])
    'none of 1 cycles passed its gates: 1 without a result'
    """
    passed, promoted = sum(one.passed for one in found), sum(bool(one.promoted) for one in found)
    refused = Counter(gate.gate for one in found for gate in one.gates if not gate.passed)
    lost = sum(one.strategy_name is None for one in found)
    ends = [f"{count} refused by the {gate} gate" for gate, count in sorted(refused.items(), reverse=True)]
    ends += [f"{lost} without a result"] if lost else []
    if not passed:
        return f"none of {len(found)} cycles passed its gates: {', '.join(ends)}"
    luck = f"{promoted} of them promoted" if promoted else "none of them promoted, so none is shown to be more than luck"
    return f"{passed} of {len(found)} cycles passed every gate, {luck}" + (f"; {', '.join(ends)}" if ends else "")
