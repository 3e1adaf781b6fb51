"""The cycle as values: phases, dates, what ends it early, its result."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.agents.cycle import (
    ASSESSING,
    BACKTESTING,
    DESIGNING,
    PHASES,
    TRAINING,
    CycleResult,
    Dates,
    gate_message,
    label_span,
    phase_error,
    split_range,
)
from ktrdr.agents.designer import Assessment, Trials
from ktrdr.errors import CycleError, Invalid, WorkerError
from ktrdr.evaluation.trials import TrialCount
from ktrdr.labels.base import LABELS

FIRST = datetime(2007, 1, 1, 21, tzinfo=UTC)
LAST = datetime(2018, 12, 31, 22, tzinfo=UTC)


def result() -> CycleResult:
    return CycleResult(
        goal="find a momentum edge",
        understood="momentum on EURUSD 1h",
        strategy_name="m",
        strategy_in_words=("Idea: x.",),
        designed_by="search",
        dates=split_range(FIRST, LAST),
        trials=Trials(count=64, deflated_probability=0.4),
        files={"strategy": "m.yaml"},
    )


TRAINED = {
    "test_metrics": {"accuracy": 0.5},
    "baselines": {"majority_accuracy": 0.4},
    "gate_inputs": {"accuracy": 0.5},
    "epochs_run": 8,
    "data_summary": {},
    "model_path": "/models/m/op_1",
    "training_metrics": {"history": {}},
    "warnings": ["bars end early"],
}
TESTED = {
    "metrics": {"sharpe_ratio": 1.0},
    "benchmarks": {},
    "costs": {"sentence": "per side: 0.5 pip"},
    "files": {"trades": "t.csv"},
    "warnings": [],
    "promotion": {
        "promoted": True,
        "noise_bar": 0.5,
        "sharpe_ratio": 1.0,
        "effective_probability": 0.97,
        "checks": [{"name": "delay", "passed": True, "value": 0.8, "threshold": 0.5, "sentence": "80% is left"}],
        "trials": {"symbol": "EURUSD", "n": 3, "effective_n": 2.0, "kinds": {"search": 3}},
    },
}
COUNTED = TrialCount(symbol="EURUSD", n=5, effective_n=5.0, kinds={"search": 5})
PASSED = {"gate": "training", "passed": True, "reason": "passed", "checks": []}
REFUSED = {"gate": "training", "passed": False, "reason": "loss_too_high (0.900 > 0.800)", "checks": []}


def test_the_phases_fill_the_bar_from_end_to_end():
    assert [phase.name for phase in PHASES] == ["designing", "training", "backtesting", "assessing"]
    assert [phase.share for phase in PHASES] == [(0, 25), (25, 65), (65, 90), (90, 100)]
    assert [phase.metadata_key for phase in PHASES] == ["design_op_id", "training_op_id", "backtest_op_id", "assessment_op_id"]
    assert [phase.operation_type for phase in PHASES] == ["agent_design", "training", "backtesting", "agent_assessment"]


@pytest.mark.parametrize(
    ("phase", "message", "code", "kind", "sentence"),
    [
        (
            DESIGNING,
            "Claude API error: rate_limit_exceeded",
            "unavailable",
            CycleError,
            "Design phase failed: Claude API error: rate_limit_exceeded",
        ),
        (TRAINING, "Worker timeout after 30 minutes", "timeout", WorkerError, "Training failed: Worker timeout after 30 minutes"),
        (TRAINING, "the runner was lost", "worker_lost", WorkerError, "Training failed: the runner was lost"),
        (BACKTESTING, "no bars", "no_data", CycleError, "Backtest failed: no bars"),
        (ASSESSING, "Claude did not save an assessment", None, CycleError, "Assessment failed: Claude did not save an assessment"),
    ],
)
def test_a_phase_that_goes_wrong_ends_the_cycle_with_its_name(phase, message, code, kind, sentence):
    error = phase_error(phase, message, code, "do this next")
    assert type(error) is kind
    assert error.message == sentence
    assert error.hint == "do this next"
    assert error.details["phase"] == phase.name
    assert error.error_code == (code or "cycle_failed")


def test_a_refused_gate_has_the_asked_sentence():
    assert gate_message(TRAINING, "accuracy_below_threshold (42.3% < 45.0%)") == (
        "Training gate failed: accuracy_below_threshold (42.3% < 45.0%)"
    )
    assert gate_message(BACKTESTING, "drawdown_too_high (45.2% > 40.0%)") == "Backtest gate failed: drawdown_too_high (45.2% > 40.0%)"


def test_a_series_is_cut_by_time_at_midnight_with_an_embargo_of_whole_days():
    dates = split_range(FIRST, LAST, 0.7, timedelta(hours=50))
    assert dates == Dates(
        train_start=FIRST, train_end=datetime(2015, 5, 27, tzinfo=UTC), test_start=datetime(2015, 5, 30, tzinfo=UTC), test_end=LAST
    )
    assert dates.sentence() == "trained 2007-01-01 to 2015-05-27, tested 2015-05-30 to 2018-12-31"


@given(
    first=st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    length=st.timedeltas(timedelta(0), timedelta(days=9000)),
    share=st.floats(0.05, 0.95),
    embargo=st.timedeltas(timedelta(0), timedelta(days=90)),
)
def test_however_it_is_cut_training_and_testing_never_meet(first, length, share, embargo):
    try:
        dates = split_range(first, first + length, share, embargo)
    except Invalid:
        return
    assert first == dates.train_start < dates.train_end <= dates.test_start < dates.test_end == first + length
    assert dates.test_start - dates.train_end >= embargo


@pytest.mark.parametrize("last", [FIRST, FIRST - timedelta(days=1), FIRST + timedelta(hours=2)])
def test_a_series_that_is_too_short_is_refused(last):
    with pytest.raises(Invalid):
        split_range(FIRST, last, 0.7, timedelta(days=2))


def test_a_label_spans_what_it_looks_ahead():
    assert label_span(LABELS.get("forward_return")(horizon=20), 48) == 20
    assert label_span(LABELS.get("triple_barrier")(max_holding_period=30), 48) == 30
    assert label_span(LABELS.get("zigzag")(), 48) == 48


def test_a_refused_training_leaves_no_backtest_and_says_why():
    ended = result().trained(TRAINED).gated(REFUSED)
    assert ended.verdict == "no edge"
    assert ended.success is False
    assert ended.backtest is None
    assert ended.verdict_reason == ended.backtest_reason == "the training gate refused it: loss_too_high (0.900 > 0.800)"
    assert ended.training["test_metrics"] == {"accuracy": 0.5}
    assert ended.gates == (REFUSED,)
    assert any("ktrdr research" in command for command in ended.next)


def test_a_refused_backtest_keeps_everything_that_was_measured():
    ended = result().trained(TRAINED).gated(PASSED).tested(TESTED).gated(REFUSED | {"gate": "backtest"})
    assert ended.verdict == "no edge"
    assert ended.backtest["metrics"] == {"sharpe_ratio": 1.0}
    assert ended.backtest_reason is None
    assert ended.costs == "per side: 0.5 pip"
    assert [gate["passed"] for gate in ended.gates] == [True, False]
    assert ended.promotion is not None
    assert (ended.promotion.promoted, ended.promotion.checks[-1].name) == (False, "gates")
    assert ended.counted(COUNTED).promotion == ended.promotion


def test_a_strategy_that_was_never_backtested_is_not_promoted():
    found = result().trained(TRAINED).gated(REFUSED).counted(COUNTED).promotion
    assert found is not None
    assert (found.promoted, found.trials.n) == (False, 5)
    assert found.checks[0].sentence == "it was never backtested: the training gate refused it: loss_too_high (0.900 > 0.800)"


def test_a_whole_cycle_takes_its_verdict_from_the_assessment():
    said = Assessment(verdict="poor", strengths=("a",), weaknesses=("b", "c"), suggestions=("d",), assessed_by="fixed rules")
    ended = result().trained(TRAINED).gated(PASSED).tested(TESTED).gated(PASSED | {"gate": "backtest"}).assessed(said, "a.json")
    shown = ended.as_dict()
    assert (shown["success"], shown["verdict"], shown["verdict_reason"]) == (True, "poor", "b; c")
    assert shown["files"] == {"strategy": "m.yaml", "model": "/models/m/op_1", "trades": "t.csv", "assessment": "a.json"}
    assert shown["trials"]["count"] == 64
    assert shown["promotion"]["promoted"] is True
    assert [check["name"] for check in shown["promotion"]["checks"]] == ["delay", "gates"]
    assert "promotion" not in shown["backtest"]
    assert shown["notes"] == ["bars end early"]
    json.dumps(shown, allow_nan=False)
