"""The trial ledger: every candidate that was ever scored on a symbol. It only grows, and a chain of hashes shows it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ktrdr.errors import Conflict
from ktrdr.stores.database import Database

GENESIS = "0" * 64
"""What the first trial names as the hash before its own."""
SCHEMA = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    start TEXT NOT NULL, "end" TEXT NOT NULL, kind TEXT NOT NULL, operation_id TEXT NOT NULL, campaign TEXT,
    content_hash TEXT NOT NULL, score REAL, reason TEXT, recorded_at TEXT NOT NULL,
    prev_hash TEXT NOT NULL UNIQUE, hash TEXT NOT NULL
);
CREATE INDEX trials_of_a_symbol ON trials (symbol, start);
CREATE TRIGGER no_update BEFORE UPDATE ON trials BEGIN SELECT RAISE(ABORT, 'the trial ledger only grows'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON trials BEGIN SELECT RAISE(ABORT, 'the trial ledger only grows'); END;
CREATE TRIGGER no_replace BEFORE INSERT ON trials
WHEN EXISTS (SELECT 1 FROM trials WHERE number = NEW.number OR key = NEW.key OR prev_hash = NEW.prev_hash)
BEGIN SELECT RAISE(ABORT, 'the trial ledger only grows'); END;
"""
Row = tuple[Any, ...]


class Trial(BaseModel):
    """One candidate that was scored on [start, end) of a symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str = Field(min_length=1)
    """Names the trial: the same key is recorded once, however often it is sent."""
    symbol: str
    timeframe: str
    start: AwareDatetime
    end: AwareDatetime
    kind: Literal["search", "training", "backtest"]
    operation_id: str
    campaign: str | None = None
    """A label; it does not change what counts."""
    content_hash: str
    """Of the strategy."""
    score: float | None
    """Sharpe ratio per bar, after costs; None where it is not defined."""
    reason: str | None = None
    """Why there is no score."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.start >= self.end:
            raise ValueError("a trial's start must be before its end")
        if (self.score is None) != (self.reason is not None):
            raise ValueError("a trial has a score, or a reason why there is none")
        return self


class Recorded(Trial):
    """A trial in the ledger."""

    number: int
    """From 1, in the order of recording."""
    recorded_at: AwareDatetime
    prev_hash: str
    hash: str


class Chain(BaseModel):
    """Whether the ledger is as it was written."""

    model_config = ConfigDict(frozen=True)

    trials: int
    intact: bool
    broken_at: int | None = None
    """The first trial, from 1, that is not as it was written."""


RecordedTrials = list[Recorded]


class TrialLedger:
    """The trials of this user, in one SQLite file that no command shortens."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the trial ledger", SCHEMA, "set KTRDR_LEDGER to a file in a folder that can be written")

    def append(self, trial: Trial) -> Recorded:
        """Record a trial once; the same key with other content is a Conflict."""
        with self._database.write() as connection:
            row = connection.execute("SELECT * FROM trials WHERE key = ?", (trial.key,)).fetchone()
            if row is None:
                return _insert(connection, trial)
        there = _recorded(row)
        if _content(there) != _content(trial):
            raise Conflict(f"the trial ledger holds another trial with the key {trial.key!r}", details={"key": trial.key})
        return there

    def count(self, symbol: str, start: datetime | None = None, end: datetime | None = None) -> int:
        """How many trials were scored on a symbol, on dates that overlap [start, end)."""
        with self._database.read() as connection:
            found: int = connection.execute(
                'SELECT COUNT(*) FROM trials WHERE symbol = ? AND "end" > ? AND start < ?',
                (symbol.upper(), _text(start) if start else "", _text(end) if end else "~"),
            ).fetchone()[0]
        return found

    def list(self, limit: int = 100, symbol: str | None = None) -> RecordedTrials:
        """The newest trials first, of one symbol if it is named."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM trials WHERE :symbol IS NULL OR symbol = :symbol ORDER BY number DESC LIMIT :limit",
                {"symbol": symbol.upper() if symbol else None, "limit": limit},
            ).fetchall()
        return [_recorded(row) for row in rows]

    def verify(self) -> Chain:
        """Check that every trial is as it was written and that none is missing between two."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM trials ORDER BY number").fetchall()
        before = GENESIS
        for place, (number, *content, recorded_at, prev_hash, digest) in enumerate(rows, start=1):
            if number != place or prev_hash != before or digest != _hash(content, recorded_at, prev_hash):
                return Chain(trials=len(rows), intact=False, broken_at=place)
            before = digest
        return Chain(trials=len(rows), intact=True)


def _insert(connection: sqlite3.Connection, trial: Trial) -> Recorded:
    number, prev_hash = connection.execute("SELECT number + 1, hash FROM trials ORDER BY number DESC LIMIT 1").fetchone() or (1, GENESIS)
    content, recorded_at = _content(trial), _text(datetime.now(UTC))
    row = (number, *content, recorded_at, prev_hash, _hash(content, recorded_at, prev_hash))
    connection.execute("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    return _recorded(row)


def _content(trial: Trial) -> Row:
    # SQLite knows no negative zero; adding 0.0 makes it a plain one, so that the hash holds for what is read back.
    score = None if trial.score is None else trial.score + 0.0
    return (
        trial.key, trial.symbol.upper(), trial.timeframe, _text(trial.start), _text(trial.end), trial.kind, trial.operation_id,
        trial.campaign, trial.content_hash, score, trial.reason,
    )  # fmt: skip


def _hash(content: Iterable[str | float | None], recorded_at: str, prev_hash: str) -> str:
    return hashlib.sha256(json.dumps([*content, recorded_at, prev_hash]).encode()).hexdigest()


def _recorded(row: Row) -> Recorded:
    number, *content = row
    fields = [name for name in Recorded.model_fields if name != "number"]
    return Recorded(number=number, **dict(zip(fields, content, strict=True)))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
