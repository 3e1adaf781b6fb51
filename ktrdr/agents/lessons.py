"""What earlier experiments teach, and whether a new strategy is one of them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ktrdr.agents.cycle import CycleResult
from ktrdr.agents.designer import Experiment
from ktrdr.strategy.spec import INFORMATION, Strategy

JSON = dict[str, Any]
SAME = 0.95
"""Share of common choices from which two strategies are the same idea again."""
FIGURES = {
    "training": ("accuracy", "majority_accuracy", "final_loss"),
    "backtest": ("sharpe_ratio", "total_return_pct", "max_drawdown_pct", "win_rate", "total_trades"),
}


def choices_of(strategy: Strategy) -> tuple[str, ...]:
    """What makes it this strategy, one `place=value` each: not its names, words, dates or seed."""
    document = strategy.model_dump(mode="json", exclude={*INFORMATION, "backtest", "training_data"}, exclude_none=True)
    document["training"].pop("seed", None)
    return tuple(sorted(_leaves("", document)))


def likeness(one: Iterable[str], other: Iterable[str]) -> float:
    """Share of the choices of both that they have in common (Jaccard index).

    >>> likeness(["a=1", "b=2"], ["a=1", "b=3"])
    0.3333333333333333
    """
    first, second = set(one), set(other)
    return len(first & second) / len(first | second) if first | second else 1.0


def again(strategy: Strategy, experiments: Sequence[Experiment]) -> Experiment | None:
    """The earlier experiment, on the same bars, that this strategy is once more; None for a new idea."""
    choices = choices_of(strategy)
    alike = [
        (likeness(choices, each.choices), each)
        for each in experiments
        if each.symbol in strategy.symbols and each.timeframe == strategy.base_timeframe.name and each.strategy_name != strategy.name
    ]
    share, nearest = max(alike, key=lambda found: found[0], default=(0.0, None))
    return nearest if share >= SAME else None


def experiment_of(result: CycleResult, strategy: Strategy) -> Experiment:
    """What a cycle has come to, as later designs are told."""
    refused = next((gate for gate in result.gates if not gate["passed"]), None)
    assessment = result.assessment
    return Experiment(
        strategy_name=strategy.name, symbol=strategy.symbols[0], timeframe=strategy.base_timeframe.name,
        hypothesis=strategy.hypothesis or "",
        outcome=f"refused by the {refused['gate']} gate" if refused else str(result.verdict), reason=result.verdict_reason,
        figures=dict(_figures(result)), choices=choices_of(strategy), lessons=assessment.lessons if assessment else (),
    )  # fmt: skip


def _figures(result: CycleResult) -> Iterator[tuple[str, float | None]]:
    measured = {
        "training": (result.training or {}).get("gate_inputs", {}),
        "backtest": (result.backtest or {}).get("metrics", {}),
    }
    for part, names in FIGURES.items():
        yield from ((name, measured[part][name]) for name in names if name in measured[part])


def _leaves(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{place}.{key}" if place else key, inner)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for each in value:
            yield from _leaves(place, each)
    else:
        yield f"{place}={value}"
