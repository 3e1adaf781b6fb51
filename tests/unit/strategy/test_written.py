"""Short forms and older spellings."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.strategy.written import written_out


def data(**given: Any) -> dict[str, Any]:
    document: dict[str, Any] = written_out({"training_data": given}).document["training_data"]
    return document


@pytest.mark.parametrize(
    ("given", "full"),
    [
        (["A", "B"], {"mode": "multi_symbol", "list": ["A", "B"]}),
        (["A"], {"mode": "single", "symbol": "A"}),
        ("A", {"mode": "single", "symbol": "A"}),
        ({"symbol": "A"}, {"mode": "single", "symbol": "A"}),
        ({"list": ["A", "B"]}, {"mode": "multi_symbol", "list": ["A", "B"]}),
        ({"mode": "multi_symbol", "symbols": ["A"]}, {"mode": "multi_symbol", "list": ["A"]}),
        ({"mode": "single", "list": ["A"]}, {"mode": "single", "symbol": "A"}),
        (5, 5),
    ],
)
def test_symbols_may_be_written_in_short(given: Any, full: Any) -> None:
    assert data(symbols=given) == {"symbols": full}


def test_timeframes_may_be_written_in_short() -> None:
    assert data(timeframes=["1h", "4h"]) == {"timeframes": {"mode": "multi_timeframe", "list": ["1h", "4h"]}}
    assert data(timeframes=["1h"]) == {"timeframes": {"mode": "single", "timeframe": "1h"}}


def test_a_date_range_is_a_start_and_an_end() -> None:
    assert data(date_range={"start": "2012-01-01", "end": "2013-01-01"}) == {"start_date": "2012-01-01", "end_date": "2013-01-01"}


def test_a_date_range_beside_a_start_date_is_left_for_the_checks_to_refuse() -> None:
    given = {"date_range": {"start": "2012-01-01"}, "start_date": "2011-01-01"}
    assert data(**given) == given


def test_hyperparameters_of_the_model_section_join_training_which_wins() -> None:
    full = written_out({"model": {"training": {"epochs": 5, "batch_size": 8, "seed": 1}}, "training": {"epochs": 10, "seed": 1}})
    assert full.document == {"model": {}, "training": {"epochs": 10, "seed": 1, "batch_size": 8}}
    assert [(p.place, p.value) for p in full.doubts] == [("model.training.epochs", "5")]
    assert full.moved == {"training.batch_size": "model.training.batch_size"}


def test_hyperparameters_may_stand_in_the_model_section_alone() -> None:
    assert written_out({"model": {"training": {"epochs": 5}}}).document == {"model": {}, "training": {"epochs": 5}}


@pytest.mark.parametrize(("task", "loss"), [("classification", "cross_entropy"), ("regression", "huber")])
def test_the_loss_follows_the_task_where_none_is_named(task: str, loss: str) -> None:
    assert written_out({"training": {}, "decisions": {"output_format": task}}).document["training"] == {"loss": loss}
    assert written_out({"training": {"loss": "mse"}, "decisions": {"output_format": task}}).document["training"] == {"loss": "mse"}


def test_a_scheduler_may_be_named_by_its_type_alone() -> None:
    assert written_out({"training": {"lr_scheduler": "step"}, "decisions": {}}).document["training"]["lr_scheduler"] == {"type": "step"}


@pytest.mark.parametrize(
    "odd", [{"training_data": 5}, {"model": {"training": 5}}, {"model": {"training": {}}, "training": []}, {"training": []}]
)
def test_what_has_an_unexpected_shape_is_left_as_it_is(odd: dict[str, Any]) -> None:
    assert written_out(odd).document == odd


def test_the_document_given_is_not_changed() -> None:
    given = {"model": {"training": {"epochs": 5}}, "training_data": {"symbols": ["A"]}}
    written_out(given)
    assert given == {"model": {"training": {"epochs": 5}}, "training_data": {"symbols": ["A"]}}
