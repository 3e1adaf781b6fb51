"""The command line's client against a real socket: streams, lost connections, retries, Ctrl+C."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ktrdr.cli.answers import ApiError
from ktrdr.cli.client import AsyncCLIClient, Notice
from ktrdr.cli.operation_adapters import DummyOperationAdapter, TrainingOperationAdapter
from ktrdr.errors import Unavailable
from tests.cli_api import Answer, Api, Request, failure, operation, serving

RUNNING = operation()
LATER = operation(progress={**RUNNING["progress"], "percentage": 60.0})
DONE = operation(status="completed")
ID = RUNNING["operation_id"]
TRAIN = TrainingOperationAdapter({"strategy_name": "momentum"})


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as one:
        yield one


def wait_for(condition: Callable[[], Any], seconds: float = 5) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


async def test_an_operation_is_started_followed_and_returned(api: Api) -> None:
    api.start("/trainings/start", RUNNING, LATER, DONE)
    seen: list[dict[str, Any]] = []
    async with AsyncCLIClient(api.url) as client:
        result = await client.execute_operation(TRAIN, on_progress=seen.append)
    assert (result["status"], result["operation_id"]) == ("completed", ID)
    assert seen == [RUNNING, LATER, DONE]
    assert seen[0]["progress"]["context"]["epoch_index"] == 5
    assert api.heard("POST", "/trainings/start")[0].body == {"strategy_name": "momentum"}


async def test_progress_is_optional(api: Api) -> None:
    api.start("/trainings/start", RUNNING, DONE)
    async with AsyncCLIClient(api.url) as client:
        assert (await client.execute_operation(TRAIN))["status"] == "completed"


async def test_every_start_carries_an_idempotency_key_of_its_own(api: Api) -> None:
    api.start("/trainings/start", DONE)
    async with AsyncCLIClient(api.url) as client:
        await client.execute_operation(TRAIN)
        await client.execute_operation(TRAIN)
    first, second = (request.headers["Idempotency-Key"] for request in api.heard("POST", "/trainings/start"))
    assert first != second


async def test_a_start_that_meets_a_busy_backend_is_repeated_with_the_same_key(api: Api) -> None:
    def busy_once(request: Request) -> Answer:
        if len(api.heard("POST", "/trainings/start")) == 1:
            return failure(503, "unavailable", "not yet")
        return Answer(202, {"success": True, "operation_id": ID})

    api.tell(DONE)
    api.on("POST", "/trainings/start", busy_once)
    async with AsyncCLIClient(api.url) as client:
        assert (await client.execute_operation(TRAIN))["status"] == "completed"
    assert len({request.headers["Idempotency-Key"] for request in api.heard("POST", "/trainings/start")}) == 1
    assert len(api.heard("POST", "/trainings/start")) == 2


async def test_a_post_without_a_key_is_sent_once(api: Api) -> None:
    api.on("POST", "/strategies/validate", failure(503, "unavailable", "not now"))
    async with AsyncCLIClient(api.url) as client:
        with pytest.raises(ApiError, match="not now"):
            await client.post("/strategies/validate")
    assert len(api.heard("POST", "/strategies/validate")) == 1


async def test_a_get_is_repeated_until_the_backend_is_back(api: Api) -> None:
    def busy_twice(request: Request) -> Answer:
        busy = len(api.heard("GET", "/operations")) < 3
        return failure(502, "unavailable", "not yet") if busy else Answer(200, {"data": []})

    api.on("GET", "/operations", busy_twice)
    async with AsyncCLIClient(api.url) as client:
        assert await client.get("/operations") == {"data": []}


async def test_a_refusal_is_not_repeated_and_keeps_its_words(api: Api) -> None:
    api.on("POST", "/trainings/start", failure(422, "invalid_strategy", "line 3: no such indicator", "ktrdr list indicators"))
    async with AsyncCLIClient(api.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.start_operation(TRAIN)
    error = caught.value
    assert (error.status, error.error_code, error.message, error.hint) == (
        422, "invalid_strategy", "line 3: no such indicator", "ktrdr list indicators",
    )  # fmt: skip
    assert len(api.heard("POST", "/trainings/start")) == 1


async def test_a_backend_without_a_stream_is_polled(api: Api) -> None:
    records = iter([RUNNING, RUNNING, LATER, DONE])
    api.start("/trainings/start", DONE)
    del api.routes["GET", f"/operations/{ID}/events"]
    api.on("GET", f"/operations/{ID}", lambda _: Answer(200, {"data": next(records)}))
    seen: list[dict[str, Any]] = []
    begun = time.monotonic()
    async with AsyncCLIClient(api.url) as client:
        result = await client.execute_operation(TRAIN, on_progress=seen.append)
    assert result["status"] == "completed"
    assert seen == [RUNNING, LATER, DONE], "an unchanged record is no progress"
    assert 0.9 <= time.monotonic() - begun < 2.5, "three pauses of 300 ms"


async def test_a_lost_stream_is_said_and_taken_up_where_it_broke(api: Api) -> None:
    api.start("/trainings/start", RUNNING, LATER, DONE, drop=2)
    seen: list[dict[str, Any]] = []
    notices: list[Notice] = []
    async with AsyncCLIClient(api.url) as client:
        result = await client.execute_operation(TRAIN, on_progress=seen.append, on_notice=notices.append)
    assert result["status"] == "completed"
    assert seen == [RUNNING, LATER, DONE], "nothing is shown twice"
    assert notices == [Notice.CONNECTION_LOST, Notice.CONNECTED_AGAIN]
    assert [request.headers.get("Last-Event-ID") for request in api.heard("GET", f"/operations/{ID}/events")] == [None, "2"]


async def test_a_backend_that_was_away_is_found_again() -> None:
    api, notices = Api(), list[Notice]()
    api.tell(RUNNING, DONE, drop=1)
    with serving(api):
        client = await AsyncCLIClient(api.url).__aenter__()
        following = asyncio.create_task(client.follow_operation(ID, on_notice=notices.append))
        while not notices:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.4)
    with serving(api):
        assert (await following or {})["status"] == "completed"
        await client.__aexit__(None, None, None)
    assert notices == [Notice.CONNECTION_LOST, Notice.CONNECTED_AGAIN]


async def test_a_backend_that_stays_away_is_given_up_with_a_way_back() -> None:
    api, notices = Api(), list[Notice]()
    api.tell(RUNNING, DONE, drop=1)
    with serving(api):
        client = await AsyncCLIClient(api.url, patience=0.5).__aenter__()
        following = asyncio.create_task(client.follow_operation(ID, on_notice=notices.append))
        while not notices:
            await asyncio.sleep(0.005)
    with pytest.raises(Unavailable) as caught:
        await following
    await client.__aexit__(None, None, None)
    assert f"ktrdr follow {ID}" in (caught.value.hint or "")


async def test_no_backend_at_all_is_one_sentence() -> None:
    async with AsyncCLIClient("http://127.0.0.1:9") as client:
        with pytest.raises(Unavailable, match=r"the backend at http://127\.0\.0\.1:9 does not answer"):
            await client.start_operation(TRAIN)


async def test_cancelling_waits_for_the_end(api: Api) -> None:
    stopping, stopped = operation(cancelling=True), operation(status="cancelled")
    api.tell(stopping, stopped)
    api.on("POST", f"/operations/{ID}/cancel", Answer(202, {"success": True, "data": stopping}))
    async with AsyncCLIClient(api.url) as client:
        assert (await client.cancel_operation(ID, "enough"))["status"] == "cancelled"
    assert api.heard("POST", f"/operations/{ID}/cancel")[0].body == {"reason": "enough"}


async def test_the_signal_handler_is_put_back(api: Api) -> None:
    before = signal.getsignal(signal.SIGINT)
    api.start("/dummy/start", DONE)
    async with AsyncCLIClient(api.url) as client:
        await client.execute_operation(DummyOperationAdapter(1, 1))
    assert signal.getsignal(signal.SIGINT) is before


async def test_an_interrupt_cancels_in_the_program_of_a_user_too(api: Api) -> None:
    """`execute_operation` in somebody's own script: Ctrl+C cancels and the call returns the record."""
    cancelled = threading.Event()
    api.start("/dummy/start", RUNNING, operation(status="cancelled"), until=cancelled)

    def cancel(request: Request) -> Answer:
        cancelled.set()
        return Answer(200, {"success": True, "data": operation(status="cancelled")})

    api.on("POST", f"/operations/{ID}/cancel", cancel)
    async with AsyncCLIClient(api.url) as client:
        result = await client.execute_operation(
            DummyOperationAdapter(1, 1), lambda record: None if cancelled.is_set() else signal.raise_signal(signal.SIGINT)
        )
    assert result["status"] == "cancelled"


@pytest.mark.process
class TestCommand:
    """The real command as a process."""

    def start(self, api: Api, folder: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ktrdr.cli", *words, "--url", api.url], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def interruptible(self, api: Api, path: str, kind: str) -> dict[str, float]:
        """An operation that ends when it is cancelled; the moment of that is noted."""
        cancelled, times = threading.Event(), {}
        going, gone = operation(operation_type=kind), operation(operation_type=kind, status="cancelled")
        api.start(path, going, gone, until=cancelled)

        def cancel(request: Request) -> Answer:
            times["cancel"] = time.monotonic()
            cancelled.set()
            return Answer(200, {"success": True, "data": gone})

        api.on("POST", f"/operations/{ID}/cancel", cancel)
        return times

    @pytest.mark.parametrize(
        ("words", "path", "kind", "noun"),
        [
            (("train", "momentum", "-f"), "/trainings/start", "training", "Training"),
            (("backtest", "momentum", "-f"), "/backtests/start", "backtesting", "Backtest"),
            (("research", "an edge", "-f"), "/agent/trigger", "agent_research", "Research"),
            (("data", "load", "EURUSD"), "/data/load", "data_load", "Data load"),
            (("dummy", "start", "--duration", "9", "--iterations", "9"), "/dummy/start", "dummy", "Dummy"),
            (("resume", "chk_1", "-f"), "/checkpoints/chk_1/resume", "training", "Training"),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isalpha() else None,
    )
    def test_ctrl_c_cancels_what_a_command_started(
        self, api: Api, tmp_path: Path, words: tuple[str, ...], path: str, kind: str, noun: str
    ) -> None:
        times = self.interruptible(api, path, kind)
        process = self.start(api, tmp_path, *words)
        assert process.stdout
        shown = []
        for line in process.stdout:
            shown.append(line)
            if line.startswith("Status: running"):
                break
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
        assert process.returncode == 130, "".join(shown) + rest + errors
        assert times["cancel"] - pressed < 0.3
        assert f"{noun} cancellation sent successfully\n{noun} was cancelled" in rest
        assert "Traceback" not in errors

    def test_ctrl_c_leaves_a_followed_operation_alone(self, api: Api, tmp_path: Path) -> None:
        never = threading.Event()
        api.tell(RUNNING, DONE, until=never)
        process = self.start(api, tmp_path, "follow", ID)
        wait_for(lambda: api.heard("GET", f"/operations/{ID}/events"))
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
        never.set()
        assert process.returncode == 0
        assert "Detached from operation" in rest
        assert f"ktrdr follow {ID}" in rest
        assert not [request for request in api.requests if request.method != "GET"]

    def test_a_followed_start_in_json_mode_is_one_object_a_line(self, api: Api, tmp_path: Path) -> None:
        api.start("/trainings/start", RUNNING, LATER, DONE, drop=2)
        process = self.start(api, tmp_path, "--json", "train", "momentum", "--follow")
        out, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        assert [line["event"] for line in lines] == ["started", "progress", "completed"]
        assert [line["operation"] for line in lines] == [RUNNING, LATER, DONE]
        assert "Connection to the backend lost" in errors
