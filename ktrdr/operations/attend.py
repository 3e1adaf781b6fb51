"""One attempt from the launch of its runner to the row's next state, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ktrdr.errors import KtrdrError, LostOwnership, Unavailable
from ktrdr.log import logger
from ktrdr.operations.claims import Claim
from ktrdr.operations.guardian import Doors, Guardian
from ktrdr.operations.launch import Runner

log = logger(__name__)


async def attend(claim: Claim, launching: Awaitable[Runner], doors: Doors, begun: Callable[[Guardian], None]) -> None:
    """Launch and watch; `begun` gets the guardian once there is a process. A launch that is cancelled gives the attempt back."""
    key = claim.operation.operation_id, claim.operation.attempt
    try:
        try:
            runner = await launching
        except asyncio.CancelledError:  # told to stop before there was a process
            await doors.store.give_back(*key)
            doors.hub.publish(await doors.store.get(key[0]))
            return
        except (OSError, KtrdrError) as error:
            log.error("launch failed", operation_id=key[0], reason=str(error))
            doors.hub.publish(await doors.store.lose(*key, f"no process could be started: {error}", doors.most_attempts))
            return
        guardian = Guardian(claim, runner, doors)
        begun(guardian)
        ended = await guardian.watch()
        if ended is not None:
            doors.hub.publish(ended)
    except LostOwnership as lost:
        log.warning("ownership lost", operation_id=key[0], attempt=key[1], reason=str(lost))
    except Unavailable as error:  # nothing more can be written; when its lease has run out it is taken back
        log.error("attempt given up", operation_id=key[0], attempt=key[1], reason=str(error))
    except Exception as error:  # an error of ours must not leave a row that says it runs
        log.exception("guardian failed", operation_id=key[0], attempt=key[1])
        with suppress(LostOwnership, Unavailable):
            doors.hub.publish(await doors.store.lose(*key, f"its guardian failed: {error!r}", doors.most_attempts))
