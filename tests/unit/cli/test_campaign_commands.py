"""What campaigns look like on the screen, against canned answers; the screens are in `tests/golden/cli`."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.cli.app import main
from ktrdr.cli.follow import nested
from ktrdr.operations.model import Operation
from tests.cli_api import Answer, Api, operation
from tests.unit.cli.test_commands import agrees, api, screen, utc  # noqa: F401  (fixtures)

JSON = dict[str, Any]
TRAININGS = "op_training_campaign_20261121_093000_1a2b3c4d"
CYCLES = "op_research_campaign_20261121_090000_5e6f7a8b"
AT_WORK: JSON = {
    "percentage": 27.5, "current_step": "1 of 3 trainings, 1 running, 1 failed", "steps_completed": 1, "steps_total": 3,
    "items_processed": None, "items_total": None, "context": {"children": [
        {"operation_id": "op_training_20261121_093001_00000002", "operation_type": "training", "status": "running", "percentage": 45.0,
         "current_step": "Epoch 5/10"},
        {"operation_id": "op_training_20261121_093001_00000003", "operation_type": "training", "status": "pending", "percentage": 0.0,
         "current_step": ""},
    ]},
}  # fmt: skip


def seed(number: int, accuracy: float | None) -> JSON:
    scores = {"accuracy": accuracy, "final_loss": 1.01, "loss_decrease": 0.07}
    return {
        "seed": number, "operation_id": f"op_training_20261121_093001_{number:08}", "status": "completed" if accuracy else "failed",
        "scores": scores if accuracy else None, "model_path": "/home/me/.ktrdr/models/momentum/op" if accuracy else None,
        "error_message": None if accuracy else "the runner was killed (signal 9)",
    }  # fmt: skip


def spread(**values: float | None) -> JSON:
    return {"count": 2, "reason": None, **values}


TRAINED = operation(
    operation_id=TRAININGS, operation_type="training_campaign", status="completed", progress={**AT_WORK, "percentage": 100.0},
    result_summary={
        "strategy_name": "momentum", "seeds": [seed(7, 0.52), seed(8, None), seed(9, 0.5)], "completed": 2, "failed": 1,
        "spread": {"accuracy": spread(mean=0.51, sd=0.0141, min=0.5, max=0.52), "final_loss": spread(mean=1.01, sd=0.0, min=1.01, max=1.01),
                   "loss_decrease": spread(mean=0.07, sd=None, min=0.07, max=0.07)},
        "median": {"score": "accuracy", "seed": 9, "operation_id": "op_training_20261121_093001_00000009"},
    },
)  # fmt: skip


def candidate(number: int, **more: Any) -> JSON:
    gates = [{"gate": "training", "passed": True, "reason": "passed"}, {"gate": "backtest", "passed": number < 9, "reason": "so"}]
    return {
        "seed": number, "operation_id": f"op_agent_research_20261121_090001_{number:08}", "status": "completed",
        "strategy_name": f"momentum_eurusd_1h_0000000{number}", "verdict": "mediocre", "gates": gates, "passed": number < 9,
        "promoted": number == 7, "failed_checks": [] if number == 7 else ["trials", "luck"], "trials": 60 + number, "accuracy": 0.55,
        "figures": {"sharpe_ratio": 1.25, "total_return_pct": 0.1, "max_drawdown_pct": 0.05, "total_trades": 40}, "same_as": None,
        "error_message": None, **more,
    }  # fmt: skip


FOUND: JSON = {
    "goal": "find a momentum edge", "understood": "momentum", "passed": 2, "promoted": 1, "trials": 98,
    "sentence": "2 of 4 cycles passed every gate, 1 of them promoted; 1 refused by the backtest gate, 1 without a result",
    "candidates": [
        candidate(7), candidate(8, same_as="op_agent_research_20261121_090001_00000007"), candidate(9),
        candidate(6, strategy_name=None, gates=[], promoted=None, figures={}, error_message="Design phase failed: it was cancelled"),
    ],
}  # fmt: skip
RESEARCHED = operation(operation_id=CYCLES, operation_type="research_campaign", status="completed", result_summary=FOUND)
NONE = "none of 1 cycles passed its gates: 1 refused by the backtest gate"
REFUSED = operation(
    operation_id=CYCLES, operation_type="research_campaign", status="failed", error_message=NONE,
    result_summary={**FOUND, "sentence": NONE, "candidates": [candidate(9)]},
    error={"code": "gate_failed", "message": NONE, "hint": None, "details": {}},
)  # fmt: skip


def test_a_campaign_of_trainings_is_started_and_followed(api: Api, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    going = {**TRAINED, "status": "running", "completed_at": None, "result_summary": None, "progress": AT_WORK}
    api.start("/trainings/start", going, TRAINED)
    agrees("train_campaign", screen(api, capsys, "train", "momentum", "--seeds", "3", "--parallel", "2", "--follow"))
    (sent,) = api.heard("POST", "/trainings/start")
    assert (sent.body["seeds"], sent.body["parallel"]) == (3, 2)
    api.tell(going)
    shown = screen(api, capsys, "status", TRAININGS)
    assert "  Step:      1 of 3 trainings, 1 running, 1 failed\n" in shown
    assert "\nop_training_20261121_093001_00000002  running  45 %      Epoch 5/10\n" in shown
    assert [(words.strip(), share) for words, share in nested(Operation.model_validate(going))] == [
        ("Status: running - 1 of 3 trainings, 1 running, 1 failed", 27.5), ("└─ 00000002 Epoch 5/10", 45.0), ("└─ 00000003 pending", 0.0),
    ]  # fmt: skip


def test_a_campaign_of_research_ranks_its_candidates(api: Api, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    words = ("research", "find a momentum edge", "--candidates", "4", "--parallel", "2", "--tries", "8", "--follow")
    api.start("/agent/trigger", RESEARCHED)
    shown = screen(api, capsys, *words)
    assert "(exit 0)" in shown
    api.start("/agent/trigger", REFUSED)
    refused = screen(api, capsys, *words)
    assert "(exit 4)" in refused
    agrees("research_campaign", shown + refused)
    sent = api.heard("POST", "/agent/trigger")[0].body
    assert (sent["candidates"], sent["parallel"], sent["tries"]) == (4, 2, 8)


def test_one_campaign_is_shown_with_all_its_children(api: Api, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    child = operation(operation_id="op_training_20261121_093001_00000007", status="completed", parent_operation_id=TRAININGS)
    api.tell(TRAINED)
    api.on("GET", f"/operations/{TRAININGS}/children", Answer(200, {"success": True, "data": [child, operation()]}))
    agrees("campaign_of_one_id", screen(api, capsys, "show", "campaign", TRAININGS))


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (("train", "momentum", "--seeds", "0"), "equal to 1"), (("train", "momentum", "--seeds", "65"), "equal to 64"),
        (("train", "momentum", "--seeds", "2", "--parallel", "0"), "equal to 1"),
        (("research", "an edge", "--candidates", "0"), "equal to 1"), (("research", "an edge", "--candidates", "65"), "equal to 64"),
    ],
)  # fmt: skip
def test_what_a_campaign_cannot_be_is_said_with_the_limit(
    words: tuple[str, ...], limit: str, api: Api, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    assert main([*words, "--url", api.url]) == 2
    said = capsys.readouterr().err
    assert f"Invalid value for '{words[-2]}'" in said
    assert limit in said
    assert not api.requests
