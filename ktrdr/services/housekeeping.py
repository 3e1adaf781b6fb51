"""What is kept for a while and then goes: checkpoints of operations that ended early, and what happened to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from ktrdr.errors import Unavailable
from ktrdr.log import logger
from ktrdr.operations.store import Store
from ktrdr.settings import Settings
from ktrdr.stores.checkpoints import CheckpointStore

HOUR = 3600.0
log = logger(__name__)


async def tidy_for_ever(store: Store, checkpoints: CheckpointStore, settings: Settings) -> None:
    """Tidy at once and every hour."""
    while True:
        try:
            await tidy(store, checkpoints, settings, datetime.now(UTC))
        except (Unavailable, OSError) as error:
            log.warning("could not tidy", reason=str(error))
        await asyncio.sleep(HOUR)


async def tidy(store: Store, checkpoints: CheckpointStore, settings: Settings, now: datetime) -> None:
    """Remove what is older than the settings allow, and files that no operation names any more."""
    old = await store.ended_with_checkpoint(now - timedelta(days=settings.checkpoint_days))
    for operation_id in old:
        await store.forget_checkpoint(operation_id)
    folders = await asyncio.to_thread(checkpoints.operations)
    useless = await store.without_checkpoint(folders)
    for operation_id in useless:
        await asyncio.to_thread(checkpoints.delete, operation_id)
    forgotten = await store.forget_history(now - timedelta(days=settings.history_days))
    if useless or forgotten:
        log.info("tidied", checkpoints=len(useless), happenings=forgotten)
