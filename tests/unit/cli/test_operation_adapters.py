from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from ktrdr.cli import operation_adapters
from ktrdr.cli.operation_adapters import (
    BacktestingOperationAdapter,
    DataLoadOperationAdapter,
    DummyOperationAdapter,
    ModelExplanationOperationAdapter,
    OperationAdapter,
    ResearchOperationAdapter,
    ResumedOperationAdapter,
    StrategyCheckOperationAdapter,
    TrainingOperationAdapter,
)

METHODS = {"get_start_endpoint", "get_start_payload", "parse_start_response", "display_results"}
NAMED = {"strategy_name": "momentum"}
ADAPTERS: list[tuple[OperationAdapter, str, dict[str, object]]] = [
    (TrainingOperationAdapter(NAMED), "/trainings/start", NAMED),
    (
        TrainingOperationAdapter(NAMED, ["AAPL"], ["1h"], "2012-01-01", "2013-01-01", 0.2, True), "/trainings/start",
        {**NAMED, "symbols": ["AAPL"], "timeframes": ["1h"], "start_date": "2012-01-01", "end_date": "2013-01-01", "validation_split": 0.2,
         "detailed_analytics": True},
    ),
    (BacktestingOperationAdapter(NAMED), "/backtests/start", NAMED),
    (
        BacktestingOperationAdapter(NAMED, "2012-01-01", "2013-01-01", "AAPL", "1h", 5.0, 0.0, 0.001, "/models/m"), "/backtests/start",
        {**NAMED, "start_date": "2012-01-01", "end_date": "2013-01-01", "symbol": "AAPL", "timeframe": "1h", "initial_capital": 5.0,
         "commission": 0.0, "slippage": 0.001, "model_path": "/models/m"},
    ),
    (StrategyCheckOperationAdapter(NAMED), "/strategies/check", NAMED),
    (
        StrategyCheckOperationAdapter(NAMED, "2012-01-01", "2013-01-01", "AAPL", 9, 0), "/strategies/check",
        {**NAMED, "start_date": "2012-01-01", "end_date": "2013-01-01", "symbol": "AAPL", "cuts": 9, "seed": 0},
    ),
    (ModelExplanationOperationAdapter("momentum"), "/models/explain", {"model": "momentum"}),
    (
        ModelExplanationOperationAdapter("momentum", "2012-01-01", "2013-01-01", "AAPL", "2012-06-01T10:00"), "/models/explain",
        {"model": "momentum", "start_date": "2012-01-01", "end_date": "2013-01-01", "symbol": "AAPL", "at": "2012-06-01T10:00"},
    ),
    (DataLoadOperationAdapter("EURUSD", {"mode": "full"}), "/data/load", {"symbol": "EURUSD", "mode": "full"}),
    (ResearchOperationAdapter(), "/agent/trigger", {}),
    (ResearchOperationAdapter("an edge", options={"seed": 0}), "/agent/trigger", {"brief": "an edge", "seed": 0}),
    (ResearchOperationAdapter(strategy="momentum", model="opus"), "/agent/trigger", {"strategy": "momentum", "model": "opus"}),
    (DummyOperationAdapter(2.5, 4), "/dummy/start", {"duration": 2.5, "iterations": 4}),
    (ResumedOperationAdapter("chk_1"), "/checkpoints/chk_1/resume", {}),
    (ResumedOperationAdapter("op_1"), "/operations/op_1/resume", {}),
]  # fmt: skip


@pytest.mark.parametrize(("adapter", "endpoint", "payload"), ADAPTERS, ids=lambda value: type(value).__name__)
def test_an_adapter_sends_what_was_said_and_nothing_else(adapter: OperationAdapter, endpoint: str, payload: dict[str, object]) -> None:
    assert adapter.get_start_endpoint() == endpoint
    assert adapter.get_start_payload() == payload
    assert adapter.parse_start_response({"operation_id": "op_1", "operation_type": "training"}) == "op_1"


def test_a_resumed_operation_is_called_what_it_is() -> None:
    adapter = ResumedOperationAdapter("chk_1")
    adapter.parse_start_response({"operation_id": "op_1", "operation_type": "backtesting"})
    assert adapter.noun == "Backtest"


@pytest.mark.parametrize("adapter", dict.fromkeys(type(adapter) for adapter, *_ in ADAPTERS), ids=lambda adapter: adapter.__name__)
def test_an_adapter_has_the_four_methods_and_no_other(adapter: type[OperationAdapter]) -> None:
    own = {name for name, _ in inspect.getmembers(adapter, inspect.isfunction) if not name.startswith("_")}
    assert own == METHODS


@pytest.mark.parametrize(
    ("adapter", "limit"), [(TrainingOperationAdapter, 100), (DummyOperationAdapter, 50), (DataLoadOperationAdapter, 120)]
)
def test_an_adapter_is_short(adapter: type[OperationAdapter], limit: int) -> None:
    assert len(inspect.getsource(adapter).splitlines()) < limit


@pytest.mark.parametrize(("name", "limit"), [("dummy", 60), ("train", 85), ("data", 85)])
def test_the_body_of_a_command_is_short(name: str, limit: int) -> None:
    source = (Path(operation_adapters.__file__).parent / "commands" / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= limit


def test_the_example_in_the_docstring_is_whole() -> None:
    """It parses, and has the four methods."""
    text = inspect.getdoc(OperationAdapter) or ""
    example = ast.parse(inspect.cleandoc("\n" + text[text.index("    @dataclass") :]))
    (sheep,) = (node for node in example.body if isinstance(node, ast.ClassDef))
    assert {node.name for node in sheep.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)} == METHODS
