"""The trial ledger: every candidate that was ever scored on a symbol. It only grows, and a chain of hashes shows it."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ktrdr.errors import Conflict
from ktrdr.evaluation.trials import Curve, TrialCount, effective_count
from ktrdr.stores.database import Connection, Database
from ktrdr.stores.postgres import ServerDatabase

NOUN = "the trial ledger"
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
CURVES = "CREATE TABLE curves (number INTEGER PRIMARY KEY, first INTEGER NOT NULL, returns BLOB NOT NULL)"
"""What trials earned week by week; it says which are alike, and decides nothing."""
SERVER_SCHEMA = """
CREATE TABLE trials (
    number BIGINT PRIMARY KEY, key TEXT COLLATE "C" NOT NULL UNIQUE, symbol TEXT COLLATE "C" NOT NULL, timeframe TEXT NOT NULL,
    start TEXT COLLATE "C" NOT NULL, "end" TEXT COLLATE "C" NOT NULL, kind TEXT NOT NULL, operation_id TEXT NOT NULL, campaign TEXT,
    content_hash TEXT NOT NULL, score DOUBLE PRECISION, reason TEXT, recorded_at TEXT COLLATE "C" NOT NULL,
    prev_hash TEXT NOT NULL UNIQUE, hash TEXT NOT NULL
);
CREATE INDEX trials_of_a_symbol ON trials (symbol, start);
CREATE TABLE curves (number BIGINT PRIMARY KEY, first INTEGER NOT NULL, returns BYTEA NOT NULL);
CREATE FUNCTION trials_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the trial ledger only grows'; END $$;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON trials FOR EACH ROW EXECUTE FUNCTION trials_only_grow();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trials FOR EACH STATEMENT EXECUTE FUNCTION trials_only_grow();
"""
"""The same tables in PostgreSQL; texts are compared byte by byte there as well."""
OVERLAPS = 'symbol = ? AND "end" > ? AND start < ?'
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
    """A label, such as the research it belongs to; it does not change what counts."""
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


class Campaign(BaseModel):
    """Trials of one label on a symbol."""

    model_config = ConfigDict(frozen=True)

    campaign: str | None
    """The research they belong to; None for what was started by hand."""
    trials: int
    strategies: int
    """Different ones among them."""
    first: AwareDatetime
    """When the first was recorded."""
    last: AwareDatetime


RecordedTrials = list[Recorded]
Campaigns = list[Campaign]


class TrialLedger:
    """The trials of this user or team, in one SQLite file or PostgreSQL database that no command shortens."""

    def __init__(self, place: Path | str) -> None:
        self._database = (
            ServerDatabase(str(place), NOUN, SERVER_SCHEMA, "trials", "see that it runs; KTRDR_LEDGER says where it is")
            if "://" in str(place)
            else Database(Path(place), NOUN, SCHEMA, "set KTRDR_LEDGER to a file in a folder that can be written")
        )

    def append(self, trial: Trial, curve: Curve | None = None) -> Recorded:
        """Record a trial once; the same key with other content is a Conflict."""
        with self._database.write() as connection:
            row = connection.execute("SELECT * FROM trials WHERE key = ?", (trial.key,)).fetchone()
            if row is None:
                recorded = _insert(connection, trial)
                if curve is not None:
                    if not self._database.has(connection, "curves"):
                        connection.execute(CURVES)
                    kept = (recorded.number, curve.first, array("f", curve.returns).tobytes())
                    connection.execute("INSERT INTO curves VALUES (?, ?, ?)", kept)
                return recorded
        there = _recorded(row)
        if _content(there) != _content(trial):
            raise Conflict(f"the trial ledger holds another trial with the key {trial.key!r}", details={"key": trial.key})
        return there

    def count(self, symbol: str, start: datetime | None = None, end: datetime | None = None) -> int:
        """How many trials were scored on a symbol, on dates that overlap [start, end)."""
        with self._database.read() as connection:
            found: int = connection.execute(f"SELECT COUNT(*) FROM trials WHERE {OVERLAPS}", _span(symbol, start, end)).fetchone()[0]  # noqa: S608
        return found

    def knows(self, operation_id: str) -> bool:
        """Whether an operation has left a trial."""
        with self._database.read() as connection:
            return connection.execute("SELECT 1 FROM trials WHERE operation_id = ?", (operation_id,)).fetchone() is not None

    def tally(self, symbol: str, start: datetime | None = None, end: datetime | None = None) -> TrialCount:
        """How many trials `count` counts, how many independent ones they amount to, and whether the ledger can be believed."""
        span = _span(symbol, start, end)
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT number, kind, content_hash FROM trials WHERE {OVERLAPS} ORDER BY number", span).fetchall()  # noqa: S608
            drawn = {}
            if self._database.has(connection, "curves"):
                joined = f"SELECT * FROM curves WHERE number IN (SELECT number FROM trials WHERE {OVERLAPS})"  # noqa: S608
                drawn = {
                    number: Curve(first=first, returns=tuple(array("f", blob))) for number, first, blob in connection.execute(joined, span)
                }
        known = {strategy for number, _, strategy in rows if number in drawn}
        others = {strategy for _, _, strategy in rows} - known
        return TrialCount(
            symbol=symbol.upper(), n=len(rows), effective_n=effective_count([drawn[number] for number in sorted(drawn)], len(others)),
            kinds=dict(Counter(kind for _, kind, _ in rows)), broken_at=self.verify().broken_at,
        )  # fmt: skip

    def campaigns(self, symbol: str) -> Campaigns:
        """The trials of a symbol by their label, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT campaign, COUNT(*), COUNT(DISTINCT content_hash), MIN(recorded_at), MAX(recorded_at) FROM trials "
                "WHERE symbol = ? GROUP BY campaign ORDER BY MAX(number) DESC",
                (symbol.upper(),),
            ).fetchall()
        return [Campaign(**dict(zip(Campaign.model_fields, row, strict=True))) for row in rows]

    def spans(self) -> dict[str, tuple[datetime, datetime]]:
        """Every symbol with trials, and from when to when their dates reach."""
        with self._database.read() as connection:
            rows = connection.execute('SELECT symbol, MIN(start), MAX("end") FROM trials GROUP BY symbol ORDER BY symbol').fetchall()
        return {symbol: (datetime.fromisoformat(start), datetime.fromisoformat(end)) for symbol, start, end in rows}

    def list(self, limit: int = 100, symbol: str | None = None) -> RecordedTrials:
        """The newest trials first, of one symbol if it is named."""
        with self._database.read() as connection:
            of, wanted = ("WHERE symbol = ?", (symbol.upper(),)) if symbol else ("", ())
            rows = connection.execute(f"SELECT * FROM trials {of} ORDER BY number DESC LIMIT ?", (*wanted, limit)).fetchall()  # noqa: S608
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


def _span(symbol: str, start: datetime | None, end: datetime | None) -> Row:
    return symbol.upper(), _text(start) if start else "", _text(end) if end else "~"


def _insert(connection: Connection, trial: Trial) -> Recorded:
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
