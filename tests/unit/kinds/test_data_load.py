"""What a load asks for, stores and says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ktrdr.errors import Invalid, NoData, NotFound, Unavailable
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.data_load import DataLoad
from ktrdr.kinds.load_plan import parts
from ktrdr.market.bars import Bars
from ktrdr.market.rows import BadRow
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Cancelled, Job
from ktrdr.operations.model import CheckpointRef, Operation
from ktrdr.providers.base import PROVIDERS, OnProgress, Provider
from ktrdr.providers.synthetic import Synthetic
from ktrdr.stores.catalog import Outcome

HOUR, DAY = Timeframe("1h"), Timeframe("1d")


class Listener:
    """A guardian's end of the pipe that keeps what it hears, and asks for cancel after so many steps."""

    def __init__(self, cancel_at_step: int | None = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self.cancel_at_step = cancel_at_step
        self.checkpoint: CheckpointRef | None = None

    def send(self, message: dict[str, Any]) -> None:
        self.heard.append(message)

    def ask(self, message: dict[str, Any]) -> Any:
        assert message["type"] == "checkpoint"
        self.checkpoint = CheckpointRef(**message["checkpoint"])

    def interruption(self) -> Exception | None:
        done = [m["progress"]["steps_completed"] for m in self.heard if m["type"] == "progress"]
        return Cancelled() if self.cancel_at_step is not None and done and done[-1] == self.cancel_at_step else None

    @property
    def warnings(self) -> list[str]:
        return [message["text"] for message in self.heard if message["type"] == "warning"]

    @property
    def steps(self) -> list[str]:
        return [message["progress"]["current_step"] for message in self.heard if message["type"] == "progress"]


def run(
    workspace: Workspace, listener: Listener | None = None, kind: type[DataLoad] = DataLoad, resumed: CheckpointRef | None = None,
    **parameters: Any,
) -> dict[str, Any]:  # fmt: skip
    """The result of a load that went the way of every operation: prepared, written as JSON, run from that."""
    ready = kind(**parameters).prepare(workspace)
    kept = kind(**json.loads(json.dumps(ready.model_dump(mode="json"))))
    assert kept == ready
    operation = Operation(operation_id="op_data_load_1", operation_type="data_load", created_at=datetime.now(UTC))
    result = kept.run(Job(operation, listener or Listener(), resumed), workspace)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    """A file of daily bars, one for each day of the range."""

    def write(first: str, count: int, price: float = 100.0, name: str = "own.csv") -> str:
        import numpy as np

        days = np.datetime64(first) + np.arange(count)
        lines = [f"{day},{price},{price + 2},{price - 2},{price + index % 2},10" for index, day in enumerate(days)]
        (tmp_path / name).write_text("time,open,high,low,close,volume\n" + "\n".join(lines))
        return str(tmp_path / name)

    return write


def test_bundled_bars_are_loaded_by_year_and_then_there_is_nothing_new(workspace: Workspace):
    listener = Listener()
    first = run(workspace, listener, symbol="spy")
    assert (first["status"], first["bars_loaded"], first["bars_total"], first["provider"]) == ("complete", 5283, 5283, "sample")
    assert (first["first"], first["last"]) == ("1998-01-02T00:00:00+00:00", "2018-12-31T00:00:00+00:00")
    assert [segment["start"][:4] for segment in first["segments"]] == [str(year) for year in range(1998, 2019)]
    assert listener.steps[-1] == "SPY 1d: 5,283 bars"
    again = run(workspace, symbol="SPY")
    assert (again["status"], again["bars_loaded"], again["segments"]) == ("nothing-new", 0, [])


def test_tail_loads_what_is_newer_and_backfill_what_is_older(workspace: Workspace):
    known = {"symbol": "AAPL", "timeframe": "1d", "provider": "synthetic"}
    middle = run(workspace, **known, start_date="2012-06-01", end_date="2012-09-01")
    newer = run(workspace, **known, end_date="2013-02-01")
    older = run(workspace, **known, mode="backfill", start_date="2011-11-01")
    assert [segment["start"][:10] for segment in newer["segments"]] == ["2012-08-29", "2013-01-01"]
    assert [segment["end"][:10] for segment in older["segments"]] == ["2012-06-01", "2012-01-01"]
    assert older["bars_total"] == sum(load["bars_loaded"] for load in (middle, newer, older))
    whole = Synthetic().fetch(
        "AAPL", DAY, start=datetime(2011, 11, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC), on_progress=lambda _: None
    )
    assert workspace.bars.read("AAPL", DAY).digest() == whole.digest()


def test_backfill_of_a_series_that_begins_with_the_provider_finds_nothing_new(workspace: Workspace):
    run(workspace, symbol="SPY", mode="full", end_date="2000-01-01")
    assert run(workspace, symbol="SPY", mode="backfill")["status"] == "nothing-new"


def test_a_stored_series_needs_no_provider_to_be_named(workspace: Workspace):
    run(workspace, symbol="XAUUSD", timeframe="4h", provider="Synthetic", start_date="2012-01-01", end_date="2012-02-01", seed=3)
    assert DataLoad(symbol="XAUUSD", timeframe="4h", end_date="2012-03-01", seed=3).prepare(workspace).provider == "synthetic"
    assert DataLoad(symbol="EURUSD", timeframe="1h").prepare(workspace).provider == "sample"


def test_without_any_provider_the_error_says_which_to_set_up(workspace: Workspace):
    with pytest.raises(Invalid, match="no provider is known for MSFT 1d") as failure:
        DataLoad(symbol="MSFT").prepare(workspace)
    assert "--provider files --file PATH" in (failure.value.hint or "")
    assert "AAPL 1h, EURUSD 1h, SPY 1d" in (failure.value.hint or "")


def test_with_two_providers_the_error_names_them(workspace: Workspace, csv: Any):
    run(workspace, symbol="MSFT", provider="files", file=csv("2012-01-01", 5))
    run(workspace, symbol="MSFT", provider="synthetic", start_date="2012-01-01", end_date="2012-02-01")
    with pytest.raises(Invalid, match="from 2 providers: files, synthetic"):
        DataLoad(symbol="MSFT").prepare(workspace)


def test_a_file_is_loaded_and_a_longer_one_continues_it(workspace: Workspace, csv: Any):
    first = run(workspace, symbol="BTCUSDT", provider="files", file=csv("2019-12-30", 5))
    assert (first["status"], first["bars_loaded"], len(first["segments"])) == ("complete", 5, 2)
    longer = run(workspace, symbol="BTCUSDT", provider="files", file=csv("2019-12-28", 10))
    assert (longer["bars_loaded"], longer["bars_total"], longer["first"][:10]) == (3, 8, "2019-12-30")


def test_a_full_load_keeps_the_newer_values_and_says_how_many_differed(workspace: Workspace, csv: Any):
    run(workspace, symbol="BTCUSDT", provider="files", file=csv("2020-01-01", 5))
    listener = Listener()
    words: dict[str, Any] = {"symbol": "BTCUSDT", "provider": "files", "mode": "full", "file": csv("2020-01-04", 5, price=101.0)}
    revised = run(workspace, listener, **words, refresh=True)
    assert (revised["status"], revised["bars_loaded"], revised["conflicts"], revised["bars_total"]) == ("complete", 3, 2, 8)
    assert (
        "2 of the bars had been stored with other values; the new ones were kept; revisions.parquet beside them has both"
        in listener.warnings
    )
    assert (revised["replaced"], len(workspace.bars.revisions("BTCUSDT", DAY, "files"))) == (2, 2)
    same = run(workspace, **words, refresh=True)
    assert (same["status"], same["bars_loaded"], same["conflicts"]) == ("nothing-new", 0, 0)


def test_a_settled_bar_stays_unless_it_is_asked_for_anew(workspace: Workspace, csv: Any):
    run(workspace, symbol="BTCUSDT", provider="files", file=csv("2020-01-01", 5))
    listener = Listener()
    words: dict[str, Any] = {"symbol": "BTCUSDT", "provider": "files", "mode": "full", "file": csv("2020-01-04", 2, price=101.0)}
    kept = run(workspace, listener, **words)
    assert (kept["status"], kept["conflicts"], kept["replaced"]) == ("nothing-new", 2, 0)
    assert any("the new ones were kept in 0 of them, the stored ones in the others" in warning for warning in listener.warnings)
    assert workspace.bars.read("BTCUSDT", DAY).open[-1] == 100.0
    assert run(workspace, **words, refresh=True)["replaced"] == 2
    assert workspace.bars.read("BTCUSDT", DAY).open[-1] == 101.0


def test_a_bad_file_stores_nothing(workspace: Workspace, csv: Any):
    path = Path(csv("2019-12-30", 5))
    path.write_text(path.read_text() + "\n2020-01-04,1,2,3,4,5")
    with pytest.raises(Invalid, match="1 of 6 rows cannot be bars"):
        run(workspace, symbol="BTCUSDT", provider="files", file=str(path))
    assert workspace.bars.stored("BTCUSDT", DAY, "files") is None


def test_odd_bars_are_stored_and_warned_of(workspace: Workspace):
    listener = Listener()
    run(workspace, listener, symbol="AAPL", timeframe="1h", start_date="2014-01-01", end_date="2015-01-01")
    assert listener.warnings == [
        "the bar of 2014-06-09 13:00: the price steps by a whole ratio, as at a split, and no split is known: "
        "unadjusted prices, or a real move"
    ]


def test_a_provider_that_has_less_than_was_asked_for_gives_a_partial_load(workspace: Workspace):
    result = run(workspace, symbol="SPY", start_date="2018-06-01", end_date="2024-01-01")
    assert result["status"] == "partial"
    assert result["diagnosis"] == "sample has 1998-01-02 .. 2019-01-01 only, asked for 2018-06-01 .. 2024-01-01"
    assert run(workspace, symbol="SPY", mode="full", start_date="2018-06-02", end_date="2019-01-04")["status"] == "nothing-new"


def test_no_bars_at_all_are_an_error(workspace: Workspace):
    with pytest.raises(NoData, match=r"sample gave no bars of SPY 1d in 2024-01-01 \.\. 2024-06-01; it has 1998-01-02"):
        run(workspace, symbol="SPY", start_date="2024-01-01", end_date="2024-06-01")
    with pytest.raises(NoData, match="synthetic gave no bars of EURUSD 1h"):
        run(workspace, symbol="EURUSD", timeframe="1h", provider="synthetic", start_date="2018-01-06", end_date="2018-01-07")
    assert [load.outcome.state for load in workspace.bars.loads("EURUSD", HOUR, "synthetic")] == ["empty"]


def test_a_cancelled_load_keeps_what_was_stored_and_the_next_one_goes_on(workspace: Workspace):
    with pytest.raises(Cancelled):
        run(workspace, Listener(cancel_at_step=3), symbol="SPY")
    stored = workspace.bars.stored("SPY", DAY, "sample")
    assert stored
    assert stored.last == datetime(2000, 12, 29, tzinfo=UTC)
    assert run(workspace, symbol="SPY")["bars_loaded"] == 5283 - stored.bars


class Counted(Synthetic):
    """Notes what it is asked for."""

    asked: ClassVar[list[int]] = []

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        self.asked.append(start.year)
        return super().fetch(symbol, timeframe, start=start, end=end, on_progress=on_progress)


class CountedLoad(DataLoad):
    def source(self) -> Provider:
        return Counted()


def test_a_resumed_load_asks_for_the_rest_only_and_tells_of_all(workspace: Workspace):
    words: dict[str, Any] = {
        "symbol": "MADE", "timeframe": "1h", "provider": "synthetic", "mode": "full", "start_date": "2001-03-01", "end_date": "2006-01-01",
    }  # fmt: skip
    listener = Listener(cancel_at_step=3)
    Counted.asked.clear()
    with pytest.raises(Cancelled):
        run(workspace, listener, CountedLoad, **words)
    assert listener.checkpoint
    assert listener.checkpoint.position == "2003-01-01 .. 2004-01-01"
    resumed = run(workspace, Listener(), CountedLoad, listener.checkpoint, **words)
    assert Counted.asked == [2001, 2002, 2003, 2004, 2004, 2005]  # it was cancelled while 2004 was on its way
    assert [segment["start"][:4] for segment in resumed["segments"]] == ["2001", "2002", "2003", "2004", "2005"]
    assert (resumed["status"], resumed["bars_loaded"]) == ("complete", resumed["bars_total"])


def test_a_load_that_was_broken_off_between_file_and_ledger_is_no_obstacle(workspace: Workspace):
    run(workspace, symbol="SPY")
    for load in workspace.bars.loads("SPY", DAY, "sample"):
        workspace.bars.end_load(load.number, Outcome("asked"))
    assert run(workspace, symbol="SPY")["status"] == "nothing-new"


class Flaky(Synthetic):
    """A provider whose line breaks in some year."""

    breaks_in: int

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        if start.year >= self.breaks_in:
            raise Unavailable(f"the line broke in {start.year}")
        return super().fetch(symbol, timeframe, start=start, end=end, on_progress=on_progress)


class FlakyLoad(DataLoad):
    """A load from it."""

    def source(self) -> Provider:
        return Flaky(**(self.model_extra or {}))


FLAKY = {"kind": FlakyLoad, "symbol": "XAUUSD", "provider": "synthetic", "start_date": "2012-06-01", "end_date": "2015-01-01"}


def test_a_provider_that_fails_half_way_gives_a_partial_load_and_no_hole(workspace: Workspace):
    result = run(workspace, **FLAKY, breaks_in=2013)
    assert (result["status"], result["diagnosis"]) == ("partial", "the line broke in 2013")
    assert [segment["state"] for segment in result["segments"]] == ["answered", "failed"]
    assert result["last"] == "2012-12-31T00:00:00+00:00"
    rest = run(workspace, symbol="XAUUSD", end_date="2015-01-01")
    assert (rest["status"], rest["segments"][0]["start"][:10]) == ("complete", "2012-12-29")


def test_a_provider_that_fails_at_once_fails_the_load(workspace: Workspace):
    with pytest.raises(Unavailable, match="the line broke in 2012"):
        run(workspace, **FLAKY, breaks_in=2012)
    (load,) = workspace.bars.loads("XAUUSD", DAY, "synthetic")
    assert load.outcome == Outcome("failed", message="the line broke in 2012")


def test_trading_hours_keep_the_session_and_extended_ones_what_is_around_it(workspace: Workspace, tmp_path: Path):
    hours = "\n".join(f"2018-07-02T{hour:02}:00Z,1,1,1,1,1" for hour in range(24))
    (tmp_path / "day.csv").write_text("time,open,high,low,close,volume\n" + hours)
    counts = {}
    for symbol, flags in {"AA": {}, "BB": {"trading_hours": True}, "CC": {"include_extended": True}}.items():
        result = run(workspace, symbol=symbol, timeframe="1h", provider="files", file=str(tmp_path / "day.csv"), **flags)
        counts[result["hours"]] = result["bars_loaded"]
    assert counts == {"all": 24, "regular": 7, "extended": 16}
    listener = Listener()
    run(workspace, listener, symbol="DD", timeframe="1h", provider="files", file=str(tmp_path / "day.csv"), trading_hours=True)
    assert "17 bars outside the regular hours were left out; --include-extended keeps those before and after, as a series of their own" in (
        listener.warnings
    )


@pytest.mark.parametrize("parameters", [{"symbol": "EURUSD", "timeframe": "1h"}, {"symbol": "SPY", "timeframe": "1d"}])
@pytest.mark.parametrize("flag", ["trading_hours", "include_extended"])
def test_flags_for_hours_change_nothing_where_there_are_none_and_that_is_said(workspace: Workspace, parameters: dict[str, str], flag: str):
    listener = Listener()
    result = run(workspace, listener, **parameters, **{flag: True}, start_date="2018-01-01", end_date="2018-03-01")
    assert (result["status"], result["hours"]) == ("complete", "all")
    assert any("has no hours to choose by" in warning for warning in listener.warnings)


def test_hours_are_series_of_their_own_and_a_later_load_keeps_to_those_that_are_there(workspace: Workspace):
    words: dict[str, Any] = {"symbol": "AAPL", "timeframe": "1h", "provider": "synthetic"}
    run(workspace, **words, start_date="2020-01-01", end_date="2020-02-01", include_extended=True)
    assert run(workspace, **words, end_date="2020-02-10")["hours"] == "extended"
    regular = run(workspace, **words, start_date="2020-01-01", end_date="2020-02-01", trading_hours=True)
    assert (regular["hours"], regular["before"]) == ("regular", None)
    assert [(s.hours, s.last.month) for s in workspace.bars.series() if s.provider == "synthetic"] == [("regular", 1), ("extended", 2)]
    assert run(workspace, **words, end_date="2020-02-10")["hours"] == "regular"
    assert run(workspace, symbol="AAPL", timeframe="1h", end_date="2020-02-11", include_extended=True)["status"] == "complete"


def test_hours_are_series_of_their_own(workspace: Workspace):
    known = {"symbol": "AAPL", "timeframe": "1h", "start_date": "2020-01-01", "end_date": "2020-02-01"}
    whole, regular = run(workspace, **known), run(workspace, **known, trading_hours=True)
    assert (whole["status"], regular["status"], regular["bars_loaded"]) == ("complete", "complete", whole["bars_loaded"])
    assert [s.hours for s in workspace.bars.series() if s.symbol == "AAPL"] == ["all", "regular"]


def test_bars_of_other_seeds_are_not_mixed_and_the_label_stays_with_the_series(workspace: Workspace):
    words = {"symbol": "MADE", "provider": "synthetic", "mode": "full", "start_date": "2012-01-01", "end_date": "2013-01-01"}
    assert run(workspace, **words)["origin"] == "made up, no market: seed 7, volatility 0.15, no edge"
    with pytest.raises(Invalid, match=r"holds made up, no market: seed 7.* not made up, no market: seed 8"):
        run(workspace, **words, seed=8)
    assert workspace.bars.find("MADE", DAY).origin.startswith("made up")


def test_files_bring_their_splits_and_what_cannot_be_bars_stands_aside(workspace: Workspace, csv: Any, tmp_path: Path):
    path = Path(csv("2020-01-01", 5))
    path.write_text(path.read_text() + "\n2020-01-06,1,2,3,4,5\n2020-01-07,25,26,24,25,40")
    (tmp_path / "splits.csv").write_text("day,kind,value\n2020-01-07,split,4\n")
    words = {"symbol": "AA", "provider": "files", "file": str(path), "actions_file": str(tmp_path / "splits.csv")}
    result = run(workspace, **words, bad_rows="quarantine")
    assert (result["bars_loaded"], result["quarantined"]) == (6, 1)
    (aside,) = workspace.bars.quarantined("AA", DAY, "files")
    assert (aside.row, aside.values) == (7, (1.0, 2.0, 3.0, 4.0, 5.0))
    bars = workspace.bars.read("AA", DAY)
    assert (bars.close[0], bars.close[-1], bars.adjustment[:7]) == (25.0, 25.0, "splits ")


class Faulty(Synthetic):
    """A provider one of whose rows cannot be a bar."""

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        self._rejected.append(BadRow("has no price", start, (float("nan"),) * 5))
        return super().fetch(symbol, timeframe, start=start, end=end, on_progress=on_progress)


class FaultyLoad(DataLoad):
    def source(self) -> Provider:
        return Faulty()


def test_rows_that_cannot_be_bars_are_never_dropped_silently(workspace: Workspace):
    listener = Listener()
    words = {"symbol": "MADE", "timeframe": "1d", "provider": "synthetic", "start_date": "2012-01-01", "end_date": "2014-01-01"}
    result = run(workspace, listener, FaultyLoad, **words)
    assert (result["status"], result["quarantined"]) == ("complete", 2)
    assert "2 rows could not be bars; quarantine.csv beside the series has them, with the reasons" in listener.warnings
    assert [row.time.year for row in workspace.bars.quarantined("MADE", DAY, "synthetic") if row.time] == [2012, 2013]
    assert [load.outcome.quarantined for load in workspace.bars.loads("MADE", DAY, "synthetic")] == [1, 1]
    assert run(workspace, None, FaultyLoad, **words, mode="full")["quarantined"] == 0


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"symbol": "../x"}, "is not a symbol"),
        ({"symbol": "SPY", "timeframe": "1x"}, "'1x' is not a timeframe"),
        ({"symbol": "SPY", "start_date": "yesterday"}, "'yesterday' is not a date"),
        ({"symbol": "SPY", "start_date": "2018-01-01", "end_date": "2018-01-01"}, "the range 2018-01-01 .. 2018-01-01 is empty"),
        ({"symbol": "SPY", "file": "/x.csv"}, "provider sample has no option 'file'"),
        ({"symbol": "SPY", "provider": "files"}, "provider files needs the option 'file'"),
        ({"symbol": "SPY", "provider": "synthetic", "end_date": "2018-01-01"}, "so it must be told the start"),
        ({"symbol": "SPY", "mode": "tail", "refresh": True}, "refresh asks again for a whole range, which mode tail does not"),
        ({"symbol": "SPY", "start_date": "2999-01-01"}, "the start 2999-01-01 lies ahead"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_sentence(workspace: Workspace, parameters: dict[str, str], sentence: str):
    with pytest.raises(Invalid) as failure:
        run(workspace, **parameters)
    assert sentence in failure.value.message
    assert failure.value.hint


def test_an_unknown_provider_is_refused_with_the_nearest(workspace: Workspace):
    with pytest.raises(NotFound, match="no provider called 'sampel'"):
        DataLoad(symbol="SPY", provider="sampel").prepare(workspace)


def test_tail_takes_no_start_and_backfill_no_end_once_there_is_something(workspace: Workspace):
    run(workspace, symbol="SPY", mode="full", start_date="2015-01-01", end_date="2016-01-01")
    with pytest.raises(Invalid, match="stored up to 2015-12-31, and tail goes on from there"):
        DataLoad(symbol="SPY", start_date="2010-01-01").prepare(workspace)
    with pytest.raises(Invalid, match="stored from 2015-01-02, and backfill ends there"):
        DataLoad(symbol="SPY", mode="backfill", end_date="2018-01-01").prepare(workspace)


def test_it_shows_its_parameters_with_the_providers_own(workspace: Workspace):
    ready = DataLoad(symbol="spy", provider="synthetic", start_date="2018-01-01", end_date="2018-02-01", seed=3).prepare(workspace)
    assert ready.metadata() == {
        "symbol": "SPY", "timeframe": "1d", "start_date": "2018-01-01", "end_date": "2018-02-01",
        "parameters": {"mode": "tail", "provider": "synthetic", "hours": "all", "seed": 3},
    }  # fmt: skip
    assert ready.launch_profile() == "light"


def test_a_later_load_without_an_end_goes_on_until_now(workspace: Workspace):
    run(workspace, symbol="BTCUSDT", provider="synthetic", start_date="2026-01-01", end_date="2026-02-01")
    listener = Listener()
    result = run(workspace, listener, symbol="btc-usdt")
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert result["last"] <= yesterday.isoformat() < (datetime.fromisoformat(result["last"]) + timedelta(days=2)).isoformat()
    assert result["bars_unchanged"] == 3
    assert result["before"]["bars"] == 31
    ahead = run(workspace, listener, symbol="BTCUSDT", mode="full", provider="synthetic", start_date="2026-01-01", end_date="2099-01-01")
    assert ahead["last"] == result["last"]
    assert "the end 2099-01-01 lies ahead: loaded as far as there are bars" in listener.warnings


def test_a_load_is_planned_before_it_asks_and_says_where_it_is(workspace: Workspace):
    listener = Listener()
    run(workspace, listener, symbol="EURUSD", timeframe="1h", provider="synthetic", start_date="2017-12-01", end_date="2018-02-01")
    kinds = [message["type"] for message in listener.heard]
    (plan,) = [message["metadata"]["plan"] for message in listener.heard if message["type"] == "metadata"]
    first_step = next(at for at, step in enumerate(listener.heard) if "1/2" in step.get("progress", {}).get("current_step", ""))
    assert kinds.index("metadata") < first_step
    assert (plan["parts"], plan["bars"], plan["requests"]) == (2, workspace.bars.read("EURUSD", HOUR, provider="synthetic").time.size, 0)
    steps = [message["progress"] for message in listener.heard if message["type"] == "progress" and message["progress"]["context"]]
    assert {name: steps[-1]["context"][name] for name in ("symbol", "timeframe", "segment", "segments")} == {
        "symbol": "EURUSD", "timeframe": "1h", "segment": 2, "segments": 2,
    }  # fmt: skip
    december = workspace.bars.read("EURUSD", HOUR, end=datetime(2018, 1, 1, tzinfo=UTC), provider="synthetic")
    assert steps[-1]["context"]["bars"] == len(december)


def test_tail_backfill_and_full_come_to_the_same_bars(workspace: Workspace):
    words: dict[str, Any] = {"timeframe": "1h", "provider": "synthetic", "seed": 5}
    run(workspace, symbol="EURUSD", **words, start_date="2017-06-01", end_date="2017-09-01")
    run(workspace, symbol="EURUSD", **words, end_date="2018-03-01")
    run(workspace, symbol="EURUSD", **words, mode="backfill", start_date="2016-11-01")
    pieces = workspace.bars.read("EURUSD", HOUR, provider="synthetic")
    workspace.bars.delete("EURUSD", HOUR, "synthetic")
    assert workspace.bars.loads("EURUSD", HOUR, "synthetic") == []
    run(workspace, symbol="EURUSD", **words, mode="full", start_date="2016-11-01", end_date="2018-03-01")
    assert workspace.bars.read("EURUSD", HOUR, provider="synthetic").digest() == pieces.digest()


def test_a_range_is_cut_at_every_new_year():
    start, end = datetime(2012, 6, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
    edge = datetime(2013, 1, 1, tzinfo=UTC)
    assert parts(start, end, None, newest_first=False) == [(start, edge), (edge, end)]
    assert parts(start, end, None, newest_first=True) == [(edge, end), (start, edge)]
    assert parts(start, start, None, newest_first=False) == []


def test_minutes_of_a_remote_provider_are_cut_month_by_month():
    start, end = datetime(2012, 11, 20, tzinfo=UTC), datetime(2012, 12, 31, tzinfo=UTC)
    ccxt, length = PROVIDERS.get("ccxt")(), timedelta(days=30)
    assert (ccxt.piece(Timeframe("1m")), ccxt.piece(Timeframe("1h"))) == (length, None)
    assert parts(start, end, length, newest_first=False) == [(start, start + length), (start + length, end)]
    assert parts(start, end, length, newest_first=True) == [(start + length, end), (start, start + length)]
