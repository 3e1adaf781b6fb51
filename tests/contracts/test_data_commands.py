"""Bars as users handle them: imported, looked through, exported, deleted, each by a command against a backend of its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ktrdr.api.app import create_app
from ktrdr.cli.app import main
from ktrdr.market.timeframe import Timeframe
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from tests.contracts.serving import served

pytestmark = pytest.mark.process
Run = Callable[..., tuple[int, str]]
DAY = Timeframe("1d")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "home"


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A backend that the tests share; each has symbols of its own."""
    with served(create_app(Settings(home=home, ledger=home.parent / "trials.sqlite"), "the home's id")) as address:
        yield address


@pytest.fixture
def run(url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The exit code of a command and what it prints."""

    def one(*words: str) -> tuple[int, str]:
        capfdbinary.readouterr()
        code = main([*words, "--url", url])
        out, err = capfdbinary.readouterr()
        return code, (out or err).decode()

    return one


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A file of the 24 hours of a Monday."""
    rows = "\n".join(f"2018-07-02T{hour:02}:00Z,1,1,1,1,1" for hour in range(24))
    (tmp_path / "day.csv").write_text("time,open,high,low,close,volume\n" + rows)
    return tmp_path / "day.csv"


def report(run: Run, *words: str) -> Any:
    code, text = run("data", "gaps", *words, "--json")
    assert code == 0, text
    return json.loads(text)


def counted(found: Any) -> dict[str, tuple[int, int]]:
    return {row["reason"]: (row["places"], row["bars"]) for row in found["reasons"]}


@pytest.mark.shared
def test_the_holes_of_real_series_come_out_with_their_reasons(run: Run, shared_data: Path) -> None:
    code, text = run("data", "import", str(shared_data / "BTCUSDT_1h.parquet"), "btc-usdt", "1h", "-q")
    assert code == 0, text
    euro = report(run, "EUR/USD")  # that of the shared folder comes with the product
    assert counted(euro) == {"holiday": (21, 129), "provider-hole": (7, 188)}
    longest = max(euro["gaps"], key=lambda gap: gap["missing"])
    assert (longest["start"], longest["missing"], longest["reason"]) == ("2016-12-11T22:00:00Z", 103, "provider-hole")
    assert counted(report(run, "BTC/USDT")) == {"provider-hole": (28, 128)}
    for start, end in (("2001-09-10", "2001-09-18"), ("2012-10-26", "2012-11-01"), ("2018-12-04", "2018-12-07")):
        hours = report(run, "AAPL", "1h", "--start", start, "--end", end, "--all")
        assert (hours["missing"], {gap["reason"] for gap in hours["gaps"]}) == (0, {"closed", "holiday"})
    days = report(run, "SPY", "1d", "--start", "2001-09-09", "--end", "2001-09-19", "--all")
    assert [(gap["reason"], gap["start"][:10], gap["end"][:10], gap["missing"]) for gap in days["gaps"]] == [
        ("closed", "2001-09-09", "2001-09-10", 0), ("holiday", "2001-09-11", "2001-09-17", 0),
    ]  # fmt: skip


def test_what_was_never_asked_for_is_told_from_what_is_not_yet_there(run: Run) -> None:
    words = ("data", "load", "ETHUSDT", "-t", "1h", "--provider", "synthetic")
    assert run(*words, "--start", "2024-01-10", "--end", "2024-01-20", "-q")[0] == 0
    found = report(run, "ETHUSDT", "--start", "2024-01-09", "--end", "2024-01-22")
    assert (counted(found), found["expected"]) == ({"not-requested": (2, 72)}, 13 * 24)
    code, text = run("data", "gaps", "ETHUSDT", "--start", "2024-01-09", "--end", "2024-01-22")
    assert "Next: ktrdr data load ETHUSDT -t 1h --mode full" in text
    for wrong in (("--start", "2024-01-22", "--end", "2024-01-09"), ("--start", "2099-01-01"), ("--start", "soon")):
        assert run("data", "gaps", "ETHUSDT", *wrong)[0] == 1
    code, text = run("data", "gaps", "ETHUSD", "1h")
    assert (code, "did you mean ETHUSDT?" in text) == (1, True)


def test_what_is_exported_can_be_imported_and_is_the_same(run: Run, home: Path, tmp_path: Path) -> None:
    store = BarStore(home / "bars")
    before = store.read("SPY", DAY, start=datetime(2016, 6, 1, tzinfo=UTC))
    start = ("--start", "2016-06-01")
    for name in ("own.csv", "own.parquet"):
        file = tmp_path / name
        code, text = run("data", "export", "spy", "-o", str(file), *start)
        assert (code, f"bytes to {file}" in text) == (0, True)
        assert run("data", "export", "SPY", "-o", str(file))[0] == 1
        assert run("data", "export", "SPY", "-o", str(file), *start, "--force")[0] == 0
        assert run("data", "import", str(file), "SPY", "-t", "D", "-q")[0] == 0
        assert store.read("SPY", DAY, provider="files").digest() == before.digest()
        code, text = run("data", "delete", "SPY", "1d", "--yes")
        assert (code, text.startswith(f"Deleted {len(before)} bars of SPY 1d of files")) == (0, True)
    assert run("data", "delete", "SPY", "1d", "--yes")[0] == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(("own", "."))) == ["own.csv", "own.parquet"]
    assert run("data", "export", "SPY", "-o", str(tmp_path / "no" / "such.csv"))[0] == 1
    code, text = run("data", "export", "SPY", "--start", "2018-12-27")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["timestamp"] for row in rows] == ["2018-12-27T00:00:00Z", "2018-12-28T00:00:00Z", "2018-12-31T00:00:00Z"]


def test_symbols_and_sizes_are_found_however_they_are_written(run: Run) -> None:
    for words in (
        ("show", "eur/usd"),
        ("show", "EUR.USD", "60min"),
        ("data", "show", "EUR-USD", "-t", "1H", "-r", "3"),
        ("data", "range", "eurusd"),
    ):
        code, text = run(*words)
        assert (code, "EURUSD" in text, "1h" in text) == (0, True, True), text
    code, text = run("show", "EURUSD", "1M")
    assert (code, "would be months" in text) == (1, True)
    code, text = run("data", "show", "SPY", "-f", "csv", "-r", "2")
    assert (code, len(text.splitlines()), text.splitlines()[0]) == (0, 3, "time,open,high,low,close,volume")
    code, text = run("data", "list", "--format", "csv")
    assert {row["symbol"] for row in csv.DictReader(io.StringIO(text))} >= {"AAPL", "EURUSD", "SPY"}


def test_hours_of_larger_bars_cannot_be_chosen_afterwards(run: Run, day: Path) -> None:
    assert run("data", "import", str(day), "AA", "1h", "--include-extended", "-q")[0] == 0
    code, text = run("data", "show", "AA", "--trading-hours")
    assert (code, "was built from bars outside of these hours too" in text) == (1, True)
    assert run("data", "show", "AAPL", "--trading-hours")[0] == 0
    code, text = run("data", "show", "EURUSD", "--trading-hours")
    assert (code, "has no trading hours to keep to" in text) == (1, True)


def test_series_of_several_hours_stand_side_by_side_and_each_can_be_named(run: Run, home: Path, day: Path, tmp_path: Path) -> None:
    for flags in ((), ("--trading-hours",)):
        assert run("data", "import", str(day), "BB", "1h", *flags, "-q")[0] == 0
    code, text = run("data", "list", "-f", "csv")
    held = {row["hours"]: row["bars"] for row in csv.DictReader(io.StringIO(text)) if row["symbol"] == "BB"}
    assert (code, held) == (0, {"all": "24", "regular": "7"})
    for words, bars in (((), 24), (("--trading-hours",), 7)):
        assert f"{bars} of {bars} bars of BB 1h" in run("data", "show", "BB", "-r", "30", *words)[1]
    for words, bars in (((), 24), (("--hours", "regular"), 7)):
        assert run("data", "export", "BB", *words)[1].count("2018-07-02T") == bars
        assert report(run, "BB", *words)["expected"] == 7
    code, text = run("data", "delete", "BB", "1h", "--yes")
    assert (code, "--hours all" in text) == (1, True)
    assert run("data", "delete", "BB", "1h", "--hours", "regular", "--yes")[0] == 0
    code, text = run("data", "gaps", "BB", "--hours", "regular")
    assert (code, "there are no bars with regular hours; there is 1h of files" in text) == (1, True)
    assert BarStore(home / "bars").find("BB", Timeframe("1h")).hours == "all"
