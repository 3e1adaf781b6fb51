"""The engines that one contract is run on: that of this machine, and a Ray cluster with a real dispatcher."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.operations.nodes import Nodes
from ktrdr.operations.launch import Launcher
from ktrdr.settings import Settings, variable
from ktrdr.wiring import Backend, open_backend
from tests.contracts.scripted import SCRIPT, ScriptLauncher

CLUSTER: list[Nodes] = []
"""The cluster of this run, if there is one."""


@asynccontextmanager
async def backend(script: str | None = None, **given: Any) -> AsyncIterator[Backend]:
    """A backend with something that takes from its queue; runners do what a script says, if there is one."""
    settings = Settings(**given)
    if settings.engine == "ray" and "light_slots" in given:  # a cluster has as many places as its nodes declare
        settings = Settings(**{"running_limit": given["light_slots"], **given})
    if settings.engine == "local":
        launcher: Launcher | None = ScriptLauncher(script) if script is not None else None
        async with open_backend(settings, launcher) as opened:
            yield opened
        return
    if script is not None:
        settings.home.mkdir(parents=True, exist_ok=True)
        (settings.home / SCRIPT).write_text(script, encoding="utf-8")
    async with cluster(settings, *(["tests.contracts.scripted"] if script is not None else [])), open_backend(settings) as opened:
        async with asyncio.timeout(60):
            while await opened.operations._dispatcher.wrong():
                await asyncio.sleep(0.05)
        yield opened


@asynccontextmanager
async def cluster(settings: Settings, *words: str) -> AsyncIterator[Nodes]:
    """A dispatcher for these settings, and as many GPUs on a node of their own; afterwards no guardian is left."""
    (nodes,) = CLUSTER
    if settings.gpus:
        await asyncio.to_thread(nodes.start_node, "gpus", settings.gpus, settings.gpus)
    process = dispatcher(settings, *words)
    try:
        yield nodes
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
        if settings.gpus:
            await asyncio.to_thread(nodes.end, "gpus")
        nodes.end_guardians()


def dispatcher(settings: Settings, *words: str) -> subprocess.Popen[bytes]:
    """`ktrdr dispatcher` with these settings; its log is in the home."""
    values = settings.model_dump(mode="json", exclude_none=True)
    given = {variable(name): value if isinstance(value, str) else _written(value) for name, value in values.items()}
    settings.home.mkdir(parents=True, exist_ok=True)
    with (Path(settings.home) / "dispatcher.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ktrdr.cluster", *words], env={**os.environ, **given}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def _written(value: Any) -> str:
    import json

    return json.dumps(value)
