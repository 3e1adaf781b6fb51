"""The guardian of one attempt as a Ray actor: nothing here needs the dispatcher once it runs."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ktrdr.cluster.keeper import Keeper
from ktrdr.errors import KtrdrError
from ktrdr.log import configure, logger
from ktrdr.operations.attend import attend
from ktrdr.operations.channels import CONTROL, NEWS, QUEUE
from ktrdr.operations.claims import Claim, Place
from ktrdr.operations.devices import Gpu
from ktrdr.operations.launch import SpawnLauncher
from ktrdr.settings import Settings, variable
from ktrdr.wiring import open_doors, runner_environment

NICER = 10
"""Runners let their guardians go first, so that a busy node still hears a cancel."""
WORKER = "ktrdr.worker"
log = logger(__name__)


class Attempt:
    """One attempt, on the node where Ray has put it."""

    def __init__(self, claim: Claim, given: dict[str, Any], runner: str = WORKER) -> None:
        self._claim = claim
        # What the node's own environment says about its folders and addresses counts there.
        self._settings = Settings(**{name: value for name, value in given.items() if variable(name) not in os.environ})
        self._runner = runner
        self._life: asyncio.Task[None] | None = None

    async def place(self) -> tuple[str, float, float, tuple[str, ...]]:
        """The id of the node, how much of its CPUs and GPUs the attempt has, and which GPUs these are."""
        import ray

        context = ray.get_runtime_context()
        has = context.get_assigned_resources()
        return context.get_node_id(), has.get("CPU", 0.0), has.get("GPU", 0.0), tuple(str(id) for id in ray.get_gpu_ids())

    async def run(self) -> None:
        """Begin, if nobody has said so before, and leave when the attempt has ended."""
        from ray.actor import exit_actor

        if self._life is None:
            self._life = asyncio.create_task(live(self._claim, self._settings, self._runner, here(), gpu()))
        try:
            await asyncio.shield(self._life)
        except KtrdrError as error:  # it could not begin; its lease says so to others
            log.error("attempt not begun", operation_id=self._claim.operation.operation_id, reason=str(error))
        finally:
            exit_actor()  # whatever happened: a guardian without work would hold its place


def here() -> str:
    """What this node is called."""
    import ray

    from ktrdr.operations.ray import named

    own = ray.get_runtime_context().get_node_id()
    return next((named(node) for node in ray.nodes() if node["NodeID"] == own), own)


def gpu() -> Gpu | None:
    """The GPU that Ray has given to this attempt, as CUDA_VISIBLE_DEVICES names it."""
    import ray

    if not ray.get_gpu_ids():
        return None
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return Gpu(seen, f"GPU {seen}")


async def live(claim: Claim, settings: Settings, runner: str, node: str, device: Gpu | None) -> None:
    """Everything between the launch of the runner and the end of the attempt."""
    configure(settings.log_level)
    key = claim.operation.operation_id, claim.operation.attempt
    async with open_doors(settings, Place(node, device.name if device else None)) as (doors, channels):
        keeper = Keeper(doors.store, *key, owner=node, settings=settings)
        beside = [
            asyncio.create_task(keeper.keep(), name="lease"),
            asyncio.create_task(channels.listen([CONTROL], keeper.hear, keeper.missed), name="control"),
        ]
        launcher = SpawnLauncher(runner_environment(settings), runner, NICER)
        try:
            await attend(claim, launcher.launch(claim.profile, device), doors, keeper.begun)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            channels.send(NEWS, key[0])
            channels.send(QUEUE)
