"""Two homes that share one place: each sees what the other was told is written, whole, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.errors import Conflict, Invalid, NoData, NotFound, Unavailable
from ktrdr.kinds.base import Workspace
from ktrdr.market.actions import Action
from ktrdr.market.bars import Bars
from ktrdr.market.rows import BadRow
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Drained
from ktrdr.settings import Settings
from ktrdr.stores.catalog import Outcome
from ktrdr.stores.manifests import newest
from ktrdr.stores.objects import MARK, FolderObjects, Objects, open_objects
from ktrdr.stores.shared import GRACE_SECONDS, ORPHAN_SECONDS, SWEPT_EVERY, SharedFolder
from ktrdr.workspace import open_workspace
from tests.contracts.racing import CEILING, Launch, go, racers
from tests.contracts.test_research_cycle import run, swinging_bars
from tests.unit.stores.test_models import EARLY, LATE, trained

pytestmark = pytest.mark.process
DAY, HOUR = Timeframe("1d"), Timeframe("1h")
OPERATION = "op_training_20260101_000000_00000000"
TRAINING = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-05-01"}


@dataclass(frozen=True)
class Place:
    """One shared place, and the folder under which homes that share it are made."""

    url: str
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)

    def node(self, name: str) -> Workspace:
        """A home of its own."""
        home = self.folder / name / "home"
        return open_workspace(Settings(home=home, ledger=self.folder / "t.sqlite", artefacts=self.url, artefacts_options=self.options))

    def objects(self) -> Objects:
        return open_objects(self.url, self.options)

    def named(self, prefix: str) -> list[str]:
        return sorted(self.objects().list(prefix, deep=True))

    def flip(self, name: str) -> None:
        """Damage one byte of an object, as a bad disk would."""
        (content,) = self.objects().read([name])
        assert content
        damaged = content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
        self.objects().delete([name])
        assert self.objects().create(name, damaged)

    def environment(self, name: str) -> dict[str, str]:
        own = {"KTRDR_HOME": str(self.folder / name / "home"), "KTRDR_ARTEFACTS": self.url}
        return {**os.environ, **own, "KTRDR_ARTEFACTS_OPTIONS": json.dumps(self.options)}


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(f"file://{tmp_path / 'place'}", tmp_path)
    from tests.wire.bucket import Bucket

    bucket = Bucket(request.getfixturevalue("buckets"))
    return Place(bucket.url, tmp_path, bucket.options)


@pytest.fixture
def start(place: Place) -> Iterator[Launch]:
    """Starts a process on a home of its own, which waits at its start line."""
    with racers() as launch:
        yield lambda node, script, *arguments: launch(script, *arguments, environment=place.environment(node))


def flat(price: float, first: str = "2019-12-01", count: int = 48, timeframe: Timeframe = HOUR) -> Bars:
    time = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(timeframe.seconds, "s")
    value = np.full(count, price)
    return Bars.checked("X", timeframe, time, open=value, high=value, low=value, close=value, volume=value, provider="files")


# --- what one writes the other reads


def test_bars_of_one_home_are_those_of_the_other(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    assert one.bars.write(flat(1.0, count=1000), "an exchange").added == 1000
    assert [s for s in other.bars.series() if not s.bundled] == [s for s in one.bars.series() if not s.bundled]
    assert not list((place.folder / "other").rglob("*.parquet")), "a list fetches no bars"
    found = other.bars.read("X", HOUR, None, datetime(2019, 12, 5, tzinfo=UTC))
    assert found.digest() == one.bars.read("X", HOUR, None, datetime(2019, 12, 5, tzinfo=UTC)).digest()
    assert [path.name for path in (place.folder / "other").rglob("*.parquet")] == ["2019.parquet"], "only the period that is asked for"
    with pytest.raises(Invalid, match="holds an exchange, not another"):
        other.bars.write(flat(2.0, "2021-01-01"), "another")
    both = other.bars.write(flat(2.0, "2020-01-11T15:00", 100), "an exchange")
    assert (both.added, both.conflicts, both.series.bars) == (99, 1, 1099)
    assert one.bars.stored("X", HOUR, "files") == both.series
    assert one.bars.read("X", HOUR).digest() == other.bars.read("X", HOUR).digest()
    assert [one.bars.revisions("X", HOUR, "files")[0].offered[0]] == [2.0]


def test_what_stands_beside_bars_is_shared(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    one.bars.keep_actions("X", "files", [Action(date(2020, 1, 2), "split", 2.0)])
    other.bars.keep_actions("X", "files", [Action(date(2020, 1, 3), "dividend", 0.5)])
    assert len(one.bars.actions("X", "files")) == 2
    for node, row in ((one, 1), (other, 2)):
        node.bars.quarantine("X", HOUR, "files", [BadRow("torn", None, (1.0,) * 5, row)])
    assert [row.row for row in one.bars.quarantined("X", HOUR, "files")] == [1, 2]


def test_what_came_of_loads_is_shared(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    dates = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2020, 2, 1, tzinfo=UTC)}
    for node, outcome in ((one, Outcome("empty")), (other, Outcome("answered", 3, 2, 1))):
        node.bars.end_load(node.bars.begin_load("X", HOUR, "files", hours="all", **dates), outcome)
    one.bars.begin_load("X", HOUR, "files", hours="regular", **dates)
    assert [load.outcome.state for load in one.bars.loads("X", HOUR, "files")] == ["asked", "answered", "empty"]
    assert [load.outcome for load in other.bars.loads("X", HOUR, "files")] == [Outcome("answered", 3, 2, 1), Outcome("empty")]
    assert one.bars.loads("X", HOUR, "files", limit=1)[0].hours == "regular"


def test_a_series_that_was_deleted_is_gone_everywhere_and_may_come_again(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    one.bars.write(flat(1.0))
    other.bars.read("X", HOUR)
    one.bars.delete("X", HOUR)
    for node in (one, other):
        with pytest.raises(NoData):
            node.bars.read("X", HOUR)
    assert place.named("objects/bars") == []
    other.bars.write(flat(2.0))
    assert one.bars.read("X", HOUR).close[0] == 2.0


def test_models_of_two_homes_are_one_list(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    early = one.models.save(trained(), "small", EARLY)
    other.models.save(trained(seed=2), "small", LATE)
    assert [model.operation_id for model in one.models.list()] == [LATE, EARLY]
    assert other.models.latest(trained().strategy).operation_id == LATE
    assert not list((place.folder / "one" / "home" / "models" / "small" / LATE).glob("*.safetensors")), "a list fetches no weights"
    for path in (f"small/{EARLY}", early.path):
        np.testing.assert_array_equal(other.models.load(path).weights["layers.0.weight"], trained().weights["layers.0.weight"])


def test_strategies_of_one_name_are_one(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    one.strategies.save("mine", "text of one")
    assert other.strategies.read("mine").text == "text of one"
    other.strategies.save("mine", "text of one")
    with pytest.raises(Conflict, match="another strategy called 'mine'"):
        other.strategies.save("mine", "text of the other")
    one.strategies.save_assessment("mine", {"a": 1})
    assert other.strategies.assessment("mine") == {"a": 1}
    for number, node in enumerate((one, other, one)):
        node.strategies.save_experiment(f"s{number}", {"n": number})
        time.sleep(0.01)  # the newest is known by its time
    assert other.strategies.experiments(5) == one.strategies.experiments(5) == [{"n": 2}, {"n": 1}, {"n": 0}]


def test_checkpoints_go_on_elsewhere_two_are_kept_and_go_everywhere(place: Place) -> None:
    one, other = place.node("one"), place.node("other")
    for number in range(3):
        one.checkpoints.write(OPERATION, "x", {"n": number})
    kept = other.checkpoints.write(OPERATION, "x", {"n": 3})
    assert kept.checkpoint_id.endswith("_4")
    assert one.checkpoints.read(kept.path).state == {"n": 3}
    for home in ("one", "other"):
        assert [path.name[:6] for path in sorted((place.folder / home).rglob("*.safetensors"))] == ["000003", "000004"]
    assert len(place.named("objects/checkpoints")) == 2
    assert place.node("third").checkpoints.operations() == [OPERATION]
    one.checkpoints.delete(OPERATION)
    assert place.named("objects") == place.named("manifests") == []
    other.checkpoints.write("op_other", "x", {})
    assert not (place.folder / "other" / "home" / "checkpoints" / OPERATION).exists() or not list(
        (place.folder / "other" / "home" / "checkpoints" / OPERATION).iterdir()
    )
    with pytest.raises(NotFound, match="damaged or gone"):
        other.checkpoints.read(kept.path)


@pytest.mark.torch
def test_what_one_node_trained_another_resumes_and_tests_and_a_third_shows(place: Place) -> None:
    one, other, third = (replace(node, settings=node.settings.model_copy(update={"checkpoint_seconds": 0.0}))
                         for node in map(place.node, ("one", "other", "third")))  # fmt: skip
    one.bars.write(swinging_bars())
    whole = run(one, "training", TRAINING)
    stopped = run(one, "training", TRAINING, stop_at={"Epoch 9/20": Drained()})
    resumed = run(other, "training", TRAINING, resumed=stopped.link.checkpoints[-1])
    manifests = [third.models.manifest(ran.result["model_path"]) for ran in (whole, resumed)]
    assert manifests[0]["files"] == manifests[1]["files"], "the same bytes as undisturbed"
    tested = run(other, "backtesting", {
        "strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2015-06-05", "model_path": whole.result["model_path"],
    })  # fmt: skip
    folder = third.settings.folder("reports") / tested.operation.operation_id
    with third.artefacts.reading(folder):
        for file in tested.result["files"].values():
            assert (folder / Path(file).name).read_bytes() == Path(file).read_bytes()


# --- two write at once


BARS = """
import sys
import numpy as np
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.settings import Settings
from ktrdr.workspace import open_workspace

first, stride, count = map(int, sys.argv[1:])
store = open_workspace(Settings()).bars
store.series()
print("ready", flush=True)
sys.stdin.readline()
for each in range(count):
    day = np.datetime64("2020-01-01", "us") + np.timedelta64(first + stride * each, "D")
    price = np.array([100.0 + first + stride * each])
    written = store.write(
        Bars.checked("X", Timeframe("1d"), [day], open=price, high=price, low=price, close=price, volume=price, provider="files")
    )
    assert written.added == 1, written
"""

STRATEGIES = """
import sys
from ktrdr.errors import Conflict
from ktrdr.settings import Settings
from ktrdr.workspace import open_workspace

store, text = open_workspace(Settings()).strategies, sys.argv[1] * 2_000
store.list()
print("ready", flush=True)
sys.stdin.readline()
for each in range(6):
    try:
        store.save(f"s{each}", text)
        store.save(f"{sys.argv[1]}{each}", text)
    except Conflict:
        print("conflict", flush=True)
"""


def test_two_nodes_that_write_one_series_at_once_lose_nothing(place: Place, start: Launch) -> None:
    go(*(start(node, BARS, first, 2, 12) for first, node in enumerate(("one", "other"))))
    for node in ("one", "other", "third"):
        np.testing.assert_array_equal(place.node(node).bars.read("X", DAY).close, 100.0 + np.arange(24))


def test_of_two_nodes_that_save_under_one_name_exactly_one_wins(place: Place, start: Launch) -> None:
    said = go(*(start(node, STRATEGIES, letter) for node, letter in (("one", "a"), ("other", "b"))))
    assert sum(out.count("conflict") for out in said) == 6
    texts = [{s.name: place.node(node).strategies.read(s.name).text for s in place.node(node).strategies.list() if s.source == "home"}
             for node in ("one", "other")]  # fmt: skip
    assert texts[0] == texts[1]
    assert {name for name in texts[0] if name[0] == "s"} == {f"s{each}" for each in range(6)}
    assert set(texts[0].values()) <= {"a" * 2_000, "b" * 2_000}


# --- one is killed


KILLED = """
import os
import sys
from ktrdr.log import configure
from ktrdr.settings import Settings
from ktrdr.workspace import open_workspace


def write_for_ever(version):
    workspace = open_workspace(Settings())
    folder = workspace.settings.folder("reports") / "op"

    def write():
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            (folder / f"{number}.csv").write_text(str(version))

    while True:
        workspace.artefacts.changing(folder, write)
        print("wrote", version, flush=True)
        version += 1


configure()  # warnings to stderr
print("ready", flush=True)
for line in sys.stdin:
    writer = os.fork()
    if not writer:
        write_for_ever(int(line))
    print("writer", writer, flush=True)
    os.waitpid(writer, 0)
    print("ended", 0, flush=True)
"""


def test_a_node_that_is_killed_while_it_publishes_leaves_the_old_or_the_new(place: Place, start: Launch) -> None:
    moments, reader, last, processes = random.Random(7), place.node("reader"), 0, start("writer", KILLED)
    folder = reader.settings.folder("reports") / "op"
    assert processes.stdin
    assert processes.stdout

    def heard() -> tuple[str, int]:
        what, number = processes.stdout.readline().split()
        return what, int(number)

    for _ in range(10):
        processes.stdin.write(f"{last + 1}\n")
        processes.stdin.flush()
        _, writer = heard()
        _, said = heard()
        begun = time.monotonic()
        _, said = heard()
        time.sleep(moments.uniform(0, time.monotonic() - begun))  # anywhere in the next one
        os.kill(writer, signal.SIGKILL)
        while (answer := heard())[0] != "ended":
            said = answer[1]
        with reader.artefacts.reading(folder):
            found = {int(file.read_text()) for file in folder.iterdir()}
        assert len(found) == 1, "a mixture of two versions"
        assert found <= {said, said + 1}, "what was reported as written is there"
        (last,) = found
    writer = place.node("writer")
    with writer.artefacts.reading(writer.settings.folder("reports") / "op"):
        assert {int(file.read_text()) for file in (writer.settings.folder("reports") / "op").iterdir()} == {last}


# --- something is damaged or away


def test_a_flipped_byte_is_found(place: Place) -> None:
    one = place.node("one")
    one.bars.write(flat(1.0))
    one.models.save(trained(), "small", EARLY)
    one.strategies.save("mine", "text")
    one.strategies.save("other", "text of the other")
    kept = [one.checkpoints.write(OPERATION, "x", {"n": n}) for n in range(2)]
    for name in place.named("objects/bars") + place.named("objects/models"):
        place.flip(name)
    (newest_checkpoint,) = (name for name in place.named("objects/checkpoints") if kept[-1].sha256 in name)
    place.flip(newest_checkpoint)
    sha = place.named("objects/strategies")
    place.flip(next(name for name in sha if place.objects().read([name]) == [b"text"]))
    other = place.node("other")
    with pytest.raises(
        Invalid, match=r"bars/files/X/1h/all/2019\.parquet of the (shared folder|bucket) .* is damaged: the sha256"
    ) as found:
        other.bars.read("X", HOUR)
    assert "backup" in (found.value.hint or "")
    with pytest.raises(Invalid, match="is damaged"):
        other.models.load(f"small/{EARLY}")
    with pytest.raises(Invalid, match=r"strategies/mine\.yaml of .* is damaged"):
        other.strategies.read("mine")
    assert other.strategies.read("other").text == "text of the other"
    assert other.checkpoints.read(kept[-1].path).state == {"n": 0}, "the one before it"
    assert other.checkpoints.write(OPERATION, "x", {"n": 2}).checkpoint_id.endswith("_3"), "no name is given twice"
    assert one.bars.read("X", HOUR).close[0] == 1.0, "what was fetched before is whole"


def test_a_damaged_manifest_is_found(place: Place) -> None:
    place.node("one").bars.write(flat(1.0))
    place.flip("manifests/bars/files/X/1h/all/000001.json")
    with pytest.raises(Invalid, match=r"000001\.json of .* is damaged"):
        place.node("other").bars.read("X", HOUR)


def test_a_file_that_was_damaged_here_is_fetched_again_and_kept_aside(place: Place) -> None:
    one = place.node("one")
    one.bars.write(flat(1.0))
    (file,) = (place.folder / "one").rglob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    assert one.bars.read("X", HOUR).close[0] == 1.0
    assert file.read_bytes() == whole
    (aside,) = (place.folder / "one" / "home" / "shared" / "aside").rglob("*2019.parquet")
    assert aside.read_bytes().endswith(b"?")


def test_a_home_that_had_bars_of_its_own_publishes_them_with_its_next_ones(place: Place) -> None:
    home = place.folder / "one" / "home"
    open_workspace(Settings(home=home, ledger=place.folder / "t.sqlite")).bars.write(flat(1.0))
    one, other = place.node("one"), place.node("other")
    assert len(one.bars.read("X", HOUR)) == 48
    assert one.bars.stored("X", HOUR, "files")
    assert other.bars.stored("X", HOUR, "files") is None
    one.bars.write(flat(1.0, "2021-01-01"))
    assert len(other.bars.read("X", HOUR)) == 96


# --- folders only


def folder_node(tmp_path: Path, name: str) -> Workspace:
    return Place(f"file://{tmp_path / 'place'}", tmp_path).node(name)


def test_a_folder_that_is_away_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    one = folder_node(tmp_path, "one")
    one.bars.write(flat(1.0))
    kept = one.checkpoints.write(OPERATION, "x", {"n": 1})
    before = {path: path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()}
    (tmp_path / "place").rename(tmp_path / "away")
    for mounted in (False, True):  # gone, and an empty folder where it should be mounted
        if mounted:
            (tmp_path / "place").mkdir()
        for again in (one, folder_node(tmp_path, "one")):
            for act in (
                lambda w: w.bars.read("X", HOUR), lambda w: w.bars.write(flat(2.0), refresh=True), lambda w: w.bars.series(),
                lambda w: w.bars.delete("X", HOUR), lambda w: w.checkpoints.write(OPERATION, "x", {}),
                lambda w: w.checkpoints.delete(OPERATION), lambda w: w.models.list(), lambda w: w.strategies.save("a", "b"),
            ):  # fmt: skip
                with pytest.raises(Unavailable, match="the shared folder") as failure:
                    act(again)
                assert "mounted" in (failure.value.hint or "")
    assert all(path.read_bytes() == content for path, content in before.items() if "locks" not in path.parts)
    (tmp_path / "place").rmdir()
    (tmp_path / "away").rename(tmp_path / "place")
    assert one.bars.read("X", HOUR).close[0] == 1.0
    assert one.checkpoints.read(kept.path).state == {"n": 1}


def test_another_place_under_the_same_address_is_refused(tmp_path: Path) -> None:
    folder_node(tmp_path, "one").bars.write(flat(1.0))
    (tmp_path / "place").rename(tmp_path / "away")
    folder_node(tmp_path, "other").bars.write(flat(2.0))
    with pytest.raises(Invalid, match="is not the one whose artefacts"):
        folder_node(tmp_path, "one").bars.read("X", HOUR)


class Forgetful(FolderObjects):
    """A store that knows no `If-None-Match`."""

    def create(self, name: str, content: bytes) -> bool:
        (self.root / name).unlink(missing_ok=True)
        return super().create(name, content)


def test_a_place_that_lets_writers_overwrite_each_other_is_refused(tmp_path: Path) -> None:
    shared = SharedFolder(Forgetful(tmp_path / "place"), tmp_path)
    with pytest.raises(Invalid, match="lets two writers overwrite each other"):
        shared.changing(tmp_path / "bars", lambda: None)


class Late(FolderObjects):
    """A place where another node publishes first, now and then."""

    def __init__(self, root: Path, rival: Callable[[], object]) -> None:
        super().__init__(root)
        self.rival, self.tries = rival, 0

    def create(self, name: str, content: bytes) -> bool:
        if name.startswith("manifests/") and self.tries < 3:
            self.tries += 1
            self.rival()
        return super().create(name, content)


def test_who_was_too_late_puts_his_change_on_top(tmp_path: Path) -> None:
    other, prices = folder_node(tmp_path, "other"), iter((5.0, 6.0, 7.0))
    home = tmp_path / "one" / "home"
    late = Late(tmp_path / "place", lambda: other.bars.write(flat(next(prices)), refresh=True))
    from ktrdr.stores.bars import BarStore

    written = BarStore(home / "bars", SharedFolder(late, home)).write(flat(9.0, count=1000))
    assert (late.tries, written.added, written.conflicts) == (3, 952, 48), "counted against what the last rival left"
    assert set(other.bars.read("X", HOUR).close.tolist()) == {7.0, 9.0}


def test_old_manifests_and_what_killed_writers_left_are_swept(tmp_path: Path) -> None:
    one, objects = folder_node(tmp_path, "one"), FolderObjects(tmp_path / "place")
    kept = [one.checkpoints.write(OPERATION, "x", {"n": n}) for n in range(SWEPT_EVERY - 1)]
    place = tmp_path / "place"
    for name, age in (("old", 1.1 * ORPHAN_SECONDS), ("young", 0.5 * ORPHAN_SECONDS)):
        objects.create(f"objects/checkpoints/{OPERATION}/{name}", b"left behind")
        os.utime(place / f"objects/checkpoints/{OPERATION}/{name}", (time.time() - age,) * 2)
    for number in range(1, 11):
        os.utime(place / f"manifests/checkpoints/{OPERATION}/{number:06d}.json", (time.time() - 1.1 * GRACE_SECONDS,) * 2)
    last = one.checkpoints.write(OPERATION, "x", {"n": 99})
    assert min(int(Path(name).stem) for name in objects.list("manifests", deep=True)) == 11
    left = [Path(name).name for name in objects.list("objects", deep=True)]
    assert "old" not in left
    assert "young" in left
    assert newest(objects, "checkpoints", deep=True) == {f"checkpoints/{OPERATION}": SWEPT_EVERY}
    other = folder_node(tmp_path, "other")
    assert (other.checkpoints.read(last.path).state, other.checkpoints.read(kept[-1].path).state) == ({"n": 99}, {"n": SWEPT_EVERY - 2})


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("s3://key:secret@bucket/x", {}, "names credentials"),
        ("s3://bucket", {"key": "a", "secret": "b"}, "names credentials"),
        ("memory://x", {}, "no place where an object can be created by one of two alone"),
        ("/shared", {}, "no place"),
        ("file://host/shared", {}, "no place"),
    ],
)
def test_what_cannot_be_a_place_is_refused(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said) as failure:
        open_objects(url, options)
    assert "secret@" not in str(failure.value)


def test_without_a_shared_place_nothing_of_it_is_loaded(own_home: Path) -> None:
    code = "from ktrdr.settings import Settings\nfrom ktrdr.workspace import open_workspace\nopen_workspace(Settings()).bars.series()\n"
    code += "import sys\nprint({'fsspec', 's3fs', 'botocore', 'psycopg'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=CEILING)
    assert done.stdout == "set()\n"
    assert not (own_home / "shared").exists()


# --- buckets only


@pytest.mark.cluster
def test_a_bucket_that_does_not_answer_is_said(tmp_path: Path) -> None:
    from tests.wire.bucket import ACCESS

    os.environ.update(ACCESS)
    quick = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    node = Place("s3://nowhere/x", tmp_path, {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": quick}).node("one")
    with pytest.raises(Unavailable, match="the bucket s3://nowhere/x cannot be used") as failure:
        node.bars.write(flat(1.0))
    assert "credentials in the environment" in (failure.value.hint or "")
    assert not list((tmp_path / "one").rglob("*.parquet"))


@pytest.mark.cluster
def test_a_bucket_that_is_not_there_is_said(buckets: str, tmp_path: Path) -> None:
    node = Place("s3://no-such-bucket/x", tmp_path, {"endpoint_url": buckets}).node("one")
    with pytest.raises(Unavailable, match="cannot be used"):
        node.strategies.list()


def test_the_mark_is_one_small_object(tmp_path: Path) -> None:
    folder_node(tmp_path, "one").strategies.list()
    assert set(json.loads((tmp_path / "place" / MARK).read_text())) == {"layout", "place"}
