from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ktrdr.errors import Invalid, NoData, Unavailable
from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars, as_datetime
from ktrdr.market.rows import BadRow
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BUNDLED, BarStore, Series, bundled_series, canonical
from ktrdr.stores.catalog import Outcome
from ktrdr.stores.revisions import Revision
from ktrdr.stores.shared import Artefacts

HOUR, FOUR, DAY = Timeframe("1h"), Timeframe("4h"), Timeframe("1d")
MakeBars = Callable[..., Bars]


def day(year: int, month: int = 1, of_month: int = 1) -> datetime:
    return datetime(year, month, of_month, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, artefacts: Artefacts) -> BarStore:
    return BarStore(tmp_path / "bars", artefacts)


def test_what_was_written_is_read_back(store: BarStore, make_bars: MakeBars) -> None:
    bars = make_bars(first="2019-12-30", count=100)
    written = store.write(bars)
    assert (written.added, written.unchanged, written.conflicts) == (100, 0, 0)
    back = store.read("btcusdt", HOUR)
    assert back.digest() == bars.digest()
    assert back.provider == "files"
    assert sorted(p.name for p in (store.root / "files" / "BTCUSDT" / "1h" / "all").glob("*.parquet")) == ["2019.parquet", "2020.parquet"]


def test_a_range_is_half_open(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(first="2019-12-31", count=72))
    bars = store.read("BTCUSDT", HOUR, day(2020), day(2020, 1, 2))
    assert len(bars) == 24
    assert bars.time[0] == np.datetime64("2020-01-01T00")


def test_files_hold_utc_times_that_every_tool_can_read(store: BarStore, make_bars: MakeBars) -> None:
    import polars as pl

    store.write(make_bars())
    frame = pl.read_parquet(store.root / "files" / "BTCUSDT" / "1h" / "all" / "2020.parquet")
    assert frame.columns == ["timestamp", *COLUMNS]
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")


def test_writing_the_same_bars_again_changes_nothing(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars())
    file = store.root / "files" / "BTCUSDT" / "1h" / "all" / "2020.parquet"
    before = file.stat().st_mtime_ns
    again = store.write(make_bars())
    assert (again.added, again.unchanged, again.conflicts) == (0, 48, 0)
    assert file.stat().st_mtime_ns == before


def test_where_values_differ_the_stored_ones_stay_unless_they_are_asked_for_anew(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=48))
    other = make_bars(first="2020-01-02", count=48, lift=24.5)
    kept = store.write(other)
    assert (kept.added, kept.unchanged, kept.conflicts, kept.replaced) == (24, 0, 24, 0)
    assert store.read("BTCUSDT", HOUR).close[24] == 124.0
    revised = store.write(other, refresh=True)
    assert (revised.added, revised.unchanged, revised.conflicts, revised.replaced) == (0, 24, 24, 24)
    bars = store.read("BTCUSDT", HOUR)
    assert len(bars) == 72
    assert bars.close[24] == 124.5
    assert revised.series == store.find("BTCUSDT", HOUR) == store.series()[1]


@pytest.mark.parametrize(("timeframe", "settled"), [("1h", timedelta(hours=2)), ("1d", timedelta(days=2))])
def test_a_young_bar_may_be_mended_by_its_provider(store: BarStore, make_bars: MakeBars, timeframe: str, settled: timedelta) -> None:
    bars = make_bars(timeframe=timeframe, count=10)
    end = bars.known_at[-1].item().replace(tzinfo=UTC)
    for now, replaced in ((end + settled, 0), (end + settled - timedelta(seconds=1), 1)):
        store.write(bars, refresh=True)
        assert store.write(make_bars(timeframe=timeframe, count=10, lift=1.0), now=now).replaced == replaced


def test_both_answers_are_on_record_and_the_first_sight_of_them_is_kept(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=3))
    assert store.revisions("BTCUSDT", HOUR, "files") == ()
    seen = datetime(2021, 5, 1, tzinfo=UTC)
    store.write(make_bars(first="2020-01-01T02", count=2, lift=5.0), now=seen)
    store.write(make_bars(first="2020-01-01T02", count=2, lift=5.0), now=seen + timedelta(days=1))
    (known,) = store.revisions("BTCUSDT", HOUR, "files")
    assert known == Revision(
        datetime(2020, 1, 1, 2, tzinfo=UTC), (101.0, 104.0, 99.0, 102.0, 1.0), (104.0, 107.0, 102.0, 105.0, 1.0), "stored", seen
    )
    store.write(make_bars(first="2020-01-01T02", count=1, lift=5.0), refresh=True)
    assert [each.kept for each in store.revisions("BTCUSDT", HOUR, "files")] == ["stored", "offered"]
    assert store.read("BTCUSDT", HOUR).close.tolist() == [100.0, 101.0, 105.0, 106.0]


def test_what_is_kept_beside_a_series_is_told_with_its_bars(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=5))
    assert store.beside(store.find("BTCUSDT", HOUR)) == ()
    store.write(make_bars(first="2020-01-01T02", count=2, lift=5.0))
    store.write(make_bars(first="2020-01-01T02", count=1, lift=5.0), refresh=True)
    unread, bad = BadRow("has a time that cannot be read", None, (1.0,) * 5, 7), datetime(2020, 1, 1, 9, tzinfo=UTC)
    store.quarantine("BTCUSDT", HOUR, "files", [unread, BadRow("has no price", bad, (1.0,) * 5, 8)])
    series = store.find("BTCUSDT", HOUR)
    revised, rejected = store.beside(series)
    assert str(revised) == (
        "2 bars from 2020-01-01 02:00 on: the provider gave other values later, which were kept 1 times; revisions.parquet has both"
    )
    assert (rejected.count, rejected.first, rejected.examples) == (2, bad, ("2020-01-01 09:00",))
    third = datetime(2020, 1, 1, 3, tzinfo=UTC)
    assert [(each.check, each.count) for each in store.beside(series, third)] == [("revised", 1), ("quarantined", 2)]
    assert [(each.check, each.count) for each in store.beside(series, None, third)] == [("revised", 1), ("quarantined", 1)]


def test_the_rounding_of_a_provider_is_no_revision(store: BarStore, make_bars: MakeBars) -> None:
    bars = make_bars()
    store.write(bars)
    columns = {name: getattr(bars, name).astype(np.float32).astype(float) * (1 + 1e-8) for name in COLUMNS}
    again = store.write(Bars.checked("BTCUSDT", HOUR, bars.time, **columns, provider="files"))
    assert (again.unchanged, again.conflicts) == (48, 0)
    assert store.read("BTCUSDT", HOUR).digest() == bars.digest()


def test_rows_that_cannot_be_bars_stand_beside_the_series_with_the_reason(store: BarStore, make_bars: MakeBars) -> None:
    rows = [
        BadRow("has a high below its open or close", day(2020), (1.0, 0.5, 0.5, 1.0, 7.0), 12),
        BadRow("has a time that cannot be read", None, (1.0, 1.0, 1.0, 1.0, float("nan"))),
    ]
    assert store.quarantine("BTCUSDT", HOUR, "files", rows) == 2
    assert store.quarantine("BTCUSDT", HOUR, "files", rows) == 0
    store.write(make_bars())
    found = store.quarantined("BTCUSDT", HOUR, "files")
    assert found[0] == rows[0]
    assert (found[1].reason, found[1].time, found[1].row) == (rows[1].reason, None, None)
    assert np.isnan(found[1].values[-1])
    lines = (store.root / "files" / "BTCUSDT" / "1h" / "all" / "quarantine.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "seen_at,reason,row,timestamp,open,high,low,close,volume"
    assert lines[1].endswith(",has a high below its open or close,12,2020-01-01T00:00:00+00:00,1.0,0.5,0.5,1.0,7.0")
    assert len(store.read("BTCUSDT", HOUR)) == 48


def test_trading_hours_are_series_of_their_own_and_the_widest_is_read_first(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars("AA", count=7), hours="extended")
    store.write(make_bars("AA", count=5), hours="regular")
    assert [(s.hours, s.bars) for s in store.series() if s.symbol == "AA"] == [("regular", 5), ("extended", 7)]
    assert len(store.read("AA", HOUR)) == 5
    assert len(store.read("AA", HOUR, hours="extended")) == 7
    assert (store.stored("AA", HOUR, "files", "all"), store.find("AA", HOUR).hours) == (None, "regular")
    with pytest.raises(NoData):
        store.read("AA", HOUR, hours="all")


@pytest.mark.parametrize(
    ("timeframe", "count", "files"),
    [("1m", 60 * 24 * 32, ["2020-01", "2020-02"]), ("5m", 10, ["2020-01"]), ("15m", 4 * 24 * 367, ["2020", "2021"]), ("1d", 400, ["all"])],
)
def test_a_file_holds_a_month_a_year_or_everything(
    store: BarStore, make_bars: MakeBars, timeframe: str, count: int, files: list[str]
) -> None:
    bars = make_bars(timeframe=timeframe, count=count)
    store.write(bars)
    folder = store.folder("BTCUSDT", bars.timeframe, "files")
    assert [file.stem for file in folder.files()] == files
    assert store.read("BTCUSDT", bars.timeframe).digest() == bars.digest()
    before = [file.stat().st_mtime_ns for file in folder.files()]
    later = make_bars(timeframe=timeframe, first=str(bars.known_at[-1]), count=1)
    store.write(later)
    after = [file.stat().st_mtime_ns for file in folder.files()]
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_the_home_comes_before_the_bundled_bars_and_a_provider_can_be_named(store: BarStore, make_bars: MakeBars) -> None:
    assert store.read("EURUSD", HOUR, day(2018)).provider == "sample"
    store.write(make_bars("EURUSD", first="2024-01-01"))
    assert store.read("EURUSD", HOUR).provider == "files"
    assert store.find("EURUSD", HOUR).first == day(2024)
    assert store.find("EURUSD", HOUR, provider="sample").bundled


def test_two_providers_of_one_series_must_be_told_apart(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars())
    store.write(make_bars(provider="synthetic"))
    with pytest.raises(Invalid, match="BTCUSDT 1h is stored from 2 providers: files, synthetic") as failure:
        store.read("BTCUSDT", HOUR)
    assert "provider: files" in (failure.value.hint or "")
    with pytest.raises(Invalid, match="2 providers"):
        store.read("BTCUSDT", FOUR)
    assert store.read("BTCUSDT", HOUR, provider="synthetic").provider == "synthetic"


def test_a_timeframe_that_is_not_stored_is_made_from_the_largest_one_that_divides_it(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(timeframe="1m", count=30))
    store.write(make_bars(timeframe="1h", count=47))
    bars = store.read("BTCUSDT", FOUR, day(2020, 1, 1), day(2020, 1, 2))
    assert bars.provider == "files (from 1h)"
    assert bars.timeframe == FOUR
    assert len(bars) == 6
    series = store.find("BTCUSDT", FOUR)
    assert (series.provider, series.bars, series.first) == ("files (from 1h)", 11, day(2020))
    assert store.read("BTCUSDT", Timeframe("15m")).provider == "files (from 1m)"
    assert store.read("EURUSD", DAY, day(2018), day(2018, 1, 8)).provider == "sample (from 1h)"


def test_a_larger_bar_at_the_edge_of_a_range_is_made_from_bars_beyond_it(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=48))
    part = store.read("BTCUSDT", FOUR, datetime(2020, 1, 1, 3, tzinfo=UTC), datetime(2020, 1, 1, 9, tzinfo=UTC))
    whole = store.read("BTCUSDT", FOUR)
    assert part.digest() == whole.rows(slice(1, 3)).digest()


def test_a_range_without_bars_is_an_error_with_the_range_there_is_and_the_command(store: BarStore) -> None:
    with pytest.raises(NoData) as failure:
        store.read("AAPL", HOUR, day(2024), day(2024, 6))
    assert failure.value.message == "AAPL 1h: bars run 1998-01-02 .. 2021-03-31, asked for 2024-01-01 .. 2024-06-01"
    command = "ktrdr data load AAPL --timeframe 1h --provider files --file PATH --start 2024-01-01 --end 2024-06-01"
    assert command in (failure.value.hint or "")
    assert failure.value.details["first"] == "1998-01-02T14:00:00+00:00"


def test_bars_of_another_provider_are_mentioned_when_the_range_is_empty(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars("AAPL", provider="synthetic", first="2024-01-01"))
    with pytest.raises(NoData, match=r"bars run 2024-01-01 \.\. 2024-01-02") as failure:
        store.read("AAPL", HOUR, day(2012), day(2013))
    assert "provider: sample" in (failure.value.hint or "")
    assert "1998-01-02 .. 2021-03-31" in (failure.value.hint or "")


@pytest.mark.parametrize(
    ("symbol", "timeframe", "provider", "sentence", "hint"),
    [
        ("EURUSDX", "1h", None, "there are no bars; there are bars of AAPL, EURUSD, SPY", "did you mean EURUSD?"),
        ("SPY", "1h", None, "there are no bars; there is 1d of sample (1998-01-02 .. 2018-12-31)", "data load SPY --timeframe 1h"),
        ("SPY", "1d", "files", "there are no bars of provider files; there is 1d of sample", "--provider files --file PATH"),
    ],
)
def test_a_series_that_is_not_there_is_an_error_that_says_what_is(
    store: BarStore, symbol: str, timeframe: str, provider: str | None, sentence: str, hint: str
) -> None:
    for ask in (store.read, store.find):
        with pytest.raises(NoData) as failure:
            ask(symbol, Timeframe(timeframe), provider=provider)
        assert sentence in failure.value.message
        assert hint in (failure.value.hint or "")


def test_too_few_bars_for_one_larger_bar_are_an_error(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=3))
    for ask in (store.read, store.find):
        with pytest.raises(NoData, match="too few to make one larger bar"):
            ask("BTCUSDT", DAY)


def test_a_range_that_is_partly_outside_gives_what_is_there(store: BarStore) -> None:
    bars = store.read("SPY", DAY, day(2018, 12, 24), day(2030))
    assert (len(bars), as_datetime(bars.time[0]), as_datetime(bars.time[-1])) == (4 + 1, day(2018, 12, 24), day(2018, 12, 31))
    assert bars.provider == "sample"


@pytest.mark.parametrize("symbol", ["", "..", "../etc", "A/B", "A B", "X" * 21, "é", "-A"])
def test_what_could_leave_the_folder_is_no_symbol(store: BarStore, make_bars: MakeBars, symbol: str) -> None:
    with pytest.raises(Invalid, match="is not a symbol"):
        store.read(symbol, HOUR)
    with pytest.raises(Invalid, match="is not a symbol"):
        store.write(make_bars(symbol))


@pytest.mark.parametrize("provider", ["", "..", "../x", "Files", "a/b"])
def test_what_could_leave_the_folder_is_no_provider(store: BarStore, make_bars: MakeBars, provider: str) -> None:
    with pytest.raises(Invalid, match="cannot name a provider"):
        store.write(make_bars(provider=provider))


def test_an_empty_range_and_empty_bars_are_refused(store: BarStore, make_bars: MakeBars) -> None:
    with pytest.raises(Invalid, match=r"the range 2020-01-02 \.\. 2020-01-01 is empty"):
        store.read("EURUSD", HOUR, day(2020, 1, 2), day(2020, 1, 1))
    with pytest.raises(Invalid, match="no bars to write"):
        store.write(make_bars(count=0))


def test_everything_is_listed_and_a_loaded_sample_takes_the_place_of_the_bundled_one(store: BarStore, make_bars: MakeBars) -> None:
    assert store.series() == list(bundled_series())
    store.write(make_bars("SPY", "1d", "2018-01-01", 10, provider="sample"))
    (store.root / "files" / "NOISE").mkdir(parents=True)
    assert [(s.symbol, s.bundled, s.bars) for s in store.series()] == [("AAPL", True, 40_831), ("EURUSD", True, 74_439), ("SPY", False, 10)]


@pytest.mark.parametrize("artefacts", ["home"], indirect=True)  # a shared place mends what is damaged here
def test_files_that_were_changed_by_hand_are_counted_again(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(first="2019-12-31", count=48))
    (store.root / "files" / "BTCUSDT" / "1h" / "all" / "2020.parquet").unlink()
    assert store.find("BTCUSDT", HOUR) == Series("BTCUSDT", HOUR, "files", day(2019, 12, 31), datetime(2019, 12, 31, 23, tzinfo=UTC), 24)


@pytest.mark.parametrize("artefacts", ["home"], indirect=True)  # a shared place mends what is damaged here
def test_a_file_that_is_broken_is_named(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars())
    (store.root / "files" / "BTCUSDT" / "1h" / "all" / "2020.parquet").write_bytes(b"torn")
    with pytest.raises(Invalid, match=r"2020\.parquet cannot be read"):
        store.read("BTCUSDT", HOUR)


def test_loads_are_on_record_with_what_came_of_them(store: BarStore) -> None:
    assert store.loads("EURUSD", HOUR, "files") == []
    first = store.begin_load("EURUSD", HOUR, "files", start=day(2019), end=day(2020), hours="all")
    second = store.begin_load("EURUSD", HOUR, "files", start=day(2020), end=day(2021), hours="all")
    store.end_load(first, Outcome("answered", bars=10, added=9, conflicts=1))
    store.begin_load("EURUSD", FOUR, "files", start=day(2020), end=day(2021), hours="all")
    newest, oldest = store.loads("EURUSD", HOUR, "files")
    assert (newest.number, newest.outcome.state, newest.ended_at) == (second, "asked", None)
    assert (oldest.start, oldest.end, oldest.outcome) == (day(2019), day(2020), Outcome("answered", 10, 9, 1))
    assert oldest.ended_at is not None
    assert len(store.loads("EURUSD", HOUR, "files", limit=1)) == 1


def test_reading_writes_nothing(store: BarStore) -> None:
    store.read("EURUSD", HOUR, day(2018), day(2018, 2))
    store.series()
    store.loads("EURUSD", HOUR, "sample")
    assert not store.root.exists()


def test_a_home_that_cannot_be_written_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="the catalogue of bars at"):
        BarStore(tmp_path / "file" / "bars").begin_load("X", HOUR, "files", start=day(2020), end=day(2021), hours="all")


def test_the_index_of_the_bundled_bars_agrees_with_the_files() -> None:
    import polars as pl

    listed = json.loads((BUNDLED / "index.json").read_text(encoding="utf-8"))
    assert {f"{each['symbol']}_{each['timeframe']}.parquet" for each in listed} == {p.name for p in BUNDLED.glob("*.parquet")}
    for each in listed:
        file = BUNDLED / f"{each['symbol']}_{each['timeframe']}.parquet"
        stamps = pl.read_parquet(file)["timestamp"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == each["sha256"]
        assert (stamps[0].isoformat(), stamps[-1].isoformat(), len(stamps)) == (each["first"], each["last"], each["bars"])


def test_the_bundled_bars_keep_their_licence_beside_them() -> None:
    notice = (BUNDLED.parent / "NOTICE").read_text(encoding="utf-8")
    assert "QuantConnect" in notice
    assert all(file.name in notice for file in BUNDLED.glob("*.parquet"))
    assert "Apache License" in (BUNDLED.parent / "LICENSE.Apache-2.0").read_text(encoding="utf-8")


def test_a_series_keeps_to_one_origin(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=10), origin="binance spot")
    assert store.find("BTCUSDT", HOUR).origin == "binance spot"
    before = store.read("BTCUSDT", HOUR).digest()
    for other in ("kraken spot", ""):
        with pytest.raises(Invalid, match="BTCUSDT 1h of files holds binance spot, not") as failure:
            store.write(make_bars(count=20), origin=other)
        assert str(store.root) in (failure.value.hint or "")
        with pytest.raises(Invalid, match="holds binance spot"):
            store.check_origin("BTCUSDT", HOUR, "files", other)
    assert store.read("BTCUSDT", HOUR).digest() == before
    store.check_origin("BTCUSDT", HOUR, "files", "binance spot")
    store.check_origin("ETHUSDT", HOUR, "files", "kraken spot")
    assert store.write(make_bars(count=20), origin="binance spot").added == 10


def test_bars_of_no_named_origin_are_not_mixed_with_others(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars())
    with pytest.raises(Invalid, match="holds bars of no named origin, not kraken spot"):
        store.write(make_bars(), origin="kraken spot")


def test_splits_and_dividends_stand_beside_the_bars_and_are_never_lost(store: BarStore, make_bars: MakeBars) -> None:
    split, dividend = Action(date(2020, 8, 31), "split", 4.0), Action(date(2020, 11, 6), "dividend", 0.205)
    assert store.actions("AAPL", "yahoo") == ()
    store.keep_actions("AAPL", "yahoo", [dividend, split])
    store.keep_actions("AAPL", "yahoo", [])
    store.keep_actions("aapl", "yahoo", [Action(date(2020, 11, 6), "dividend", 0.82)])
    assert store.actions("AAPL", "yahoo") == (split, Action(date(2020, 11, 6), "dividend", 0.82))
    store.write(make_bars(symbol="AAPL", provider="yahoo"))
    assert [s.provider for s in store.series() if s.symbol == "AAPL" and not s.bundled] == ["yahoo"]


def test_splits_are_taken_out_when_bars_are_read_and_the_adjustment_has_a_name(store: BarStore, make_bars: MakeBars) -> None:
    bars = make_bars("AAPL", "1h", first="2020-08-28", count=120, provider="yahoo")
    store.write(bars)
    assert store.read("AAPL", HOUR).adjustment == "raw"
    store.keep_actions("AAPL", "yahoo", [Action(date(2020, 8, 31), "split", 4.0)])
    read = store.read("AAPL", HOUR)
    before = bars.time < np.datetime64("2020-08-31T04")  # midnight in New York
    np.testing.assert_array_equal(read.close, np.where(before, bars.close / 4, bars.close))
    np.testing.assert_array_equal(read.volume, np.where(before, 4.0, 1.0))
    assert read.adjustment.startswith("splits ")
    part = store.read("AAPL", HOUR, day(2020, 8, 29), day(2020, 8, 30))
    np.testing.assert_array_equal(part.close, read.between(day(2020, 8, 29), day(2020, 8, 30)).close)
    assert store.read("AAPL", DAY).adjustment == read.adjustment
    assert store.read("AAPL", HOUR, adjust="raw").digest() == bars.digest()
    store.keep_actions("AAPL", "yahoo", [Action(date(2020, 9, 1), "dividend", 10.0)])
    assert store.read("AAPL", HOUR).adjustment == read.adjustment
    both = store.read("AAPL", HOUR, adjust="all")
    close = bars.close[np.searchsorted(bars.time, np.datetime64("2020-09-01T04")) - 1]
    assert both.close[0] == pytest.approx(bars.close[0] / 4 * (1 - 10 / close))
    assert (both.close[-1], both.adjustment[:4]) == (bars.close[-1], "all ")
    early = store.read("AAPL", HOUR, None, day(2020, 8, 29), adjust="all")
    np.testing.assert_array_equal(early.close, both.between(None, day(2020, 8, 29)).close)


def test_a_dividend_above_the_price_is_refused_where_it_would_count(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars("AAPL", "1d", provider="yahoo"))
    store.keep_actions("AAPL", "yahoo", [Action(date(2020, 1, 5), "dividend", 500.0)])
    assert store.read("AAPL", DAY).adjustment == "raw"
    with pytest.raises(Invalid, match="a dividend of 500 on 2020-01-05 cannot be right, the close before it was 103"):
        store.read("AAPL", DAY, adjust="all")


def test_a_series_can_be_deleted_with_its_record_and_nothing_else_goes(store: BarStore, make_bars: MakeBars) -> None:
    store.write(make_bars(count=3))
    store.write(make_bars(count=3, lift=1.0))
    store.quarantine("BTCUSDT", HOUR, "files", [BadRow("has no price", day(2020), (float("nan"),) * 5)])
    store.write(make_bars("ETHUSDT"))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store.begin_load(symbol, HOUR, "files", start=day(2020), end=day(2021), hours="all")
    assert store.delete("BTC/USDT", HOUR).bars == 3
    assert store.stored("BTCUSDT", HOUR, "files") is None
    assert (store.revisions("BTCUSDT", HOUR, "files"), store.quarantined("BTCUSDT", HOUR, "files")) == ((), ())
    assert (len(store.loads("BTCUSDT", HOUR, "files")), len(store.loads("ETHUSDT", HOUR, "files"))) == (0, 1)
    assert store.find("ETHUSDT", HOUR).bars == 48
    with pytest.raises(NoData, match="no bars of BTCUSDT 1h were loaded"):
        store.delete("BTCUSDT", HOUR)


def test_what_is_to_be_deleted_must_be_clear(store: BarStore, make_bars: MakeBars) -> None:
    for hours in ("regular", "extended"):
        store.write(make_bars("AA"), hours=hours)
    with pytest.raises(Invalid, match="AA 1h of files is stored with regular and extended hours"):
        store.delete("AA", HOUR)
    assert store.delete("AA", HOUR, hours="extended").hours == "extended"
    store.write(make_bars("AA", provider="yahoo"))
    with pytest.raises(Invalid, match="from 2 providers"):
        store.delete("AA", HOUR)
    assert store.delete("AA", HOUR, "files").hours == "regular"


def test_a_pair_may_be_written_with_a_slash() -> None:
    assert [canonical(symbol) for symbol in ("btc/usdt", "EUR/USD", "BRK.B")] == ["BTCUSDT", "EURUSD", "BRK.B"]
    for wrong in ("../x", "A/B", "BTC/", "BTC/USDT/X", "/USD"):
        with pytest.raises(Invalid, match="is not a symbol"):
            canonical(wrong)
