"""The one place that builds things: the workspace of kinds, and the backend around them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ktrdr.agents.budget import Cost, Limits
from ktrdr.evaluation.trials import Curve
from ktrdr.kinds.base import Workspace
from ktrdr.operations.channels import QUEUE, Channels, News
from ktrdr.operations.claims import Place
from ktrdr.operations.devices import gpus_here
from ktrdr.operations.dispatch import Dispatcher
from ktrdr.operations.engine import Draining, Engine
from ktrdr.operations.events import Audience, Hub
from ktrdr.operations.guardian import Doors
from ktrdr.operations.launch import Launcher, suitable_launcher
from ktrdr.operations.local import LocalEngine
from ktrdr.operations.model import Operation
from ktrdr.operations.new import NewOperation
from ktrdr.operations.remote import Cluster
from ktrdr.operations.store import Store
from ktrdr.services.agent import AgentService
from ktrdr.services.collector import Exporter
from ktrdr.services.figures import OperationFigures
from ktrdr.services.fleet import FleetService, ManyMachines, ThisMachine
from ktrdr.services.housekeeping import tidy_for_ever
from ktrdr.services.operations import OperationsService, prepared
from ktrdr.services.reports import ReportsService
from ktrdr.services.traces import OperationTraces
from ktrdr.services.unfinished import UnfinishedTrials
from ktrdr.settings import Settings, variable
from ktrdr.stores.trials import Trial
from ktrdr.telemetry import Span, collector
from ktrdr.workspace import open_workspace

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""Two threads on two busy cores make small networks six times slower, and other bits."""
GUARDIAN_CONNECTIONS = 3
"""One that listens, one for the lease, one for what the runner says."""
LAST_SPANS_SECONDS = 0.5
"""A backend that leaves waits no longer for a collector."""


@dataclass(frozen=True)
class Backend:
    """Everything that answers requests."""

    settings: Settings
    workspace: Workspace
    operations: OperationsService
    fleet: FleetService
    agent: AgentService
    reports: ReportsService
    traces: OperationTraces | None
    """None where nothing is traced."""


def runner_environment(settings: Settings) -> dict[str, str]:
    """What runner processes find in their environment: these settings, a cache in the home unless one is named, one thread each."""
    values = settings.model_dump(mode="json", exclude={"token"}, exclude_none=True)
    given = {variable(name): value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    own = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", **dict.fromkeys(ONE_THREAD, "1")}
    inherited = {name: value for name, value in os.environ.items() if name != "KTRDR_TOKEN" and not name.startswith("RAY_")}
    return {"NUMBA_CACHE_DIR": str(settings.folder("cache")), **inherited, **given, **own}


def doors_of(
    settings: Settings,
    ports: Workspace,
    store: Store,
    audience: Audience,
    *,
    trace: Callable[[Span], None] | None,
    place: Place | None = None,
) -> Doors:
    """What a guardian works with, in whatever process it is."""
    spending = store.spending(Limits.of(settings))

    async def append_trial(operation: Operation, step_key: str, fields: dict[str, Any]) -> int:
        curve = Curve.model_validate(given) if (given := fields.pop("curve", None)) else None
        own = {"key": f"{operation.operation_id}: {step_key}", "operation_id": operation.operation_id}
        trial = Trial.model_validate({**fields, **own, "campaign": await store.campaign(operation.operation_id)})
        return (await asyncio.to_thread(ports.trials.append, trial, curve)).number

    async def journal_step(_operation: Operation, _step_key: str, fields: dict[str, Any]) -> Any:
        return fields["answer"]

    async def reserve_budget(operation: Operation, _step_key: str, fields: dict[str, Any]) -> None:
        await spending.reserve(operation, fields["call"], fields["model"], Cost.model_validate(fields["worst"]))

    async def settle_budget(operation: Operation, _step_key: str, fields: dict[str, Any]) -> None:
        await spending.settle(operation, fields["call"], Cost.model_validate(fields["cost"]))

    async def sum_spending(operation: Operation, _step_key: str, _fields: dict[str, Any]) -> dict[str, Any]:
        whole = operation.operation_type == "agent_research"
        found = await (spending.of_cycle(operation.operation_id) if whole else spending.of_operation(operation))
        return found.model_dump()

    async def start_child(_parent: Operation, _step: str, operation_type: str, parameters: dict[str, Any]) -> NewOperation:
        return await prepared(ports, operation_type, parameters)

    commands = (append_trial, journal_step, reserve_budget, settle_budget, sum_spending)
    return Doors(
        store, audience, {command.__name__: command for command in commands}, start_child, ports.checkpoints.delete,
        settings.cancel_grace_seconds, settings.max_attempts, settings.runner_memory_mb, trace, place,
    )  # fmt: skip


@asynccontextmanager
async def open_backend(settings: Settings, launcher: Launcher | None = None) -> AsyncIterator[Backend]:
    """A backend that answers until it is closed. On this machine it takes operations from the queue too, and then what runs is drained;
    on a cluster a dispatcher takes them, and what runs goes on.

    Runners on this machine are started by `launcher`, or by what suits this system.
    """
    ports = open_workspace(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    store = await Store.open(settings.operations_url)
    figures = OperationFigures()
    exporter = Exporter() if collector() else None
    traces = OperationTraces(store, exporter.send) if exporter else None
    unfinished = UnfinishedTrials(store, ports)

    def on_end(operation: Operation) -> None:
        figures.ended(operation)
        unfinished.ended(operation)
        if traces:
            traces.ended(operation)

    hub = Hub(on_end)
    engine: LocalEngine | Cluster
    dispatcher: Dispatcher | Cluster
    if settings.engine == "ray":
        far = engine = dispatcher = Cluster(store, hub, unfinished.catch_up)
        fleet: FleetService = ManyMachines(store, far)
    else:
        doors = doors_of(settings, ports, store, hub, trace=exporter.send if exporter else None)
        slots = {"light": settings.light_slots, "torch": settings.torch_slots}
        start = launcher or suitable_launcher(runner_environment(settings))
        gpus = await asyncio.to_thread(gpus_here, settings.gpus)
        near = engine = LocalEngine(slots, start, doors, lambda: dispatcher.wake(), gpus=gpus, idle_seconds=60 * settings.preload_minutes)  # noqa: PLW0108  (it is made below)
        own = dispatcher = Dispatcher(store, near, hub, settings)
        fleet = ThisMachine(near, own)
    operations = OperationsService(store, engine, dispatcher, hub, workspace=ports, figures=figures)
    agent, reports = AgentService(operations, ports, store.spending(Limits.of(settings))), ReportsService(operations, ports)
    housekeeping: asyncio.Task[None] | None = None
    try:
        await dispatcher.start()
        unfinished.catch_up()
        housekeeping = asyncio.create_task(tidy_for_ever(store, ports.checkpoints, settings), name="housekeeping")
        yield Backend(settings, ports, operations, fleet, agent, reports, traces)
    finally:
        if housekeeping:
            housekeeping.cancel()
        await dispatcher.stop()
        await engine.close()
        await unfinished.settle()
        if traces:
            await traces.settle(LAST_SPANS_SECONDS)
        await store.close()
        if exporter:
            await asyncio.to_thread(exporter.close, LAST_SPANS_SECONDS)


@asynccontextmanager
async def open_doors(settings: Settings, place: Place) -> AsyncIterator[tuple[Doors, Channels]]:
    """What a guardian works with on a node of a cluster, and how it hears and is heard."""
    store = await Store.open(settings.operations_url, connections=GUARDIAN_CONNECTIONS)
    channels = store.channels()
    exporter = Exporter() if collector() else None
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        trace = exporter.send if exporter else None
        yield doors_of(settings, open_workspace(settings), store, News(channels), trace=trace, place=place), channels
    finally:
        await channels.settle()
        await store.close()
        if exporter:
            await asyncio.to_thread(exporter.close, LAST_SPANS_SECONDS)


@asynccontextmanager
async def open_dispatcher(
    settings: Settings, engine_on: Callable[[Channels, Callable[[], None], Draining], Engine]
) -> AsyncIterator[Dispatcher]:  # fmt: skip
    """The dispatcher of a cluster, on the engine that is made from the channels, from what wakes it and from who drains."""
    store = await Store.open(settings.operations_url)
    channels = store.channels()
    engine = engine_on(channels, lambda: dispatcher.wake(), store.fleet().draining)  # noqa: PLW0108  (it is made below)
    dispatcher = Dispatcher(store, engine, News(channels), settings)
    listening: asyncio.Task[None] | None = None
    try:
        await dispatcher.start()
        listening = asyncio.create_task(channels.listen([QUEUE], lambda *_: dispatcher.wake(), dispatcher.wake), name="queue")
        yield dispatcher
    finally:
        if listening:
            listening.cancel()
        await dispatcher.stop()
        await engine.close()
        await channels.settle()
        await store.close()
