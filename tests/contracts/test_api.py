"""Every route of the API, over a real socket, on a real backend."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

import ktrdr
from ktrdr.api.app import PREFIX, create_app
from ktrdr.settings import Settings
from tests.contracts.serving import served

pytestmark = pytest.mark.process
JSON = dict[str, Any]
SENTENCE = {"code", "message", "hint", "details"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "home"


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[httpx.Client]:
    """A client of a backend that serves on a free port of this machine."""
    app = create_app(Settings(home=home, ledger=home.parent / "trials.sqlite"), "the home's id")
    with served(app) as url, httpx.Client(base_url=f"{url}{PREFIX}", timeout=30, trust_env=False) as client:
        yield client


def good(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["success"] is True
    return body.get("data")


def refused(response: httpx.Response, status: int, code: str) -> JSON:
    body = response.json()
    assert (response.status_code, body["success"], body["error"]["code"]) == (status, False, code), response.text
    assert set(body["error"]) == SENTENCE
    assert body["error"]["message"]
    error: JSON = body["error"]
    return error


def until(api: httpx.Client, operation_id: str, wanted: Callable[[JSON], bool], seconds: float = 30) -> JSON:
    deadline = time.monotonic() + seconds
    while not wanted(operation := good(api.get(f"/operations/{operation_id}"))):
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)
    return dict(operation)


def started_dummy(api: httpx.Client, duration: float = 30, iterations: int = 300) -> str:
    response = api.post("/dummy/start", json={"duration": duration, "iterations": iterations})
    body = response.json()
    assert response.status_code == 202
    assert body == {
        "success": True, "operation_id": body["operation_id"],
        "data": {"operation_id": body["operation_id"], "operation_type": "dummy", "status": "pending"},
    }  # fmt: skip
    return str(body["operation_id"])


# --- operations


def test_an_operation_in_full(api: httpx.Client) -> None:
    operation_id = started_dummy(api, 0.2, 2)
    record = until(api, operation_id, lambda o: o["status"] == "completed")
    assert set(record) == {
        "operation_id", "operation_type", "status", "cancelling", "parent_operation_id", "created_at", "started_at", "completed_at",
        "duration_seconds", "attempt", "progress", "metadata", "checkpoint", "resumed_from", "result_summary", "error_message", "error",
        "warnings",
    }  # fmt: skip
    assert set(record["progress"]) == {
        "percentage", "current_step", "steps_completed", "steps_total", "items_processed", "items_total", "context",
    }  # fmt: skip
    assert record["created_at"].endswith("Z")
    assert record["result_summary"] == {"iterations": 2, "duration_seconds": 0.2}


def test_listing_and_paging(api: httpx.Client) -> None:
    ids = [started_dummy(api, 0.01, 1) for _ in range(3)]
    for one in ids:
        until(api, one, lambda o: o["status"] == "completed")
    body = api.get("/operations", params={"limit": 2, "operation_type": "dummy"}).json()
    assert [record["operation_id"] for record in body["data"]] == ids[:0:-1]
    assert body["total_count"] >= 3
    assert body["active_count"] == 0
    assert api.get("/operations", params={"status": "cancelled", "operation_type": "data_load"}).json()["data"] == []
    assert len(api.get("/operations", params={"offset": 2, "limit": 1}).json()["data"]) == 1
    for wrong in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"status": "unknown"}):
        error = refused(api.get("/operations", params=wrong), 422, "validation_error")
        assert error["details"]["fields"][0]["field"] == next(iter(wrong))


def test_unknown_operations(api: httpx.Client) -> None:
    for response in (
        api.get("/operations/op_none"), api.get("/operations/op_none/children"), api.get("/operations/op_none/events"),
        api.delete("/operations/op_none"), api.post("/operations/op_none/cancel"), api.post("/operations/op_none/resume"),
        api.get("/trainings/op_none/performance"),
    ):  # fmt: skip
        assert "op_none" in refused(response, 404, "not_found")["message"]


@pytest.mark.parametrize("way", ["DELETE", "POST"])
def test_cancel_answers_with_the_final_record_and_once(api: httpx.Client, way: str) -> None:
    operation_id = started_dummy(api)
    until(api, operation_id, lambda o: o["progress"]["percentage"] > 0)
    path = f"/operations/{operation_id}" + ("" if way == "DELETE" else "/cancel")
    record = good(api.request(way, path, json={"reason": "enough"}))
    assert (record["status"], record["error_message"], record["error"]["code"]) == ("cancelled", "enough", "cancelled")
    refused(api.request(way, path), 409, "conflict")


def test_cancel_takes_no_words_it_does_not_know(api: httpx.Client) -> None:
    operation_id = started_dummy(api)
    refused(api.post(f"/operations/{operation_id}/cancel", json={"why": "x"}), 422, "validation_error")
    good(api.post(f"/operations/{operation_id}/cancel"))


def test_following_as_server_sent_events(api: httpx.Client) -> None:
    operation_id = started_dummy(api, 0.6, 6)
    heard = events(api, operation_id)
    assert heard[0][0] == "started"
    assert heard[-1][0] == "completed"
    numbers = [number for _, number, _ in heard]
    assert numbers == sorted(set(numbers))
    shown = [record["progress"]["percentage"] for _, _, record in heard]
    assert shown == sorted(shown)
    assert [record["status"] for _, _, record in heard[:-1]] != ["completed"] * (len(heard) - 1)
    # Of one that has ended there is one event; who was away hears what was missed, or the end if that is too long ago.
    assert [(name, number) for name, number, _ in events(api, operation_id)] == [("completed", numbers[-1])]
    for away, number in enumerate(numbers[:-1]):
        again = events(api, operation_id, {"Last-Event-ID": str(number)})
        assert [(name, n, record["progress"]) for name, n, record in again] == [(e, n, r["progress"]) for e, n, r in heard[away + 1 :]]
    for unknown in (str(numbers[-1]), "1", str(10**18)):
        assert [name for name, _, _ in events(api, operation_id, {"Last-Event-ID": unknown})] == ["completed"]


def test_what_happened_to_an_operation(api: httpx.Client) -> None:
    operation_id = started_dummy(api, 0.1, 2)
    events(api, operation_id)
    happened = good(api.get(f"/operations/{operation_id}/history"))
    assert [(one["event"], one["attempt"]) for one in happened] == [("queued", 0), ("started", 1), ("completed", 1)]
    assert happened[1]["detail"]["pid"] > 1
    refused(api.get("/operations/op_nothing/history"), 404, "not_found")


def events(api: httpx.Client, operation_id: str, headers: dict[str, str] | None = None) -> list[tuple[str, int, JSON]]:
    found = []
    with api.stream("GET", f"/operations/{operation_id}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
                fields = {}
    return found


def test_the_same_key_starts_once(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "a key of mine"}
    bodies = [api.post("/dummy/start", json={"duration": 0.01, "iterations": 1}, headers=headers).json() for _ in range(3)]
    assert len({body["operation_id"] for body in bodies}) == 1
    refused(api.post("/dummy/start", headers={"Idempotency-Key": "short"}), 422, "validation_error")


def test_the_dummy_has_defaults(api: httpx.Client) -> None:
    body = api.post("/dummy/start").json()
    good(api.delete(f"/operations/{body['operation_id']}"))


# --- trainings, backtests, checkpoints


@pytest.fixture(scope="module")
def training(api: httpx.Client) -> str:
    asked = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-04-01", "detailed_analytics": True}
    body = api.post("/trainings/start", json=asked).json()
    assert body["task_id"] == body["operation_id"] == body["data"]["operation_id"]
    assert until(api, body["operation_id"], lambda o: o["status"] not in ("pending", "running"), 60)["status"] == "completed"
    return str(body["operation_id"])


@pytest.mark.torch
def test_a_training_and_its_scores(api: httpx.Client, training: str) -> None:
    scores = good(api.get(f"/trainings/{training}/performance"))
    assert set(scores["test_metrics"]) >= {"accuracy", "precision", "recall", "f1_score", "loss"}
    assert set(scores) >= {"training_metrics", "test_metrics", "baselines", "model_info"}
    models = good(api.get("/models"))
    assert [model["strategy_name"] for model in models] == ["momentum"]
    record = good(api.get(f"/operations/{training}"))
    assert record["metadata"]["parameters"]["epochs"] == 20
    assert "analytics" in record["result_summary"]


@pytest.mark.torch
def test_a_backtest(api: httpx.Client, training: str) -> None:
    asked = {"strategy_name": "momentum", "start_date": "2015-04-01", "end_date": "2015-06-01", "initial_capital": 5000}
    body = api.post("/backtests/start", json=asked).json()
    record = until(api, body["operation_id"], lambda o: o["status"] not in ("pending", "running"))
    assert record["status"] == "completed", record
    assert record["result_summary"]["metrics"]["total_trades"] >= 0
    assert set(record["result_summary"]["benchmarks"]) >= {"buy_and_hold", "flat"}
    refused(api.get(f"/trainings/{body['operation_id']}/performance"), 404, "not_found")


def test_a_strategy_is_checked_for_leaks(api: httpx.Client) -> None:
    asked = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-04-01", "cuts": 2}
    body = api.post("/strategies/check", json=asked).json()
    record = until(api, body["operation_id"], lambda o: o["status"] not in ("pending", "running"), 60)
    assert record["status"] == "completed", record
    assert record["result_summary"]["leak_proof"]["passed"] is True


@pytest.mark.torch
def test_checkpoints_are_listed_shown_resumed_and_deleted(api: httpx.Client) -> None:
    asked = {"strategy_name": "momentum", "start_date": "2008-01-01", "end_date": "2015-01-01"}
    operation_id = api.post("/trainings/start", json=asked).json()["operation_id"]
    record = until(api, operation_id, lambda o: o["checkpoint"] is not None)
    checkpoint_id = record["checkpoint"]["checkpoint_id"]
    refused(api.delete(f"/checkpoints/{checkpoint_id}"), 409, "conflict")
    refused(api.post(f"/checkpoints/{checkpoint_id}/resume"), 409, "conflict")
    good(api.delete(f"/operations/{operation_id}"))
    checkpoint_id = good(api.get(f"/operations/{operation_id}"))["checkpoint"]["checkpoint_id"]
    listed = good(api.get("/checkpoints"))
    assert [c["operation_id"] for c in listed if c["checkpoint_id"] == checkpoint_id] == [operation_id]
    assert good(api.get(f"/checkpoints/{checkpoint_id}"))["position"].startswith("epoch")
    assert operation_id in [o["operation_id"] for o in api.get("/operations", params={"resumable": True}).json()["data"]]
    for path in (f"/checkpoints/{checkpoint_id}/resume", f"/operations/{operation_id}/resume"):
        response = api.post(path, headers={"Idempotency-Key": f"once {path[-60:]}"})
        body = response.json()
        assert response.status_code == 202
        assert set(body) == {"success", "operation_id", "operation_type", "resumed_from"}
        assert body["resumed_from"]["operation_id"] == operation_id
        assert body["resumed_from"]["checkpoint_id"] == checkpoint_id
        assert api.post(path, headers={"Idempotency-Key": f"once {path[-60:]}"}).json() == body
        good(api.delete(f"/operations/{body['operation_id']}"))
    good(api.delete(f"/checkpoints/{checkpoint_id}"))
    for response in (
        api.get(f"/checkpoints/{checkpoint_id}"), api.delete(f"/checkpoints/{checkpoint_id}"),
        api.post(f"/checkpoints/{checkpoint_id}/resume"),
    ):  # fmt: skip
        refused(response, 404, "not_found")


def test_starts_that_cannot_be_right(api: httpx.Client) -> None:
    wrong: list[tuple[str, JSON, int]] = [
        ("/trainings/start", {}, 422),
        ("/trainings/start", {"strategy_name": "nothing"}, 404),
        ("/trainings/start", {"strategy_name": "momentum", "unknown": 1}, 422),
        ("/trainings/start", {"strategy_name": "momentum", "start_date": "2016-01-01", "end_date": "2015-01-01"}, 422),
        ("/trainings/start", {"strategy_name": "momentum", "start_date": "1990-01-01", "end_date": "1991-01-01"}, 404),
        ("/trainings/start", {"strategy": "name: [", "source": "mine.yaml"}, 422),
        ("/trainings/check", {"strategy_name": "../../etc/passwd"}, 422),
        ("/backtests/start", {"strategy_name": "mean_reversion"}, 404),
        ("/backtests/start", {"strategy_name": "momentum", "initial_capital": -1}, 422),
        ("/backtests/start", {"strategy_name": "momentum", "model_path": "/etc"}, 404),
        ("/strategies/check", {"strategy_name": "nothing"}, 404),
        ("/strategies/check", {"strategy_name": "momentum", "cuts": 0}, 422),
        ("/strategies/check", {"strategy_name": "momentum", "symbol": "GBPUSD"}, 404),
        ("/data/load", {"symbol": "../x", "timeframe": "1h", "provider": "synthetic"}, 422),
        ("/data/load", {"symbol": "AAPL", "timeframe": "7x", "provider": "synthetic"}, 422),
        ("/dummy/start", {"duration": -1}, 422),
    ]
    before = api.get("/operations").json()["total_count"]
    for path, body, status in wrong:
        response = api.post(path, json=body)
        assert response.status_code == status, (path, body, response.text)
        assert set(response.json()["error"]) == SENTENCE
    assert api.get("/operations").json()["total_count"] == before
    assert good(api.post("/trainings/check", json={"strategy_name": "momentum"}))["parameters"]["features"] == 9


# --- data, strategies


def test_bars_can_be_loaded_listed_and_read(api: httpx.Client) -> None:
    asked = {
        "symbol": "TEST",
        "timeframe": "1h",
        "provider": "synthetic",
        "mode": "full",
        "start_date": "2024-01-01",
        "end_date": "2024-01-08",
    }
    body = api.post("/data/load", json=asked).json()
    record = until(api, body["operation_id"], lambda o: o["status"] not in ("pending", "running"))
    assert record["status"] == "completed", record
    assert "TEST" in [series["symbol"] for series in good(api.get("/symbols"))]
    rows = good(api.get("/data/TEST/1h", params={"limit": 5}))
    assert (len(rows["dates"]), len(rows["ohlcv"][0])) == (5, 5)
    assert good(api.get("/data/range", params={"symbol": "EURUSD", "timeframe": "1h"}))["point_count"] == 74_439
    assert [row["timeframe"] for row in good(api.get("/symbols", params={"symbol": "eur/usd"}))] == ["1h"]
    checked = good(api.get("/data/check", params={"symbol": "AAPL", "timeframe": "1h"}))
    assert (checked["bars"], checked["provider"], checked["origin"]) == (40_831, "sample", "")
    odd = {finding["check"]: finding for finding in checked["findings"]}
    assert odd["split_like"]["examples"][0].startswith("2000-06-21")
    assert set(odd["missing"]) == {"check", "count", "first", "examples", "sentence"}
    assert good(api.get("/data/check", params={"symbol": "TEST", "timeframe": "1h"}))["findings"] == []
    beside = {"symbol": "TEST", "timeframe": "1h", "against": "synthetic"}
    assert good(api.get("/data/check", params=beside))["findings"] == []
    refused(api.get("/data/check", params={**beside, "against": "yahoo"}), 404, "no_data")
    refused(api.get("/data/check", params={"symbol": "NOTHING", "timeframe": "1h"}), 404, "no_data")
    refused(api.get("/data/NOTHING/1h"), 404, "no_data")
    assert good(api.get("/data/TEST/1h", params={"limit": 5, "adjust": "raw"})) == rows
    assert rows["adjustment"] == "raw"
    refused(api.get("/data/TEST/1h", params={"adjust": "twice"}), 422, "validation_error")
    refused(api.get("/data/EURUSD/1h", params={"start_date": "yesterday"}), 422, "invalid")
    refused(api.get("/data/EURUSD/9z"), 422, "invalid")
    refused(api.get("/data/range"), 422, "validation_error")


def test_a_file_can_be_checked_before_it_is_loaded(api: httpx.Client, tmp_path: Path) -> None:
    rows = [
        "2020-01-01T00:00Z,1,3,0.5,2,10",
        "2020-01-01T01:00Z,2,1,1,2.5,11",
        "2020-01-01T01:00Z,2,3,1,2.5,11",
        "2020-01-01T03:00Z,2,3,1,2,9",
    ]
    (tmp_path / "own.csv").write_text("time,open,high,low,close,volume\n" + "\n".join(rows))
    asked = {"symbol": "BTC/USDT", "timeframe": "1h", "file": str(tmp_path / "own.csv")}
    checked = good(api.post("/data/check", json=asked))
    assert (checked["symbol"], checked["bars"], checked["origin"]) == ("BTCUSDT", 4, asked["file"])
    assert {finding["check"]: finding["count"] for finding in checked["findings"]} == {"disputed": 2, "high": 1, "missing": 2}
    assert "BTCUSDT" not in [series["symbol"] for series in good(api.get("/symbols"))]
    refused(api.post("/data/check", json={**asked, "zne": "UTC"}), 422, "invalid")
    for _ in range(2):
        body = {**asked, "provider": "files", "mode": "full", "bad_rows": "quarantine"}
        started = api.post("/data/load", json=body).json()["operation_id"]
        assert until(api, started, lambda o: o["status"] not in ("pending", "running"))["status"] == "completed"
        (tmp_path / "own.csv").write_text("time,open,high,low,close,volume\n" + "\n".join([rows[0].replace(",2,10", ",1.5,10"), *rows[1:]]))
    stored = good(api.get("/data/check", params={"symbol": "BTCUSDT", "timeframe": "1h", "provider": "files"}))
    assert {each["check"]: each["count"] for each in stored["findings"]} == {"missing": 2, "revised": 1, "quarantined": 2}
    refused(api.post("/data/check", json={**asked, "file": "/nowhere.csv"}), 404, "not_found")


def test_strategies_can_be_listed_shown_checked_and_translated(api: httpx.Client) -> None:
    names = {strategy["name"] for strategy in good(api.get("/strategies"))}
    assert names >= {"momentum", "mean_reversion", "trend_momentum"}
    shown = good(api.get("/strategies/momentum"))
    assert shown["text"].startswith("name: momentum")
    assert shown["in_words"]
    features = good(api.get("/strategies/momentum/features"))
    assert features["count"] == len(features["features"]) == 9
    assert good(api.post("/strategies/features", json={"strategy": shown["text"]}))["features"] == features["features"]
    assert good(api.post("/strategies/validate", json={"strategy_name": "momentum"}))["valid"] is True
    check = good(
        api.post("/strategies/validate", json={"strategy": shown["text"].replace("type: rsi", "type: rsy"), "source": "mine.yaml"})
    )
    assert (check["valid"], check["errors"][0]["nearest"], check["name"]) == (False, "rsi", "mine.yaml")
    refused(api.post("/strategies/validate", json={}), 422, "invalid")
    refused(api.get("/strategies/nothing"), 404, "not_found")
    refused(api.get("/strategies/nothing/features"), 404, "not_found")
    assert {"rsi", "macd"} <= {indicator["name"] for indicator in good(api.get("/indicators"))}
    assert good(api.get("/schemas/strategy"))["title"] == "ktrdr strategy"
    old = "name: old\nversion: '2.0'\nindicators:\n  - {name: rsi, feature_id: rsi_14, period: 14}\n"
    refused(api.post("/strategies/migrate", json={"strategy": "[]"}), 422, "invalid_strategy")
    assert api.post("/strategies/migrate", json={"strategy": old}).status_code in {200, 422}


# --- the agent


def test_the_agent_triggers_shows_and_cancels_with_flat_bodies(api: httpx.Client) -> None:
    assert api.delete("/agent/cancel").json() == {
        "success": False,
        "reason": "no_active_cycle",
        "message": "No active research cycle to cancel",
    }
    response = api.post("/agent/trigger", json={"tries": 500})
    body = response.json()
    assert (response.status_code, body["triggered"], body["model"]) == (202, True, None)
    assert "default" in body["message"]
    operation_id = body["operation_id"]
    again = api.post("/agent/trigger")
    assert again.status_code == 409
    assert (again.json()["triggered"], again.json()["reason"], again.json()["operation_id"]) == (False, "active_cycle_exists", operation_id)
    until(api, operation_id, lambda o: bool(o["progress"]["context"].get("child")))
    status = api.get("/agent/status").json()
    assert (status["status"], status["operation_id"], status["phase"]) == ("active", operation_id, "designing")
    assert status["child_operation_id"]
    assert [c["operation_id"] for c in good(api.get(f"/operations/{operation_id}/children"))] == [status["child_operation_id"]]
    cancelled = api.delete(f"/agent/cancel/{operation_id}").json()
    assert cancelled["success"] is True
    assert cancelled["child_cancelled"] == status["child_operation_id"]
    idle = api.get("/agent/status").json()
    assert (idle["status"], idle["last_cycle"]["outcome"]) == ("idle", "cancelled")
    assert api.delete("/agent/cancel").status_code == 404


def test_triggers_that_cannot_be_right(api: httpx.Client) -> None:
    for body, status in (
        ({"brief": "x", "strategy": "momentum"}, 422), ({"model": "gpt"}, 422), ({"designer": "nobody"}, 422),
        ({"strategy": "nothing"}, 404), ({"brief": ""}, 422), ({"word": 1}, 422), ({"seed": -1}, 422),
    ):  # fmt: skip
        response = api.post("/agent/trigger", json=body)
        assert response.status_code == status, (body, response.text)
    assert api.get("/agent/status").json()["status"] == "idle"


def test_the_budget(api: httpx.Client) -> None:
    found = api.get("/agent/budget").json()
    assert (found["daily_limit"], found["today_spend"], found["remaining"], found["today_calls"]) == (5.0, 0.0, 5.0, 0)
    assert (found["cycle_limit"], found["call_limit"], found["today_tokens"]) == (1.0, 1.0, 0)
    assert found["resets_at"].endswith("T00:00:00Z")
    assert found["message"].startswith("No key is set")


# --- the house


def test_health_workers_metrics_and_trials(api: httpx.Client) -> None:
    checks = {"store": "ok", "dispatcher": "ok", "engine": "ok"}
    assert api.get("/health").json() == {"status": "ok", "version": ktrdr.__version__, "home_id": "the home's id", "checks": checks}
    workers = good(api.get("/workers"))["workers"]
    assert {worker["profile"] for worker in workers} == {"light", "torch"}
    assert {worker["status"] for worker in workers} <= {"idle", "busy"}
    assert good(api.post("/workers/drain", json={}))["draining"] is True
    assert good(api.post("/workers/undrain", json={}))["draining"] is False
    operation_id = started_dummy(api, 30, 100)
    good(api.post(f"/operations/{operation_id}/cancel"))
    until(api, started_dummy(api, 0.05, 2), lambda operation: operation["status"] == "completed")
    text = api.get("/metrics").text
    for line in (
        'ktrdr_operations{status="completed",type="dummy"} ', 'ktrdr_operations_ended_total{status="cancelled",type="dummy"} ',
        'ktrdr_operation_attempts_total{type="dummy"} ', 'ktrdr_operation_queue_seconds_count{type="dummy"} ',
        'ktrdr_operation_duration_seconds_sum{type="dummy"} ', 'ktrdr_cancel_seconds_count{type="dummy"} ',
        'ktrdr_workers{profile="light",status="idle"} ',
    ):  # fmt: skip
        assert line in text, text
    assert isinstance(good(api.get("/trials")), list)
    refused(api.get("/trials", params={"limit": 0}), 422, "validation_error")


def test_what_another_page_or_machine_may_not_do(api: httpx.Client) -> None:
    refused(api.get("/operations", headers={"Host": "evil.example"}), 403, "wrong_host")
    refused(api.post("/dummy/start", headers={"Origin": "http://evil.example"}), 403, "wrong_origin")
    refused(api.post("/dummy/start", headers={"Origin": "null"}), 403, "wrong_origin")
    refused(api.post("/dummy/start", content=b"x" * (2**20 + 1)), 413, "too_large")
    refused(api.post("/dummy/start", content=(b"{}" for _ in range(1))), 413, "too_large")
    own = f"http://{api.base_url.host}:{api.base_url.port}"
    body = api.post("/dummy/start", json={"duration": 0.01, "iterations": 1}, headers={"Origin": own})
    assert body.status_code == 202


def test_a_command_says_how_it_went(api: httpx.Client) -> None:
    started = api.post("/dummy/start", json={"duration": 0.01, "iterations": 1}, headers={"traceparent": "no traceparent at all"})
    path = f"/operations/{started.json()['operation_id']}/command"
    assert good(api.post(path, json={"command": "dummy", "seconds": 1.5}), 202) is False  # this backend has no collector
    refused(api.post(path, json={"command": "dummy", "seconds": -1}), 422, "validation_error")
    refused(api.post("/operations/op_unknown/command", json={"command": "dummy", "seconds": 1}), 404, "not_found")


def test_paths_and_methods_that_do_not_exist(api: httpx.Client) -> None:
    refused(api.get("/nothing"), 404, "not_found")
    refused(api.get("/operations/"), 404, "not_found")
    refused(api.put("/operations"), 405, "method_not_allowed")
    refused(api.post("/dummy/start", content=b"{", headers={"Content-Type": "application/json"}), 422, "validation_error")


def test_the_description_of_the_api_is_complete(api: httpx.Client) -> None:
    """Every route has a sentence, typed answers, and a test here."""
    document = api.get("/openapi.json").json()
    app = create_app(Settings(), "none")
    source = Path(__file__).read_text(encoding="utf-8")
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods:
            described = document["paths"][route.path][method.lower()]
            assert described["description"].endswith("."), route.path
            good_answer = described["responses"].get("200") or described["responses"]["202"]
            assert good_answer["content"], route.path
        plain = route.path.removeprefix(PREFIX)
        pieces = [piece for piece in plain.split("/") if piece and "{" not in piece]
        assert all(f"/{piece}" in source for piece in pieces), f"no test names {plain}"


def test_a_backend_with_a_token_answers_nobody_without_it(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", token=SecretStr(TOKEN)), "the home's id")
    with served(app) as url, httpx.Client(base_url=f"{url}{PREFIX}", timeout=30, trust_env=False) as client:
        for said in ({}, {"Authorization": "Bearer something else"}, {"Authorization": TOKEN[:-1]}):
            for path in ("/operations", "/health", "/metrics", "/openapi.json"):
                refused(client.get(path, headers=said), 401, "wrong_token")
        known = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/operations", headers=known).status_code == 200
        assert client.get("/operations", headers={**known, "Host": "ktrdr.example"}).status_code == 200
        refused(client.post("/dummy/start", headers={**known, "Origin": "http://evil.example"}), 403, "wrong_origin")


TOKEN = "a secret of more than sixteen characters"
