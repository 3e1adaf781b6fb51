"""What an operation shows of itself: how it started, how it stands, what came of it. Lines for people, from the record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ktrdr.cli.output import age, block, duration, local_time, number, percent, size
from ktrdr.operations.model import Operation

JSON = dict[str, Any]
NOUNS = {
    "training": "Training",
    "backtesting": "Backtest",
    "data_load": "Data load",
    "agent_research": "Research",
    "agent_design": "Design",
    "agent_assessment": "Assessment",
    "dummy": "Dummy",
}
"""What each type of operation is called at the beginning of a sentence."""


def noun(operation_type: str) -> str:
    """What an operation of this type is called."""
    return NOUNS.get(operation_type, "Operation")


def started(operation: Operation) -> list[str]:
    """That it was started, and with which parameters."""
    if operation.operation_type == "agent_research":
        return ["Research cycle started!", *block([("Operation", operation.operation_id), *parameters(operation)])]
    return [f"Started {noun(operation.operation_type).lower()}: {operation.operation_id}", *block(parameters(operation))]


def resumed(operation: Operation) -> list[str]:
    """That it goes on from a checkpoint."""
    origin = operation.resumed_from or {}
    return [
        f"Resumed {noun(operation.operation_type).lower()} from checkpoint!",
        *block([
            ("Operation", operation.operation_id), ("Checkpoint", origin.get("checkpoint_id")),
            ("Resumed from", origin.get("operation_id")), ("Position", origin.get("position")), *parameters(operation),
        ]),
    ]  # fmt: skip


def parameters(operation: Operation) -> list[tuple[str, object]]:
    """The parameter block: what is worked on, and every further parameter that fits on a line."""
    about = operation.metadata
    period = f"{about.get('start_date') or 'first bar'} to {about.get('end_date') or 'last bar'} (UTC, end not included)"
    pairs: list[tuple[str, object]] = [
        ("Strategy", about.get("strategy_name")), ("Goal", about.get("brief")), ("Designer", about.get("designer")),
        ("Model", about.get("model")), ("Symbol", about.get("symbol")), ("Timeframe", about.get("timeframe")),
        ("Period", period if about.get("start_date") or about.get("end_date") else None),
    ]  # fmt: skip
    shown = {*about, "strategy", "strategy_name", "source"}
    more = about.get("parameters") or {}
    pairs += [(name.replace("_", " ").capitalize(), value) for name, value in more.items() if name not in shown and fits(value)]
    return pairs


def fits(value: object) -> bool:
    """Whether a value says something in the space of a line."""
    if isinstance(value, str):
        return 0 < len(value) <= 60 and "\n" not in value
    return value is not None and not isinstance(value, dict) and len(str(value)) <= 60


def one_operation(operation: Operation) -> list[str]:
    """One operation as it stands."""
    progress, checkpoint = operation.progress, operation.checkpoint
    lines = block([
        ("Operation", operation.operation_id), ("Type", operation.operation_type),
        ("Status", f"{operation.status.value} (cancelling)" if operation.cancelling and not operation.status.ended else operation.status.value),
        ("Progress", f"{progress.percentage:.0f} %"), ("Step", progress.current_step), ("Parent", operation.parent_operation_id),
        ("Created", local_time(operation.created_at)), ("Started", operation.started_at and local_time(operation.started_at)),
        ("Ended", operation.completed_at and local_time(operation.completed_at)),
        ("Duration", operation.started_at and duration(operation.duration_seconds)),
        ("Attempt", operation.attempt if operation.attempt > 1 else None),
        ("Checkpoint", checkpoint and f"{checkpoint.checkpoint_id} ({checkpoint.position})"),
        ("Resumed from", (operation.resumed_from or {}).get("operation_id")), *parameters(operation),
        ("Error", operation.error_message), ("Hint", operation.error and operation.error.hint),
    ])  # fmt: skip
    return [*lines, *(f"  Warning: {warning}" for warning in operation.warnings), *summary(operation)]


def summary(operation: Operation) -> list[str]:
    """What came of an operation, where its record says enough."""
    show = {
        "training": training, "backtesting": backtest, "data_load": data_load, "agent_research": research, "dummy": dummy,
    }.get(operation.operation_type)  # fmt: skip
    return show(operation) if show and operation.status.ended else []


def training(operation: Operation) -> list[str]:
    """Scores beside what no model at all would reach, and where the model is."""
    found = operation.result_summary
    if not found:
        return []
    test, base, fitted = found["test_metrics"], found["baselines"], found["training_metrics"]
    info = found["model_info"]
    return ["", "Training results:", *block([
        ("Accuracy", f"{percent(test['accuracy'])} on the test bars (most frequent class: {percent(base.get('majority_accuracy'))})"),
        ("Precision", test["precision"] is not None and percent(test["precision"])),
        ("Recall", test["recall"] is not None and percent(test["recall"])),
        ("F1 score", test["f1_score"] is not None and percent(test["f1_score"])),
        ("Test loss", f"{number(test['loss'])} (class frequencies alone: {number(base.get('majority_loss'))})"),
        ("Train loss", f"{number(fitted.get('initial_loss'))} before, {number(fitted.get('final_train_loss'))} after"),
        ("Validation loss", number(fitted.get("final_val_loss"))),
        ("Epochs run", f"{fitted.get('epochs_completed')}, the best one kept: {fitted.get('best_epoch')}"),
        ("Time", duration(operation.duration_seconds)),
        ("Model size", size(info.get("model_size_bytes"))),
        ("Model", info.get("model_path")),
    ])]  # fmt: skip


def backtest(operation: Operation) -> list[str]:
    """The figures beside buy-and-hold and beside doing nothing."""
    found = operation.result_summary
    if not found:
        return []
    return ["", "Backtest results:", *figures(found), *block([("Costs", (found.get("costs") or {}).get("sentence"))])]


def figures(found: JSON) -> list[str]:
    """Return, Sharpe, drawdown, trades and win rate, a column for each way to act."""
    benchmarks = found.get("benchmarks") or {}
    columns = {"strategy": found["metrics"], "buy and hold": benchmarks.get("buy_and_hold"), "always flat": benchmarks.get("flat")}
    rows = [
        ("Total return", lambda m: percent(m["total_return_pct"], 2)),
        ("Sharpe ratio", lambda m: number(m["sharpe_ratio"], 2)),
        ("Max drawdown", lambda m: percent(m["max_drawdown_pct"], 2)),
        ("Total trades", lambda m: str(m["total_trades"])),
        ("Win rate", lambda m: percent(m["win_rate"])),
    ]
    shown = {name: metrics for name, metrics in columns.items() if metrics}
    head = "  " + " " * 14 + "".join(f"{name:>14}" for name in shown)
    return [head, *(f"  {label:<14}" + "".join(f"{write(metrics):>14}" for metrics in shown.values()) for label, write in rows)]


def data_load(operation: Operation) -> list[str]:
    """Bars loaded, their range, the time it took, and what the provider had to say."""
    found = operation.result_summary
    if not found:
        return []
    return ["", "Data load results:", *block([
        ("Symbol", f"{found.get('symbol')} {found.get('timeframe')}"), ("Provider", found.get("provider")),
        ("Status", found.get("status")), ("Bars loaded", found.get("bars_loaded")),
        ("Date range", f"{found.get('first')} to {found.get('last')}" if found.get("first") else None),
        ("Time", duration(operation.duration_seconds)), ("Diagnosis", found.get("diagnosis")),
    ]), *(f"  Warning: {warning}" for warning in operation.warnings)]  # fmt: skip


def dummy(operation: Operation) -> list[str]:
    """How far it came."""
    progress = operation.progress
    return [f"  Completed {progress.steps_completed or 0}/{progress.steps_total or 0} iterations"]


def research(operation: Operation) -> list[str]:
    """The strategy in words, each gate with its figures, the backtest beside its benchmarks, and the verdict."""
    found = operation.result_summary
    if not found:
        return []
    lines = ["", f"Strategy: {found.get('strategy_name')}", *(f"  {line}" for line in found.get("strategy_in_words") or [])]
    for gate in found.get("gates") or []:
        lines += ["", f"{gate['gate'].capitalize()} gate: {'passed' if gate['passed'] else 'refused'}", *map(check_line, gate["checks"])]
    tested = found.get("backtest")
    if tested:
        lines += ["", "Backtest, on bars that the design has not seen:", *figures(tested)]
    else:
        lines += ["", f"Backtest: none ({found.get('backtest_reason')})"]
    return lines


def check_line(check: JSON) -> str:
    """One check of a gate: value, threshold, and what knowing nothing gives."""
    return f"  {'ok' if check['passed'] else 'no':<3} {check['check']}: {check['value']} against {check['threshold']}"


def dry_run(payload: JSON, check: JSON) -> list[str]:
    """What a training would be given."""
    return ["DRY RUN: nothing is started"]


def validation(named: str, check: JSON) -> list[str]:
    """Whether a strategy is valid, and every mistake with its place."""
    return []


def agent_status(answer: JSON) -> list[str]:
    """The cycle that runs, or the last one."""
    return []


def agent_cancelled(answer: JSON) -> list[str]:
    """That the cycle and its child were cancelled."""
    child = answer.get("child_cancelled")
    return [
        "Cancellation requested",
        "Research cycle cancelled!",
        f"  Operation: {answer['operation_id']}",
        *([f"  Child operation: {child}"] if child else []),
    ]


def agent_budget(answer: JSON) -> list[str]:
    """What may be spent, was spent and is left."""
    return block((name.replace("_", " ").capitalize(), value) for name, value in answer.items())
