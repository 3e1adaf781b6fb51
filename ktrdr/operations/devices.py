"""The GPUs of this machine, found without touching them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from ktrdr.log import logger

ASK_SECONDS = 5.0
LISTED = re.compile(r"^GPU (\d+): (.+) \(UUID: (\S+)\)$", re.MULTILINE)
log = logger(__name__)


@dataclass(frozen=True)
class Gpu:
    """A device that one attempt at a time may use."""

    id: str
    """What CUDA_VISIBLE_DEVICES calls it."""
    name: str


def gpus_here(declared: int | None, seconds: float = ASK_SECONDS) -> tuple[Gpu, ...]:
    """So many GPUs as are declared; else those that `nvidia-smi` lists, of them what CUDA_VISIBLE_DEVICES leaves to this process."""
    if declared is not None:
        return tuple(Gpu(str(number), f"GPU {number}") for number in range(declared))
    found = LISTED.findall(_asked(seconds))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(Gpu(uuid, name) for _, name, uuid in found)
    entries = [entry.strip() for entry in visible.split(",")]
    matching = (Gpu(entry, name) for entry in entries if entry for number, name, uuid in found if entry == number or uuid.startswith(entry))
    return tuple(matching)


def _asked(seconds: float) -> str:
    """What `nvidia-smi` says; nothing where it is not installed, fails or does not answer in time."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=seconds, check=True).stdout
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("no GPU is used", reason=str(error))
        return ""
