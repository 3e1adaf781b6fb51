"""The tree of errors."""

from __future__ import annotations

import pytest

from ktrdr.errors import (
    Conflict,
    CycleError,
    GateError,
    Invalid,
    InvalidStrategy,
    KtrdrError,
    LostOwnership,
    NoData,
    NotFound,
    Problem,
    Refused,
    Unavailable,
    WorkerError,
)


def test_an_error_shows_its_sentence_what_to_do_and_its_details() -> None:
    error = Invalid("5 is too many", hint="use 4", details={"given": 5})
    assert str(error) == "5 is too many"
    assert error.as_dict() == {"code": "invalid", "message": "5 is too many", "hint": "use 4", "details": {"given": 5}}


def test_a_code_may_be_narrower_than_its_class() -> None:
    assert Refused("no money left", code="budget_exhausted").as_dict()["code"] == "budget_exhausted"


@pytest.mark.parametrize(
    ("cls", "code", "status"),
    [
        (KtrdrError, "internal", 500),
        (Invalid, "invalid", 422),
        (NotFound, "not_found", 404),
        (NoData, "no_data", 404),
        (Conflict, "conflict", 409),
        (Refused, "refused", 429),
        (Unavailable, "unavailable", 503),
        (LostOwnership, "lost_ownership", 409),
        (CycleError, "cycle_failed", 500),
        (WorkerError, "worker_lost", 500),
    ],
)
def test_each_error_has_its_code_and_status(cls: type[KtrdrError], code: str, status: int) -> None:
    error = cls("sentence")
    assert (error.error_code, error.http_status) == (code, status)


def test_errors_of_a_cycle_are_cycle_errors() -> None:
    assert issubclass(WorkerError, CycleError)
    assert issubclass(GateError, CycleError)


def test_a_gate_keeps_what_was_measured() -> None:
    error = GateError("accuracy is too low", gate="training", metrics={"accuracy": 0.4}, result={"training": {}})
    assert error.as_dict()["details"] == {"gate": "training", "metrics": {"accuracy": 0.4}}
    assert (error.error_code, error.result) == ("gate_failed", {"training": {}})


def test_a_strategy_error_stays_short_and_plain_whatever_it_is_about() -> None:
    strange = Problem("p" * 10_000, "\x1b[2J\nsaid " + "m" * 10_000, line=1, value="\ud800", nearest="n" * 10_000)
    error = InvalidStrategy("a.yaml", [strange] * 1_234)
    first, *listed, last = error.message.split("\n")
    assert (first, last, len(listed)) == ("a.yaml: 1,234 mistakes in the strategy", "  - and 1,184 more", 50)
    assert all(line.isprintable() and len(line) < 800 for line in listed)
    assert len(error.details["problems"]) == len(error.problems) == 50
    assert error.problems[0].value == "\\ud800"


def test_a_strategy_error_counts_and_lists_its_problems() -> None:
    one = Problem("training.epochs", "must be a whole number", line=4, value="ten")
    two = Problem("training.epoch", "is not known", nearest="epochs")
    assert (
        InvalidStrategy("a.yaml", [one]).message == "a.yaml: 1 mistake in the strategy\n  - line 4, training.epochs: must be a whole number"
    )
    error = InvalidStrategy("a.yaml", [one, two])
    assert error.message.splitlines()[0] == "a.yaml: 2 mistakes in the strategy"
    assert error.message.splitlines()[2] == "  - training.epoch: is not known (did you mean 'epochs'?)"
    assert error.details["problems"][0] == {
        "place": "training.epochs", "message": "must be a whole number", "line": 4, "value": "ten", "nearest": None,
    }  # fmt: skip
    assert error.hint is not None
    assert "ktrdr validate" in error.hint
