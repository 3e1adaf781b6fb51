"""What a training says while it goes on, and what came of each of its parameters."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ktrdr.kinds.base import Workspace
from ktrdr.kinds.course import Course, in_words
from ktrdr.kinds.given import Saver
from ktrdr.kinds.meter import GpuMeter, NoGpu
from ktrdr.kinds.training import Training
from ktrdr.operations.job import Job
from ktrdr.operations.model import Operation
from ktrdr.sample import FOLDER
from ktrdr.training.state import BatchPosition

JSON = dict[str, Any]
MOMENTUM = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8").replace("epochs: 20", "epochs: 10")


class Heard:
    """The other end of a job's pipe: it keeps what is said."""

    def __init__(self) -> None:
        self.said: list[JSON] = []

    def send(self, message: JSON) -> None:
        self.said.append(message)

    def ask(self, message: JSON) -> Any:
        self.said.append(message)

    def interruption(self) -> Exception | None:
        return None

    @property
    def progress(self) -> list[JSON]:
        return [message["progress"] for message in self.said if message["type"] == "progress"]


class Busy:
    """A meter of a GPU that is 85 % busy."""

    def read(self) -> JSON:
        return {"gpu_used": True, "gpu_name": "RTX 3090", "gpu_utilization_percent": 85}

    def close(self) -> None:
        pass


def job_of(heard: Heard) -> Job:
    operation = Operation(
        operation_id="op_training_20260101_000000_00000000", operation_type="training", created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    return Job(operation, heard)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({}, ""),
        ({"epoch_index": 5, "total_epochs": 10}, "Epoch 5/10"),
        ({"epoch_index": 5, "total_epochs": 10, "batch_number": 120, "batch_total_per_epoch": 500}, "Epoch 5/10 · Batch 120/500"),
        ({"resource_usage": {"gpu_used": False}}, ""),
        ({"epoch_index": 5, "total_epochs": 10, "resource_usage": {"gpu_used": True, "gpu_name": "RTX 3090"}}, "Epoch 5/10"),
        (
            {"epoch_index": 5, "total_epochs": 10, "batch_number": 120, "batch_total_per_epoch": 500, "resource_usage": Busy().read()},
            "Epoch 5/10 · Batch 120/500 🖥️ RTX 3090: 85%",
        ),
    ],
)
def test_parts_without_data_are_left_out(context: JSON, words: str):
    assert in_words(context) == words


def test_a_report_carries_its_words_and_the_meters_figures(workspace: Workspace):
    heard = Heard()
    job = job_of(heard)
    Course(job, Saver(job, workspace), Busy()).on_batch(BatchPosition(5, 10, 1, 500))
    (shown,) = heard.progress
    assert shown["current_step"] == "Epoch 5/10 · Batch 1/500 🖥️ RTX 3090: 85%"
    assert shown["context"]["resource_usage"] == {"gpu_used": True, "gpu_name": "RTX 3090", "gpu_utilization_percent": 85}
    assert (shown["percentage"], shown["steps_completed"], shown["steps_total"]) == (40.0, 5, 10)


def test_batches_faster_than_anybody_reads_are_not_all_told(workspace: Workspace):
    heard = Heard()
    job = job_of(heard)
    course = Course(job, Saver(job, workspace))
    begun = time.monotonic()
    for batch in range(1, 20_001):
        course.on_batch(BatchPosition(1, 1, batch, 20_000))
    assert 1 <= len(heard.progress) <= 2 + (time.monotonic() - begun) / 0.05


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called nvidia-smi that answers as the real one does, once for each look."""
    script = tmp_path / "bin" / "nvidia-smi"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\ncase "$*" in *--id=GPU-1*--loop-ms=1000*) echo "[N/A], 100"; echo "85, 2048"; exec sleep 60;; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.process
def test_the_meter_of_a_gpu_reads_what_nvidia_smi_says(smi: None):
    meter = GpuMeter("NVIDIA GeForce RTX 3090", "GPU-1")
    try:
        until = time.monotonic() + 5
        while "gpu_utilization_percent" not in meter.read() and time.monotonic() < until:
            time.sleep(0.01)
        assert meter.read() == {"gpu_used": True, "gpu_name": "RTX 3090", "gpu_utilization_percent": 85, "gpu_memory_used_mb": 2048}
    finally:
        meter.close()
    assert NoGpu().read() == {"gpu_used": False}


def test_without_nvidia_smi_a_gpu_has_its_name_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    meter = GpuMeter("Tesla T4", "GPU-1")
    assert meter.read() == {"gpu_used": True, "gpu_name": "T4"}
    meter.close()


def run(workspace: Workspace, **given: Any) -> tuple[JSON, list[JSON]]:
    """What a training of a few months comes to, and what it said."""
    heard = Heard()
    chosen = {"strategy": MOMENTUM, "start_date": "2012-01-01", "end_date": "2012-06-01"} | given
    result = Training(**chosen).prepare(workspace).run(job_of(heard), workspace)
    return result, heard.progress


@pytest.mark.torch
def test_ten_epochs_are_ten_and_the_percentage_is_that_of_the_batches(workspace: Workspace):
    result, progress = run(workspace)
    assert result["epochs_run"] == 10
    shown = [one for one in progress if one["steps_total"]]
    assert {one["steps_total"] for one in shown} == {10}
    assert [one["steps_completed"] for one in shown] == sorted(one["steps_completed"] for one in shown)
    assert {one["steps_completed"] for one in shown} == set(range(1, 11))
    for one in shown:
        context = one["context"]
        batches = context.get("batch_total_per_epoch")
        done = context["epoch_index"] - 1 + (context["batch_number"] - 1) / batches if batches else context["epoch_index"]
        assert abs(one["percentage"] - 10 * done) <= 2
        assert one["current_step"] == in_words(context)
    percentages = [one["percentage"] for one in progress]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100
    assert {*range(10, 100, 10)} <= set(percentages)


@pytest.mark.torch
def test_each_flag_of_a_training_changes_the_run(workspace: Workspace):
    runs = {
        "usual": run(workspace)[0],
        "start": run(workspace, start_date="2012-02-01")[0],
        "end": run(workspace, end_date="2012-05-01")[0],
        "split": run(workspace, validation_split=0.3)[0],
        "symbols": run(workspace, symbols=("AAPL",))[0],
        "analytics": run(workspace, detailed_analytics=True)[0],
    }
    usual = runs.pop("usual")
    assert "analytics" in runs["analytics"]
    assert runs.pop("analytics")["training_metrics"] == usual["training_metrics"]
    histories = [str(one["training_metrics"]["history"]) for one in (usual, *runs.values())]
    assert len(set(histories)) == len(histories)
    assert run(workspace)[0]["training_metrics"] == usual["training_metrics"]


@pytest.mark.torch
def test_a_result_has_every_split_beside_its_baselines(workspace: Workspace):
    result, _ = run(workspace)
    assert result["verdict"] == "no better than baseline"
    for name in ("train", "validation", "test"):
        found = result["split_metrics"][name]
        assert found["rows"] == result["data_summary"]["rows"][name]
        assert set(found["per_class"]) == {"buy", "hold", "sell"}
        low, high = found["accuracy_interval"]["low"], found["accuracy_interval"]["high"]
        assert low < found["accuracy"] < high
        assert found["baselines"]["previous_accuracy"] > 0.9  # of zigzag labels: that of the bar before
        assert 0 <= found["calibration_error"] < 1
        assert found["relative_loss"] == pytest.approx(found["loss"] / 1.0986123)
        assert found["resampling"]["resamples"] == 1000
    assert result["split_metrics"]["test"] == result["test_metrics"]
