"""Waiting for an operation, by looking at its row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ktrdr.operations.model import Operation
from ktrdr.services.operations import OperationsService


async def until(
    operations: OperationsService, operation_id: str, wanted: Callable[[Operation], bool], seconds: float = 30
) -> Operation:  # fmt: skip
    """The operation as soon as it is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(operation := await operations.get(operation_id)):
        assert time.monotonic() < deadline, operation
        await asyncio.sleep(0.01)
    return operation
