"""What a report is made of: the record of an operation, and the files that it has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ktrdr.market.bars import Bars
from ktrdr.reports.markup import Html
from ktrdr.reports.series import Curves, Text

JSON = dict[str, Any]
DETAIL = 1000
"""Stretches into which long series are cut; a chart is about as many pixels wide."""


@dataclass(frozen=True, eq=False)
class Material:
    """An operation that has ended, and what there is of its results; what is not there is None."""

    operation: JSON
    """The record as the API shows it."""
    training: JSON | None = None
    """The result of the training: its own, or that of the child that trained."""
    backtest: JSON | None = None
    """The result of the backtest: its own, or that of the child that tested."""
    curves: Curves | None = None
    trades: list[Text] | None = None
    bars: Bars | None = None
    """The bars that were traded."""
    explanation: JSON | None = None
    """What each rule of the model has earned."""
    manifest: JSON | None = None
    """Of the model: its strategy, seed, versions and the sha256 of its bars."""
    missing: tuple[str, ...] = ()
    """What could not be shown, in a sentence each."""
    detail: int = DETAIL

    @property
    def result(self) -> JSON:
        """What came of the operation; empty where nothing did."""
        found: JSON = self.operation.get("result_summary") or {}
        return found


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    ident: str
    title: str
    body: Html
    charts: dict[str, JSON] = field(default_factory=dict)
    """What its charts draw, by name."""


Part = Callable[[Material], Section | None]
"""Makes a section, or None where there is nothing to show in it."""
