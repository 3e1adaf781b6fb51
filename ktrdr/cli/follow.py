"""An operation on the screen from its start to its end: bars on a terminal, lines in a pipe, objects in JSON mode."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ktrdr.cli import equity, results
from ktrdr.cli.answers import ApiError
from ktrdr.cli.client import AsyncCLIClient, Notice
from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.output import Output
from ktrdr.errors import Invalid, KtrdrError
from ktrdr.operations.model import Operation, Status

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ktrdr.cli.operation_adapters import OperationAdapter, ResearchOperationAdapter
    from ktrdr.cli.session import Session

JSON = dict[str, Any]
Heading = Callable[[Operation], list[str]]
LINE_SECONDS = 1.0
PARTIAL = 3


class View(Protocol):
    """A way to show an operation while it goes on."""

    def show(self, operation: Operation) -> None:
        """Show it as it is now."""

    def close(self) -> None:
        """Leave the screen to what follows."""


def begin(session: Session, adapter: OperationAdapter, *, follow: bool, heading: Heading) -> int:
    """Start what the adapter describes, follow it if asked to, and return the exit code."""
    work = followed if follow else detached
    return session.run(lambda client: work(client, session.output, adapter, heading))


def start(session: Session, adapter: OperationAdapter, *, follow: bool) -> int:
    """Begin; parameters that cannot be right are a usage error."""
    try:
        return begin(session, adapter, follow=follow, heading=results.started)
    except ApiError as error:
        if error.error_code != Invalid.code:
            raise
        raise UsageMistake(error.message, hint=error.hint, details=error.details) from None


def start_research(session: Session, adapter: ResearchOperationAdapter, *, follow: bool) -> int:
    """Begin a research cycle; the reason of a refusal is the message."""

    def heading(operation: Operation) -> list[str]:
        chosen = "designer" in adapter.options or adapter.strategy is not None
        return [*results.started(operation), *([] if chosen else results.who_designs(operation, key="ANTHROPIC_API_KEY" in os.environ))]

    try:
        return begin(session, adapter, follow=follow, heading=heading)
    except ApiError as error:
        if error.details.get("triggered") is not False and error.status != Invalid.http_status:
            raise
        reason = f"{error.error_code} ({error.message})"
        busy = error.details.get("operation_id")
        hint = f"ktrdr follow {busy}, or ktrdr cancel {busy}" if busy else error.hint
        raise KtrdrError(f"Could not start research: {reason}", code=error.error_code, hint=hint, details=error.details) from None


async def detached(client: AsyncCLIClient, output: Output, adapter: OperationAdapter, heading: Heading) -> int:
    """Start and say how to go on."""
    operation_id = await client.start_operation(adapter)
    operation = Operation.model_validate((await client.get(f"/operations/{operation_id}"))["data"])
    if output.json:
        output.document({
            "operation_id": operation.operation_id, "operation_type": operation.operation_type,
            "status": "started", "metadata": operation.metadata,
        })  # fmt: skip
    output.lines(heading(operation))
    output.lines(["", f"  Follow live:    ktrdr follow {operation_id}", f"  Track progress: ktrdr status {operation_id}"])
    return 0


async def followed(client: AsyncCLIClient, output: Output, adapter: OperationAdapter, heading: Heading) -> int:
    """Start and stay until the end; Ctrl+C cancels."""
    screen = Screen(output, heading)
    try:
        final = await client.execute_operation(adapter, screen.show, on_notice=lambda notice: screen.notice(notice, adapter.noun))
    finally:
        screen.close()
    operation = Operation.model_validate(final)
    output.lines(ending(operation, results.NOUNS.get(operation.operation_type, adapter.noun)))
    if not output.json:
        await adapter.display_results(final, output, client)
        await equity.show(operation, output, client)
    return exit_code(operation)


async def attached(client: AsyncCLIClient, output: Output, operation_id: str) -> int:
    """Watch an operation that runs already; Ctrl+C leaves it alone."""
    known = Operation.model_validate((await client.get(f"/operations/{operation_id}"))["data"])
    screen = Screen(output, lambda operation: [])
    try:
        final = await client.follow_operation(known.operation_id, screen.show, on_notice=lambda notice: screen.notice(notice, "Operation"))
    finally:
        screen.close()
    if final is None:
        output.lines([
            "Detached from operation",
            f"  Operation continues running: {known.operation_id}",
            f"  Re-attach: ktrdr follow {known.operation_id}",
        ])  # fmt: skip
        return 0
    operation = Operation.model_validate(final)
    output.lines(ending(operation, "Operation"))
    output.lines(results.summary(operation))
    await equity.show(operation, output, client)
    return exit_code(operation)


def ending(operation: Operation, noun: str) -> list[str]:
    """How it ended, and what to do next where it failed."""
    hint = operation.error.hint if operation.error else None
    return [outcome(operation, noun), *([f"Hint: {hint}"] if hint else [])]


def outcome(operation: Operation, noun: str) -> str:
    """How it ended, in one line."""
    if exit_code(operation) == PARTIAL:
        return f"{noun} completed, but only in part"
    if operation.status is Status.COMPLETED:
        return f"{noun} completed successfully!"
    if operation.status is Status.FAILED:
        return f"{noun} failed: {operation.error_message}"
    return f"{noun} was cancelled"


def exit_code(operation: Operation) -> int:
    """0 done, 1 failed, 3 partial data, 4 a gate said no, 130 cancelled."""
    if operation.status is Status.CANCELLED:
        return 130
    if operation.status is Status.FAILED:
        return 4 if operation.error and operation.error.code == "gate_failed" else 1
    return PARTIAL if (operation.result_summary or {}).get("status") == "partial" else 0


class Screen:
    """Shows each change of one operation the way the output wants it."""

    def __init__(self, output: Output, heading: Heading) -> None:
        self._output = output
        self._heading = heading
        self._view: View | None = None
        self._begun = False
        self._planned = False

    def show(self, record: JSON) -> None:
        """Show the operation as it is now."""
        operation = Operation.model_validate(record)
        if self._output.json:
            event = operation.status.value if operation.status.ended else "progress" if self._begun else "started"
            self._output.object_line({"event": event, "operation": record})
        elif not self._begun:
            self._output.lines(self._heading(operation))
        self._begun = True
        if not self._planned and isinstance(operation.metadata.get("plan"), dict):
            self._planned = True
            self._output.lines(results.plan(operation.metadata["plan"]))
        if self._output.json or self._output.quiet or operation.status.ended:
            return
        if self._view is None:
            self._view = Bars() if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" else Lines(self._output)
        self._view.show(operation)

    def notice(self, notice: Notice, noun: str) -> None:
        """Say what happened beside progress."""
        if notice is Notice.CONNECTION_LOST:
            self._output.note("Connection to the backend lost, trying again ... (the operation does not depend on it)")
        elif notice is Notice.CONNECTED_AGAIN:
            self._output.note("Connected again.")
        elif notice is Notice.CANCELLING:
            self._output.progress(f"Cancelling ({noun.lower()}) ...")
        else:
            self._output.line(f"{noun} cancellation sent successfully")

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._view:
            self._view.close()


def status_line(operation: Operation) -> str:
    """Status and step as the backend words them."""
    status = "cancelling" if operation.cancelling and not operation.status.ended else operation.status.value
    return f"Status: {status} - {operation.progress.current_step}" if operation.progress.current_step else f"Status: {status}"


class Lines:
    """A line for each step, each further 10 percent and else at most one a second."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[str, int | None, int] | None = None
        self._at = 0.0

    def show(self, operation: Operation) -> None:
        """Print the step if it is news."""
        progress = operation.progress
        line = status_line(operation)
        news = (operation.status.value, progress.steps_completed, int(progress.percentage // 10))
        if news == self._last and time.monotonic() - self._at < LINE_SECONDS:
            return
        self._last, self._at = news, time.monotonic()
        self._output.progress(f"{line} ({progress.percentage:.0f} %)")

    def close(self) -> None:
        """Nothing stays behind."""


class Bars:
    """A bar for the operation, and below it one for each child at work."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._bars = Progress(
            SpinnerColumn(), words, BarColumn(bar_width=16), TaskProgressColumn(), TimeElapsedColumn(),
            console=Console(), expand=True, transient=True,
        )  # fmt: skip
        self._tasks: list[TaskID] = []
        self._bars.start()

    def show(self, operation: Operation) -> None:
        """Draw a bar for each level that is at work."""
        levels = nested(operation)
        while len(self._tasks) < len(levels):
            self._tasks.append(self._bars.add_task("", total=100))
        for task, level in zip(self._tasks, levels, strict=False):
            self._bars.update(task, description=level[0], completed=level[1], visible=True)
        for task in self._tasks[len(levels) :]:
            self._bars.update(task, visible=False)

    def close(self) -> None:
        """Take the bars off the screen."""
        self._bars.stop()


def nested(operation: Operation) -> list[tuple[str, float]]:
    """Words and percentage of each level: the operation, its phase, and the batch or chunk that the phase is at."""
    whole = (f"Status: {operation.status.value} - {operation.progress.current_step}", operation.progress.percentage)
    if children := operation.progress.context.get("children"):
        return [
            whole,
            *((f"  └─ {one['operation_id'][-8:]} {one['current_step'] or one['status']}", one["percentage"]) for one in children),
        ]
    child = operation.progress.context.get("child")
    if not child:
        return [(status_line(operation), operation.progress.percentage)]
    phase, phases = operation.metadata.get("phase"), list(results.PHASES)
    place = f"{phases.index(phase) + 1}/{len(phases)} {phase}" if phase in phases else child["operation_type"]
    levels = [
        (f"Status: {operation.status.value} - {results.noun(operation.operation_type)}", operation.progress.percentage),
        (f"  └─ {place}", float(child["percentage"])),
    ]
    if child["current_step"]:
        at, total = child["context"].get("batch_number"), child["context"].get("batch_total_per_epoch")
        levels.append((f"    └─ {child['current_step']}", 100 * at / total if at and total else float(child["percentage"])))
    return levels
