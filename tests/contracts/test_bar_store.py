"""The stores when several processes use them at once, and when one of them is killed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ktrdr.market.timeframe import Timeframe
from ktrdr.stores import atomic
from ktrdr.stores.bars import BarStore
from ktrdr.stores.strategies import StrategyStore
from ktrdr.stores.trials import TrialLedger
from tests.contracts.conftest import new_database
from tests.contracts.racing import CEILING, Launch, go, racers

pytestmark = pytest.mark.process
DAY = Timeframe("1d")

WRITER = """
import sys
from pathlib import Path
import numpy as np
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BarStore

root, first, stride, count = sys.argv[1], *map(int, sys.argv[2:])
store = BarStore(Path(root))
print("ready", flush=True)
sys.stdin.readline()
for each in range(count):
    day = np.datetime64("2020-01-01", "us") + np.timedelta64(first + stride * each, "D")
    price = np.array([100.0 + first + stride * each])
    store.write(Bars.checked("X", Timeframe("1d"), [day], open=price, high=price, low=price, close=price, volume=price, provider="files"))
    print(each, flush=True)
"""

APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ktrdr.stores.trials import Trial, TrialLedger

path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for each in range(count):
    for key in (f"{name} {each}", f"shared {each}"):
        TrialLedger(path).append(Trial(
            key=key, symbol="EURUSD", timeframe="1h", start=datetime(2012, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 1, tzinfo=UTC),
            kind="search", operation_id="op", content_hash="0", score=0.5,
        ))
"""

SAVER = """
import sys
from pathlib import Path
from ktrdr.errors import Conflict
from ktrdr.stores.strategies import StrategyStore

store, text = StrategyStore(Path(sys.argv[1])), sys.argv[2] * 20_000
print("ready", flush=True)
sys.stdin.readline()
for each in range(20):
    try:
        store.save(f"s{each}", text)
    except Conflict:
        print("conflict", flush=True)
"""


@pytest.fixture
def start() -> Iterator[Launch]:
    """Starts processes that wait at their start line."""
    with racers() as launch:
        yield launch


def test_two_writers_of_one_series_lose_nothing(tmp_path: Path, start: Launch) -> None:
    go(*(start(WRITER, tmp_path, first, 2, 40) for first in (0, 1)))
    bars = BarStore(tmp_path).read("X", DAY)
    np.testing.assert_array_equal(bars.close, 100.0 + np.arange(80))
    assert BarStore(tmp_path).find("X", DAY).bars == 80


def test_a_reader_sees_whole_files_while_they_are_written(tmp_path: Path, start: Launch) -> None:
    store, seen = BarStore(tmp_path), []
    writer = start(WRITER, tmp_path, 0, 1, 60)
    assert writer.stdin
    writer.stdin.write("go\n")
    writer.stdin.flush()
    give_up = time.monotonic() + CEILING
    while writer.poll() is None and time.monotonic() < give_up:
        if store.stored("X", DAY, "files"):
            seen.append(len(store.read("X", DAY)))
    writer.communicate(timeout=CEILING)
    seen.append(len(store.read("X", DAY)))
    assert seen == sorted(seen)
    assert seen[-1] == 60


def test_a_writer_that_is_killed_leaves_no_torn_file_and_no_lock(tmp_path: Path, start: Launch) -> None:
    moments = random.Random(5)
    for first in (0, 1000, 2000):
        writer = start(WRITER, tmp_path, first, 1, 1000)
        assert writer.stdin
        assert writer.stdout
        writer.stdin.write("go\n")
        writer.stdin.flush()
        said = [writer.stdout.readline() for _ in range(moments.randint(2, 12))]
        time.sleep(moments.uniform(0, 0.01))
        writer.kill()
        writer.communicate(timeout=CEILING)
        bars = BarStore(tmp_path).read("X", DAY)
        confirmed = 100.0 + first + np.arange(len(said))
        assert np.all(np.isin(confirmed, bars.close)), "a bar that was reported as written is gone"
        assert BarStore(tmp_path).find("X", DAY).bars == len(bars)
    go(start(WRITER, tmp_path, 3000, 1, 1))
    assert not list(tmp_path.rglob(f"{atomic.PREFIX}*"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_processes_that_open_and_fill_a_ledger_at_once_keep_its_chain(
    request: pytest.FixtureRequest, tmp_path: Path, start: Launch, kind: str
) -> None:
    place = tmp_path / "new" / "trials.sqlite" if kind == "sqlite" else new_database(request.getfixturevalue("postgres"))
    go(*(start(APPENDER, place, name, 30) for name in ("a", "b")))
    assert TrialLedger(place).count("EURUSD") == 90
    assert TrialLedger(place).verify().intact


def test_of_two_processes_that_save_under_one_name_exactly_one_wins(tmp_path: Path, start: Launch) -> None:
    said = go(*(start(SAVER, tmp_path / "strategies", letter) for letter in "ab"))
    assert sum(out.count("conflict") for out in said) == 20
    store = StrategyStore(tmp_path / "strategies")
    texts = {store.read(name).text for name in store.names() if name.startswith("s")}
    assert texts <= {"a" * 20_000, "b" * 20_000}
    assert not list((tmp_path / "strategies").glob(f"{atomic.PREFIX}*"))
