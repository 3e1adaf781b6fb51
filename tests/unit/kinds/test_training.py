"""What a training is told before it begins."""

from __future__ import annotations

import pytest

from ktrdr.errors import Invalid, InvalidStrategy, NoData, NotFound
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.training import Training
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy

MOMENTUM = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")


def test_dates_symbols_and_timeframes_are_the_strategys_own(workspace: Workspace):
    ready = Training(strategy_name="momentum").prepare(workspace)
    about = ready.metadata()
    assert (about["symbol"], about["timeframe"]) == ("EURUSD", "1h")
    assert (about["start_date"], about["end_date"]) == ("2012-01-01", "2017-01-01")
    assert (ready.launch_profile(), ready.needs) == ("torch", "gpu")


def test_what_is_given_comes_before_the_strategy(workspace: Workspace):
    ready = Training(
        strategy_name="momentum", symbols=("aapl",), start_date="2010-01-01", end_date="2012-06-01T12:00:00Z", validation_split=0.2
    ).prepare(workspace)
    settled = load_strategy(ready.strategy or "", "settled").strategy
    assert settled.symbols == ("AAPL",)
    assert settled.training.data_split.validation == 0.2
    assert [f"{moment:%Y-%m-%d %H}" for moment in settled.date_range if moment] == ["2010-01-01 00", "2012-06-01 12"]
    assert ready.metadata()["end_date"] == "2012-06-01T12:00:00+00:00"


def test_the_operation_keeps_the_text_and_its_hash(workspace: Workspace):
    ready = Training(strategy_name="momentum").prepare(workspace)
    kept = load_strategy(ready.strategy or "", "kept").strategy
    assert kept.content_hash == load_strategy(MOMENTUM, "momentum").strategy.content_hash
    assert ready.prepare(workspace) == ready


def test_a_strategy_can_be_given_as_text(workspace: Workspace):
    ready = Training(strategy=MOMENTUM.replace("name: momentum", "name: mine"), source="./mine.yaml").prepare(workspace)
    assert (ready.strategy_name, ready.source) == ("mine", "./mine.yaml")


def test_a_text_with_mistakes_is_refused_with_its_source_and_lines(workspace: Workspace):
    with pytest.raises(InvalidStrategy, match=r"(?s)\./mine\.yaml: 1 mistake.*line 17"):
        Training(strategy=MOMENTUM.replace("type: rsi", "type: rsy"), source="./mine.yaml").prepare(workspace)


def test_without_any_dates_a_training_is_refused(workspace: Workspace):
    undated = MOMENTUM.replace("  start_date: 2012-01-01\n", "").replace("  end_date: 2017-01-01\n", "")
    with pytest.raises(Invalid, match="neither you nor the strategy says its start and end") as refused:
        Training(strategy=undated).prepare(workspace)
    assert "--start" in (refused.value.hint or "")
    with pytest.raises(Invalid, match="says its end"):
        Training(strategy=undated, start_date="2012-01-01").prepare(workspace)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2014-01-01", "2013-01-01", "the start is not before the end"),
        ("2014-01-01", "2014-01-01", "the start is not before the end"),
        ("2014-13-01", "2015-01-01", "the start date '2014-13-01' is not a date"),
        ("2014-01-01", "soon", "the end date 'soon' is not a date"),
    ],
)
def test_dates_that_make_no_range_are_refused(workspace: Workspace, start: str, end: str, said: str):
    with pytest.raises(Invalid, match=said):
        Training(strategy_name="momentum", start_date=start, end_date=end).prepare(workspace)


def test_a_range_without_bars_is_refused_with_the_series_range_and_the_load_command(workspace: Workspace):
    with pytest.raises(NoData) as refused:
        Training(strategy_name="momentum", symbols=("AAPL",), start_date="2024-01-01", end_date="2024-06-01").prepare(workspace)
    assert refused.value.message.startswith("AAPL 1h: bars run ")
    assert "asked for 2024-01-01 to 2024-06-01" in refused.value.message
    assert "ktrdr data load AAPL --timeframe 1h" in (refused.value.hint or "")


def test_a_symbol_without_bars_and_an_unknown_strategy_are_refused(workspace: Workspace):
    with pytest.raises(NoData, match="there are no bars"):
        Training(strategy_name="momentum", symbols=("GBPUSD",)).prepare(workspace)
    with pytest.raises(NotFound, match="there is no strategy called 'momentun'"):
        Training(strategy_name="momentun").prepare(workspace)
    with pytest.raises(Invalid, match="no strategy was given"):
        Training().prepare(workspace)
