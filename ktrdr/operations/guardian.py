"""Watches one runner over its socket: relays what it says, answers what it asks, stops it, and writes its end."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from ktrdr.errors import KtrdrError, LostOwnership, Unavailable
from ktrdr.log import logger
from ktrdr.operations.claims import Claim, Place
from ktrdr.operations.events import Audience
from ktrdr.operations.launch import Runner
from ktrdr.operations.model import CheckpointRef, ErrorRecord, Operation, Progress, Status, Waiting, lineage
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store
from ktrdr.operations.tracing import attempt_of
from ktrdr.telemetry import Span

JSON = dict[str, Any]
LONGEST_LINE = 16 * 2**20
FLUSH_SECONDS = 0.25
"""Progress reaches SQL four times a second; listeners hear it at once."""
PATIENCE_SECONDS = 60.0
"""So long a guardian waits for a database that cannot be used."""
LEAVE_SECONDS = 5.0
"""Time a runner has to leave after its last word."""
T = TypeVar("T")
log = logger(__name__)


@dataclass(frozen=True)
class Doors:
    """What a guardian works with."""

    store: Store
    hub: Audience
    commands: Mapping[str, Callable[[Operation, str, JSON], Awaitable[Any]]]
    """Typed commands that a runner may have run here, by name: they get the operation, the step key and the fields."""
    start_child: Callable[[Operation, str, str, JSON], Awaitable[NewOperation]]
    """Checks and completes a child that a runner asks for: parent, step, type, parameters."""
    forget_checkpoints: Callable[[str], None]
    """Removes the files of an operation that needs them no longer."""
    grace: float
    """Seconds between asking a runner to stop and killing it."""
    most_attempts: int
    memory_mb: int | None = None
    """What a runner may take at most."""
    trace: Callable[[Span], None] | None = None
    """Where the spans go that runners tell of; None where nothing is traced."""
    place: Place | None = None
    """Where this is, if it is a machine of a cluster."""


class LastWord(BaseModel, frozen=True):
    """What a runner says of its end."""

    status: Literal["completed", "failed", "cancelled", "drained", "parked"]
    result: JSON | None = None
    error: ErrorRecord | None = None


class Guardian:
    """The life of one attempt, from the launched process to the row's next state."""

    def __init__(self, claim: Claim, runner: Runner, doors: Doors) -> None:
        self.operation = claim.operation
        self._claim = claim
        self._runner = runner
        self._doors = doors
        self._writer: asyncio.StreamWriter | None = None
        self._last_word: LastWord | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._begun = False
        """Whether the runner knows what to do; it understands nothing else before."""
        self._cancelled = self._draining = self._let_go = False
        self._unreadable: str | None = None
        self._unsaved = False
        self._saved_at = 0.0

    @property
    def key(self) -> tuple[str, int]:
        """Operation and attempt."""
        return self.operation.operation_id, self.operation.attempt

    @property
    def pid(self) -> int:
        """Of the runner."""
        return self._runner.pid

    async def watch(self) -> Operation | None:
        """Stay until the process is gone and the row says so; the record, or None if the row is another attempt's."""
        doors = self._doors
        deaths = deaths_for_want_of_memory()
        try:
            reader, self._writer = await asyncio.open_connection(sock=self._runner.channel, limit=LONGEST_LINE)
            asked_to_stop = await self._patiently(lambda: doors.store.begin(*self.key, self._runner.pid, doors.place))
            self._tell({"type": "begin", "operation": self.operation.json_dict(), "parameters": self._claim.parameters,
                        "resumed": await self._checkpoint(), "traceparent": self._traceparent()})  # fmt: skip
            self._begun = True
            if asked_to_stop or self._cancelled:
                self.cancel()
            elif self._draining:
                self._tell({"type": "drain"})
            await self._show()
            await self._listen(reader)
            await self._see_off()
            return await self._write_end(deaths)
        except LostOwnership as lost:
            log.warning("ownership lost", operation_id=self.operation.operation_id, attempt=self.operation.attempt, reason=str(lost))
            return None
        finally:
            if self._killing:
                self._killing.cancel()
            if not self._runner.gone.done():
                self._runner.kill()
                await self._runner.gone
            if self._writer:
                self._writer.close()

    def cancel(self) -> None:
        """Ask the runner to stop, and kill it when its time of grace is over."""
        if not self._cancelled:
            self._cancelled = True
            self._kill_after(self._doors.grace)
            self._change(cancelling=True)
        self._tell({"type": "cancel"})

    def drain(self, seconds: float) -> None:
        """Ask the runner to keep what it has and leave."""
        if not self._draining and not self._cancelled:
            self._draining = True
            self._kill_after(seconds)
        self._tell({"type": "drain"})

    def let_go(self) -> None:
        """End the runner at once: the lease cannot be kept. What it had from its checkpoints goes on elsewhere."""
        self._let_go = True
        self._runner.kill()

    def _kill_after(self, seconds: float) -> None:
        if self._killing:
            self._killing.cancel()
        self._killing = asyncio.get_running_loop().call_later(seconds, self._runner.kill)

    def _tell(self, message: JSON) -> None:
        if self._writer and not self._writer.is_closing() and (self._begun or message["type"] == "begin"):
            self._writer.write(json.dumps(message, allow_nan=False).encode() + b"\n")

    def _traceparent(self) -> str | None:
        """The span of this attempt, if its runner is to tell of spans."""
        return attempt_of(*self.key, self._claim.traceparent).traceparent if self._doors.trace else None

    async def _checkpoint(self) -> JSON | None:
        """Where this attempt goes on: the operation's own checkpoint, else that of the one it resumes."""
        own = self.operation
        if own.checkpoint is None and own.resumed_from and own.resumed_from.get("checkpoint_id"):
            own = await self._doors.store.get(own.resumed_from["operation_id"])
        return own.checkpoint.model_dump(mode="json") if own.checkpoint else None

    async def _show(self) -> None:
        """Let followers see the operation, and those of its parent too."""
        above = await self._show_children_of(self.operation.operation_id) or self.operation
        self._doors.hub.publish(self.operation)
        while above.parent_operation_id is not None:
            shown = await self._show_children_of(above.parent_operation_id)
            if shown is None:
                return
            above = shown

    async def _show_children_of(self, operation_id: str) -> Operation | None:
        """Let followers of an operation see the children that it waits for; None where it waits for none."""
        parent = await self._patiently(lambda: self._doors.store.parent(operation_id))
        if parent is None:
            return None
        self._doors.hub.park(parent)
        return parent.record

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while self._last_word is None:
            try:
                async with asyncio.timeout(FLUSH_SECONDS if self._unsaved else None):
                    line = await reader.readline()
                if not line:
                    return
                await self._hear(json.loads(line))
                await asyncio.sleep(0)  # a runner that never pauses must not keep the others waiting
            except TimeoutError:
                await self._save_progress()
            except ConnectionError:
                return
            except (ValueError, LookupError) as error:  # a line over the limit, or not what a runner says
                self._unreadable = f"the runner said what nobody understands ({error!r})"
                log.error("runner unreadable", operation_id=self.operation.operation_id, reason=repr(error))
                self._runner.kill()
                return

    async def _hear(self, said: JSON) -> None:
        store = self._doors.store
        match said["type"]:
            case "progress":
                self._doors.hub.unpark(self.operation.operation_id)
                self._change(progress=Progress.model_validate(said["progress"]))
                self._unsaved = True
                await self._save_progress(at_least=FLUSH_SECONDS)
            case "metadata":
                await self._patiently(lambda: store.describe(*self.key, said["metadata"]))
                self._change(metadata={**self.operation.metadata, **said["metadata"]})
            case "warning":
                await self._patiently(lambda: store.warn(*self.key, said["text"]))
                self._change(warnings=[*self.operation.warnings, said["text"]])
            case "ask":
                await self._answer(said["id"], said["message"])
            case "span" if self._doors.trace:
                self._doors.trace(Span(**said["span"]))
            case "end":
                self._last_word = LastWord.model_validate(said)

    def _change(self, **fields: Any) -> None:
        self.operation = self.operation.model_copy(update=fields)
        self._doors.hub.publish(self.operation)

    async def _save_progress(self, at_least: float = 0.0) -> None:
        if self._unsaved and time.monotonic() - self._saved_at >= at_least:
            self._saved_at = time.monotonic()
            try:
                await self._doors.store.set_progress(*self.key, self.operation.progress)
                self._unsaved = False
                self._doors.hub.publish(self.operation)  # who reads the row can see it now
            except Unavailable as error:
                log.warning("progress not saved", operation_id=self.operation.operation_id, reason=error.message)

    async def _patiently(self, write: Callable[[], Awaitable[T]]) -> T:
        """Do what the database must keep; while it cannot be used, wait for it. In the end the lease decides."""
        begun, pause = time.monotonic(), 0.1
        while True:
            try:
                return await write()
            except Unavailable as error:
                if time.monotonic() - begun > PATIENCE_SECONDS:
                    raise
                log.warning("waiting for the database", operation_id=self.operation.operation_id, reason=error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)

    async def _answer(self, number: int, asked: JSON) -> None:
        try:
            answer = {"answer": await self._patiently(lambda: self._do(asked))}
        except LostOwnership:
            raise
        except KtrdrError as error:
            answer = {"error": {**error.as_dict(), "kind": type(error).__name__}}
        self._tell({"type": "answer", "id": number, **answer})

    async def _do(self, asked: JSON) -> Any:
        match asked["type"]:
            case "checkpoint":
                ref = CheckpointRef.model_validate(asked["checkpoint"])
                await self._doors.store.set_checkpoint(*self.key, ref)
                self._change(checkpoint=ref)
                return None
            case "write":
                return await self._write(asked["command"], asked["step_key"], asked["fields"])
            case "recall":
                return (await self._doors.store.answer_of(self.operation.operation_id, asked["step_key"]))[1]
            case "children":
                await self._save_progress()
                return await self._children(asked)
        raise KtrdrError(f"a runner asked for {asked['type']!r}, which there is not")

    async def _write(self, command: str, step_key: str, fields: JSON) -> Any:
        known, answer = await self._doors.store.answer_of(self.operation.operation_id, step_key)
        if known:
            return answer
        if command not in self._doors.commands:
            raise KtrdrError(f"a runner asked for the command {command!r}, which there is not")
        answer = await self._doors.commands[command](self.operation, step_key, fields)
        await self._doors.store.journal(*self.key, step_key, command, answer)
        return answer

    async def _children(self, asked: JSON) -> JSON:
        """Start those that may be started now and park the operation; or tell how all of them have ended."""
        store, wanted = self._doors.store, {one["step"]: one for one in asked["children"]}
        while True:
            earlier = await self._earlier(list(wanted))
            known = {step: child for step, child in earlier.items() if child.status is Status.COMPLETED or child.result_summary}
            known |= await store.children_of_steps(self.operation.operation_id, list(wanted))
            alive = [child.operation_id for child in known.values() if not child.status.ended]
            free = [one for step, one in wanted.items() if step not in known][: max(asked["at_most"] - len(alive), 0)]
            new = await self._ready(free, earlier, needed=not alive)
            if not alive and not new:
                return {"parked": False, "operations": await self._ended([known[step] for step in wanted], asked["metadata_key"])}
            begin, end = asked["share"]
            waiting = Waiting(
                label=asked["label"], begin=begin, end=end, children=tuple(alive), total=len(wanted), ended=len(known) - len(alive),
                failed=sum(child.failed for child in known.values()),
            )  # fmt: skip
            if await store.park(*self.key, waiting, new, asked["metadata_key"]):
                if await self._show_children_of(self.operation.operation_id) is None:  # it was to be cancelled
                    self._doors.hub.publish(await store.get(self.operation.operation_id))
                return {"parked": True}

    async def _ready(self, wanted: Sequence[JSON], earlier: Mapping[str, Operation], *, needed: bool) -> dict[str, NewOperation]:
        """Children that can be queued, by step. What stands against one is told when no others are alive that would be left alone."""
        ready: dict[str, NewOperation] = {}
        for one in wanted:
            try:
                new = await self._doors.start_child(self.operation, one["step"], one["operation_type"], one["parameters"])
            except LostOwnership:
                raise
            except KtrdrError as error:
                if needed and not ready:
                    raise
                log.warning("a child cannot be started now", operation_id=self.operation.operation_id, reason=error.message)
                break
            before = earlier.get(one["step"])
            ready[one["step"]] = replace(new, resumed_from=lineage(before)) if before else new
        return ready

    async def _ended(self, children: Sequence[Operation], metadata_key: str | None) -> list[JSON]:
        """The records of children that have ended; the metadata name an inherited one too."""
        if metadata_key and self.operation.metadata.get(metadata_key) != children[0].operation_id:
            await self._hear({"type": "metadata", "metadata": {metadata_key: children[0].operation_id}})
        return [child.json_dict() for child in children]

    async def _earlier(self, wanted: Sequence[str]) -> dict[str, Operation]:
        """The children of these steps that the operation had which this one resumes, or that which it resumed, and so on."""
        found: dict[str, Operation] = {}
        before = self.operation.resumed_from
        while before and len(found) < len(wanted):
            found = await self._doors.store.children_of_steps(before["operation_id"], wanted) | found
            before = (await self._doors.store.get(before["operation_id"])).resumed_from
        return found

    async def _see_off(self) -> None:
        """Wait until the process is gone; one that does not leave by itself is killed."""
        done, _ = await asyncio.wait([self._runner.gone], timeout=LEAVE_SECONDS)
        if not done:
            self._runner.kill()
            await self._runner.gone

    async def _write_end(self, deaths: int) -> Operation | None:
        doors, word = self._doors, self._last_word
        if word and word.status == "parked":
            return None
        await self._save_progress()
        if self._cancelled or (word and word.status == "cancelled"):
            reason = await self._patiently(lambda: doors.store.cancel_reason(self.operation.operation_id))
            return await self._finish(Status.CANCELLED, None, ErrorRecord(code="cancelled", message=reason))
        if word is None and self._let_go:
            await self._patiently(lambda: doors.store.give_back(*self.key))
            return None
        if (word.status == "drained") if word else self._draining:  # killed because it did not leave: nothing is held against it either
            await self._patiently(lambda: doors.store.give_back(*self.key))
            return await self._patiently(lambda: doors.store.get(self.operation.operation_id))
        if word is None:
            code, sentence = death_sentence(self._runner.gone.result(), deaths_for_want_of_memory() - deaths, doors.memory_mb)
            return await self._patiently(lambda: doors.store.lose(*self.key, self._unreadable or sentence, doors.most_attempts, code))
        return await self._finish(Status(word.status), word.result, word.error)

    async def _finish(self, status: Status, result: JSON | None, error: ErrorRecord | None) -> Operation:
        ended = await self._patiently(lambda: self._doors.store.finish(*self.key, status, result, error))
        if status is Status.COMPLETED:
            try:
                await asyncio.to_thread(self._doors.forget_checkpoints, self.operation.operation_id)
            except Unavailable as away:  # the hourly tidying removes them
                log.warning("checkpoints of an operation that has ended stay for now", reason=away.message)
        return ended


def death_sentence(exit_status: int, deaths: int, memory_mb: int | None) -> tuple[str, str]:
    """Code and words for how a process ended that said nothing of its end."""
    if exit_status == -signal.SIGABRT and memory_mb:  # what native code does that gets no memory
        return "out_of_memory", f"the runner ran out of memory of {memory_mb:,} MB (KTRDR_RUNNER_MEMORY_MB)"
    if exit_status == -9 and deaths > 0:
        return "out_of_memory", "the runner was killed because the machine ran out of memory"
    if exit_status == -9:
        return "worker_lost", "the runner was killed (signal 9)"
    if exit_status < 0:
        return "worker_lost", f"the runner died of signal {-exit_status}"
    return "worker_lost", f"the runner left without a result (exit code {exit_status})"


def deaths_for_want_of_memory() -> int:
    """How many processes Linux has killed since it started because memory was short; 0 where that is not known."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
