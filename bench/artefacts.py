"""What sharing costs: publish and fetch a million bars, a model and a checkpoint, beside a plain copy of the same files in one run.

A copy in a folder is on the disk when it is done, as what we publish is; a copy of a bucket is s3fs by itself, `put` and `get`.
The bucket is a small server in Python on this machine, so that its figures say what we add and nothing of a real one.
"""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BarStore
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.stores.objects import open_objects
from ktrdr.stores.shared import SharedFolder

MINUTE = Timeframe("1m")
COUNT, RUNS = 1_000_000, 5
OPERATION = "op_training_20260101_000000_00000000"
TIMES = {"folder": {"publish": 2.0, "fetch": 3.0}, "bucket": {"publish": 2.0, "fetch": 2.5}}
"""Ours takes at most so many times as long as the copy, over all three together."""


def made(home: Path) -> dict[str, Path]:
    """The files of a home that never shared anything."""
    bars = BarStore(home / "bars")
    random = np.random.default_rng(1)
    close = np.round(20_000 * np.exp(np.cumsum(random.normal(0, 0.0005, COUNT))), 2)
    stamps = np.datetime64("2021-01-01", "us") + np.arange(COUNT) * np.timedelta64(60, "s")
    volume = np.round(random.lognormal(1, 1, COUNT), 3)
    bars.write(Bars.checked("X", MINUTE, stamps, open=close, high=close, low=close, close=close, volume=volume, provider="files"))
    model = home / "models" / "small" / OPERATION
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(random.bytes(200_000))
    (model / "manifest.json").write_bytes(random.bytes(20_000))
    CheckpointStore(home / "checkpoints").write(OPERATION, "x", {}, {"weights": random.normal(size=2_500_000).astype(np.float32)})
    series = bars.folder("X", MINUTE, "files").path
    (series / ".lock").unlink()
    return {"a million bars": series, "a model": model, "a checkpoint": home / "checkpoints" / OPERATION}


def copied(source: Path, target: Path) -> None:
    """A plain copy that is on the disk."""
    shutil.copytree(source, target)
    for file in [*target.iterdir(), target]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def fetched(shared: SharedFolder, folder: Path) -> None:
    with shared.reading(folder):
        pass


class Folder:
    """A plain copy of files in folders."""

    def __init__(self, url: str) -> None:
        self.root = Path(url.removeprefix("file://")) / "copies"

    def put(self, folder: Path, name: str) -> None:
        copied(folder, self.root / name)

    def get(self, name: str, folder: Path) -> None:
        shutil.copytree(self.root / name, folder)


class Bucketed:
    """The same with a bucket, by s3fs itself."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        import s3fs

        self.files, self.root = s3fs.S3FileSystem(use_listings_cache=False, **options), f"{url.removeprefix('s3://')}/copies"

    def put(self, folder: Path, name: str) -> None:
        self.files.put(f"{folder}/", f"{self.root}/{name}/", recursive=True)

    def get(self, name: str, folder: Path) -> None:
        self.files.get(f"{self.root}/{name}/", f"{folder}/", recursive=True)


def once(url: str, options: dict[str, str], home: Path, folders: dict[str, Path], scratch: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of each, ours and the copy's in turn, on a new place."""
    plain = Bucketed(url, options) if url.startswith("s3://") else Folder(url)
    shutil.rmtree(home / "shared", ignore_errors=True)
    ours, other = (SharedFolder(open_objects(url, options), each) for each in (home, scratch / "other"))
    found = {}
    with ours.reading(home / "none"), other.reading(scratch / "other" / "none"):
        pass  # both know the place
    for what, folder in folders.items():
        name = str(folder.relative_to(home))
        here, back = scratch / "other" / name, scratch / "back" / name
        found[what] = {
            "publish": timed(lambda: ours.changing(folder, lambda: None)),  # noqa: B023  (called at once)
            "copy there": timed(lambda: plain.put(folder, name)),  # noqa: B023
            "fetch": timed(lambda: fetched(other, here)),  # noqa: B023
            "copy back": timed(lambda: plain.get(name, back)),  # noqa: B023
            "read again": timed(lambda: fetched(other, here)),  # noqa: B023
        }
        whole = sorted((file.name, file.read_bytes()) for file in folder.iterdir())
        assert whole == sorted((file.name, file.read_bytes()) for file in here.iterdir())
        assert whole == sorted((file.name, file.read_bytes()) for file in back.rglob("*") if file.is_file())
    return found


def measure(url: str, options: dict[str, str], home: Path, folders: dict[str, Path], scratch: Path) -> dict[str, dict[str, float]]:
    """Medians of several runs after one that warms up."""
    runs = [once(f"{url}/{run}", options, home, folders, scratch / str(run)) for run in range(RUNS + 1)][1:]
    return {what: {figure: statistics.median(run[what][figure] for run in runs) for figure in runs[0][what]} for what in folders}


def told(kind: str, found: dict[str, dict[str, float]], folders: dict[str, Path]) -> bool:
    print(f"\n{kind}: milliseconds, medians of {RUNS}")
    heads = ("publish", "copy there", "fetch", "copy back", "read again")
    print(f"{'':<34}" + "".join(f"{head:>13}" for head in heads))
    for what, figures in found.items():
        sizes = [file.stat().st_size for file in folders[what].iterdir()]
        title = f"{what} ({len(sizes)} files, {sum(sizes) / 1e6:.1f} MB)"
        print(f"{title:<34}" + "".join(f"{figures[head]:>13.1f}" for head in heads))
    held = True
    for ours, plain in (("publish", "copy there"), ("fetch", "copy back")):
        times = sum(figures[ours] for figures in found.values()) / sum(figures[plain] for figures in found.values())
        limit = TIMES[kind][ours]
        held &= times <= limit
        print(f"{'holds' if times <= limit else 'FAILS'}  {ours}: {times:.2f} times a plain copy, at most {limit:g}")
    return held


def main() -> int:
    """Measure, print, and end with 1 where a claim does not hold."""
    with tempfile.TemporaryDirectory() as folder:
        scratch, home = Path(folder), Path(folder) / "home"
        folders = made(home)
        (scratch / "place").mkdir()
        held = told("folder", measure(f"file://{scratch / 'place'}", {}, home, folders, scratch / "folder"), folders)
        if not (find_spec("s3fs") and find_spec("moto")):
            print("\nthe bucket was not measured: s3fs and moto[server] are not installed")
            return 0 if held else 1
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        from tests.wire.bucket import Bucket, serving_buckets

        with serving_buckets() as address:
            bucket = Bucket(address)
            held &= told("bucket", measure(f"s3://{bucket.name}", bucket.options, home, folders, scratch / "bucket"), folders)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
