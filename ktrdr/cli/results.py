"""What an operation shows of itself: how it started, how it stands, what came of it. Lines for people, from the record."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import Any

from ktrdr.cli import campaigns, scores
from ktrdr.cli.backtests import tested
from ktrdr.cli.explained import explanation
from ktrdr.cli.output import block, duration, local_time, minute, number, percent, size, table_lines
from ktrdr.cli.verdict import interval_lines, promotion_lines, scrutiny_lines
from ktrdr.errors import Problem
from ktrdr.operations.model import Happening, Operation

JSON = dict[str, Any]
NOUNS = {
    "training": "Training",
    "backtesting": "Backtest",
    "strategy_check": "Check",
    "model_explanation": "Explanation",
    "data_load": "Data load",
    "agent_research": "Research",
    "agent_design": "Design",
    "agent_assessment": "Assessment",
    "training_campaign": "Campaign",
    "research_campaign": "Campaign",
    "dummy": "Dummy",
}
"""What each type of operation is called at the beginning of a sentence."""
PHASES = ("designing", "training", "backtesting", "assessing")
"""Of a research cycle, in order."""


def noun(operation_type: str) -> str:
    """What an operation of this type is called."""
    return NOUNS.get(operation_type, "Operation")


def started(operation: Operation) -> list[str]:
    """That it was started, and with which parameters."""
    if operation.operation_type == "agent_research":
        return ["Research cycle started!", *block([("Operation", operation.operation_id), *parameters(operation.metadata)])]
    return [f"Started {noun(operation.operation_type).lower()}: {operation.operation_id}", *block(parameters(operation.metadata))]


def who_designs(operation: Operation, *, key: bool) -> list[str]:
    """Why a search designs and not a language model, where nobody has chosen."""
    if operation.metadata.get("designer") != "offline":
        return []
    if key:
        return ["  The backend does not have your ANTHROPIC_API_KEY: ktrdr down, then again."]
    return ["  No key is set: a search designs. Set ANTHROPIC_API_KEY and Claude does."]


def resumed(operation: Operation) -> list[str]:
    """That it goes on from a checkpoint."""
    origin = operation.resumed_from or {}
    return [
        f"Resumed {noun(operation.operation_type).lower()} from checkpoint!",
        *block([
            ("Operation", operation.operation_id), ("Checkpoint", origin.get("checkpoint_id")),
            ("Resumed from", origin.get("operation_id")), ("Position", origin.get("position")), *parameters(operation.metadata),
        ]),
    ]  # fmt: skip


def history(happened: list[Happening]) -> list[str]:
    """What has happened to an operation, one line each."""
    rows = [
        (
            local_time(one.at),
            str(one.attempt),
            one.event.replace("_", " "),
            ", ".join(f"{name} {value}" for name, value in one.detail.items()),
        )
        for one in happened
    ]
    return table_lines(("TIME", "ATTEMPT", "WHAT", ""), rows, None)


def parameters(about: JSON) -> list[tuple[str, object]]:
    """The parameter block from an operation's metadata: what is worked on, and every further parameter that fits on a line."""
    period = f"{about.get('start_date') or 'first bar'} to {about.get('end_date') or 'last bar'} (UTC, end not included)"
    understood = (about.get("understood") or "").removeprefix("Understood as: ")
    pairs: list[tuple[str, object]] = [
        ("Strategy", about.get("strategy_name")), ("Goal", about.get("brief")), ("Understood", understood),
        ("Designer", about.get("designer")),
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
    return value not in (None, False, [], {}) and not isinstance(value, dict) and len(str(value)) <= 60


def one_operation(operation: Operation) -> list[str]:
    """One operation as it stands."""
    progress, checkpoint = operation.progress, operation.checkpoint
    ended = operation.status.ended
    lines = block([
        ("Operation", operation.operation_id), ("Type", operation.operation_type),
        ("Status", f"{operation.status.value} (cancelling)" if operation.cancelling and not ended else operation.status.value),
        ("Progress", f"{progress.percentage:.0f} %"), ("Step", progress.current_step), ("Parent", operation.parent_operation_id),
        ("Created", local_time(operation.created_at)), ("Started", operation.started_at and local_time(operation.started_at)),
        ("Ended", operation.completed_at and local_time(operation.completed_at)),
        ("Duration", operation.started_at and duration(operation.duration_seconds)),
        ("Attempt", operation.attempt if operation.attempt > 1 else None),
        ("Checkpoint", checkpoint and f"{checkpoint.checkpoint_id} ({checkpoint.position})"),
        ("Resumed from", (operation.resumed_from or {}).get("operation_id")), *parameters(operation.metadata),
        ("Error", operation.error_message), ("Hint", operation.error and operation.error.hint),
    ])  # fmt: skip
    warned = (f"  Warning: {warning}" for warning in operation.warnings)
    return [*lines, *warned, *campaigns.at_work(operation), *summary(operation)]


def summary(operation: Operation) -> list[str]:
    """What came of an operation, where its record says enough."""
    show = {
        "training": training, "backtesting": backtest, "strategy_check": check, "model_explanation": explanation,
        "data_load": data_load, "agent_research": research, "dummy": dummy,
        "training_campaign": campaigns.trainings, "research_campaign": campaigns.cycles,
    }.get(operation.operation_type)  # fmt: skip
    return show(operation) if show and operation.status.ended else []


def training(operation: Operation) -> list[str]:
    """Scores of every split beside what no model at all would reach, and where the model is."""
    found = operation.result_summary
    if not found:
        return []
    fitted, info = found["training_metrics"], found["model_info"]
    return ["", "Training results:", *scores.lines(found), "", *block([
        ("Train loss", f"{number(fitted.get('initial_loss'))} before, {number(fitted.get('final_train_loss'))} after"),
        ("Validation loss", number(fitted.get("final_val_loss"))),
        ("Epochs run", f"{fitted.get('epochs_completed')}, the best one kept: {fitted.get('best_epoch')}"),
        ("Time", duration(operation.duration_seconds)),
        ("Model size", f"{size(found['model_size_bytes'])}, {info.get('parameters_count')} parameters"),
        ("Model", found["model_path"]), ("Next", f"ktrdr backtest {found['strategy_name']} --start DATE --end DATE --follow"),
    ])]  # fmt: skip


def backtest(operation: Operation) -> list[str]:
    """The figures beside buy-and-hold and beside doing nothing."""
    found = operation.result_summary
    if not found:
        return []
    period = f"{found['start_date']} to {found['end_date']}, bars of {found['provider']}"
    files = found["files"]
    return [
        "", f"Backtest results, {found['symbol']} {found['timeframe']}, {period}:",
        *figures(found), *interval_lines(found.get("intervals")), *tested(found),
        *block([
            ("Equity", f"{number(found['initial_capital'], 2)} before, {number(found['final_equity'], 2)} after"),
            ("Costs", found["costs"]["sentence"]), ("Leak proof", proof_in_words(found.get("leak_proof"))),
            *((f"{kind.capitalize()} file", path) for kind, path in files.items()),
        ]),
        *scrutiny_lines(found.get("scrutiny")), *promotion_lines(found.get("promotion")),
        *(f"  Warning: {warning}" for warning in operation.warnings),
    ]  # fmt: skip


def check(operation: Operation) -> list[str]:
    """Each check of a leak proof with its answer, and the bar at which something is wrong."""
    found = operation.result_summary
    if not found:
        return []
    period = f"{found['start_date']} to {found['end_date']}, bars of {found['provider']}"
    rows = [(one["name"].replace("_", " "), "passed" if one["passed"] else "LEAK", told(one)) for one in found["leak_proof"]["checks"]]
    head = f"Leak check of {found['strategy_name']}, {found['symbol']} {found['timeframe']}, {period}:"
    warned = (f"  Warning: {warning}" for warning in operation.warnings)
    return ["", head, *table_lines(("CHECK", "RESULT", ""), rows, None), *warned]


def told(check: JSON) -> str:
    """The reason of a check's answer, behind the bar it is about."""
    return f"bar of {minute(check['time'])}: {check['reason']}" if check["time"] else str(check["reason"])


def proof_in_words(proof: JSON | None) -> str | None:
    """Whether the leak proof of a backtest passed, in one line."""
    if proof is None:
        return None
    wrong = [one for one in proof["checks"] if not one["passed"]]
    return f"LEAK: {wrong[0]['name']}: {wrong[0]['reason']}" if wrong else f"passed, {len(proof['checks'])} checks"


def figures(found: JSON) -> list[str]:
    """Return, Sharpe, drawdown, trades and win rate, a column for each way to act."""
    benchmarks = found.get("benchmarks") or {}
    columns = {"strategy": found["metrics"], "buy and hold": benchmarks.get("buy_and_hold"), "always flat": benchmarks.get("flat")}
    rows: list[tuple[str, Callable[[JSON], str]]] = [
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
    """Bars loaded, their range, what is missing, the time it took, and what the provider had to say."""
    found = operation.result_summary
    if not found:
        return []
    gaps = ", ".join(f"{one['bars']:,} bars {reason}" for reason, one in (found.get("gaps") or {}).items())
    waited = f", of which {duration(found['seconds_waiting'])} waiting for the provider's limits" if found.get("seconds_waiting") else ""
    asked = f", {found['requests']} requests" if found.get("requests") else ""
    return ["", "Data load results:", *block([
        ("Symbol", f"{found.get('symbol')} {found.get('timeframe')}"), ("Provider", found.get("provider")),
        ("Origin", found.get("origin")), ("Status", found["status"]),
        ("Bars loaded", f"{found['bars_loaded']:,} (stored in all: {found['bars_total']:,})"),
        ("Changed", f"{found['replaced']:,}" if found.get("replaced") else None),
        ("Date range", f"{minute(found['first'])} to {minute(found['last'])} (UTC)" if found["first"] else None),
        ("Missing", gaps and f"{gaps}; ktrdr data gaps {found.get('symbol')} {found.get('timeframe')}"),
        ("Time", f"{duration(operation.duration_seconds)}{asked}{waited}"), ("Diagnosis", found.get("diagnosis")),
    ]), *(f"  Warning: {warning}" for warning in operation.warnings)]  # fmt: skip


def plan(about: JSON) -> list[str]:
    """What a load is going to ask for; nothing where nobody has to be asked."""
    if not about.get("requests"):
        return []
    count = about["parts"]
    parts = "1 part" if count == 1 else f"{count} parts"
    return [f"  Plan: {parts}, about {about['bars']:,} bars in {about['requests']} requests, about {duration(about['seconds'])}"]


def dummy(operation: Operation) -> list[str]:
    """How far it came."""
    progress = operation.progress
    return [f"  Completed {progress.steps_completed or 0}/{progress.steps_total or 0} iterations"]


def research(operation: Operation) -> list[str]:
    """The strategy in words, each gate with its figures, the backtest beside its benchmarks, and the verdict."""
    found = operation.result_summary
    if not found:
        return spent(operation.error.details.get("spent")) if operation.error else []
    dates = {name: str(moment)[:10] for name, moment in found["dates"].items()}
    lines = ["", f"Strategy: {found['strategy_name']}", f"Designed by: {found['designed_by']}"]
    lines += [f"  {line}" for line in found["strategy_in_words"]]
    lines += ["", f"Trained {dates['train_start']} to {dates['train_end']}, tested {dates['test_start']} to {dates['test_end']} (UTC)"]
    lines += [f"Costs {found['costs']}"] if found["costs"] else []
    lines += ["", *gate_lines(found["gates"]), ""]
    if found["backtest"]:
        lines += [
            "Backtest, on bars that the design has not seen:",
            *figures(found["backtest"]),
            *interval_lines(found["backtest"].get("intervals")),
        ]
        lines += scrutiny_lines(found["backtest"].get("scrutiny"))
    else:
        lines += [f"Backtest: none, {found['backtest_reason']}"]
    lines += ["", *luck(found["trials"]), *assessed(found["assessment"]), *(f"Note: {note}" for note in found["notes"])]
    lines += ["", *promotion_lines(found.get("promotion"))]
    lines += ["", f"Verdict: {found['verdict']} ({found['verdict_reason']})", *spent(found.get("spent")), ""]
    lines += [f"  {kind + ':':<12} {path}" for kind, path in found["files"].items()]
    return [*lines, *(f"  Next:        {command}" for command in found["next"])]


def gate_lines(gates: list[JSON]) -> list[str]:
    """Each check of each gate: its value, its limit, and what knowing nothing gives."""
    rows = [
        (
            gate["gate"], check["check"].replace("_", " "), figure(check["check"], check["value"]),
            f"at {'most' if check['check'] in AT_MOST else 'least'} {figure(check['check'], check['threshold'])}",
            figure(check["check"], check["baseline"]) if check["baseline"] is not None else "-", "passed" if check["passed"] else "refused",
        )
        for gate in gates
        for check in gate["checks"]
    ]  # fmt: skip
    return table_lines(("GATE", "CHECK", "VALUE", "LIMIT", "BASELINE", "RESULT"), rows, None) if rows else ["Gates: none was reached"]


AT_MOST = ("loss", "max_drawdown")
"""Checks whose limit is the largest value allowed."""


def figure(check: str, value: float | None) -> str:
    """A gate's figure in its own unit."""
    return number(value, 2 if check == "sharpe_ratio" else 3) if check in ("loss", "sharpe_ratio") else percent(value)


def luck(trials: JSON) -> list[str]:
    """How many strategies were tried, and what so many tries give by luck alone."""
    count = trials["count"]
    lines = [f"Trials: {count} {'strategy was' if count == 1 else 'strategies were'} scored on these bars"]
    if trials["best_sharpe_ratio"] is not None and trials["expected_by_luck"] is not None:
        best, expected = number(trials["best_sharpe_ratio"], 2), number(trials["expected_by_luck"], 2)
        lines.append(f"  the best has a Sharpe ratio of {best} on the validation bars; luck alone gives {expected}")
    if trials["deflated_probability"] is not None:
        lines.append(f"  probability that it is more than luck: {percent(trials['deflated_probability'])}")
    return lines


def assessed(assessment: JSON | None) -> list[str]:
    """Strengths, weaknesses and suggestions, and who says so."""
    if not assessment:
        return []
    signs = (("+", "strengths"), ("-", "weaknesses"), (">", "suggestions"))
    return [
        f"Assessment, by {assessment['assessed_by']}:",
        *(f"  {sign} {sentence}" for sign, kind in signs for sentence in assessment[kind]),
    ]


def dry_run(settled: JSON) -> list[str]:
    """What would be trained."""
    return ["DRY RUN: nothing is started", *block(parameters(settled)), "Everything that it needs is there."]


def validation(check: JSON) -> list[str]:
    """Whether a strategy is valid, and every mistake with its place."""
    errors, warnings = check["errors"], check["warnings"]
    mistakes = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    head = f"{check['name']} is valid: {check['features']} inputs" if check["valid"] else f"{check['name']} has {mistakes}:"
    listed = [f"  {problem_line(problem)}" for problem in errors]
    return [head, *listed, *(f"  Warning: {problem_line(problem)}" for problem in warnings)]


def problem_line(problem: JSON) -> str:
    """One mistake: its line and place, what is wrong, and the nearest valid word."""
    return str(Problem(**problem))


def agent_status(answer: JSON) -> list[str]:
    """The cycle that runs, or the last one."""
    if answer["status"] != "active":
        last = answer["last_cycle"]
        return ["No research cycle is running", *(["", "Last cycle:", *block(cycle_pairs(last))] if last else [])]
    progress = answer["progress"]
    return ["A research cycle is running", *block([
        ("Operation", answer["operation_id"]), ("Phase", answer["phase"]), ("Progress", f"{progress['percentage']:.0f} %"),
        ("Step", progress["current_step"]), ("Strategy", answer["strategy_name"]),
        ("Child operation", answer["child_operation_id"]), ("Started", local_time(answer["started_at"])),
    ])]  # fmt: skip


def cycle_pairs(last: JSON) -> list[tuple[str, object]]:
    """A cycle that has ended."""
    return [
        ("Operation", last["operation_id"]), ("Outcome", last["outcome"]), ("Strategy", last["strategy_name"]),
        ("Verdict", last["verdict"]), ("Error", last["error_message"]), ("Ended", local_time(last["completed_at"])),
    ]  # fmt: skip


def agent_cancelled(answer: JSON) -> list[str]:
    """That the cycle and its child were cancelled."""
    child = answer["child_cancelled"]
    return [
        "Cancellation requested", "Research cycle cancelled!", f"Operation: {answer['operation_id']}",
        *([f"Child operation: {child}"] if child else []),
    ]  # fmt: skip


def agent_budget(answer: JSON) -> list[str]:
    """What may be spent, was spent and is left."""
    lines = block([
        ("Day", f"{answer['date']} (UTC)"), ("Spent", f"${answer['today_spend']:.4f} in {answer['today_calls']} calls"),
        ("Left", f"${answer['remaining']:.4f} of ${answer['daily_limit']:.2f}"),
        ("Tokens", f"{answer['today_tokens']:,} of {answer['daily_tokens']:,}"),
        ("Limits", f"${answer['cycle_limit']:.2f} a cycle, ${answer['call_limit']:.2f} a call"),
    ])  # fmt: skip
    return [*lines, *(f"  {line}" for line in wrap(answer["message"], 76))]


def spent(cost: JSON | None) -> list[str]:
    """What a cycle has cost."""
    if not cost:
        return []
    return [f"Cost: ${cost['cost_usd']:.4f} for {cost['calls']} calls, {cost['input_tokens']:,} tokens in, {cost['output_tokens']:,} out"]
