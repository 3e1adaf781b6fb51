"""Trials that were begun and ended without a score: they count as well."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pydantic import ValidationError

from ktrdr.errors import KtrdrError
from ktrdr.kinds.base import KINDS, Workspace
from ktrdr.log import logger
from ktrdr.operations.model import Operation, Status
from ktrdr.operations.readings import OperationQuery
from ktrdr.operations.store import Store
from ktrdr.stores.trials import Trial

log = logger(__name__)
TYPES = ("training", "backtesting")
LOOKED_AT = 50
"""So many of the newest failed and cancelled ones are looked at when a backend begins: the last one may have been killed."""


class UnfinishedTrials:
    """Records trainings and backtests that failed or were cancelled after they had begun."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self._store, self._workspace = store, workspace
        self._recording: set[asyncio.Task[None]] = set()

    def ended(self, operation: Operation) -> None:
        """An operation has ended."""
        if operation.operation_type in TYPES and operation.status is not Status.COMPLETED and operation.started_at is not None:
            self._begin(self._record(operation), f"trial of {operation.operation_id}")

    def catch_up(self) -> None:
        """Record what ended while nobody could."""
        self._begin(self._look_back(), "trials that were not recorded")

    def _begin(self, recording: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(recording, name=name)
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _look_back(self) -> None:
        for kind in TYPES:
            for status in (Status.FAILED, Status.CANCELLED):
                for operation in (await self._store.find(OperationQuery(operation_type=kind, status=status, limit=LOOKED_AT))).operations:
                    if operation.started_at is not None:
                        await self._record(operation)

    async def _record(self, operation: Operation) -> None:
        """A row for each of its trials, unless it left any by itself."""
        ledger, named = self._workspace.trials, operation.operation_id
        try:
            if await asyncio.to_thread(ledger.knows, named):
                return
            given = KINDS.get(operation.operation_type).model_validate(await self._store.parameters(named))
            campaign = await self._store.campaign(named)
            for number, fields in enumerate(given.unscored()):
                own = {"key": f"{named}: ended {number}", "operation_id": named, "campaign": campaign}
                await asyncio.to_thread(ledger.append, Trial.model_validate({**fields, **own, "reason": operation.status.value}))
        except (KtrdrError, ValidationError) as error:
            log.warning("a trial was not recorded", operation_id=named, reason=str(error))

    async def settle(self) -> None:
        """Wait until what has ended is recorded."""
        if self._recording:
            await asyncio.wait(self._recording)
