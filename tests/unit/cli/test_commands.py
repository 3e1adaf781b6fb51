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

import ktrdr
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


BASELINES = {
    "majority_class": "hold", "majority_accuracy": 0.4983, "majority_loss": 1.0412, "shuffled_accuracy": 0.38, "previous_accuracy": 0.41,
}  # fmt: skip


def split(rows: int, accuracy: float) -> JSON:
    one = {"rows": rows // 3, "answered": rows // 4, "precision": 0.44, "recall": 0.41, "f1_score": 0.4245}
    return {
        "rows": rows, "accuracy": accuracy, "loss": 0.9911, "precision": 0.44, "recall": 0.41, "f1_score": 0.4245, "not_scored": None,
        "accuracy_interval": {"low": accuracy - 0.02, "high": accuracy + 0.02}, "relative_loss": 0.9021, "calibration_error": 0.0312,
        "mean_absolute_error": None, "per_class": {"buy": one, "hold": {**one, "precision": None}, "sell": one}, "baselines": BASELINES,
    }  # fmt: skip


TRAINED: JSON = {
    "strategy_name": "momentum", "model_path": "/home/me/.ktrdr/models/momentum/" + TRAINING, "model_size_bytes": 12_345,
    "training_metrics": {
        "epochs_completed": 10, "best_epoch": 7, "stopped_early": False, "initial_loss": 1.1032, "final_train_loss": 0.9127,
        "final_train_accuracy": 0.561, "final_val_loss": 0.9784, "final_val_accuracy": 0.531, "loss_decrease": 0.1727,
    },
    "test_metrics": split(900, 0.5217), "split_metrics": {
        "train": split(4200, 0.5611), "test": split(900, 0.5217),
        "validation": {
            **split(20, 0.0), "accuracy": None, "loss": None, "accuracy_interval": None, "not_scored": "all of its rows are 'hold'",
        },
    },
    "verdict": "better than every baseline", "baselines": BASELINES,
    "model_info": {"parameters_count": 323},
}  # fmt: skip
TALLIED = {"symbol": "EURUSD", "n": 66, "effective_n": 41.2, "kinds": {"search": 64, "training": 1, "backtest": 1}, "broken_at": None}
TESTED: JSON = {
    "strategy_name": "momentum", "symbol": "EURUSD", "timeframe": "1h", "start_date": "2017-01-01", "end_date": "2018-01-01",
    "provider": "sample", "in_sample": False, "warnings": [], "initial_capital": 100_000.0, "final_equity": 103_210.5,
    "costs": {"sentence": "per side: spread 5e-05 in price, slippage 1e-05 in price"},
    "metrics": metrics(0.0321, 0.8412, 0.0534, 118, 0.5169),
    "benchmarks": {"buy_and_hold": metrics(0.1403, 1.7731, 0.0461, 1, 1.0), "flat": metrics(0.0, None, 0.0, 0, None)},
    "leak_proof": {"passed": True, "seed": 7, "checks": [{"name": "features", "passed": True}, {"name": "fills", "passed": True}]},
    "files": {"trades": "/home/me/.ktrdr/reports/op/trades.csv", "equity": "/home/me/.ktrdr/reports/op/equity.csv"},
    "intervals": {
        "sharpe_ratio": {"low": -0.91, "high": 2.64}, "total_return_pct": {"low": -0.0421, "high": 0.1104}, "max_drawdown_pct": None,
        "confidence": 0.95, "draws": 1000, "unit": "days", "seed": 7, "undefined": {"max_drawdown_pct": "too few days"},
    },
    "promotion": {
        "promoted": False, "noise_bar": 2.41, "sharpe_ratio": 0.8412, "effective_probability": 0.11,
        "trials": TALLIED,
        "checks": [
            {"name": "leak_proof", "passed": True, "value": None, "threshold": None, "sentence": "nothing knows the future"},
            {"name": "track_length", "passed": False, "value": 1.0, "threshold": 5.65, "sentence":
             "1.0 years tested; 66 trials ask for 5.6, else luck alone may show a Sharpe ratio of 1"},
        ],
    },
    "scrutiny": {
        "stress": {"break_even": 0.00012, "cells": [
            {"fee": fee, "slippage": fee, "delay": delay, "total_return_pct": 0.05 - 0.02 * fee - 0.01 * delay}
            for fee, delay in ((0, 0), (1, 0), (1, 1), (2, 0))
        ]},
        "fragility": {"reason": None, "profitable": 0.7143, "neighbours": [None] * 28,
                      "worst": {"place": "fuzzy_sets.rsi.low[2]", "share": -0.1, "figure": -0.021}},
        "walk_forward": {
            "anchored": {"anchored": True, "efficiency": 0.42, "reason": None, "steps": [
                {"outside": each} for each in (0.031, -0.004, None)
            ]},
            "rolling": {"anchored": False, "efficiency": None, "reason": "no fold earned anything", "steps": [{"outside": -0.01}]},
        },
    },
}  # fmt: skip
LEAK_OF = "1h_strength_falling of bar 4102 is None where the bars end at 4102, and 0.25 where they go on"


def reasons(*, at: str | None, fidelity: float = 0.991, origin: str = "model") -> JSON:
    """An explanation of two rules."""
    condition = {
        "feature_id": "1h_strength_falling", "fuzzy_set": "strength", "word": "falling", "timeframe": "1h", "indicator": "rsi (14)",
        "above": None, "below": 38.2, "boundary": 0.59, "steepness": 12.5,
    }  # fmt: skip
    sell, otherwise = {"buy": 0.2, "hold": 0.1, "sell": 0.7}, {"buy": 0.55, "hold": 0.1, "sell": 0.35}
    texts = ("IF strength is falling (rsi (14) below about 38.2) THEN SELL (70%)", "OTHERWISE BUY (55%)")
    rules = [
        {"number": 1, "text": texts[0], "conditions": [condition], "weight": 0.3, "answer": sell, "signal": "sell", "bars": 400,
         "coverage": 0.4, "labelled_bars": 390, "precision": 0.641, "trades": 21, "wins": 9, "gross_pnl": 812.5, "costs": 212.0,
         "net_pnl": 600.5},
        {"number": 2, "text": texts[1], "conditions": [], "weight": -1.2, "answer": otherwise, "signal": "buy", "bars": 600,
         "coverage": 0.6, "labelled_bars": 0, "precision": None, "trades": 0, "wins": 0, "gross_pnl": 0.0, "costs": 0.0, "net_pnl": 0.0},
    ]  # fmt: skip
    report = {
        "schema_version": 1, "strategy_name": "momentum", "content_hash": "ab" * 32, "network": "tsk" if origin == "model" else "mlp",
        "origin": origin, "called": "rules" if fidelity >= 0.95 else "sketch",
        "fidelity": {"value": fidelity, "bars": 1000, "together": 1.0 if origin == "model" else 0.774, "enough": 0.95},
        "symbol": "EURUSD", "timeframe": "1h", "start": "2017-01-01T00:00:00+00:00", "end": "2018-01-01T00:00:00+00:00", "bars": 1000,
        "in_sample": False, "confidence_threshold": 0.5, "sharpness": 2.0, "rules": rules, "trades": 21, "net_pnl": 600.5,
    }  # fmt: skip
    held = {"feature_id": "1h_strength_falling", "degree": 0.79, "boundary": 0.59, "steepness": 12.5, "holds": 0.924}
    votes = [
        {"number": 1, "text": texts[0], "conditions": [held], "weight": 0.3, "strength": 0.22, "share": 0.94, "answer": sell,
         "contribution": {"buy": 0.188, "hold": 0.094, "sell": 0.658}},
        {"number": 2, "text": texts[1], "conditions": [], "weight": -1.2, "strength": -1.2, "share": 0.06, "answer": otherwise,
         "contribution": {"buy": 0.033, "hold": 0.006, "sell": 0.021}},
    ]  # fmt: skip
    answer = {"buy": 0.221, "hold": 0.1, "sell": 0.679}
    change = {"input": "strength", "timeframe": "1h", "indicator": "rsi (14)", "value": 34.2, "to": 41.7}
    bar = {
        "time": at, "signal": "sell", "answer": answer, "sharpness": 2.0, "votes": votes, "voted": answer,
        "readings": [{"input": "strength", "timeframe": "1h", "indicator": "rsi (14)", "value": 34.2,
                      "words": {"strength falling": 0.79, "strength balanced": 0.0}}],
        "flip": {"changes": [change], "distance": 0.12, "signal": "buy", "answer": {"buy": 0.501, "hold": 0.1, "sell": 0.399}},
    }  # fmt: skip
    return {
        "strategy_name": "momentum", "model_path": "/home/me/.ktrdr/models/momentum/" + TRAINING, "provider": "sample", "report": report,
        "bar": bar if at else None, "files": {"explanation": "/home/me/.ktrdr/reports/op/explanation.json"},
    }  # fmt: skip


def proved(*, clean: bool) -> JSON:
    features = {"name": "features", "passed": clean, "reason": "the same at all 26 cuts" if clean else LEAK_OF,
                "figures": {"cuts": 26}, "bar": None if clean else 4102, "time": None if clean else "2015-04-01T14:00:00Z"}  # fmt: skip
    warm_up = {
        "name": "warm_up",
        "passed": True,
        "reason": "nothing is decided on 14 bars with a gap",
        "figures": {},
        "bar": None,
        "time": None,
    }
    return {
        "strategy_name": "momentum", "symbol": "EURUSD", "timeframe": "1h", "start_date": "2012-01-01", "end_date": "2017-01-01",
        "provider": "sample", "leak_proof": {"passed": clean, "seed": 7, "checks": [features, warm_up]},
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
        "parameters": {"seed": 7, "tries": 64},
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
    "checkpoint_id": "chk_5e6f7a8b", "position": "epoch 5", "created_at": (datetime.now(UTC) - timedelta(hours=2.96)).isoformat(),
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


OUT_OF_MEMORY = failed("out_of_memory", "the runner used up the memory", "ktrdr resume op_t")
BACKTESTED = operation(
    operation_type="backtesting", status="completed", result_summary=TESTED, warnings=["in-sample: the model knows these bars"]
)  # fmt: skip
RESEARCHED = cycle(status="completed", result_summary=researched(passed=True))
REFUSED = cycle(status="failed", result_summary=researched(passed=False), error={
    "code": "gate_failed", "message": "Training gate failed: accuracy_below_threshold (42.3% < 45.0%)", "hint": None, "details": {},
})  # fmt: skip
CHECKED = operation(operation_type="strategy_check", status="completed", result_summary=proved(clean=True))
LEAKING = failed(
    "gate_failed", f"features: {LEAK_OF}", operation_type="strategy_check", result_summary=proved(clean=False)
)  # fmt: skip
EXPLAINED = operation(operation_type="model_explanation", status="completed", result_summary=reasons(at=None))
SKETCHED = operation(
    operation_type="model_explanation", status="completed", result_summary=reasons(at=None, fidelity=0.766, origin="student"),
    warnings=["fidelity 76.6%, less than 95%: rules learned from its answers say too often something else than the model"],
)  # fmt: skip
REASONED = operation(operation_type="model_explanation", status="completed", result_summary=reasons(at="2017-06-01T10:00:00+00:00"))
WHOLE = operation(operation_type="data_load", status="completed", result_summary=LOADED)
PART = {**WHOLE, "result_summary": {**LOADED, "status": "partial", "diagnosis": "the file ends 2016-12-30"}}
COUNTED = operation(operation_type="dummy", status="completed")
TAKEN_UP = operation(status="completed", result_summary=TRAINED, resumed_from=RESUMED)
STARTS: dict[str, tuple[tuple[str, ...], str, JSON]] = {
    "train": (("train", "momentum", "--start", "2012-01-01"), "/trainings/start", COMPLETED),
    "train_failed": (("train", "momentum"), "/trainings/start", OUT_OF_MEMORY),
    "train_cancelled": (("train", "momentum"), "/trainings/start", CANCELLED),
    "backtest": (("backtest", "momentum", "-c", "100000"), "/backtests/start", BACKTESTED),
    "check": (("check", "momentum", "--cuts", "24"), "/strategies/check", CHECKED),
    "check_leak": (("check", "momentum"), "/strategies/check", LEAKING),
    "explain": (("explain", "momentum"), "/models/explain", EXPLAINED),
    "explain_sketch": (("explain", "momentum", "--symbol", "EURUSD"), "/models/explain", SKETCHED),
    "explain_at": (("explain", "momentum", "--at", "2017-06-01T10:00"), "/models/explain", REASONED),
    "research": (("research", "find a momentum edge in EURUSD"), "/agent/trigger", RESEARCHED),
    "research_refused_by_a_gate": (("research", "--strategy", "momentum"), "/agent/trigger", REFUSED),
    "data_load": (("data", "load", "EURUSD", "-t", "1h"), "/data/load", WHOLE),
    "data_load_partial": (("data", "load", "EURUSD", "-t", "1h"), "/data/load", PART),
    "dummy": (("dummy", "start", "--duration", "2", "--iterations", "4"), "/dummy/start", COUNTED),
    "resume": (("resume", "chk_5e6f7a8b"), "/checkpoints/chk_5e6f7a8b/resume", TAKEN_UP),
}
"""The words of a command, where its start goes to, and how the operation ends."""
ALWAYS_FOLLOW = ("check", "data", "dummy", "explain")


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
    "hours": "all",
    "bars": 31_000,
    "first": "2007-01-01T22:00:00Z",
    "last": "2012-01-01T21:00:00Z",
    "bundled": True,
}
LISTS: dict[str, tuple[str, list[JSON]]] = {
    "strategies": ("/strategies", [
        {"name": "momentum", "source": "bundled", "symbols": ["EURUSD"], "timeframes": ["1h"], "problem": None,
         "description": "Buys strength. Sells weakness."},
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


IB_STATUS: JSON = {
    "address": "127.0.0.1:7497", "client_id": 17, "configured": True, "reachable": True, "requests": 3, "requests_allowed": 55,
    "sentence": "something listens at 127.0.0.1:7497", "hint": "ktrdr ib test asks whether it is TWS or Gateway",
}  # fmt: skip
IB_ANSWER: JSON = {
    "ok": True, "address": "127.0.0.1:7497", "sentence": "TWS or Gateway answers", "advice": None, "code": None, "client_id": 17,
    "server_version": 178, "account": "paper", "clock_seconds": -0.4, "symbol": "EURUSD", "earliest": "2005-03-09T20:00:00Z",
}  # fmt: skip
IB_REFUSED: JSON = {
    **dict.fromkeys(IB_ANSWER), "ok": False, "address": "127.0.0.1:7497", "code": 326, "advice": "set KTRDR_IB_CLIENT_ID to another number",
    "sentence": "ib 326: connection: the client id is in use, and so are the seven after it",
}  # fmt: skip
PROVIDERS: list[JSON] = [
    {"name": "ib", "description": "Interactive Brokers, through a running TWS or Gateway.", "options": ["asset", "price"],
     "limits": "60 requests in 10 minutes", "needs": "pip install 'ktrdr[ib]'", "configured": False, "reachable": False,
     "sentence": "needs the package ib_async", "hint": "pip install 'ktrdr[ib]'"},
    {"name": "sample", "description": "Bars of a few symbols that come with the product, offline.", "options": [], "limits": "none",
     "needs": None, "configured": True, "reachable": True, "sentence": "on this machine", "hint": None},
]  # fmt: skip


def test_interactive_brokers(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/ib", Answer(200, {"success": True, "data": IB_STATUS}))
    shown = screen(api, capsys, "ib", "status") + screen(api, capsys, "ib", "status", "--json")
    api.on("POST", "/ib/test", Answer(200, {"success": True, "data": IB_ANSWER}))
    shown += screen(api, capsys, "ib", "test", "EURUSD")
    assert api.heard("POST", "/ib/test")[0].body == {"symbol": "EURUSD"}
    api.on("POST", "/ib/test", Answer(200, {"success": True, "data": IB_REFUSED}))
    shown += screen(api, capsys, "ib", "test") + screen(api, capsys, "ib", "test", "--json")
    assert api.heard("POST", "/ib/test")[1].body == {}
    agrees("ib", shown)


def test_providers(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/providers", Answer(200, {"success": True, "data": PROVIDERS}))
    agrees("providers", screen(api, capsys, "data", "providers") + screen(api, capsys, "data", "providers", "--json"))


def places(workers: list[JSON], **more: Any) -> Answer:
    """The answer to where operations run."""
    local = {"engine": "local", "dispatcher": "ok", "draining": False, "nodes": [], "workers": workers}
    return Answer(200, {"success": True, "data": {**local, **more}})


def test_the_dashboard(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"running": 1, "pending": 0, "completed": 1234, "failed": 2, "cancelled": 3}
    api.on("GET", "/operations", lambda request: Answer(200, {"data": [], "total_count": counts[request.query["status"]]}))
    workers = [{"worker": "torch-0", "profile": "torch", "status": "busy", "operation_id": TRAINING},
               {"worker": "light-0", "profile": "light", "status": "idle", "operation_id": None}]  # fmt: skip
    api.on("GET", "/workers", places(workers))
    api.on("GET", "/symbols", Answer(200, {"success": True, "data": [SERIES]}))
    api.on(
        "GET",
        "/agent/budget",
        Answer(
            200,
            {"date": "2026-11-21", "daily_limit": 5.0, "today_spend": 0.2, "remaining": 4.8, "message": "About 24 cycles are left today"},
        ),
    )
    api.on("GET", "/ib", Answer(200, {"success": True, "data": IB_STATUS}))
    agrees("status", screen(api, capsys, "status"))
    main(["status", "--json", "--url", api.url])
    document = json.loads(capsys.readouterr().out)
    assert (document["operations"]["running"], document["operations"]["completed"], document["workers"]) == (1, 1234, 2)
    agrees("workers", screen(api, capsys, "workers"))
    with_gpu = [{"worker": "gpu-1", "profile": "gpu", "status": "busy", "operation_id": TRAINING, "gpu": "NVIDIA L4"}, *workers]
    api.on("GET", "/workers", places(with_gpu))
    agrees("workers_with_a_gpu", screen(api, capsys, "workers"))
    checks = {"store": "ok", "dispatcher": "it has stopped", "engine": "ok"}
    api.on("GET", "/health", Answer(503, {"status": "degraded", "version": ktrdr.__version__, "home_id": api.home_id, "checks": checks}))
    assert "dispatcher: it has stopped" in screen(api, capsys, "status")
    assert "(exit 2)" in screen(api, capsys, "status", "--history")


def test_cancelling(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("POST", f"/operations/{TRAINING}/cancel", Answer(200, {"success": True, "data": CANCELLED}))
    shown = screen(api, capsys, "cancel", TRAINING) + screen(api, capsys, "cancel", TRAINING, "--reason", "too slow")
    assert api.heard("POST", f"/operations/{TRAINING}/cancel")[1].body == {"reason": "too slow"}
    ended = failure(409, "conflict", f"{TRAINING} is already completed", f"ktrdr status {TRAINING}")
    api.on("POST", f"/operations/{TRAINING}/cancel", ended)
    shown += screen(api, capsys, "cancel", TRAINING)
    api.on("POST", f"/operations/{TRAINING}/cancel", Answer(202, {"success": True, "data": operation(cancelling=True)}))
    api.tell(operation(cancelling=True), COMPLETED)
    agrees("cancel", shown + screen(api, capsys, "cancel", TRAINING))


def test_cancelling_in_json_gives_the_record(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("POST", f"/operations/{TRAINING}/cancel", Answer(200, {"success": True, "data": CANCELLED}))
    assert main(["cancel", TRAINING, "--json", "--url", api.url]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["operation_id"], record["status"]) == (TRAINING, "cancelled")


def test_a_checkpoint(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    found = {**CHECKPOINT, "created_at": "2026-11-21T09:30:00Z", "operation_id": TRAINING, "operation_type": "training", "status": "failed"}
    for method in ("GET", "DELETE"):
        api.on(method, "/checkpoints/chk_5e6f7a8b", Answer(200, {"success": True, "data": found}))
    words = ("checkpoints", "show", "chk_5e6f7a8b")
    shown = screen(api, capsys, *words) + screen(api, capsys, *words, "--json")
    agrees("checkpoints", shown + screen(api, capsys, "checkpoints", "delete", "chk_5e6f7a8b"))


def test_the_research_agent(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    idle: JSON = {"status": "idle", "last_cycle": None}
    ended = {
        "operation_id": CYCLE, "outcome": "failed", "strategy_name": "momentum_1a2b3c4d", "verdict": "no edge",
        "error_message": "Training gate failed: loss_too_high (0.900 > 0.800)", "completed_at": "2026-11-21T09:31:00Z",
    }  # fmt: skip
    active = {
        "status": "active", "operation_id": CYCLE, "phase": "training", "progress": {"percentage": 41.6, "current_step": "Training model"},
        "strategy_name": "momentum_1a2b3c4d", "child_operation_id": TRAINING, "started_at": "2026-11-21T09:30:00Z",
    }  # fmt: skip
    shown = ""
    for status in (idle, {**idle, "last_cycle": ended}, active):
        api.on("GET", "/agent/status", Answer(200, status))
        shown += screen(api, capsys, "agent", "status")
    cancelled = {"success": True, "operation_id": CYCLE, "child_cancelled": TRAINING, "message": "Research cycle cancelled"}
    none = {"success": False, "reason": "no_active_cycle", "message": "No active research cycle to cancel"}
    api.on("DELETE", "/agent/cancel", Answer(200, cancelled))
    api.on("DELETE", f"/agent/cancel/{CYCLE}", Answer(404, none))
    shown += screen(api, capsys, "agent", "cancel") + screen(api, capsys, "agent", "cancel", CYCLE)
    spent = {
        "date": "2026-11-21", "daily_limit": 5.0, "today_spend": 0.2, "remaining": 4.8, "today_calls": 3, "today_tokens": 41_200,
        "daily_tokens": 4_000_000, "cycle_limit": 1.0, "call_limit": 1.0, "resets_at": "2026-11-22T00:00:00Z",
        "message": "The day's budget begins anew at 00:00 UTC, in 5 h 12 min.",
    }  # fmt: skip
    api.on("GET", "/agent/budget", Answer(200, spent))
    agrees("agent", shown + screen(api, capsys, "agent", "budget"))


def test_a_cycle_that_is_refused(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    busy = {"triggered": False, "reason": "active_cycle_exists", "message": "1 cycle runs already", "hint": None, "operation_id": CYCLE}
    model = {"triggered": False, "reason": "unknown_model", "message": "there is no model 'x'", "hint": "opus, sonnet or haiku"}
    shown = ""
    for status, body in ((409, busy), (422, model)):
        api.on("POST", "/agent/trigger", Answer(status, body))
        shown += screen(api, capsys, "research", "an edge", "-f") + screen(api, capsys, "agent", "trigger", "--json")
    agrees("research_not_started", shown)


def test_a_trigger_without_a_goal_returns_at_once(api: Api) -> None:
    api.start("/agent/trigger", cycle(status="running"))
    assert main(["agent", "trigger", "-q", "--url", api.url]) == 0
    assert api.heard("POST", "/agent/trigger")[0].body == {}


BARS = {"symbol": "EURUSD", "timeframe": "1h", "provider": "sample", "adjustment": "raw", "total": 31_000,
        "dates": ["2012-01-01T21:00:00+00:00"], "ohlcv": [[1.2931, 1.2942, 1.2925, 1.29395, 1203.0]]}  # fmt: skip


def test_bars(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    known = [SERIES]
    api.on(
        "GET", "/symbols", lambda request: Answer(200, {"data": [row for row in known if request.query["symbol"].upper() == row["symbol"]]})
    )
    for spelling in ("EURUSD", "eurusd", "EUR-USD"):
        api.on("GET", f"/data/{spelling}/1h", Answer(200, {"success": True, "data": BARS}))
    api.on("GET", "/data/SPLIT/1h", Answer(200, {"success": True, "data": {**BARS, "symbol": "SPLIT", "adjustment": "splits 3f2a91c0"}}))
    reach = {"symbol": "EURUSD", "timeframe": "1h", "provider": "sample", "start_date": "2007-01-01T22:00:00Z",
             "end_date": "2012-01-01T21:00:00Z", "point_count": 31_000}  # fmt: skip
    api.on("GET", "/data/range", Answer(200, {"success": True, "data": reach}))
    shown = screen(api, capsys, "show", "eurusd") + screen(
        api, capsys, "data", "show", "EURUSD", "-t", "1h", "-r", "1", "--start", "2012-01-01"
    )
    assert api.heard("GET", "/data/EURUSD/1h")[0].query == {"limit": "1", "start_date": "2012-01-01"}
    shown += screen(api, capsys, "data", "range", "EURUSD") + screen(api, capsys, "show", "FOO")
    known = [SERIES, {**SERIES, "timeframe": "1d"}]
    shown += screen(api, capsys, "data", "show", "EUR/USD", "1h", "-f", "csv")
    shown += screen(api, capsys, "data", "show", "SPLIT", "1h", "--adjust", "splits")
    assert api.heard("GET", "/data/SPLIT/1h")[0].query == {"adjust": "splits", "limit": "10"}
    agrees("bars", shown + screen(api, capsys, "show", "EURUSD") + screen(api, capsys, "show", "EURUSD", "1h", "--json"))


GAPS: JSON = {
    "symbol": "EURUSD", "timeframe": "1h", "provider": "ib", "start": "2016-01-03T22:00:00Z", "end": "2017-01-01T00:00:00Z",
    "expected": 6_200, "missing": 134, "reasons": [
        {"reason": "holiday", "places": 1, "bars": 25, "fill": False, "meaning": "a holiday"},
        {"reason": "provider-hole", "places": 1, "bars": 103, "fill": False, "meaning": "the provider does not have it"},
        {"reason": "suspicious", "places": 2, "bars": 6, "fill": True, "meaning": "nothing explains it"},
    ], "gaps": [
        {"start": "2016-02-01T05:00:00Z", "end": "2016-02-01T06:00:00Z", "missing": 1, "reason": "suspicious", "fill": True},
        {"start": "2016-03-01T05:00:00Z", "end": "2016-03-01T10:00:00Z", "missing": 5, "reason": "suspicious", "fill": True},
        {"start": "2016-12-11T22:00:00Z", "end": "2016-12-16T05:00:00Z", "missing": 103, "reason": "provider-hole", "fill": False},
        {"start": "2016-12-25T22:00:00Z", "end": "2016-12-26T23:00:00Z", "missing": 25, "reason": "holiday", "fill": False},
    ],
}  # fmt: skip


def test_what_is_missing_in_bars(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/data/gaps", Answer(200, {"success": True, "data": GAPS}))
    words = ("data", "gaps", "EURUSD", "1h")
    shown = "".join(screen(api, capsys, *words, *more) for more in ((), ("--rows", "2"), ("--all",), ("--format", "csv")))
    assert [request.query.get("all") for request in api.heard("GET", "/data/gaps")] == [None, None, "true", None]
    whole = {**GAPS, "missing": 0, "expected": 0, "reasons": [], "gaps": []}
    api.on("GET", "/data/gaps", Answer(200, {"success": True, "data": whole}))
    agrees("data_gaps", shown + screen(api, capsys, *words))
    for more in (("--json",), ("-f", "json")):
        assert main([*words, *more, "--url", api.url]) == 0
        assert json.loads(capsys.readouterr().out) == whole
    assert main([*words, "-f", "xml", "--url", api.url]) == 2


def test_the_series_of_this_machine(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/symbols", Answer(200, {"success": True, "data": []}))
    shown = screen(api, capsys, "data", "list")
    found = [{**SERIES, "origin": None}, {**SERIES, "hours": "regular", "origin": "binance spot"}]
    api.on("GET", "/symbols", Answer(200, {"success": True, "data": found}))
    agrees("data_list", shown + screen(api, capsys, "data", "list") + screen(api, capsys, "data", "list", "-f", "csv"))


def test_bars_are_deleted_only_by_a_yes(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {
        "symbol": "EURUSD",
        "timeframe": "1h",
        "provider": "ib",
        "hours": "regular",
        "bars": 1234,
        "first": "2007-01-01T22:00:00Z",
        "last": "2012-01-01T21:00:00Z",
    }
    api.on("DELETE", "/data/EURUSD/1h", Answer(200, {"success": True, "data": gone}))
    shown = screen(api, capsys, "data", "delete", "EURUSD", "1h")
    assert not api.heard("DELETE", "/data/EURUSD/1h")
    agrees("data_delete", shown + screen(api, capsys, "data", "delete", "EURUSD", "1h", "--provider", "ib", "--hours", "regular", "--yes"))
    assert api.heard("DELETE", "/data/EURUSD/1h")[0].query == {"provider": "ib", "hours": "regular"}


def test_a_load_shows_its_plan_before_it_begins(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    planned = {**WHOLE["metadata"], "plan": {"bars": 1_827_000, "requests": 365, "seconds": 3660.0, "parts": 365, "spans": []}}
    running = {**WHOLE, "status": "running", "completed_at": None, "result_summary": None}
    found = {**LOADED, "gaps": {"suspicious": {"places": 1, "bars": 12}}, "requests": 365, "seconds_waiting": 3000.0, "replaced": 2}
    api.start("/data/load", running, {**running, "metadata": planned}, {**WHOLE, "metadata": planned, "result_summary": found})
    agrees("data_load_plan", screen(api, capsys, "data", "load", "EURUSD", "-t", "1m", "--provider", "ib"))


ODD: JSON = {"symbol": "AAPL", "timeframe": "1d", "provider": "yahoo", "origin": "AAPL, prices as traded", "bars": 5849, "findings": [
    {"check": "split_like", "count": 5, "first": "2000-06-21T00:00:00Z", "examples": ["2000-06-21 00:00", "2000-09-29 00:00"],
     "sentence": "the price steps by a whole ratio"},
    {"check": "time", "count": 1, "first": None, "examples": [], "sentence": "a row has a time that cannot be read"},
]}  # fmt: skip


def test_what_is_odd_in_bars_and_in_a_file(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/symbols", Answer(200, {"success": True, "data": [{**SERIES, "symbol": "AAPL", "timeframe": "1d"}]}))
    api.on("GET", "/data/check", Answer(200, {"success": True, "data": ODD}))
    api.on("POST", "/data/check", Answer(200, {"success": True, "data": {**ODD, "findings": []}}))
    shown = screen(api, capsys, "data", "check", "aapl") + screen(api, capsys, "data", "check", "AAPL", "1d", "--json")
    screen(api, capsys, "data", "check", "AAPL", "-t", "1h", "--provider", "yahoo", "--against", "ccxt", "--start", "2018-01-01")
    assert [request.query for request in api.heard("GET", "/data/check")] == [
        {"symbol": "aapl", "timeframe": "1d"}, {"symbol": "AAPL", "timeframe": "1d"},
        {"symbol": "AAPL", "timeframe": "1h", "provider": "yahoo", "against": "ccxt", "start_date": "2018-01-01"},
    ]  # fmt: skip
    agrees("data_check", shown + screen(api, capsys, "data", "check", "AAPL", "1h", "--file", "/data/a.csv", "--option", "zone=UTC"))
    body = {"symbol": "AAPL", "timeframe": "1h", "file": "/data/a.csv", "zone": "UTC"}
    assert [request.body for request in api.heard("POST", "/data/check")] == [body]


def test_the_features_of_a_strategy(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"feature_id": "1h_rsi_state_low", "timeframe": "1h", "fuzzy_set": "rsi_state", "membership": "low", "indicator": "rsi_14"},
            {"feature_id": "1h_roc", "timeframe": "1h", "fuzzy_set": None, "membership": None, "indicator": "roc"}]  # fmt: skip
    body = {"success": True, "data": {"strategy_name": "momentum", "features": rows, "count": 2}}
    api.on("POST", "/strategies/features", Answer(200, body))
    agrees("features", screen(api, capsys, "show", "features", "momentum"))


def test_the_schema_is_printed_so_that_it_can_be_written_to_a_file(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {"name": {"type": "string"}}}
    api.on("GET", "/schemas/strategy", Answer(200, {"success": True, "data": schema}))
    for arguments in (("show", "schema"), ("show", "schema", "--json")):
        assert main([*arguments, "--url", api.url]) == 0
        assert json.loads(capsys.readouterr().out) == schema


CAMPAIGN = {
    "start": "2007-01-01T00:00:00Z", "end": "2018-12-31T00:00:00Z", "years": 12.0, "noise_bar": 0.694, "needed_years": 5.65,
    "trials": TALLIED,
    "campaigns": [
        {"campaign": CYCLE, "trials": 65, "strategies": 64, "first": "2026-11-21T09:30:00Z", "last": "2026-11-21T09:31:00Z"},
        {"campaign": None, "trials": 1, "strategies": 1, "first": "2026-11-20T09:30:00Z", "last": "2026-11-20T09:30:00Z"},
    ],
}  # fmt: skip


def test_what_was_tried(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {**CAMPAIGN, "trials": {**CAMPAIGN["trials"], "n": 1, "kinds": {"backtest": 1}, "broken_at": 17}, "campaigns": []}
    api.on("GET", "/trials/campaigns", Answer(200, {"success": True, "data": [CAMPAIGN, broken]}))
    shown = screen(api, capsys, "show", "campaign")
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    api.on("GET", "/trials/campaigns", Answer(200, {"success": True, "data": []}))
    agrees("campaign", shown + screen(api, capsys, "show", "campaign", "EURUSD"))
    assert [request.query for request in api.heard("GET", "/trials/campaigns")] == [{}, {"symbol": "EURUSD"}]
    main(["show", "campaign", "--json", "--url", api.url])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == []


VALID = {"valid": True, "name": "momentum", "errors": [], "features": 9,
         "warnings": [{"place": "training.epochs", "message": "300 is a lot", "line": 40, "value": "300", "nearest": None}]}  # fmt: skip
INVALID = {"valid": False, "name": "momentum", "warnings": [], "features": None, "errors": [
    {"place": "indicators.rsi_14.type", "message": "there is no indicator 'rsy'", "line": 12, "value": "rsy", "nearest": "rsi"},
]}  # fmt: skip


@pytest.mark.parametrize(("name", "check", "code"), [("valid", VALID, 0), ("invalid", INVALID, 1)])
def test_validating(name: str, check: JSON, code: int, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("POST", "/strategies/validate", Answer(200, {"success": True, "data": check}))
    told = screen(api, capsys, "validate", "momentum")
    agrees(f"validate_{name}", told + screen(api, capsys, "validate", "momentum", "--json"))
    assert told.endswith(f"(exit {code})\n")


def test_a_dry_run_starts_nothing(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    settled = {"strategy_name": "momentum", "symbol": "AAPL, SPY", "timeframe": "1h", "start_date": "2012-01-01", "end_date": "2014-01-01",
               "parameters": {"features": 9, "epochs": 20, "seed": 7, "validation_split": 0.15, "detailed_analytics": False}}  # fmt: skip
    api.on("POST", "/trainings/check", Answer(200, {"success": True, "data": settled}))
    words = ("train", "momentum", "--dry-run", "--symbols", "AAPL, SPY", "--start", "2012-01-01")
    told = screen(api, capsys, *words) + screen(api, capsys, *words, "--json")
    api.on("POST", "/trainings/check", failure(422, "invalid_strategy", "momentum has 1 mistake: line 12: rsy", "ktrdr validate momentum"))
    agrees("train_dry_run", told + screen(api, capsys, *words))
    assert [request.body["symbols"] for request in api.heard("POST", "/trainings/check")] == [["AAPL", "SPY"]] * 3
    assert not api.heard("POST", "/trainings/start")


def test_migrating(api: Api, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("name: old\n", encoding="utf-8")
    api.on("POST", "/strategies/migrate", Answer(200, {"success": True, "data": {"text": "name: new\n", "dropped": ["risk_management"]}}))
    shown = screen(api, capsys, "migrate", "old.yaml") + screen(api, capsys, "migrate", "old.yaml")
    shown += screen(api, capsys, "migrate", "old.yaml", "-o", "other.yaml", "--json") + screen(api, capsys, "migrate", "gone.yaml")
    agrees("migrate", shown + screen(api, capsys, "migrate", "old.yaml", "-o", "no/such/folder.yaml"))
    assert (tmp_path / "old_v3.yaml").read_text(encoding="utf-8") == (tmp_path / "other.yaml").read_text(encoding="utf-8") == "name: new\n"


@pytest.mark.parametrize(("code", "exit_code"), [("invalid", 2), ("validation_error", 2), ("invalid_strategy", 1), ("no_data", 1)])
def test_parameters_that_cannot_be_are_usage_and_a_bad_strategy_is_not(code: str, exit_code: int, api: Api) -> None:
    api.on("POST", "/trainings/start", failure(404 if code == "no_data" else 422, code, "no"))
    assert main(["train", "momentum", "--url", api.url]) == exit_code


def test_options_of_a_provider_travel_with_the_load(api: Api, tmp_path: Path) -> None:
    api.start("/data/load", WHOLE)
    words = ["data", "load", "BTC", "--provider", "files", "--file", "btc.csv", "--option", "zone=UTC", "--option", "price_factor=0.5"]
    assert main([*words, "-q", "--url", api.url]) == 0
    assert api.heard("POST", "/data/load")[0].body == {
        "symbol": "BTC", "provider": "files", "file": str(tmp_path / "btc.csv"), "zone": "UTC", "price_factor": 0.5,
    }  # fmt: skip
    assert main(["data", "load", "BTC", "--option", "zone", "--url", api.url]) == 2


def test_a_strategy_of_the_caller_travels_as_text(api: Api, tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "mine.yaml").write_text("name: mine\n", encoding="utf-8")
    for path, words in (
        ("/trainings/start", ["train"]),
        ("/backtests/start", ["backtest"]),
        ("/agent/trigger", ["research", "--strategy"]),
    ):
        api.start(path, COMPLETED)
        assert main([*words, "mine", "-q", "--url", api.url]) == 0
    sent = {"strategy": "name: mine\n", "source": "strategies/mine.yaml"}
    assert [api.heard("POST", f"/{path}/start")[0].body for path in ("trainings", "backtests")] == [sent, sent]
    assert api.heard("POST", "/agent/trigger")[0].body == {"strategy": "mine", "strategy_text": "name: mine\n"}


def test_a_model_beside_the_caller_is_named_by_its_whole_path(api: Api, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    api.start("/backtests/start", BACKTESTED)
    for given in ("model", "momentum/op_1"):
        assert main(["backtest", "momentum", "-m", given, "-q", "--url", api.url]) == 0
    assert [request.body["model_path"] for request in api.heard("POST", "/backtests/start")] == [str(tmp_path / "model"), "momentum/op_1"]
