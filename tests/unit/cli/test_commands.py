"""Every command as a person and as a program sees it, against canned answers; the screens are in `tests/golden/cli`.

`KTRDR_WRITE_GOLDEN=1` writes the screens anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ktrdr.agents.cycle import CycleResult, Dates
from ktrdr.agents.designer import Assessment, Trials
from ktrdr.agents.gates import backtest_checks, gate_report, training_checks
from ktrdr.cli.app import main
from tests.cli_api import Answer, Api, failure, operation, serving

JSON = dict[str, Any]
GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
TRAINING = "op_training_20261121_093000_1a2b3c4d"
CYCLE = "op_agent_research_20261121_090000_5e6f7a8b"
GONE = failure(404, "not_found", "there is no operation 'op_gone'", "ktrdr ops lists them")


def metrics(total: float, sharpe: float | None, fall: float, trades: int, won: float | None) -> JSON:
    return {
        "total_return": 1e5 * total, "total_return_pct": total, "sharpe_ratio": sharpe, "max_drawdown_pct": fall, "total_trades": trades,
        "win_rate": won, "undefined": {} if trades else {"sharpe_ratio": "the equity never changed", "win_rate": "no trades"},
    }  # fmt: skip


TRAINED: JSON = {
    "strategy_name": "momentum", "model_path": "/home/me/.ktrdr/models/momentum/" + TRAINING, "model_size_bytes": 12_345,
    "training_metrics": {
        "epochs_completed": 10, "best_epoch": 7, "stopped_early": False, "initial_loss": 1.1032, "final_train_loss": 0.9127,
        "final_train_accuracy": 0.561, "final_val_loss": 0.9784, "final_val_accuracy": 0.531, "loss_decrease": 0.1727,
    },
    "test_metrics": {"rows": 900, "accuracy": 0.5217, "loss": 0.9911, "precision": 0.44, "recall": 0.41, "f1_score": 0.4245},
    "baselines": {"majority_class": "HOLD", "majority_accuracy": 0.4983, "majority_loss": 1.0412, "shuffled_accuracy": 0.38},
    "model_info": {"parameters_count": 323},
}  # fmt: skip
TESTED: JSON = {
    "strategy_name": "momentum", "symbol": "EURUSD", "timeframe": "1h", "start_date": "2017-01-01", "end_date": "2018-01-01",
    "provider": "sample", "in_sample": False, "initial_capital": 100_000.0, "final_equity": 103_210.5,
    "costs": {"sentence": "per side: spread 5e-05 in price, slippage 1e-05 in price"},
    "metrics": metrics(0.0321, 0.8412, 0.0534, 118, 0.5169),
    "benchmarks": {"buy_and_hold": metrics(0.1403, 1.7731, 0.0461, 1, 1.0), "flat": metrics(0.0, None, 0.0, 0, None)},
    "files": {"trades": "/home/me/.ktrdr/reports/op/trades.csv", "equity": "/home/me/.ktrdr/reports/op/equity.csv"},
}  # fmt: skip
LOADED: JSON = {
    "symbol": "EURUSD", "timeframe": "1h", "mode": "full", "provider": "files", "status": "complete", "bars_loaded": 24_800,
    "bars_total": 31_000, "first": "2012-01-02T00:00:00+00:00", "last": "2016-12-30T21:00:00+00:00", "conflicts": 0, "diagnosis": None,
}  # fmt: skip


def researched(*, passed: bool) -> JSON:
    at = [datetime(year, 1, 1, tzinfo=UTC) for year in (2007, 2015, 2018)]
    found = CycleResult(
        goal="find a momentum edge in EURUSD", understood="Understood as: momentum on EURUSD 1h; by default: the bar size 1h.",
        strategy_name="momentum_1a2b3c4d", strategy_in_words=("RSI over 14 bars: low, middle, high", "a network of 16 units decides"),
        designed_by="search (evolution, 64 candidates, seed 7), not a language model", trials=Trials(
            count=64, best_sharpe_ratio=1.31, expected_by_luck=1.12, deflated_probability=0.613,
        ), dates=Dates(train_start=at[0], train_end=at[1], test_start=at[1], test_end=at[2]),
        files={"strategy": "/home/me/.ktrdr/strategies/momentum_1a2b3c4d.yaml"},
    )  # fmt: skip
    figures = {"accuracy": 0.5217 if passed else 0.423, "final_loss": 0.7311, "loss_decrease": 0.2611, "majority_accuracy": 0.4983,
               "majority_loss": 1.0412}  # fmt: skip
    found = found.gated(gate_report("training", training_checks(figures)))
    if not passed:
        return found.as_dict()
    held = {"buy_and_hold_sharpe_ratio": 1.7731, "buy_and_hold_max_drawdown_pct": 0.0461}
    found = found.tested(TESTED).gated(gate_report("backtest", backtest_checks({**TESTED["metrics"], **held})))
    judged = Assessment(
        verdict="mediocre", strengths=("118 trades",), weaknesses=("Sharpe ratio 0.84 beside 1.77 for buying and holding",),
        suggestions=("try another bar size",), assessed_by="fixed rules on the figures",
    )  # fmt: skip
    return found.assessed(judged, "/home/me/.ktrdr/strategies/momentum_1a2b3c4d/assessment.json").as_dict()


def cycle(**changes: Any) -> JSON:
    metadata = {
        "phase": "training", "brief": "find a momentum edge in EURUSD", "designer": "offline", "model": None, "strategy_name": None,
        "understood": "Understood as: momentum on EURUSD 1h; by default: the bar size 1h.", "symbol": "EURUSD", "timeframe": "1h",
        "parameters": {"seed": 7, "candidates": 64},
    }  # fmt: skip
    child = {"operation_id": TRAINING, "operation_type": "training", "status": "running", **operation()["progress"]}
    progress = {
        "percentage": 41.6, "current_step": "Training model: Epoch 5/10 · Batch 120/500", "steps_completed": None, "steps_total": None,
        "items_processed": None, "items_total": None, "context": {"child": child},
    }  # fmt: skip
    return operation(operation_id=CYCLE, operation_type="agent_research", metadata=metadata, progress=progress) | operation(
        operation_id=CYCLE, operation_type="agent_research", metadata=metadata, progress=progress, **changes
    )


def failed(code: str, message: str, hint: str | None = None, **changes: Any) -> JSON:
    error = {"code": code, "message": message, "hint": hint, "details": {}}
    return operation(status="failed", error=error, error_message=message, **changes)


CANCELLED = operation(status="cancelled")
COMPLETED = operation(status="completed", result_summary=TRAINED)
PENDING = operation(
    status="pending", started_at=None, attempt=0,
    progress={"percentage": 0.0, "current_step": "", "steps_completed": None, "steps_total": None, "items_processed": None,
              "items_total": None, "context": {}},
)  # fmt: skip
CHECKPOINT = {
    "checkpoint_id": "chk_5e6f7a8b", "position": "epoch 5", "created_at": (datetime.now(UTC) - timedelta(hours=3.02)).isoformat(),
    "path": "op/5", "sha256": "00", "size_bytes": 54_321,
}  # fmt: skip
RESUMED = {"operation_id": "op_training_20261120_080000_0a0b0c0d", "checkpoint_id": "chk_5e6f7a8b", "position": "epoch 5"}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as one:
        for path in ("/operations/op_gone", "/checkpoints/op_gone"):
            one.on("GET", path, GONE)
        for path in (
            "/operations/op_gone/cancel",
            "/operations/op_gone/resume",
            "/trainings/start",
            "/backtests/start",
            "/strategies/features",
        ):
            one.on("POST", path, GONE)
        yield one


def screen(api: Api, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The command line, what it prints, and its exit code."""
    code = main([*words, "--url", api.url])
    printed = capsys.readouterr()
    errors = "".join(f"(stderr) {line}\n" for line in printed.err.splitlines())
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    return f"$ ktrdr {command}\n{printed.out}{errors}(exit {code})\n".replace(api.url, "http://127.0.0.1:8000")


def agrees(name: str, shown: str) -> None:
    """Compare with the golden screen of this name."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("KTRDR_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


STARTS: dict[str, tuple[tuple[str, ...], str, JSON]] = {
    "train": (("train", "momentum", "--start", "2012-01-01"), "/trainings/start", COMPLETED),
    "train_failed": (("train", "momentum"), "/trainings/start", failed("out_of_memory", "the runner used up the memory", "ktrdr resume op_t")),
    "train_cancelled": (("train", "momentum"), "/trainings/start", CANCELLED),
    "backtest": (
        ("backtest", "momentum", "-c", "100000"), "/backtests/start",
        operation(operation_type="backtesting", status="completed", result_summary=TESTED, warnings=["in-sample: the model knows these bars"]),
    ),
    "research": (("research", "find a momentum edge in EURUSD"), "/agent/trigger", cycle(status="completed", result_summary=researched(passed=True))),
    "research_refused_by_a_gate": (
        ("research", "--strategy", "momentum"), "/agent/trigger",
        cycle(status="failed", result_summary=researched(passed=False), error={
            "code": "gate_failed", "message": "Training gate failed: accuracy_below_threshold (42.3% < 45.0%)", "hint": None, "details": {},
        }),
    ),
    "data_load": (("data", "load", "EURUSD", "-t", "1h"), "/data/load", operation(operation_type="data_load", status="completed", result_summary=LOADED)),
    "data_load_partial": (
        ("data", "load", "EURUSD", "-t", "1h"), "/data/load",
        operation(operation_type="data_load", status="completed", result_summary={**LOADED, "status": "partial", "diagnosis": "the file ends 2016-12-30"}),
    ),
    "dummy": (("dummy", "start", "--duration", "2", "--iterations", "4"), "/dummy/start", operation(operation_type="dummy", status="completed")),
    "resume": (("resume", "chk_5e6f7a8b"), "/checkpoints/chk_5e6f7a8b/resume", operation(status="completed", result_summary=TRAINED, resumed_from=RESUMED)),
}  # fmt: skip
ALWAYS_FOLLOW = ("data", "dummy")


@pytest.mark.parametrize("name", STARTS)
def test_starting_and_following(name: str, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    words, path, final = STARTS[name]
    going = {
        **final,
        "status": "running",
        "completed_at": None,
        "result_summary": None,
        "error": None,
        "error_message": None,
        "warnings": [],
    }
    api.start(path, going, final)
    follow = () if words[0] in ALWAYS_FOLLOW else ("--follow",)
    shown = screen(api, capsys, *words, *follow) + screen(api, capsys, *words, *follow, "-q")
    agrees(name, shown + screen(api, capsys, *words, *follow, "--json"))


@pytest.mark.parametrize("name", ["train", "backtest", "research", "resume"])
def test_starting_and_leaving(name: str, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    words, path, final = STARTS[name]
    api.start(path, {**final, "status": "pending", "completed_at": None, "result_summary": None, "started_at": None})
    agrees(f"{name}_detached", screen(api, capsys, *words) + screen(api, capsys, *words, "--json"))


@pytest.mark.parametrize("record", [COMPLETED, failed("worker_lost", "Training failed: Worker timeout after 30 minutes"), CANCELLED],
                         ids=lambda record: record["status"])  # fmt: skip
def test_following_what_has_ended(record: JSON, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.tell(record)
    words = ("follow", TRAINING)
    agrees(f"follow_{record['status']}", screen(api, capsys, *words) + screen(api, capsys, *words, "--json"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("follow", ("follow", "op_gone")), ("status", ("status", "op_gone")), ("cancel", ("cancel", "op_gone")),
        ("resume", ("resume", "op_gone")), ("train", ("train", "op_gone", "-f")), ("backtest", ("backtest", "op_gone")),
        ("show", ("show", "features", "op_gone")), ("checkpoints", ("checkpoints", "show", "op_gone")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_there_is_said_once(name: str, words: tuple[str, ...], api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    agrees(f"{name}_unknown", screen(api, capsys, *words) + screen(api, capsys, *words, "--json"))


SERIES = {
    "symbol": "EURUSD",
    "timeframe": "1h",
    "provider": "sample",
    "bars": 31_000,
    "first": "2007-01-01",
    "last": "2012-01-01",
    "bundled": True,
}
LISTS: dict[str, tuple[str, list[JSON]]] = {
    "strategies": ("/strategies", [
        {"name": "momentum", "source": "bundled", "symbols": ["EURUSD"], "timeframes": ["1h"], "description": "Buys strength."},
    ]),
    "models": ("/models", [
        {"strategy_name": "momentum", "symbols": ["EURUSD"], "timeframes": ["1h"], "start": "2012-01-01", "end": "2017-01-01",
         "test_accuracy": 0.5217, "size_bytes": 12_345, "path": "/home/me/.ktrdr/models/momentum/op"},
    ]),
    "checkpoints": ("/checkpoints", [{**CHECKPOINT, "operation_id": TRAINING, "operation_type": "training"}]),
    "indicators": ("/indicators", [
        {"name": "rsi", "category": "momentum", "parameters": {"period": 14, "source": "close"}, "description": "Relative strength index."},
    ]),
    "symbols": ("/symbols", [SERIES]),
    "trials": ("/trials", [
        {"recorded_at": "2026-11-21T09:30:00Z", "kind": "search", "symbol": "EURUSD", "timeframe": "1h", "start": "2007-01-01T00:00:00Z",
         "end": "2015-01-01T00:00:00Z", "score": 0.0123456, "reason": None, "content_hash": "1a2b3c4d5e6f"},
    ]),
}  # fmt: skip


@pytest.mark.parametrize("what", LISTS)
def test_listing(what: str, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    path, rows = LISTS[what]
    api.on("GET", path, Answer(200, {"success": True, "data": []}))
    shown = screen(api, capsys, "list", what) + screen(api, capsys, "list", what, "--json")
    api.on("GET", path, Answer(200, {"success": True, "data": rows}))
    shown += screen(api, capsys, "list", what)
    agrees(f"list_{what}", shown)
    main(["list", what, "--json", "--url", api.url])
    assert json.loads(capsys.readouterr().out) == rows


def page(*records: JSON, total: int | None = None) -> Answer:
    return Answer(200, {"success": True, "data": list(records), "total_count": total or len(records), "active_count": 0})


def test_the_list_of_operations(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/operations", page())
    shown = "".join(screen(api, capsys, "ops", *flags) for flags in ((), ("--active",), ("--resumable",), ("--json",)))
    api.on("GET", "/operations", page(PENDING, COMPLETED, operation(status="cancelled", checkpoint=CHECKPOINT), total=7))
    agrees("ops", shown + screen(api, capsys, "ops"))
    main(["ops", "--json", "--url", api.url])
    row = json.loads(capsys.readouterr().out)[0]
    assert row["progress"]["percentage"] == 0.0
    assert {"operation_id", "operation_type", "status", "created_at"} <= row.keys()


def test_the_filters_of_the_list_reach_the_backend(api: Api) -> None:
    api.on("GET", "/operations", page())
    words = ["ops", "--status", "failed", "--type", "training", "--limit", "3", "--active", "--resumable", "-q", "--url", api.url]
    assert main(words) == 0
    assert api.heard("GET", "/operations")[0].query == {
        "status": "failed", "operation_type": "training", "limit": "3", "active_only": "true", "resumable": "true",
    }  # fmt: skip


def test_one_operation(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for record in (PENDING, COMPLETED, failed("no_data", "there are no bars", "ktrdr data load EURUSD", checkpoint=CHECKPOINT)):
        api.tell(record)
        shown += screen(api, capsys, "status", TRAINING)
    agrees("status_of_one", shown)
    main(["status", TRAINING, "--json", "--url", api.url])
    assert json.loads(capsys.readouterr().out)["operation_id"] == TRAINING


def test_the_dashboard(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"running": 1, "pending": 0, "completed": 1234, "failed": 2, "cancelled": 3}
    api.on("GET", "/operations", lambda request: Answer(200, {"data": [], "total_count": counts[request.query["status"]]}))
    workers = [{"worker_id": "torch-0", "profile": "torch", "status": "busy", "operation_id": TRAINING},
               {"worker_id": "light-0", "profile": "light", "status": "idle", "operation_id": None}]  # fmt: skip
    api.on("GET", "/workers", Answer(200, {"success": True, "data": {"workers": workers}}))
    api.on("GET", "/symbols", Answer(200, {"success": True, "data": [SERIES]}))
    api.on("GET", "/agent/budget", Answer(200, {"date": "2026-11-21", "daily_limit": 5.0, "today_spend": 0.2, "remaining": 4.8}))
    agrees("status", screen(api, capsys, "status"))
    main(["status", "--json", "--url", api.url])
    document = json.loads(capsys.readouterr().out)
    assert (document["operations"]["running"], document["operations"]["completed"], document["workers"]) == (1, 1234, 2)
    agrees("workers", screen(api, capsys, "workers"))
