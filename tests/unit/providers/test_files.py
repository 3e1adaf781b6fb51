from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ktrdr.errors import Invalid, NotFound
from ktrdr.market.actions import Action
from ktrdr.market.bars import Bars
from ktrdr.market.checks import check_bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import build
from ktrdr.providers.files import Files

HEAD = "time,open,high,low,close,volume\n"
GOOD = "2020-01-01T00:00Z,1,3,0.5,2,10\n2020-01-01T01:00Z,2,3,1,2.5,11\n2020-01-01T02:00Z,2.5,3,2,2,12\n"


def load(path: Path, timeframe: str = "1h", symbol: str = "BTCUSDT", **options: Any) -> Bars:
    provider, size = Files(file=str(path), **options), Timeframe(timeframe)
    reach = provider.reach(symbol, size, lambda _: None)
    return provider.fetch(symbol, size, start=reach.start, end=reach.end, on_progress=lambda _: None)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def text(content: str, name: str = "bars.csv") -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return text


def stamps(bars: Bars) -> list[str]:
    return [str(moment)[:16] for moment in bars.time]


def test_a_plain_file_gives_its_bars(write: Any) -> None:
    bars = load(write(HEAD + GOOD))
    assert stamps(bars) == ["2020-01-01T00:00", "2020-01-01T01:00", "2020-01-01T02:00"]
    assert bars.close.tolist() == [2, 2.5, 2]
    assert bars.volume.tolist() == [10, 11, 12]
    assert bars.provider == "files"


def test_a_part_of_it_can_be_asked_for_and_it_is_read_once(write: Any) -> None:
    path = write(HEAD + GOOD)
    provider, told = Files(file=str(path)), []
    reach = provider.reach("X", Timeframe("1h"), told.append)
    assert reach.end == datetime(2020, 1, 1, 3, tzinfo=UTC)
    path.unlink()
    bars = provider.fetch("X", Timeframe("1h"), start=datetime(2020, 1, 1, 1, tzinfo=UTC), end=reach.end, on_progress=told.append)
    assert len(bars) == 2
    assert told == ["reading bars.csv"]


def test_order_headers_in_capitals_spaces_and_a_missing_volume_do_not_matter(write: Any) -> None:
    rows = ["2020-01-01 02:00:00+00:00, 2.5,3, 2,2", "2020-01-01 01:00:00+00:00,2,3,1, 2.5", "2020-01-01 00:00:00+00:00,1,3,0.5,2"]
    bars = load(write("Timestamp, Open,High,Low,Close\n" + "\n".join(rows)))
    assert bars.close.tolist() == [2, 2.5, 2]
    assert not bars.has_volume


@pytest.mark.parametrize(
    ("text", "options", "first"),
    [
        ("2020-07-01 10:00", {"zone": "UTC"}, "2020-07-01T10:00"),
        ("2020-07-01 10:00", {"zone": "America/New_York"}, "2020-07-01T14:00"),
        ("2020-07-01 10:00", {"zone": "UTC", "stamp": "end"}, "2020-07-01T09:00"),
        ("2020-07-01T10:00:00.000+03:00", {}, "2020-07-01T07:00"),
        ("2020-07-01T10:00:00-0430", {}, "2020-07-01T14:30"),
        ("01.07.2020 10:00", {"time_format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "2020-07-01T08:00"),
        ("07/01/20 10:00 +0200", {"time_format": "%m/%d/%y %H:%M %z"}, "2020-07-01T08:00"),
        ("1593597600", {"time_format": "epoch_s"}, "2020-07-01T10:00"),
        ("1593597600000", {"time_format": "epoch_ms"}, "2020-07-01T10:00"),
        ("1593597600000000", {"time_format": "epoch_us", "stamp": "end"}, "2020-07-01T09:00"),
    ],
)
def test_times_are_read_as_the_user_says(write: Any, text: str, options: dict[str, str], first: str) -> None:
    assert stamps(load(write(HEAD + f"{text},1,3,0.5,2,10\n"), **options)) == [first]


@pytest.mark.parametrize("text", ["2020-07-01", "2020-07-01T00:00:00-04:00", "2020-07-01 16:00"])
@pytest.mark.parametrize("stamp", ["start", "end"])
def test_a_daily_bar_is_stamped_with_its_own_date(write: Any, text: str, stamp: str) -> None:
    midnight = "16:00" not in text
    expected = "2020-06-30T00:00" if stamp == "end" and midnight else "2020-07-01T00:00"
    assert stamps(load(write(HEAD + f"{text},1,3,0.5,2,10\n"), "1d", stamp=stamp)) == [expected]


def test_times_without_a_zone_are_refused_for_bars_shorter_than_a_day(write: Any) -> None:
    with pytest.raises(Invalid, match=r"the times of bars\.csv carry no time zone"):
        load(write(HEAD + "2020-01-01 00:00,1,3,0.5,2,10\n"))


def test_times_in_another_writing_are_not_guessed(write: Any) -> None:
    with pytest.raises(Invalid, match=r"writes times as \['01/02/2020'\], which is not ISO 8601"):
        load(write(HEAD + "01/02/2020,1,3,0.5,2,10\n"), "1d")
    with pytest.raises(Invalid, match=r"which is not ISO 8601"):
        load(write(HEAD + "1593597600,1,3,0.5,2,10\n"))


def test_an_hour_that_the_clock_shows_twice_is_reported(write: Any) -> None:
    row = "2020-11-01 01:30,1,3,0.5,2,10\n2020-11-01 02:30,1,3,0.5,2,10\n"
    with pytest.raises(Invalid, match=r"1 of 2 rows cannot be bars: row 2 has a time that cannot be read"):
        load(write(HEAD + row), zone="America/New_York")


def test_a_row_without_an_offset_among_rows_with_one_is_reported(write: Any) -> None:
    with pytest.raises(Invalid, match=r"row 5 has a time that cannot be read"):
        load(write(HEAD + GOOD + "2020-01-01T03:00,2,2,2,2,1\n"))


def test_columns_can_be_named_joined_and_scaled(write: Any) -> None:
    content = "day;clock;o;h;l;c;junk\n2020.01.01;00:00;100;300;50;200;x\n2020.01.01;01:00;100;300;50;200;x\n"
    columns = {"time": "day+clock", "open": "o", "high": "h", "low": "l", "close": "c"}
    bars = load(write(content), columns=columns, separator=";", time_format="%Y.%m.%d %H:%M", zone="UTC", price_factor=0.01)
    assert stamps(bars) == ["2020-01-01T00:00", "2020-01-01T01:00"]
    assert bars.high.tolist() == [3, 3]


def test_columns_without_a_header_are_numbered(write: Any) -> None:
    columns = {"time": "column_1", "open": "column_2", "high": "column_3", "low": "column_4", "close": "column_5", "volume": "column_6"}
    assert len(load(write(GOOD), header=False, columns=columns)) == 3


def test_unknown_missing_and_unclear_columns_are_listed(write: Any) -> None:
    with pytest.raises(Invalid, match=r"columns that bars do not have: turnover, trades"):
        load(write("time,open,high,low,close,turnover,trades\n1,1,1,1,1,1,1\n"))
    with pytest.raises(Invalid, match=r"has the columns when, open, high, low; which of them is time, close is not clear"):
        load(write("when,open,high,low\n1,1,1,1\n"))
    with pytest.raises(Invalid, match=r"which of them is time is not clear"):
        load(write("date,time,open,high,low,close\n1,1,1,1,1,1\n"))
    with pytest.raises(Invalid, match=r"no column when"):
        load(write(HEAD + GOOD), columns={"time": "when"})


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("2020-01-01T03:00Z,2,1.9,1,2,1", "row 5 has a high below its open or close"),
        ("2020-01-01T03:00Z,2,3,2.5,3,1", "row 5 has a low above its open or close"),
        ("2020-01-01T03:00Z,2,3,1,,1", "row 5 has a price that is not a positive number"),
        ("2020-01-01T03:00Z,2,3,-1,2,1", "row 5 has a price that is not a positive number"),
        ("2020-01-01T03:00Z,2,inf,1,2,1", "row 5 has a price that is not a positive number"),
        ("2020-01-01T03:00Z,2,3,1,2,many", "row 5 has a volume that is negative or not a number"),
        ("2020-13-01T03:00Z,2,3,1,2,1", "row 5 has a time that cannot be read"),
        ("2020-01-01T02:00Z,2,3,1,2,1", "row 5 has the time of another row and other values"),
    ],
)
def test_one_bad_row_stops_the_whole_file(write: Any, row: str, fault: str) -> None:
    with pytest.raises(Invalid) as failure:
        load(write(HEAD + GOOD + row + "\n"))
    assert failure.value.message == f"bars.csv: 1 of 4 rows cannot be bars: {fault}"
    assert failure.value.details["rows"] == [{"row": 5, "fault": fault.removeprefix("row 5 ")}]
    assert "nothing was stored" in (failure.value.hint or "")


def test_rows_that_are_repeated_as_they_are_count_once(write: Any) -> None:
    assert len(load(write(HEAD + GOOD + GOOD))) == 3


def test_bars_of_another_size_are_refused(write: Any) -> None:
    with pytest.raises(Invalid, match=r"most bars of bars\.csv are 1h apart, not 4h"):
        load(write(HEAD + GOOD), "4h")
    with pytest.raises(Invalid, match=r"are 1h apart, not 1d"):
        load(write(HEAD + GOOD), "1d")


def test_what_is_no_file_or_no_table_is_an_error(write: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(Invalid, match="cannot be read"):
        load(write(""))
    with pytest.raises(Invalid, match="cannot be read"):
        load(write("not parquet", "bars.parquet"))
    with pytest.raises(Invalid, match="holds no rows"):
        load(write(HEAD))


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/London"])
def test_parquet_keeps_its_own_times(tmp_path: Path, zone: str | None) -> None:
    moments = pl.Series("time", [datetime(2020, 7, 1, 10), datetime(2020, 7, 1, 11)]).dt.replace_time_zone(zone)
    pl.DataFrame([moments, *(pl.Series(c, [1.0, 1.0]) for c in ("open", "high", "low", "close"))]).write_parquet(tmp_path / "b.parquet")
    options = {} if zone else {"zone": "Asia/Tokyo"}
    hour = {None: "01", "UTC": "10", "Europe/London": "09"}[zone]
    assert stamps(load(tmp_path / "b.parquet", **options))[0] == f"2020-07-01T{hour}:00"


def test_parquet_dates_and_bare_numbers(tmp_path: Path) -> None:
    prices = [pl.Series(c, [1.0, 1.0]) for c in ("open", "high", "low", "close")]
    dates = pl.Series("date", [datetime(2020, 7, 1), datetime(2020, 7, 2)]).cast(pl.Date)
    pl.DataFrame([dates, *prices]).write_parquet(tmp_path / "d.parquet")
    assert stamps(load(tmp_path / "d.parquet", "1d")) == ["2020-07-01T00:00", "2020-07-02T00:00"]
    pl.DataFrame([pl.Series("time", [1593597600, 1593601200]), *prices]).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(Invalid, match=r"the times of n\.parquet are numbers"):
        load(tmp_path / "n.parquet")
    assert stamps(load(tmp_path / "n.parquet", time_format="epoch_s"))[0] == "2020-07-01T10:00"


def test_a_zone_may_change_on_a_day_of_the_files_clock(write: Any) -> None:
    rows = "2014-11-21 10:00,1,3,0.5,2,10\n2014-11-22 00:00,2,3,1,2.5,11\n2014-11-22 01:00,2,3,1,2.5,11\n"
    bars = load(write(HEAD + rows), zone="Europe/Berlin", zone_from={"2014-11-22": "Europe/Athens"})
    assert stamps(bars) == ["2014-11-21T09:00", "2014-11-21T22:00", "2014-11-21T23:00"]
    for wrong in ({"2014-11-22": "Europe/Atlantis"}, {"some day": "UTC"}):
        with pytest.raises(Invalid, match="option 'zone_from'"):
            build("files", {"file": "/x.csv", "zone": "UTC", "zone_from": wrong})


def test_one_table_in_a_zip_is_read_and_several_are_listed(write: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bars.zip", "w") as archive:
        archive.writestr("readme.txt", "not this")
        archive.writestr("inside.csv", HEAD + GOOD)
    assert len(load(tmp_path / "bars.zip")) == 3
    with zipfile.ZipFile(tmp_path / "bars.zip", "a") as archive:
        archive.writestr("other.csv", HEAD + GOOD)
    with pytest.raises(Invalid, match=r"bars\.zip holds 2 files: inside\.csv, other\.csv"):
        load(tmp_path / "bars.zip")
    (tmp_path / "bars.zip").write_bytes(b"no zip")
    with pytest.raises(Invalid, match=r"bars\.zip cannot be read"):
        load(tmp_path / "bars.zip")


def test_lines_at_the_top_can_be_passed_over_and_rows_keep_their_numbers(write: Any) -> None:
    path = write("made by hand\n\n" + HEAD + GOOD)
    assert len(load(path, skip_rows=2)) == 3
    with pytest.raises(Invalid, match="row 7 has a high below its open or close"):
        load(write("made by hand\n\n" + HEAD + GOOD + "2020-01-01T03:00Z,2,1.9,1,2,1\n"), skip_rows=2)


def test_a_head_that_does_not_fit_is_told_with_what_to_say(write: Any) -> None:
    with pytest.raises(Invalid, match=r"the header of bars\.csv names 5 columns, its rows have 6 values") as failure:
        load(write("time,open,high,low,close\n" + GOOD))
    assert "--option header=false --option skip_rows=1" in (failure.value.hint or "")
    with pytest.raises(Invalid, match=r"the first row of bars\.csv holds values, not names: 2020-01-01, 1, 3, 0\.5"):
        load(write("2020-01-01,1,3,0.5,2,10\n2020-01-02,1,3,0.5,2,10\n"), "1d")


def test_bad_rows_may_stand_aside_and_of_two_that_dispute_both_do(write: Any) -> None:
    rows = "2020-01-01T02:00Z,2,3,1,2,1\n2020-01-01T03:00Z,2,1.9,1,2,1\n2020-01-01T03:30Z?,2,3,1,2,1\n"
    provider = Files(file=str(write(HEAD + GOOD + rows)), bad_rows="quarantine")
    provider.reach("X", Timeframe("1h"), lambda _: None)
    told = [(row.row, row.reason) for row in provider.rejected()]
    assert sorted(told) == [
        (4, "has the time of another row and other values"), (5, "has the time of another row and other values"),
        (6, "has a high below its open or close"), (7, "has a time that cannot be read"),
    ]  # fmt: skip
    assert provider.rejected() == []
    with pytest.raises(Invalid, match="none of its 1 rows can be a bar"):
        load(write(HEAD + "2020-01-01T03:00Z,2,1.9,1,2,1\n"), bad_rows="quarantine")


def test_splits_and_dividends_come_from_columns_and_from_a_file(write: Any, tmp_path: Path) -> None:
    content = "time,open,high,low,close,paid,ratio\n2020-01-01,1,3,0.5,2,0,0\n2020-01-02,1,3,0.5,2,0.25,4\n"
    columns = {"dividend": "paid", "split": "ratio"}
    told = write("day,kind,value\n2019-06-03,split,2\n", "told.csv")
    provider = Files(file=str(write(content)), columns=columns, actions_file=str(told))
    provider.reach("X", Timeframe("1d"), lambda _: None)
    assert provider.actions("X") == (
        Action(date(2019, 6, 3), "split", 2.0), Action(date(2020, 1, 2), "dividend", 0.25), Action(date(2020, 1, 2), "split", 4.0),
    )  # fmt: skip
    for wrong in ("2019-06-03,split,0", "2019-06-03,gift,2", "2019-06-03,split", "once,split,2"):
        told.write_text(f"day,kind,value\n{wrong}\n")
        with pytest.raises(Invalid, match=rf"told\.csv: row 2 is no split and no dividend: {wrong}"):
            provider.actions("X")
    told.write_text("date,ratio\n2019-06-03,2\n")
    with pytest.raises(Invalid, match=r"told\.csv holds no splits and dividends"):
        provider.actions("X")


def test_prices_that_were_adjusted_say_so_and_take_no_splits(write: Any) -> None:
    assert Files(file="/x.csv").origin("X") == ""
    assert Files(file="/x.csv", adjusted=True).origin("X") == "prices adjusted by their source"
    with pytest.raises(Invalid, match="adjusted already take no splits"):
        build("files", {"file": "/x.csv", "adjusted": True, "actions_file": "/y.csv"})


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "symbol", "timeframe", "options", "count"),
    [
        ("binance_BTCUSDT_1h_interpolated.csv", "BTCUSDT", "1h", {"zone": "UTC"}, 55_597),
        ("binance_ADAUSDT_1h_mixed_offsets.csv", "ADAUSDT", "1h", {"columns": {"time": "open_time"}}, 31_973),
        ("us_SPY_1min_201902_descending.csv", "SPY", "1m", {"zone": "America/New_York", "stamp": "end"}, 1950),
        ("sp500_idx_1min_201911.csv", "SPX", "1m", {"zone": "America/New_York", "time_format": "%m/%d/%Y %H:%M"}, 1563),
    ],
)  # fmt: skip
def test_real_files_of_many_kinds_can_be_read(
    shared_data: Path, file: str, symbol: str, timeframe: str, options: dict[str, Any], count: int
) -> None:
    bars = load(shared_data / "raw" / file, timeframe, symbol, **options)
    assert len(bars) == count
    assert np.all(np.diff(bars.time) > np.timedelta64(0, "us"))


@pytest.mark.shared
def test_a_real_file_that_breaks_its_own_prices_is_refused_with_the_count(shared_data: Path) -> None:
    with pytest.raises(Invalid, match="309 of 665 rows cannot be bars"):
        load(shared_data / "raw" / "yahoo_ELCO.L_1d_ohlc_violations.csv", "1d", "ELCO", columns={"time": "Datetime"})


@pytest.mark.shared
def test_a_broker_clock_that_was_named_wrongly_shows_in_the_checks(shared_data: Path) -> None:
    path = shared_data / "raw" / "mt5_USDJPY_1h_points_servertime.csv"
    columns = {"volume": "tick_volume"}
    bars = load(path, "1h", "USDJPY", columns=columns, zone="UTC", price_factor=0.001)
    assert "closed_hours" in {finding.check for finding in check_bars(bars)}
