"""Which GPUs there are: declared, listed by a real command, or none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ktrdr.operations.devices import Gpu, gpus_here

LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA L4 (UUID: GPU-22222222-bbbb)
"""
H100, L4 = Gpu("GPU-11111111-aaaa", "NVIDIA H100 80GB HBM3"), Gpu("GPU-22222222-bbbb", "NVIDIA L4")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only `nvidia-smi` there is; CUDA_VISIBLE_DEVICES is not set."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    return tmp_path / "nvidia-smi"


def says(command: Path, script: str) -> None:
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)


def lists(command: Path) -> None:
    says(command, f"while read -r line; do echo \"$line\"; done <<'END'\n{LISTED}END")


def test_those_that_are_listed(command: Path) -> None:
    lists(command)
    assert gpus_here(None) == (H100, L4)


def test_a_declared_number_comes_before_the_list(command: Path) -> None:
    lists(command)
    assert gpus_here(0) == ()
    assert gpus_here(3) == (Gpu("0", "GPU 0"), Gpu("1", "GPU 1"), Gpu("2", "GPU 2"))


@pytest.mark.parametrize(("visible", "names"), [
    ("", []), ("1", ["NVIDIA L4"]), ("1, 0", ["NVIDIA L4", "NVIDIA H100 80GB HBM3"]), ("GPU-2222", ["NVIDIA L4"]), ("-1", []), ("7", []),
])  # fmt: skip
def test_of_those_only_what_this_process_may_see(
    command: Path, monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]
) -> None:  # fmt: skip
    lists(command)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpus_here(None)
    assert [gpu.name for gpu in found] == names
    assert {gpu.id for gpu in found} <= {entry.strip() for entry in visible.split(",")}


def test_a_machine_without_the_command_has_none(command: Path) -> None:
    assert gpus_here(None) == ()


@pytest.mark.parametrize(
    "script", ["echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18", "echo 'No devices found.'"]
)
def test_a_command_that_fails_lists_none(command: Path, script: str) -> None:
    says(command, script)
    assert gpus_here(None) == ()


def test_a_command_that_hangs_is_left(command: Path) -> None:
    says(command, "exec /bin/sleep 60")
    begun = time.monotonic()
    assert gpus_here(None, seconds=0.2) == ()
    assert time.monotonic() - begun < 5
