"""Reports of operations that have ended: gathered from what they left, written beside it, served again as written."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Conflict, Invalid, KtrdrError, NotFound
from ktrdr.kinds.base import Workspace
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.model import Operation, Status
from ktrdr.reports.compare import Compared, Comparison, compare
from ktrdr.reports.material import Material
from ktrdr.reports.page import current, page
from ktrdr.reports.series import Curves, seconds, short, thinned, trades_from_csv
from ktrdr.services.operations import OperationsService
from ktrdr.stores import atomic

JSON = dict[str, Any]
T = TypeVar("T")
FILE = "report.html"
CHILDREN = {"training": "training_op_id", "backtesting": "backtest_op_id"}
"""Where a research cycle names who trained and tested for it."""


class ReportFile(BaseModel):
    """The report of an operation as a file of the backend's machine."""

    model_config = ConfigDict(frozen=True)

    operation_id: str
    path: str
    size_bytes: int
    sha256: str


class EquityCurve(BaseModel):
    """Equity at the close of bars, thinned: of each stretch of time the lowest and the highest stay."""

    model_config = ConfigDict(frozen=True)

    operation_id: str
    """Of the backtest."""
    bars: int
    """Before thinning."""
    time: list[int]
    """Start of each bar, in seconds since 1970."""
    curves: dict[str, list[float]]
    """`equity`, and each benchmark that was kept."""


@dataclass(frozen=True)
class Family:
    """An operation, and those that trained and tested for it."""

    operation: Operation
    training: Operation | None
    backtest: Operation | None


class ReportsService:
    """Reports, equity curves and comparisons of operations that have ended."""

    def __init__(self, operations: OperationsService, workspace: Workspace) -> None:
        self._operations = operations
        self._workspace = workspace

    async def page(self, operation_id: str) -> bytes:
        """The report as HTML; it is written the first time it is asked for, and again where this version would write another."""
        family = await self._ended(operation_id)
        return await asyncio.to_thread(self._stored, family)

    async def file(self, operation_id: str) -> ReportFile:
        """The report's file, written if it was not yet."""
        family = await self._ended(operation_id)
        content = await asyncio.to_thread(self._stored, family)
        return ReportFile(
            operation_id=family.operation.operation_id, path=str(self._path(family.operation)), size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip

    async def equity(self, operation_id: str, points: int) -> EquityCurve:
        """The equity curve of a backtest, or of the one of a research cycle, for about so many points."""
        family = await self._ended(operation_id)
        if family.backtest is None:
            raise NotFound(
                f"{family.operation.operation_id} has tested nothing and has no equity curve", hint="ktrdr ops --type backtesting"
            )
        return await asyncio.to_thread(self._curve, family.backtest.operation_id, points)

    async def compare(self, left: str, right: str) -> Comparison:
        """Two operations that have ended, side by side."""
        first, second = await self._compared(left), await self._compared(right)
        return compare(first, second)

    async def _compared(self, operation_id: str) -> Compared:
        family = await self._ended(operation_id)
        worker = family.backtest or family.training
        parameters = await self._operations.parameters(worker.operation_id) if worker else {}
        return Compared(Material(family.operation.json_dict(), **_results(family)), parameters.get("strategy"))

    async def _ended(self, operation_id: str) -> Family:
        operation = await self._operations.get(operation_id)
        if not operation.status.ended:
            hint = f"wait for its end: ktrdr follow {operation.operation_id}"
            raise Conflict(f"{operation.operation_id} is {operation.status} and has no result yet", hint=hint)
        return Family(operation, await self._worker(operation, "training"), await self._worker(operation, "backtesting"))

    async def _worker(self, operation: Operation, operation_type: str) -> Operation | None:
        """The operation itself or its child of this type, where it came to a result."""
        child = operation.metadata.get(CHILDREN[operation_type])
        found = operation if operation.operation_type == operation_type else await self._operations.get(child) if child else None
        return found if found and found.status is Status.COMPLETED and found.result_summary else None

    def _path(self, operation: Operation) -> Path:
        return self._folder(operation.operation_id) / FILE

    def _folder(self, operation_id: str) -> Path:
        return self._workspace.settings.folder("reports") / operation_id

    def _stored(self, family: Family) -> bytes:
        path, artefacts = self._path(family.operation), self._workspace.artefacts
        with artefacts.reading(path.parent, lambda file: file == FILE, lenient=True):
            if path.is_file() and current(written := path.read_bytes()):
                return written
        content = page(self._material(family)).encode()
        artefacts.changing(path.parent, lambda: atomic.write(path, content), lenient=True)
        return content

    def _material(self, family: Family) -> Material:
        """The records and files of an operation; what cannot be read is left out, with a sentence that says so."""
        missing: list[str] = []
        curves = trades = explanation = bars = None
        if family.backtest:
            folder = self._folder(family.backtest.operation_id)
            with self._workspace.artefacts.reading(folder, lenient=True):
                curves = _read(folder / "equity.csv", Curves.from_csv, missing)
                trades = _read(folder / "trades.csv", trades_from_csv, missing)
                explanation = _read(folder / "explanation.json", json.loads, missing, optional=True)
            bars = _traded(self._workspace, family.backtest.result_summary or {}, curves, missing) if curves and trades else None
        return Material(
            family.operation.json_dict(), **_results(family), curves=curves, trades=trades, bars=bars, explanation=explanation,
            manifest=_manifest(self._workspace, family, missing), missing=tuple(missing),
        )  # fmt: skip

    def _curve(self, operation_id: str, points: int) -> EquityCurve:
        missing: list[str] = []
        folder = self._folder(operation_id)
        with self._workspace.artefacts.reading(folder, lambda file: file == "equity.csv", lenient=True):
            curves = _read(folder / "equity.csv", Curves.from_csv, missing)
        if curves is None:
            raise NotFound(missing[0], hint="run the backtest again")
        rows = thinned(list(curves.values.values()), max(points // 2, 1))
        shown = {name: short(values[rows]) for name, values in curves.values.items()}
        return EquityCurve(operation_id=operation_id, bars=len(curves.time), time=seconds(curves.time[rows]), curves=shown)


def _results(family: Family) -> JSON:
    """The results of the training and the backtest, where there are such."""
    return {"training": family.training and family.training.result_summary, "backtest": family.backtest and family.backtest.result_summary}


def _read(path: Path, parse: Callable[[str], T], missing: list[str], *, optional: bool = False) -> T | None:
    """What a file holds; None, and a sentence why, where it cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not optional:
            missing.append(f"{path.name} of this backtest is not there any more")
    except (ValueError, Invalid) as error:
        missing.append(f"{path.name} cannot be read: {error}")
    return None


def _manifest(workspace: Workspace, family: Family, missing: list[str]) -> JSON | None:
    """The manifest of the model that was trained or tested."""
    found = ((family.backtest or family.training or family.operation).result_summary or {}).get("model_path")
    if not found:
        return None
    try:
        return workspace.models.manifest(found)
    except KtrdrError as error:
        missing.append(f"the model's manifest is not shown: {error.message}")
        return None


def _traded(workspace: Workspace, backtest: JSON, curves: Curves, missing: list[str]) -> Bars | None:
    """The bars that were traded, if they are still the same."""
    timeframe = Timeframe(backtest["timeframe"])
    first, last = as_datetime(curves.time[0]), as_datetime(curves.time[-1])
    try:
        bars = workspace.bars.read(backtest["symbol"], timeframe, first, last + timedelta(seconds=1))
    except KtrdrError as error:
        missing.append(f"prices are not shown: {error.message}")
        return None
    if not np.array_equal(bars.time.astype("datetime64[s]"), curves.time):
        missing.append("prices are not shown: the stored bars are no longer those that were traded")
        return None
    return bars
