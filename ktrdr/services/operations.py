"""Starting, showing, cancelling and resuming operations: the one way in, for API and agent alike."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from ktrdr import telemetry
from ktrdr.errors import Conflict, Invalid, NotFound, Unavailable
from ktrdr.kinds.base import KINDS, Workspace
from ktrdr.operations.engine import Queue, Reach, Slot
from ktrdr.operations.events import Event, Hub, follow
from ktrdr.operations.model import Happening, Operation, Status, lineage
from ktrdr.operations.new import NewOperation
from ktrdr.operations.readings import OperationPage, OperationQuery
from ktrdr.operations.store import Limit, Store
from ktrdr.operations.tracing import resumed_below
from ktrdr.services.figures import OperationFigures

JSON = dict[str, Any]
CANCELLED_BY_USER = "Cancelled by user"
AGAIN_SECONDS = 0.005
HEALTH_SECONDS = 2.0
RESUMABLE = (Status.FAILED, Status.CANCELLED)


class OperationsService:
    """What can be done with operations; their state is in the store and nowhere else."""

    def __init__(
        self, store: Store, engine: Reach, dispatcher: Queue, hub: Hub, *, workspace: Workspace, figures: OperationFigures
    ) -> None:
        self._store = store
        self._engine = engine
        self._dispatcher = dispatcher
        self._hub = hub
        self._workspace = workspace
        self._figures = figures

    async def start(
        self, operation_type: str, parameters: JSON, *, idempotency_key: str | None = None, limit: Limit | None = None
    ) -> Operation:
        """Check the parameters, write one row and return it; the same idempotency key never starts a second one.

        Raises Invalid for parameters that cannot be right, NotFound and NoData for what they name and is not there, and
        Conflict when as many are alive as `limit` allows.
        """
        new = await prepared(self._workspace, operation_type, parameters, idempotency_key=idempotency_key)
        caller = telemetry.here()
        new = replace(new, traceparent=caller.traceparent if caller else None)
        operation = await self._store.submit(new, limit=limit)
        self._dispatcher.wake()
        return operation

    async def check(self, operation_type: str, parameters: JSON) -> NewOperation:
        """What `start` would put into the queue; it raises what `start` would."""
        return await prepared(self._workspace, operation_type, parameters)

    async def get(self, operation_id: str) -> Operation:
        """One operation, by its id or an unambiguous part of it."""
        return await self._store.get(await self._store.resolve(operation_id))

    async def find(self, query: OperationQuery) -> OperationPage:
        """A page of operations, newest first."""
        return await self._store.find(query)

    async def counts(self) -> dict[str, int]:
        """How many operations there are of each status, over all rows."""
        found = {status.value: 0 for status in Status}
        for _, status, number in await self._store.counts():
            found[status] += number
        return found

    async def figures(self) -> bytes:
        """Counts and times in the text form of Prometheus."""
        return self._figures.text(await self._store.counts(), await self._engine.slots())

    async def parameters(self, operation_id: str) -> JSON:
        """What an operation runs on, settled before it began: the text of its strategy, dates, costs."""
        return await self._store.parameters((await self.get(operation_id)).operation_id)

    async def history(self, operation_id: str) -> list[Happening]:
        """What has happened to an operation, oldest first."""
        return await self._store.history((await self.get(operation_id)).operation_id)

    async def health(self) -> dict[str, str]:
        """`ok` or what is wrong, for the store, the dispatcher and the engine."""
        found = {"store": "ok", "dispatcher": "ok", "engine": "ok"}
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._store.check()
        except Unavailable as error:
            found["store"] = error.message
        except TimeoutError:
            found["store"] = f"it does not take anything within {HEALTH_SECONDS:.0f} s"
        if found["store"] == "ok":
            found["dispatcher"] = await self._dispatcher.wrong() or "ok"
            found["engine"] = await self._engine.wrong() or "ok"
        return found

    async def children(self, operation_id: str) -> list[Operation]:
        """What an operation has started."""
        return await self._store.children((await self.get(operation_id)).operation_id)

    async def cancel(self, operation_id: str, reason: str | None = None, wait: float = 2.0) -> Operation:
        """Stop an operation and all below it; its record when everything has stopped, or after `wait` seconds.

        Raises Conflict when it has ended already.
        """
        begun = time.monotonic()
        whole = await self._store.resolve(operation_id)
        outcome = await self._store.cancel(whole, reason or CANCELLED_BY_USER, unbegun=self._engine.far)
        for told, attempt in outcome.running:
            self._engine.signal(told, attempt, "cancel")
        for ended in outcome.ended:
            self._hub.publish(await self._store.get(ended))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                for told, attempt in outcome.running:
                    await self._left(told, attempt)
        self._dispatcher.wake()
        record = await self._store.get(whole)
        if record.status.ended:
            self._figures.cancelled(record, time.monotonic() - begun)
        return record

    async def _left(self, operation_id: str, attempt: int) -> None:
        """Return when an attempt that was told to stop has left; one that was being claimed at that moment is told again."""
        await self._engine.gone(operation_id, attempt)
        while not (await self._store.get(operation_id)).status.ended:
            await asyncio.sleep(AGAIN_SECONDS)
            self._engine.signal(operation_id, attempt, "cancel")
            await self._engine.gone(operation_id, attempt)

    async def resume(self, checkpoint_or_operation: str, *, idempotency_key: str | None = None) -> Operation:
        """A new operation that goes on where an ended one stopped; by checkpoint id or operation id."""
        before = await self._resumable(checkpoint_or_operation)
        parameters = await self._store.parameters(before.operation_id)
        above = resumed_below(before.operation_id, await self._store.traceparent(before.operation_id), telemetry.here())
        # Prepared once already, with the texts as they were then: only what the kind runs on is asked for again.
        kind = KINDS.get(before.operation_type)(**parameters)
        new = NewOperation(
            before.operation_type, parameters, kind.metadata(), kind.launch_profile(), needs=kind.needs,
            idempotency_key=idempotency_key, resumed_from=lineage(before), traceparent=above,
        )  # fmt: skip
        operation = await self._store.submit(new)
        self._dispatcher.wake()
        return operation

    async def _resumable(self, given: str) -> Operation:
        before = await self.checkpoint(given) if given.startswith("chk_") else await self.get(given)
        if before.status not in RESUMABLE:
            hint = "it has its result" if before.status is Status.COMPLETED else f"it goes on by itself: ktrdr follow {before.operation_id}"
            raise Conflict(f"{before.operation_id} is {before.status} and cannot be resumed", hint=hint)
        if before.checkpoint is None and not await self._store.children(before.operation_id):
            raise Conflict(f"{before.operation_id} ended before its first checkpoint, there is nothing to resume", hint="start it again")
        return before

    async def events(self, operation_id: str, after: int | None = None) -> AsyncIterator[Event]:
        """The operation now, and every change of it to its end."""
        async for event in follow(self._store, self._hub, await self._store.resolve(operation_id), after):
            yield event

    async def checkpoints(self) -> list[Operation]:
        """The operations that have a checkpoint, newest first."""
        return await self._store.checkpointed()

    async def checkpoint(self, checkpoint_id: str) -> Operation:
        """The operation that has this checkpoint."""
        found = await self._store.checkpointed(checkpoint_id)
        if not found:
            near = difflib.get_close_matches(
                checkpoint_id, [o.checkpoint.checkpoint_id for o in await self.checkpoints() if o.checkpoint], n=1
            )
            hint = f"did you mean {near[0]!r}?" if near else "ktrdr list checkpoints shows what there is"
            raise NotFound(f"there is no checkpoint {checkpoint_id!r}", hint=hint)
        return found[0]

    async def delete_checkpoint(self, checkpoint_id: str) -> Operation:
        """Forget the checkpoint of an ended operation and remove its files."""
        operation = await self.checkpoint(checkpoint_id)
        if not operation.status.ended:
            raise Conflict(f"{operation.operation_id} is {operation.status} and may need {checkpoint_id}", hint="cancel it first")
        await self._store.forget_checkpoint(operation.operation_id)
        await asyncio.to_thread(self._workspace.checkpoints.delete, operation.operation_id)
        return operation

    async def workers(self) -> list[Slot]:
        """Where attempts can run, and what runs there."""
        return await self._engine.slots()


async def prepared(workspace: Workspace, operation_type: str, parameters: JSON, idempotency_key: str | None = None) -> NewOperation:
    """An operation that can be queued: its parameters checked, the names in them resolved."""
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        kind = KINDS.get(operation_type)(**given)
    except ValidationError as error:
        raise Invalid(one_sentence(operation_type, error), details={"parameters": [wrong["loc"] for wrong in error.errors()]}) from None
    kind = await asyncio.to_thread(kind.prepare, workspace)
    return NewOperation(
        operation_type, kind.model_dump(mode="json"), kind.metadata(), kind.launch_profile(), needs=kind.needs,
        idempotency_key=idempotency_key,
    )  # fmt: skip


def one_sentence(operation_type: str, error: ValidationError) -> str:
    """What is wrong with the parameters of an operation."""
    wrong = [f"{'.'.join(str(part) for part in one['loc']) or operation_type}: {one['msg']}" for one in error.errors()]
    return f"{operation_type} cannot start: {'; '.join(wrong)}"
