"""The dispatcher of a cluster: a process of its own, because Ray ends its driver when the head dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from types import FrameType

from ktrdr.cluster.attempt import WORKER, Attempt
from ktrdr.errors import Invalid, KtrdrError, Unavailable
from ktrdr.kinds.base import KINDS
from ktrdr.log import configure, logger
from ktrdr.operations.cluster import check
from ktrdr.settings import Resources, Settings
from ktrdr.wiring import open_dispatcher

LONGEST_PAUSE_SECONDS = 30.0
LEAVE_SECONDS = 20.0
REFUSED = 2
"""Exit code of a driver that no restart would help."""
log = logger(__name__)


def supervise(words: list[str]) -> int:
    """Keep a driver running: one that ends by itself is started again, after a pause that grows while it fails at once."""
    settings = settings_of_a_cluster()
    configure(settings.log_level)
    asked: list[int] = []
    driver: subprocess.Popen[bytes] | None = None

    def leave(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if driver is not None:
            driver.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    pause = 1.0
    while True:
        begun = time.monotonic()
        # Its standard input ends when this process does, however that ends; then the driver leaves too.
        driver = subprocess.Popen(
            [sys.executable, "-m", "ktrdr.cluster", "--driver", *words], stdin=subprocess.PIPE, start_new_session=True
        )
        code = driver.wait() if not asked else ended(driver)
        if asked or code == REFUSED:
            return 0 if asked else 1
        pause = 1.0 if time.monotonic() - begun > LONGEST_PAUSE_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
        log.warning("the driver ended and is started again", code=code, seconds=pause)
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and not asked:
            time.sleep(0.1)  # a signal only sets `asked`; a longer sleep would go on after it
        if asked:
            return 0


def ended(driver: subprocess.Popen[bytes]) -> int:
    """The exit code of a driver that was asked to leave; one that does not is killed."""
    try:
        return driver.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        driver.kill()
        return driver.wait()


def settings_of_a_cluster() -> Settings:
    """The settings of this process; Invalid or Unavailable where they are not those of a cluster."""
    settings = Settings.read()
    if settings.engine != "ray":
        raise Invalid("a dispatcher is for operations on a cluster, and KTRDR_ENGINE is local", hint="set KTRDR_ENGINE=ray")
    check(settings, joins=True)
    needs_of_all(settings)
    return settings


def needs_of_all(settings: Settings) -> dict[str, Resources]:
    """What an attempt of each type takes, if not all take the same; Invalid for a type that does not exist."""
    if not settings.needs:
        return {}
    unknown = sorted(set(settings.needs) - set(KINDS.names()))
    if unknown:
        raise Invalid(f"KTRDR_NEEDS names {unknown[0]!r}, which is no type of operation", hint=f"there are {', '.join(KINDS.names())}")
    return {name: settings.needs.get(name, Resources()) for name in KINDS.names()}


def drive(runner: str = WORKER) -> int:
    """Take operations from the queue until told to leave; the exit code."""
    try:
        settings = settings_of_a_cluster()
        configure(settings.log_level)
        asyncio.run(dispatch(settings, runner))
    except KtrdrError as error:
        sys.stderr.write(f"Error: {error.message}\n" + (f"Hint: {error.hint}\n" if error.hint else ""))
        return REFUSED if isinstance(error, Invalid) else 1
    return 0


async def dispatch(settings: Settings, runner: str) -> None:
    """Join Ray, then claim and watch."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import logging

    import ray

    from ktrdr.operations.ray import NAMESPACE, RayEngine

    try:
        await asyncio.to_thread(ray.init, settings.ray_address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise Unavailable(f"no Ray answers at {settings.ray_address}: {error}", hint="is its head running, with the same token?") from None
    given = settings.model_dump(mode="json", exclude={"token"})
    needs = needs_of_all(settings)
    left = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, left.set)
    loop.add_reader(sys.stdin.fileno(), left.set)  # nothing is ever said there: it can only end
    async with open_dispatcher(settings, lambda *doors: RayEngine(Attempt, (given, runner), *doors, needs=needs)) as working:
        log.info("dispatcher runs", ray=settings.ray_address, pid=os.getpid())
        leaving = asyncio.create_task(left.wait())
        await asyncio.wait([leaving, *working.tasks], return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            raise Unavailable(f"the dispatcher ended: {await working.wrong()}")
    await asyncio.to_thread(ray.shutdown)
