"""What a training's progress says of the device it runs on."""

from __future__ import annotations

import subprocess
import threading
from typing import IO, Any, Protocol, Self

JSON = dict[str, Any]
EVERY_MS = 1000
MAKERS = ("NVIDIA ", "GeForce ", "Tesla ")


class Meter(Protocol):
    """Says what is used now; asked with every report, so it must not wait for anything."""

    def read(self) -> JSON:
        """`gpu_used`, and of a GPU `gpu_name` and what else is known."""

    def close(self) -> None:
        """Stop looking."""


class NoGpu:
    """The CPU needs no meter."""

    def read(self) -> JSON:
        """That no GPU is used."""
        return {"gpu_used": False}

    def close(self) -> None:
        """Nothing was looked at."""


class GpuMeter:
    """A GPU as `nvidia-smi` sees it once a second; where that is missing, its name alone."""

    def __init__(self, name: str, which: str) -> None:
        for maker in MAKERS:
            name = name.removeprefix(maker)
        self._known: JSON = {"gpu_used": True, "gpu_name": name}
        command = ["nvidia-smi", f"--id={which}", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        try:
            self._looking: subprocess.Popen[str] | None = subprocess.Popen(
                [*command, f"--loop-ms={EVERY_MS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
            )
        except OSError:
            self._looking = None
            return
        self._listener = threading.Thread(target=self._listen, args=(self._looking.stdout,), daemon=True, name="gpu-meter")
        self._listener.start()

    @classmethod
    def of_this_process(cls) -> Self:
        """The meter of the first GPU that torch may use."""
        import torch

        properties = torch.cuda.get_device_properties(0)
        return cls(properties.name, f"GPU-{properties.uuid}")

    def read(self) -> JSON:
        """Name, and utilisation in percent and used memory where they are known."""
        return dict(self._known)

    def close(self) -> None:
        """End the look."""
        if self._looking:
            self._looking.terminate()
            self._looking.wait()
            self._listener.join()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            used, _, memory = line.partition(",")
            figures = {"gpu_utilization_percent": used, "gpu_memory_used_mb": memory}
            found = {name: int(text) for name, text in figures.items() if text.strip().isdigit()}
            self._known = {"gpu_used": True, "gpu_name": self._known["gpu_name"], **found}
        lines.close()


def meter_of(device: str) -> Meter:
    """The meter of a device that torch knows."""
    return NoGpu() if device == "cpu" else GpuMeter.of_this_process()
