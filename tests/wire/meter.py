"""What came in, what was answered, and what that cost: one record for each request, kept through any crash."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.wire.asked import JSON
from tests.wire.reply import Usage


@dataclass(frozen=True)
class Record:
    """One request."""

    number: int
    """From 1, in the order of arrival."""
    at: float
    """Seconds since 1970, as all times here."""
    persona: str
    """As the address has it."""
    api: str
    body_hash: str
    model: str
    max_tokens: int | None
    messages: int
    tools: tuple[str, ...]
    streams: bool
    retry: int
    """How often the client says that it has sent this before."""
    status: int | None = None
    """None as long as nothing has been answered."""
    error: str | None = None
    """The kind of error that was answered."""
    billed: Usage = field(default_factory=Usage)
    """What the answer cost, whether or not it arrived."""
    told: JSON | None = None
    """The usage that the client was told, where it was told one."""
    whole: bool = False
    """The last byte of the answer was handed to the operating system."""
    ended_at: float | None = None
    """When the answer ended, whole or not."""
    closed_at: float | None = None
    """When the client hung up, where it did so before the answer was whole."""

    @property
    def settled(self) -> bool:
        """Nothing more will happen to it."""
        return self.ended_at is not None or self.closed_at is not None


class Log:
    """All requests; a file, if one is named, gains a line with each change."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._records: dict[int, Record] = {}
        self._lock = threading.Lock()

    @property
    def records(self) -> list[Record]:
        """The requests in the order of their arrival."""
        with self._lock:
            return list(self._records.values())

    def begin(self, **known: Any) -> Record:
        """Write down a request that has come."""
        with self._lock:
            return self._write(Record(number=len(self._records) + 1, at=time.time(), **known))

    def change(self, number: int, **changes: Any) -> Record:
        """Write down what has become of a request."""
        with self._lock:
            return self._write(replace(self._records[number], **changes))

    def _write(self, record: Record) -> Record:
        self._records[record.number] = record
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(record)) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return record


def read_log(path: Path) -> list[Record]:
    """The records of a log file; its last line of each number counts, and an unfinished line does not."""
    found: dict[int, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            values = json.loads(line)
            values |= {"billed": Usage(**values["billed"]), "tools": tuple(values["tools"])}
            found[values["number"]] = Record(**values)
    return list(found.values())


def billed_by_model(records: Iterable[Record]) -> dict[str, Usage]:
    """What was billed, summed for each model."""
    totals: dict[str, Usage] = {}
    for record in records:
        totals[record.model] = totals.get(record.model, Usage()) + record.billed
    return totals
