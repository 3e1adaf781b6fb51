"""Loads from Interactive Brokers: the real client on a real socket, against a TWS that serves and fails as it is told to."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ktrdr.api.app import create_app
from ktrdr.cli.app import main
from ktrdr.errors import Invalid, KtrdrError, NoData, NotFound, Refused, Unavailable
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.data_load import DataLoad
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Cancelled
from ktrdr.operations.model import Operation
from ktrdr.providers.base import Provider, build
from ktrdr.providers.ib import Ib
from ktrdr.providers.ib_diagnosis import BROKEN, RETURNED, TABLE, Diagnosis
from ktrdr.providers.ib_pacing import Rule
from ktrdr.providers.synthetic import Synthetic
from ktrdr.services.operations import OperationsService
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.wiring import open_backend
from tests.contracts.serving import served
from tests.unit.kinds.conftest import workspace  # noqa: F401  (the fixture)
from tests.unit.kinds.test_data_load import Listener, run
from tests.wire.tws import DROP, EMPTY, SILENCE, Act, Bar, Tws, error, notice

HOUR = Timeframe("1h")
HMDS = "Historical Market Data Service error message:"
START, END = "2024-01-01", "2024-03-21"
"""Eighty days: three requests of an hour's bars."""


def made(symbol: str, timeframe: str, start: str = START, end: str = END) -> Bars:
    """The bars that TWS has."""
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    return Synthetic().fetch(symbol, Timeframe(timeframe), start=first, end=last, on_progress=lambda _: None)


def on_the_wire(bars: Bars) -> list[Bar]:
    seconds = bars.time.astype("datetime64[s]").astype(int).tolist()
    return list(zip(seconds, *(getattr(bars, column).tolist() for column in COLUMNS), strict=True))


def without(bars: Bars, start: str, end: str) -> Bars:
    """A series with a hole."""
    kept = (bars.time < np.datetime64(start)) | (bars.time >= np.datetime64(end))
    columns = {column: getattr(bars, column)[kept] for column in COLUMNS}
    return Bars.checked(bars.symbol, bars.timeframe, bars.time[kept], **columns, provider=bars.provider)


SOURCE = without(made("EURUSD", "1h", "2023-12-20", "2024-03-25"), "2024-02-05", "2024-02-09")
EURUSD = SOURCE.between(datetime.fromisoformat(START).replace(tzinfo=UTC), datetime.fromisoformat(END).replace(tzinfo=UTC))
"""What a load of the range must bring."""


class QuickIb(Ib):
    """Its limits and pauses are ten thousand times shorter."""

    rules: ClassVar[tuple[Rule, ...]] = tuple(replace(rule, seconds=rule.seconds / 10_000) for rule in Ib.rules)

    def pause_before(self, known: Diagnosis, tries: int) -> float:
        return super().pause_before(known, tries) / 10_000


class QuickLoad(DataLoad):
    """A load from it."""

    def source(self) -> Provider:
        provider = QuickIb(**(self.model_extra or {}))
        return provider.regular_hours() if self._hours == "regular" else provider


WHOLE: dict[str, Any] = {
    "kind": QuickLoad, "symbol": "EURUSD", "timeframe": "1h", "provider": "ib", "mode": "full", "start_date": START, "end_date": END,
}  # fmt: skip


@pytest.fixture
def tws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tws]:
    with Tws({("EURUSD", "1 hour"): on_the_wire(SOURCE)}).running() as one:
        monkeypatch.setenv("KTRDR_IB_PORT", str(one.port))
        monkeypatch.setenv("KTRDR_IB_TIMEOUT_SECONDS", "0.6")
        yield one


def stored(workspace: Workspace) -> Bars:  # noqa: F811
    return workspace.bars.read("EURUSD", HOUR, provider="ib")


@pytest.mark.parametrize("cut", [None, 7], ids=["whole frames", "frames in pieces"])
def test_a_load_in_three_pieces_with_a_hole_equals_the_source(workspace: Workspace, tws: Tws, cut: int | None) -> None:  # noqa: F811
    tws.cut, tws.script = cut, [Act(after=0.2)]
    listener = Listener()
    result = run(workspace, listener, **WHOLE)
    assert (result["status"], result["bars_loaded"]) == ("complete", len(EURUSD))
    assert [segment["state"] for segment in result["segments"]] == ["answered"] * 3
    assert stored(workspace).digest() == EURUSD.digest()
    asked = [(one.end, one.duration, one.size, one.price, one.regular, one.sec_type, one.exchange) for one in tws.asked]
    assert asked == [
        (f"{end}-00:00:00", duration, "1 hour", "MIDPOINT", False, "CASH", "IDEALPRO")
        for end, duration in (("20240131", "30 D"), ("20240301", "30 D"), ("20240321", "20 D"))
    ]
    step = "EURUSD 1h · 1/3 · 0 bars · asking IB for CASH EUR USD IDEALPRO MIDPOINT 1h 2024-01-01 00:00 .. 2024-01-31 00:00"
    assert step in listener.steps
    again = run(workspace, **{**WHOLE, "mode": "tail", "start_date": None})
    assert again["status"] == "nothing-new"


def test_a_row_that_cannot_be_a_bar_is_put_aside_and_the_others_are_stored(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    bars = tws.bars["EURUSD", "1 hour"]
    place = next(n for n, bar in enumerate(bars) if bar[0] >= EURUSD.time[100].astype("datetime64[s]").astype(int))
    time, open_, _, low, close, volume = bars[place]
    bars[place] = time, open_, low - 0.01, low, close, volume
    result = run(workspace, **WHOLE)
    assert (result["status"], result["bars_loaded"], result["quarantined"]) == ("complete", len(EURUSD) - 1, 1)
    assert stored(workspace).digest() == without(EURUSD, *(str(EURUSD.time[n]) for n in (100, 101))).digest()
    (bad,) = workspace.bars.quarantined("EURUSD", HOUR, "ib")
    assert (bad.time, bad.values[1]) == (datetime.fromtimestamp(time, UTC), low - 0.01)


RECOVER: dict[str, tuple[list[Act], int]] = {
    "pacing violation": ([error(162, f"{HMDS}Historical data request pacing violation")] * 2, 5),
    "pacing": ([error(420)], 4),
    "too many messages": ([notice(100, "Max rate of messages per second has been exceeded", "nothing")], 4),
    "the line breaks": ([DROP, Act(), DROP], 5),
    "port reset": ([notice(1300, "Socket port has been reset", "drop")], 4),
    "IB away and back, data lost": ([Act(((1100, "lost", False), (1101, "restored", False)), then="nothing")], 4),
    "IB away and back, data kept": ([Act(((1100, "lost", False), (1102, "restored", False)), then="nothing")], 4),
    "server of old bars away": ([error(2105, "HMDS data farm connection is broken:ushmds")], 4),
    "server of old bars away, told to all": ([notice(2103, "Market data farm connection is broken", "nothing")], 4),
    "in another language": ([error(162, f"{HMDS}Abfrage fehlgeschlagen")], 4),
    "given up": ([error(162, f"{HMDS}API historical data query cancelled: 3")], 7),
    "too much at once": ([error(162, f"{HMDS}Time length exceed max.")] * 2, 12),
    "no answer": ([SILENCE], 7),
    "no bars and no word": ([EMPTY], 7),
    "farm asleep": ([notice(2107, "HMDS data farm connection is inactive")], 3),
    "history notice": ([Act(((165, "HMDS server connection was successful", True),))], 3),
    "delayed data": ([Act(((10167, "Displaying delayed market data", True),))], 3),
    "late cancel": (
        [Act(((366, "No historical data query found for ticker id", True),))],
        7,
    ),  # the client takes it for the end of the request
    "slow": ([Act(after=0.3)], 3),
}
"""What TWS does to the first requests, and how many it takes then for the whole: once one was too long, all are halved."""


@pytest.mark.parametrize("name", RECOVER)
def test_what_passes_is_waited_for_or_asked_in_smaller_pieces(workspace: Workspace, tws: Tws, name: str) -> None:  # noqa: F811
    tws.script, asked = list(RECOVER[name][0]), RECOVER[name][1]
    result = run(workspace, **WHOLE)
    assert (result["status"], result["diagnosis"]) == ("complete", None)
    assert stored(workspace).digest() == EURUSD.digest()
    assert len(tws.asked) == asked


def test_an_answer_that_comes_too_late_is_nobodys(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    tws.script = [Act(after=0.9), Act(after=0.45), Act(after=0.45)]
    result = run(workspace, **WHOLE)
    assert result["status"] == "complete"
    assert stored(workspace).digest() == EURUSD.digest()
    assert tws.heard_cancel() == tws.asked[0].number


STOP: dict[str, tuple[list[Act], type[KtrdrError], int | str, bool]] = {
    "unknown": ([error(200, "No security definition has been found for the request")], NotFound, 200, False),
    "not permitted": ([error(203)], Refused, 203, True),
    "bad request": ([error(321, "Error validating request")], Invalid, 321, False),
    "not subscribed": ([error(354, "Requested market data is not subscribed.")], Refused, 354, True),
    "partly subscribed": ([error(10089)], Refused, 10089, True),
    "no history permission": ([error(162, f"{HMDS}No market data permissions for NYSE STK")], Refused, 162, True),
    "logged in elsewhere": ([error(162, f"{HMDS}Trading TWS session is connected from a different IP address")], Refused, 162, True),
    "competing session": ([error(10197, "No market data during competing live session")], Refused, 10197, True),
    "time not read": ([error(10314, "End Date/Time: the date, time or time-zone is invalid")], Invalid, 10314, False),
    "something new": ([error(4711, "Brand new")], Unavailable, 4711, True),
    "pacing for ever": ([error(420)] * 7, Unavailable, 420, True),
    "farm away for long": ([error(2105, "broken")] * 2, Unavailable, 2105, True),
    "silent twice": ([SILENCE] * 2, Unavailable, "no answer", True),
    "no bars and no word, twice": ([EMPTY] * 2, Unavailable, "no bars", True),
}


@pytest.mark.parametrize("name", STOP)
def test_what_the_user_must_do_is_said_and_the_same_command_then_goes_on(workspace: Workspace, tws: Tws, name: str) -> None:  # noqa: F811
    acts, kind, code, resumes = STOP[name]
    tws.script = list(acts)
    with pytest.raises(kind) as failure:
        run(workspace, **WHOLE)
    assert type(failure.value) is kind
    assert failure.value.hint
    assert (failure.value.details["code"], failure.value.details["resumes"]) == (code, resumes)
    assert workspace.bars.stored("EURUSD", HOUR, "ib") is None
    tws.script = []
    assert run(workspace, **WHOLE)["status"] == "complete"
    assert stored(workspace).digest() == EURUSD.digest()


SPOKEN = [known for known in TABLE if isinstance(known.code, int) and known.code not in {326, 502, 503, *BROKEN, *RETURNED}]
"""What IB can say about a request; the others are said about a connection, and have tests of their own."""


@pytest.mark.parametrize("known", SPOKEN, ids=lambda known: f"{known.code} {known.sign.partition('|')[0]}".strip())
def test_every_row_of_the_table_does_what_it_says(
    workspace: Workspace, tws: Tws, monkeypatch: pytest.MonkeyPatch, known: Diagnosis  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("KTRDR_IB_TIMEOUT_SECONDS", "5")  # none of them is a silence
    text = f"{HMDS}{known.sign.partition('|')[0] or 'its words'}"
    tws.script = [Act(((known.code, text, True),))] if known.then == "info" else [error(known.code, text)]
    if known.then == "user":
        with pytest.raises(known.error) as failure:
            run(workspace, **WHOLE)
        assert failure.value.hint == known.advice
        assert failure.value.details == {"provider": "ib", "code": known.code, "class": "user", "said": text, "resumes": known.resumes}
        assert workspace.bars.stored("EURUSD", HOUR, "ib") is None
    elif known.then == "none":
        first = run(workspace, **WHOLE)
        assert [segment["state"] for segment in first["segments"]] == ["empty", "answered", "answered"]
        assert first["gaps"]["suspicious"]["bars"] == 96  # what is older than the first bar is no hole
    again = run(workspace, **WHOLE, refresh=known.then == "none")
    assert (again["status"], again["diagnosis"]) == ("complete", None)
    assert stored(workspace).digest() == EURUSD.digest()


def test_a_load_that_stops_half_way_is_partial_tells_what_to_do_and_goes_on(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    tws.script = [Act(), error(354, "Requested market data is not subscribed.")]
    result = run(workspace, **WHOLE)
    assert result["status"] == "partial"
    assert [segment["state"] for segment in result["segments"]] == ["answered", "failed"]
    assert "ib 354: EURUSD 1h 2024-01-31 00:00 .. 2024-03-01 00:00: the account has no permission" in result["diagnosis"]
    assert "subscribe to the market's data" in result["diagnosis"]
    asked = len(tws.asked)
    rest = run(workspace, **{**WHOLE, "mode": "tail", "start_date": None})
    assert (rest["status"], len(tws.asked) - asked) == ("complete", 2)
    assert stored(workspace).digest() == EURUSD.digest()


@pytest.mark.parametrize("hole", ["2024-01-29", "2024-01-31"], ids=["ib says so", "ib gives older bars"])
def test_a_stretch_of_which_ib_has_nothing_is_told_and_not_an_error(workspace: Workspace, tws: Tws, hole: str) -> None:  # noqa: F811
    expected = without(EURUSD, hole, "2024-03-01")
    tws.bars["EURUSD", "1 hour"] = on_the_wire(without(SOURCE, hole, "2024-03-01"))
    listener = Listener()
    result = run(workspace, listener, **WHOLE)
    assert [segment["state"] for segment in result["segments"]] == ["answered", "empty", "answered"]
    assert "ib has no bars in 1 of 3 parts, the first 2024-01-31 .. 2024-03-01: holidays, or holes" in listener.warnings
    assert stored(workspace).digest() == expected.digest()
    inside = {**WHOLE, "start_date": "2024-02-05", "end_date": "2024-02-20"}
    again = run(workspace, **inside)
    assert (again["status"], [segment["state"] for segment in again["segments"]]) == ("nothing-new", ["empty"])
    assert again["gaps"]["suspicious"]["bars"] > 0
    assert run(workspace, **WHOLE)["status"] == "nothing-new"
    asked = len(tws.asked)
    assert run(workspace, **WHOLE)["gaps"].keys() == {"provider-hole"}
    assert len(tws.asked) == asked


def test_a_full_load_asks_for_what_is_missing_and_once_more_for_a_hole(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    run(workspace, **{**WHOLE, "start_date": "2024-01-31", "end_date": "2024-03-01"})
    listener = Listener()
    result = run(workspace, listener, **WHOLE)
    spans = [(segment["start"][5:10], segment["end"][5:10], segment["state"]) for segment in result["segments"]]
    assert spans == [("01-01", "01-31", "answered"), ("02-05", "02-09", "empty"), ("03-01", "03-21", "answered")]
    assert len(tws.asked) == 4
    assert (result["requests"], result["gaps"]) == (4, {"provider-hole": {"places": 1, "bars": 96}})  # one was for the earliest bar
    (plan,) = [message["metadata"]["plan"] for message in listener.heard if message["type"] == "metadata"]
    assert (plan["requests"], plan["parts"], plan["bars"]) == (3, 3, 528 + 96 + 337)
    assert plan["seconds"] < 60
    assert stored(workspace).digest() == EURUSD.digest()
    again = run(workspace, **WHOLE)
    assert (again["status"], again["segments"], len(tws.asked)) == ("nothing-new", [], 4)
    refreshed = run(workspace, **WHOLE, refresh=True)
    assert (refreshed["status"], refreshed["bars_unchanged"], len(tws.asked)) == ("nothing-new", len(EURUSD), 7)


def test_a_plan_counts_the_waits_for_the_limit(tws: Tws) -> None:
    five_years = Ib().requests(Timeframe("1m"), 0, timedelta(days=5 * 365))
    assert five_years == 365
    assert 3600 < Ib().seconds(five_years) < 4500
    used_up()
    assert Ib().seconds(1) > 10


def test_the_earliest_bar_limits_what_is_asked_for(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    result = run(workspace, **{**WHOLE, "start_date": "2020-01-01", "end_date": "2024-01-10"})
    assert result["status"] == "partial"
    assert result["diagnosis"] == f"ib has 2023-12-20 .. {datetime.now(UTC):%Y-%m-%d} only, asked for 2020-01-01 .. 2024-01-10"
    assert len(tws.asked) == 1
    tws.head_script = [error(162, f"{HMDS}HMDS query returned no data")]
    with pytest.raises(NoData, match="EURUSD, its earliest bar: no bars exist there"):
        run(workspace, **WHOLE)


def recent(symbol: str, size: str, step: timedelta, count: int) -> dict[tuple[str, str], list[Bar]]:
    """Bars up to the one that is going on."""
    now = int(time.time() // step.total_seconds() * step.total_seconds())
    return {(symbol, size): [(now - int(step.total_seconds()) * back, 1.0, 1.5, 0.5, 1.2, -1.0) for back in range(count, -1, -1)]}


def test_a_first_load_goes_back_a_while_and_leaves_the_unfinished_bar_out(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    tws.bars = recent("EURUSD", "1 hour", timedelta(hours=1), 24 * 400)
    result = run(workspace, kind=QuickLoad, symbol="EURUSD", timeframe="1h", provider="ib")
    bars = stored(workspace)
    now = datetime.now(UTC)
    assert len(bars) == 24 * 365 + now.hour  # from midnight on
    assert bars.known_at[-1].item().replace(tzinfo=UTC) <= now < bars.known_at[-1].item().replace(tzinfo=UTC) + timedelta(hours=1)
    assert not bars.has_volume
    onward = QuickIb().fetch("EURUSD", HOUR, start=now - timedelta(hours=5), end=now + timedelta(hours=5), on_progress=lambda _: None)
    assert onward.time[-1] == bars.time[-1]
    assert result["status"] == "complete"
    assert run(workspace, kind=QuickLoad, symbol="EURUSD", timeframe="1h")["status"] == "nothing-new"


def test_a_bar_that_lies_across_two_pieces_comes_whole_and_once(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    on_grid = made("EURUSD", "4h", "2023-06-01", "2024-03-25")
    columns = {column: getattr(on_grid, column) for column in COLUMNS}
    source = Bars.checked("EURUSD", on_grid.timeframe, on_grid.time - np.timedelta64(2, "h"), **columns, provider="ib")
    tws.bars["EURUSD", "4 hours"] = on_the_wire(source)
    run(workspace, **{**WHOLE, "timeframe": "4h", "start_date": "2023-06-05", "end_date": "2024-03-21"})
    assert len(tws.asked) == 4
    first, last = datetime(2023, 6, 5, tzinfo=UTC), datetime(2024, 3, 21, tzinfo=UTC)
    assert workspace.bars.read("EURUSD", Timeframe("4h"), provider="ib").digest() == source.between(first, last).digest()


@pytest.mark.parametrize(("flags", "regular"), [({}, True), ({"trading_hours": True}, True), ({"include_extended": True}, False)])
def test_the_hours_asked_for_reach_ib(workspace: Workspace, tws: Tws, flags: dict[str, bool], regular: bool) -> None:  # noqa: F811
    source = made("AAPL", "1h", "2024-01-02", "2024-01-13")
    tws.bars["AAPL", "1 hour"] = on_the_wire(source)
    run(workspace, kind=QuickLoad, symbol="AAPL", timeframe="1h", provider="ib", start_date="2024-01-02", end_date="2024-01-13", **flags)
    assert [(one.regular, one.price, one.exchange) for one in tws.asked] == [(regular, "TRADES", "SMART")]
    assert workspace.bars.read("AAPL", HOUR, provider="ib").digest() == source.digest()


def test_days_of_a_stock_are_those_of_its_regular_session_and_keep_their_volume(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    source = made("BRK.B", "1d", "2022-01-01", "2024-01-01")
    tws.bars["BRK B", "1 day"] = on_the_wire(source)
    parameters: dict[str, Any] = {"start_date": "2022-01-01", "end_date": "2024-01-01", "primary_exchange": "NYSE"}
    result = run(workspace, kind=QuickLoad, symbol="brk.b", provider="ib", **parameters)
    assert result["status"] == "complete"
    assert [(one.symbol, one.regular, one.primary_exchange) for one in tws.asked] == [("BRK B", True, "NYSE")] * 2
    assert workspace.bars.read("BRK.B", Timeframe("1d"), provider="ib").digest() == source.digest()


def test_the_next_client_ids_are_tried_and_then_the_user_is_told(workspace: Workspace, tws: Tws) -> None:  # noqa: F811
    tws.taken = {17, 18}
    assert run(workspace, **WHOLE)["status"] == "complete"
    assert tws.clients[:3] == [17, 18, 19]
    tws.taken.update(range(19, 25))
    with pytest.raises(Unavailable, match="ib 326: EURUSD, its earliest bar: the client id is in use") as failure:
        run(workspace, **WHOLE)
    assert "KTRDR_IB_CLIENT_ID" in (failure.value.hint or "")


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"mode": "mute"}, "silent"), ({"mode": "logged out"}, "silent"), ({"version": 150}, 503)],
    ids=["silent", "not logged in", "too old"],
)
def test_a_tws_that_cannot_be_spoken_with_is_told_with_advice(
    workspace: Workspace, tws: Tws, changes: dict[str, Any], code: int | str  # noqa: F811
) -> None:  # fmt: skip
    for name, value in changes.items():
        setattr(tws, name, value)
    with pytest.raises(Unavailable) as failure:
        run(workspace, **WHOLE)
    assert failure.value.details["code"] == code
    assert failure.value.hint
    tws.mode, tws.version = "normal", 178
    assert run(workspace, **WHOLE)["status"] == "complete"


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_where_nothing_listens_the_user_is_told_how_to_start_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("KTRDR_IB_PORT", str(closed_port()))
    with pytest.raises(Unavailable, match="nothing listens at the address of TWS or Gateway") as failure:
        run(workspace, **WHOLE)
    assert "Enable ActiveX and Socket Clients" in (failure.value.hint or "")
    assert failure.value.details == {**failure.value.details, "code": "refused", "resumes": True}


def seconds_to_cancel(provider: Ib, wanted: str, day: int) -> float:
    """Time from the wish to stop, once a step of this name is told, until the fetch has ended."""
    begun, wished = threading.Event(), threading.Event()

    def tell(step: str) -> None:
        if re.match(wanted, step):
            begun.set()
        if wished.is_set():
            raise Cancelled

    def fetch() -> None:
        with pytest.raises(Cancelled):
            provider.fetch("EURUSD", HOUR, start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, day, tzinfo=UTC), on_progress=tell)

    thread = threading.Thread(target=fetch)
    thread.start()
    assert begun.wait(10)
    at = time.monotonic()
    wished.set()
    thread.join(10)
    assert not thread.is_alive()
    return time.monotonic() - at


def used_up() -> None:
    """The limit of requests is reached."""
    number = itertools.count()
    while Ib.memory(Settings()).take(f"contract {next(number)}", "") is None:
        pass


def test_a_cancel_is_heard_in_every_wait(tws: Tws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KTRDR_IB_TIMEOUT_SECONDS", "60")
    tws.script = [SILENCE, error(420)]
    figures = {"a pending request": seconds_to_cancel(QuickIb(), "asking IB for", 10)}
    assert tws.heard_cancel() == tws.asked[0].number
    figures["a pause after a refusal"] = seconds_to_cancel(Ib(), r"waiting \d+ s: too many requests for a while \(IB 420\)", 11)
    used_up()
    figures["a wait for the limit"] = seconds_to_cancel(Ib(), r"waiting \d+ s: IB allows 60 requests in 10 minutes", 12)
    tws.mode = "mute"
    figures["a connection being made"] = seconds_to_cancel(QuickIb(), "connecting to TWS or Gateway", 13)
    with capsys.disabled():
        print("\ncancel in", ", ".join(f"{name}: {1000 * taken:.0f} ms" for name, taken in figures.items()))
    assert max(figures.values()) < 5


async def until(operations: OperationsService, ident: str, wanted: Any) -> Operation:
    give_up = time.monotonic() + 30
    while not wanted(operation := await operations.get(ident)):
        assert time.monotonic() < give_up, operation
        await asyncio.sleep(0.01)
    return operation


LOAD = {name: value for name, value in WHOLE.items() if name != "kind"}


def load(url: str, *words: str) -> int:
    return main(["data", "load", "EURUSD", "-t", "1h", "--provider", "ib", *words, "--url", url])


@pytest.mark.process
def test_a_command_loads_in_a_process_of_its_own_and_its_exit_code_says_how_it_went(
    tws: Tws, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    with served(create_app(Settings(), "the home's id")) as url:
        tws.taken = set(range(17, 25))
        assert load(url, "--start", START) == 1
        assert "KTRDR_IB_CLIENT_ID" in capsys.readouterr().out
        tws.taken, tws.script = set(), [Act(), error(10197, "No market data during competing live session")]
        assert load(url, "--start", START, "--end", "2024-02-20") == 3
        shown = capsys.readouterr().out
        assert "Status:      partial" in shown
        assert "log out there" in shown
        assert load(url, "--end", END) == 0
        capsys.readouterr()
    assert BarStore(own_home / "bars").read("EURUSD", HOUR, provider="ib").digest() == EURUSD.digest()
    assert Ib.memory(Settings()).count() == 2 + len(tws.asked)  # the earliest bar was asked for, too


@pytest.mark.process
async def test_an_operation_that_waits_for_the_limit_says_so_and_is_cancelled_at_once(
    tws: Tws, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    used_up()
    async with open_backend(Settings()) as backend:
        started = await backend.operations.start("data_load", LOAD)
        waiting = await until(
            backend.operations, started.operation_id, lambda one: " · waiting " in one.progress.current_step
        )  # fmt: skip
        assert waiting.progress.current_step.endswith(": IB allows 60 requests in 10 minutes")
        at = time.monotonic()
        await backend.operations.cancel(started.operation_id)
        ended = await until(backend.operations, started.operation_id, lambda one: one.status.ended)
        taken = time.monotonic() - at
    with capsys.disabled():
        print(f"\ncancel of a waiting load: {1000 * taken:.0f} ms")
    assert ended.status.value == "cancelled"
    assert taken < 5
    assert tws.asked == []


def test_what_cannot_be_asked_for_is_refused_before_anything_starts(workspace: Workspace) -> None:  # noqa: F811
    with pytest.raises(Invalid, match="what SP500 is at ib does not show in its spelling"):
        DataLoad(symbol="SP500", provider="ib").prepare(workspace)
    with pytest.raises(Invalid, match="ib has no bars of 1w"):
        DataLoad(symbol="SPY", timeframe="1w", provider="ib").prepare(workspace)
    with pytest.raises(Invalid, match="did you mean 'exchange'"):
        DataLoad(symbol="SPY", provider="ib", exchang="X").prepare(workspace)
    assert build("ib", {"asset": "index"})


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(list(words))
    return code, capsys.readouterr().out


@pytest.mark.process
def test_commands_say_how_ib_stands(tws: Tws, capsys: pytest.CaptureFixture[str]) -> None:
    with served(create_app(Settings(), "the home's id")) as url:
        code, text = shown(capsys, "ib", "test", "EURUSD", "--url", url)
        assert code == 0, text
        assert "TWS or Gateway answers" in text
        assert "paper" in text
        assert "2023-12-20" in text
        code, text = shown(capsys, "ib", "test", "--json", "--url", url)
        assert (code, json.loads(text)["account"], json.loads(text)["client_id"]) == (0, "paper", 17)
        code, text = shown(capsys, "ib", "status", "--url", url)
        assert code == 0
        assert f"something listens at 127.0.0.1:{tws.port}" in text
        assert "1 of 55 in ten minutes" in text
        assert "something listens at" in shown(capsys, "status", "--url", url)[1]
        rows = {row["name"]: row for row in json.loads(shown(capsys, "data", "providers", "--json", "--url", url)[1])}
        assert (rows["ib"]["configured"], rows["ib"]["reachable"], rows["ib"]["needs"]) == (True, True, "pip install 'ktrdr[ib]'")
        assert rows["sample"]["reachable"]
        assert "60 requests in 10 minutes" in shown(capsys, "data", "providers", "--url", url)[1]
        tws.mode = "mute"
        code, text = shown(capsys, "ib", "test", "--url", url)
        assert (code, "TWS or Gateway takes the connection and then says nothing" in text) == (1, True)
        tws.mode, tws.taken = "normal", set(range(17, 25))
        code, text = shown(capsys, "ib", "test", "--json", "--url", url)
        assert (code, json.loads(text)["code"]) == (1, 326)


@pytest.mark.process
def test_commands_say_that_nothing_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KTRDR_IB_PORT", str(closed_port()))
    with served(create_app(Settings(), "the home's id")) as url:
        code, text = shown(capsys, "ib", "test", "--url", url)
        assert code == 1
        assert "Enable ActiveX and Socket Clients" in text
        code, text = shown(capsys, "ib", "status", "--url", url)
        assert (code, "nothing listens" in text) == (0, True)
        assert "Not ready: nothing listens" in shown(capsys, "data", "providers", "--url", url)[1]


@pytest.mark.process
def test_without_its_package_the_command_that_installs_it_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ib_async", None)  # so an interpreter without it behaves
    with pytest.raises(Unavailable, match="provider ib needs the package ib_async") as failure:
        DataLoad(symbol="EURUSD", provider="ib").prepare(workspace)
    assert failure.value.hint == "pip install 'ktrdr[ib]'"
    with served(create_app(Settings(), "the home's id")) as url:
        for words in (("ib", "test"), ("ib", "status"), ("data", "providers"), ("status",)):
            code, text = shown(capsys, *words, "--url", url)
            assert "pip install 'ktrdr[ib]'" in text
            assert code == (1 if words == ("ib", "test") else 0)
        assert load(url) == 1
        assert "pip install 'ktrdr[ib]'" in capsys.readouterr().err
