"""Everything that IB is known to say has a meaning and advice."""

from __future__ import annotations

import pytest

from ktrdr.errors import NoData, NotFound, Refused, Unavailable
from ktrdr.providers.ib_diagnosis import LONGEST_PAUSE, MEANINGS, TABLE, Fault, diagnose, table_lines
from tests.conftest import ROOT

HMDS = "Historical Market Data Service error message:"


@pytest.mark.parametrize(
    ("code", "text", "then"),
    [
        ("refused", "", "user"), ("silent", "", "user"), ("no answer", "", "split"), ("no bars", "", "split"), (326, "", "user"),
        (502, "", "user"), (503, "", "user"), (504, "", "wait"), (507, "", "wait"), (1300, "", "wait"), (100, "", "wait"),
        (162, f"{HMDS}HMDS query returned no data: EUR.USD@IDEALPRO Midpoint", "none"),
        (162, f"{HMDS}Historical data request pacing violation", "wait"),
        (162, f"{HMDS}Trading TWS session is connected from a different IP address", "user"),
        (162, f"{HMDS}invalid step: 1 secs", "split"), (162, f"{HMDS}Time length exceed max.", "split"),
        (162, f"{HMDS}API historical data query cancelled: 7", "split"),
        (162, f"{HMDS}No market data permissions for NYSE STK", "user"),
        (162, f"{HMDS}Abfrage fehlgeschlagen", "wait"),
        (165, "", "info"), (200, "", "user"), (203, "", "user"), (460, "", "user"), (320, "", "user"), (321, "", "user"), (322, "", "user"),
        (354, "", "user"), (366, "", "info"), (420, "", "wait"), (10089, "", "user"), (10090, "", "user"), (10167, "", "info"),
        (10168, "", "user"), (10186, "", "user"), (10187, "", "user"), (10197, "", "user"), (10299, "", "user"), (10314, "", "user"),
        (2174, "", "user"), (1100, "", "wait"), (1101, "", "wait"), (1102, "", "wait"), (2110, "", "wait"), (2103, "", "wait"),
        (2105, "", "wait"), (2157, "", "wait"), (2107, "", "info"), (2108, "", "info"), (2104, "", "info"), (2106, "", "info"),
        (2119, "", "info"), (2158, "", "info"), (2199, "", "info"), (4711, "", "user"),
    ],
)  # fmt: skip
def test_what_follows_from_what_ib_says(code: int | str, text: str, then: str) -> None:
    assert diagnose(code, text).then == then


@pytest.mark.parametrize("known", TABLE, ids=lambda known: f"{known.code} {known.sign}")
def test_every_row_can_be_reached_and_ends(known: object) -> None:
    row = TABLE[TABLE.index(known)]
    assert diagnose(row.code, row.sign.split("|")[0]) == row
    assert row.then in MEANINGS
    assert row.sentence
    assert row.advice
    assert not row.sentence.endswith(".")
    if row.then in ("wait", "split"):
        assert row.tries > 0
    if row.then == "wait":
        assert row.pause > 0
        assert row.pause_after(50) == LONGEST_PAUSE or row.pause_after(50) > row.pause


def test_pauses_double_up_to_ten_minutes() -> None:
    pacing = diagnose(162, "pacing violation")
    assert [pacing.pause_after(tries) for tries in range(6)] == [60, 120, 240, 480, 600, 600]


def test_an_error_tells_the_number_ibs_words_and_whether_to_run_it_again() -> None:
    error = Fault(diagnose(354), "Requested market data is not subscribed.").as_error("AAPL 1h")
    assert isinstance(error, Refused)
    assert error.message == (
        "ib 354: AAPL 1h: the account has no permission for this market's data "
        '(IB: "Requested market data is not subscribed.")'
    )  # fmt: skip
    assert error.hint
    assert error.details == {
        "provider": "ib", "code": 354, "class": "user", "said": "Requested market data is not subscribed.", "resumes": True,
    }  # fmt: skip
    unknown = Fault(diagnose(200)).as_error("XYZ 1h")
    assert isinstance(unknown, NotFound)
    assert unknown.details["resumes"] is False
    assert isinstance(Fault(diagnose("refused")).as_error("X"), Unavailable)
    assert isinstance(Fault(diagnose(162, "returned no data")).as_error("X"), NoData)


def test_the_guide_holds_the_whole_table() -> None:
    page = (ROOT / "docs" / "howto" / "load-from-interactive-brokers.md").read_text(encoding="utf-8")
    assert "\n".join(table_lines()) in page
