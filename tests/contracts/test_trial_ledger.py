from __future__ import annotations

import asyncio
import secrets
import sqlite3
import traceback
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ktrdr.errors import Conflict, Invalid, Unavailable
from ktrdr.evaluation.trials import Curve
from ktrdr.operations.store import Store
from ktrdr.stores.trials import GENESIS, Recorded, Trial, TrialLedger
from tests.contracts.conftest import new_database

Place = Path | str
WRONG = "'2001-01-01T00:00:00.000000+00:00'"


def trial(key: str = "op_1/candidate 1", symbol: str = "EURUSD", start: int = 2012, end: int = 2017, score: float | None = 0.02) -> Trial:
    return Trial(
        key=key, symbol=symbol, timeframe="1h", start=datetime(start, 1, 1, tzinfo=UTC), end=datetime(end, 1, 1, tzinfo=UTC), kind="search",
        operation_id="op_1", campaign="spring", content_hash="ab" * 32, score=score, reason=None if score is not None else "no trades",
    )  # fmt: skip


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def database(postgres: str) -> str:
    """One database for all tests here: each costs the server's end a while."""
    return new_database(postgres)


@pytest.fixture
def server(database: str) -> str:
    """The address of an empty database."""
    empty(database)
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a ledger can be, of each kind."""
    return tmp_path / "deep" / "below" / "trials.sqlite" if request.param == "sqlite" else request.getfixturevalue("server")


@pytest.fixture
def ledger(place: Place) -> TrialLedger:
    return TrialLedger(place)


def run(place: Place, statement: str) -> None:
    """Do what no command does."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute(statement)
    else:
        with psycopg.connect(plain(place)) as server:
            server.execute(statement.encode())


def empty(place: str) -> None:
    run(place, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def unlock(place: Place) -> None:
    """Take the triggers away."""
    for name in ("no_update", "no_delete") if isinstance(place, Path) else ("no_change",):
        run(place, f"DROP TRIGGER {name}{'' if isinstance(place, Path) else ' ON trials'}")


def plain(address: str) -> str:
    return address.replace("postgresql+psycopg", "postgresql")


def test_a_trial_is_recorded_and_listed_newest_first(ledger: TrialLedger) -> None:
    first = ledger.append(trial("a"))
    second = ledger.append(trial("b", score=None))
    assert (first.number, first.prev_hash) == (1, GENESIS)
    assert second.prev_hash == first.hash
    assert ledger.list() == [second, first]
    assert ledger.list(limit=1) == [second]
    assert second.reason == "no trades"


def test_the_same_trial_sent_twice_is_recorded_once(ledger: TrialLedger) -> None:
    assert ledger.append(trial()) == ledger.append(trial())
    assert ledger.count("EURUSD") == 1


def test_another_trial_under_the_same_key_is_a_conflict(ledger: TrialLedger) -> None:
    ledger.append(trial(score=0.02))
    with pytest.raises(Conflict, match="another trial with the key 'op_1/candidate 1'"):
        ledger.append(trial(score=0.03))
    assert ledger.list()[0].score == 0.02


def test_trials_on_overlapping_dates_of_the_same_symbol_count(ledger: TrialLedger) -> None:
    ledger.append(trial("a", start=2010, end=2012))
    ledger.append(trial("b", start=2012, end=2014))
    ledger.append(trial("c", symbol="aapl", start=2010, end=2020))
    assert ledger.count("EURUSD", year(2011), year(2012)) == 1
    assert ledger.count("EURUSD", year(2011), year(2013)) == 2
    assert ledger.count("eurusd", year(2014), year(2015)) == 0
    assert ledger.count("EURUSD", None, year(2012)) == 1
    assert ledger.count("EURUSD", year(2012)) == 1
    assert ledger.count("AAPL") == 1
    assert [t.key for t in ledger.list(symbol="AAPL")] == ["c"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trials SET score = 9",
        "DELETE FROM trials",
        "INSERT OR REPLACE INTO trials SELECT * FROM trials",
        'REPLACE INTO trials SELECT number + 9, key, symbol, timeframe, start, "end", kind, operation_id, campaign, content_hash, 9, '
        "reason, recorded_at, 'x', hash FROM trials",
        "TRUNCATE trials",
        "INSERT INTO trials SELECT * FROM trials ON CONFLICT (number) DO UPDATE SET score = 9",
    ],
)
def test_the_place_itself_refuses_to_change_or_forget_a_trial(ledger: TrialLedger, place: Place, statement: str) -> None:
    if ("REPLACE" in statement and not isinstance(place, Path)) or ("TRUNCATE" in statement and isinstance(place, Path)):
        return  # words that the other one does not know
    ledger.append(trial())
    if isinstance(place, Path):
        statement = statement.replace("FROM trials ON", "FROM trials WHERE true ON")
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="the trial ledger only grows"):
        run(place, statement)
    assert ledger.verify().intact


def test_whoever_breaks_the_lock_is_found_out(ledger: TrialLedger, place: Place) -> None:
    for key in "abc":
        ledger.append(trial(key))
    unlock(place)
    run(place, "UPDATE trials SET score = 0.5 WHERE number = 2")
    chain = ledger.verify()
    assert (chain.trials, chain.intact, chain.broken_at) == (3, False, 2)


def test_a_trial_that_was_taken_out_is_found_out(ledger: TrialLedger, place: Place) -> None:
    for key in "abc":
        ledger.append(trial(key))
    unlock(place)
    run(place, "DELETE FROM trials WHERE number = 2")
    assert ledger.verify().broken_at == 2


def test_an_empty_ledger_is_intact(ledger: TrialLedger) -> None:
    assert ledger.verify().intact
    assert ledger.count("EURUSD") == 0
    assert ledger.list() == []


def test_a_place_that_cannot_be_written_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="the trial ledger at") as failure:
        TrialLedger(tmp_path / "file" / "trials.sqlite").append(trial())
    assert "KTRDR_LEDGER" in (failure.value.hint or "")
    (tmp_path / "garbage").write_bytes(b"this is no database at all, however long it is looked at")
    with pytest.raises(Unavailable, match="file is not a database"):
        TrialLedger(tmp_path / "garbage").count("EURUSD")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://me:s3cret@127.0.0.1:1/ktrdr", "the trial ledger at postgresql://me@127.0.0.1:1/ktrdr cannot be used"),
        ("postgresql://127.0.0.1:1/ktrdr?user=me&password=s3cret", "the trial ledger at postgresql://127.0.0.1:1/ktrdr cannot be used"),
        ("postgres://me:s3cret/x@127.0.0.1:1/ktrdr", "the trial ledger has no address of a PostgreSQL database"),
        ("postgresql://127.0.0.1/ktrdr?passwort=s3cret", "the trial ledger has no address of a PostgreSQL database"),
    ],
)
def test_a_server_that_cannot_be_used_is_an_error_that_shows_no_password(address: str, said: str) -> None:
    with pytest.raises((Unavailable, Invalid), match=said) as failure:
        TrialLedger(address).count("EURUSD")
    assert failure.value.hint
    shown = "".join(traceback.format_exception(failure.value))
    assert "s3cret" not in shown.replace("TrialLedger(address)", "")


def test_a_trial_that_a_server_cannot_keep_as_it_is_is_refused(server: str) -> None:
    ledger = TrialLedger(server)
    with pytest.raises(Invalid, match="cannot take what it was given"):
        ledger.append(trial("a\0b"))
    assert ledger.count("EURUSD") == 0


def test_the_ledger_may_stand_beside_the_operations(server: str) -> None:

    async def open_store() -> None:
        await (await Store.open(server)).close()

    asyncio.run(open_store())
    assert TrialLedger(server).append(trial()).number == 1
    asyncio.run(open_store())
    assert TrialLedger(server).verify().intact


def test_both_kinds_count_and_hash_alike(server: str, tmp_path: Path) -> None:
    file, other = TrialLedger(tmp_path / "t.sqlite"), TrialLedger(server)
    for number in range(8):
        one = trial(
            f"k{number}", symbol="ÄÖ" if number % 2 else "eurusd", score=None if number == 5 else -0.0 if number == 6 else number / 7
        )
        assert content_of(file.append(one, curve(number))) == content_of(other.append(one, curve(number)))
    assert file.tally("EURUSD") == other.tally("EURUSD")
    assert file.spans() == other.spans()
    assert [content_of(one) for one in file.list()] == [content_of(one) for one in other.list()]


def content_of(recorded: Recorded) -> dict[str, object]:
    return recorded.model_dump(exclude={"recorded_at", "prev_hash", "hash"})


def test_a_trial_without_a_score_says_why_and_no_number_is_not_a_score() -> None:
    with pytest.raises(ValidationError, match="a reason why there is none"):
        Trial.model_validate(trial().model_dump() | {"score": None})
    with pytest.raises(ValidationError, match="a reason why there is none"):
        Trial.model_validate(trial().model_dump() | {"reason": "both"})
    with pytest.raises(ValidationError, match="finite"):
        Trial.model_validate(trial().model_dump() | {"score": float("nan")})
    with pytest.raises(ValidationError, match="start must be before"):
        trial(start=2017, end=2017)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False) | st.none()), max_size=6))
def test_whatever_is_recorded_is_read_back_and_the_chain_holds(place: Place, sent: list[tuple[str, float | None]]) -> None:
    if isinstance(place, Path):
        place = place.parent / secrets.token_hex(8)
    else:
        empty(place)
    ledger = TrialLedger(place)
    kept = {}
    for key, score in sent:
        if key not in kept:
            kept[key] = score
            ledger.append(trial(key, score=score))
    assert {t.key: t.score for t in ledger.list()} == kept
    assert ledger.verify().intact


# --- how many independent ones


def curve(seed: int, weeks: int = 60) -> Curve:
    return Curve(first=2200, returns=tuple(np.float32(np.random.default_rng(seed).normal(0, 0.01, weeks)).tolist()))


def test_a_tally_counts_everything_and_sees_what_is_alike(ledger: TrialLedger) -> None:
    for number in range(6):
        ledger.append(trial(f"search {number}").model_copy(update={"content_hash": f"{number:064d}"}), curve(number))
    for number in range(4):  # the same strategy again and again
        ledger.append(trial(f"again {number}").model_copy(update={"content_hash": f"{0:064d}", "kind": "backtest"}), curve(0))
    ledger.append(trial("trained", score=None).model_copy(update={"content_hash": f"{0:064d}", "kind": "training"}))
    ledger.append(trial("cancelled", score=None).model_copy(update={"content_hash": f"{9:064d}", "kind": "training"}))
    found = ledger.tally("eurusd", year(2012), year(2013))
    assert (found.symbol, found.n) == ("EURUSD", ledger.count("EURUSD")) == ("EURUSD", 12)
    assert found.kinds == {"search": 6, "backtest": 4, "training": 2}
    assert found.effective_n == pytest.approx(7, abs=0.6)  # six curves and one strategy of which none is known
    assert found.broken_at is None
    assert ledger.tally("EURUSD", year(2017)).n == 0
    assert ledger.knows("op_1")
    assert not ledger.knows("op_2")


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_ledger_from_before_curves_were_kept_goes_on(ledger: TrialLedger) -> None:
    ledger.append(trial("a"))
    assert ledger.tally("EURUSD").effective_n == 1
    ledger.append(trial("b").model_copy(update={"content_hash": "cd" * 32}), curve(1))
    assert ledger.tally("EURUSD").effective_n == 2
    assert ledger.verify().intact


def test_trials_are_shown_by_their_label(ledger: TrialLedger) -> None:
    ledger.append(trial("a"))
    ledger.append(trial("b").model_copy(update={"campaign": None}))
    ledger.append(trial("c", symbol="AAPL", start=2000))
    assert [(one.campaign, one.trials, one.strategies) for one in ledger.campaigns("EURUSD")] == [(None, 1, 1), ("spring", 1, 1)]
    assert ledger.spans() == {"AAPL": (year(2000), year(2017)), "EURUSD": (year(2012), year(2017))}


@pytest.mark.parametrize(
    "column", ["symbol", "score", "reason", "content_hash", "campaign", "recorded_at", "operation_id", "kind", "start"]
)
def test_a_row_that_was_changed_is_named_whatever_was_changed(ledger: TrialLedger, place: Place, column: str) -> None:
    for number in range(5):
        ledger.append(trial(str(number), score=None if number == 3 else 0.1))
    unlock(place)
    run(place, f"UPDATE trials SET {column} = {'0.2' if column == 'score' else WRONG} WHERE number = 4")
    assert ledger.verify().broken_at == 4
    assert ledger.tally("EURUSD").broken_at == 4
