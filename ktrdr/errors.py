"""Every error a user can meet, in one tree.

KtrdrError
├── Invalid                what was given cannot be right                (HTTP 422)
│   └── InvalidStrategy    a strategy document with its list of mistakes
├── NotFound               no such thing                                (HTTP 404)
│   └── NoData             bars that are not there
├── Conflict               not in this state                            (HTTP 409)
├── Refused                limits say no                                (HTTP 429)
├── Unavailable            something outside does not answer            (HTTP 503)
├── LostOwnership          a newer attempt owns this operation
└── CycleError             a research cycle ended early
    ├── WorkerError        a phase's operation failed, was lost or timed out
    └── GateError          a gate said no
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar


class KtrdrError(Exception):
    """What went wrong, in one sentence, with what to do next in `hint`."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None, details: dict[str, Any] | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}
        self.error_code = code or self.code

    def as_dict(self) -> dict[str, Any]:
        """The error as the API and the operation row show it."""
        return {"code": self.error_code, "message": self.message, "hint": self.hint, "details": self.details}


class Invalid(KtrdrError):
    """What was given cannot be right."""

    code = "invalid"
    http_status = 422


MOST_LISTED = 50
"""Most mistakes of one document that are listed; the others are counted."""


def _readable(text: str, most: int) -> str:
    """A text of a stranger for a message: shortened, and characters that cannot be shown written as their codes."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


@dataclass(frozen=True)
class Problem:
    """One mistake or doubt in a document, with its place."""

    place: str
    """Dotted path in the document, such as `indicators.rsi_14.period`."""
    message: str
    line: int | None = None
    value: str | None = None
    nearest: str | None = None
    """The nearest valid value, where there is one."""

    def __str__(self) -> str:
        where = f"line {self.line}, {self.place}" if self.line else self.place
        near = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        return f"{where}: {self.message}{near}"

    def readable(self) -> Problem:
        """The same problem, fit to be shown wherever its words come from."""
        value, nearest = (part and _readable(part, 100) for part in (self.value, self.nearest))
        return replace(self, place=_readable(self.place, 120), message=_readable(self.message, 400), value=value, nearest=nearest)


class InvalidStrategy(Invalid):
    """A strategy document with mistakes; `problems` lists each with its place."""

    code = "invalid_strategy"

    def __init__(self, source: str, problems: list[Problem]) -> None:
        count = f"{len(problems):,} mistakes" if len(problems) > 1 else "1 mistake"
        self.problems = [problem.readable() for problem in problems[:MOST_LISTED]]
        listed = "\n".join(f"  - {p}" for p in self.problems)
        more = f"\n  - and {len(problems) - MOST_LISTED:,} more" if len(problems) > MOST_LISTED else ""
        super().__init__(
            f"{source}: {count} in the strategy\n{listed}{more}",
            hint="fix the lines named above, then: ktrdr validate <name or path>",
            details={"problems": [asdict(p) for p in self.problems]},
        )


class NotFound(KtrdrError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404


class NoData(NotFound):
    """Bars that are needed are not there."""

    code = "no_data"


class Conflict(KtrdrError):
    """That cannot be done in the present state."""

    code = "conflict"
    http_status = 409


class Refused(KtrdrError):
    """A limit says no for now."""

    code = "refused"
    http_status = 429


class Unavailable(KtrdrError):
    """Something outside does not answer."""

    code = "unavailable"
    http_status = 503


class LostOwnership(KtrdrError):
    """A newer attempt owns this operation; this one must stop."""

    code = "lost_ownership"
    http_status = 409


class CycleError(KtrdrError):
    """A research cycle ended early."""

    code = "cycle_failed"


class WorkerError(CycleError):
    """The operation behind a phase failed, was lost or timed out."""

    code = "worker_lost"


class GateError(CycleError):
    """A gate said no; `result` holds everything measured until then."""

    code = "gate_failed"

    def __init__(self, message: str, gate: str, metrics: dict[str, Any], result: dict[str, Any] | None = None) -> None:
        super().__init__(message, details={"gate": gate, "metrics": metrics})
        self.gate = gate
        self.metrics = metrics
        self.result = result
