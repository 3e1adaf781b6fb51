"""What a campaign shows of its children: those at work, and what all of them came to. Lines for people, from the record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ktrdr.cli.output import block, number, percent, table_lines
from ktrdr.operations.model import MOST_CHILDREN, Operation

JSON = dict[str, Any]
Parallel = Annotated[
    int | None,
    typer.Option(
        help="So many at once; default: what this machine can train, on a cluster all.", min=1, max=MOST_CHILDREN, metavar="NUMBER"
    ),
]
WIDTH = 80
CALLED = {"accuracy": "test accuracy", "final_loss": "test loss", "loss_decrease": "loss decrease"}


def at_work(operation: Operation) -> list[str]:
    """The children that a campaign waits for now."""
    children = operation.progress.context.get("children")
    return ["", *child_lines(children)] if children and not operation.status.ended else []


def child_lines(children: Iterable[JSON]) -> list[str]:
    """Each child with its progress."""
    rows = [(one["operation_id"], one["status"], percent(one["percentage"] / 100, 0), one["current_step"]) for one in children]
    return table_lines(("CHILD", "STATUS", "PROGRESS", "STEP"), rows, None) if rows else ["It has started nothing"]


def trainings(operation: Operation) -> list[str]:
    """The scores of each seed, how far they spread, and which training is the median one."""
    found = operation.result_summary
    if not found:
        return lost(operation)
    rows = [(f"seed {one['seed']}", *scores_of(one["scores"]), one["operation_id"]) for one in found["seeds"]]
    spread = found["spread"]
    rows += [(name, *scores_of({score: spread[score][name] for score in CALLED}), "") for name in ("mean", "sd", "min", "max")]
    median = found["median"]
    near = median and f"seed {median['seed']}, {median['operation_id']}, by its {CALLED[median['score']]}"
    return [
        "", f"Campaign results of {found['strategy_name']}: {found['completed']} of {len(found['seeds'])} trainings have a result",
        *table_lines(("", *(called.upper() for called in CALLED.values()), "OPERATION"), rows, None),
        *(f"  Seed {one['seed']} failed: {one['error_message']}" for one in found["seeds"] if one["error_message"]),
        *block([("Median", near)]),
    ]  # fmt: skip


def scores_of(scores: JSON | None) -> tuple[str, ...]:
    """Accuracy, loss and loss decrease in their own units."""
    if scores is None:
        return ("-",) * len(CALLED)
    return percent(scores["accuracy"]), number(scores["final_loss"]), percent(scores["loss_decrease"])


def cycles(operation: Operation) -> list[str]:
    """The candidates, best first, with what gates and the promotion say of each."""
    found = operation.result_summary
    if not found:
        return lost(operation)
    rows = [
        (
            one["operation_id"], str(place), str(one["seed"]), one["strategy_name"] or "-", gates_of(one), promotion_of(one),
            number(one["figures"].get("sharpe_ratio"), 2) if one["figures"] else "-",
        )
        for place, one in enumerate(found["candidates"], 1)
    ]  # fmt: skip
    sentence, trials = found["sentence"], found["trials"]
    return [
        "", f"Campaign results for {found['goal']!r}:",
        *table_lines(("CYCLE", "PLACE", "SEED", "STRATEGY", "GATES", "PROMOTION", "SHARPE"), rows, WIDTH),
        *(f"  Note: {note}" for one in found["candidates"] for note in notes(one, trials)),
        "", f"Trials: {trials} on these bars by now, those of all cycles included",
        f"Verdict: {sentence[0].upper()}{sentence[1:]}.", f"  Next:        ktrdr status {found['candidates'][0]['operation_id']}",
    ]  # fmt: skip


def notes(one: JSON, trials: int) -> list[str]:
    """What must be known of a candidate beside its figures."""
    own = one["operation_id"]
    said = [f"{own} has the same strategy as {one['same_as']}"] if one["same_as"] else []
    said += [f"{own}: {one['error_message']}"] if one["strategy_name"] is None else []
    late = one["promoted"] and one["trials"] < trials
    return [*said, *([f"{own} was judged when there were {one['trials']} trials; by now there are {trials}"] if late else [])]


def gates_of(one: JSON) -> str:
    """How many gates a cycle passed, or which one refused it."""
    refused = [gate["gate"] for gate in one["gates"] if not gate["passed"]]
    return f"{refused[0]} refused" if refused else f"{len(one['gates'])} passed" if one["gates"] else "-"


def promotion_of(one: JSON) -> str:
    """Whether a candidate is promoted."""
    if one["promoted"] is None:
        return "-"
    return "promoted" if one["promoted"] else f"no, {len(one['failed_checks'])} failed"


def lost(operation: Operation) -> list[str]:
    """Why each child of a campaign without any result has none."""
    ends = operation.error.details.get("children", ()) if operation.error else ()
    return [f"  Seed {one['seed']}, {one['operation_id']}: {one['error_message'] or one['status']}" for one in ends]
