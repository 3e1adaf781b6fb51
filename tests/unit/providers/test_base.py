from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from ktrdr.errors import Invalid, NotFound, Unavailable
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import PROVIDERS, build, require, usable, wait

DAY = Timeframe("1d")


def test_providers_are_found_by_their_file() -> None:
    assert {"ccxt", "files", "sample", "synthetic", "yahoo"} <= set(PROVIDERS.names())
    for provider in PROVIDERS:
        first = (provider.__doc__ or "").splitlines()[0]
        assert first.endswith(".")


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="no provider called 'synthetics'") as failure:
        build("synthetics", {})
    assert "did you mean 'synthetic'?" in (failure.value.hint or "")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("files", {}, "provider files needs the option 'file'"),
        ("synthetic", {"sed": 3}, "provider synthetic has no option 'sed'; did you mean 'seed'?"),
        ("sample", {"seed": 3}, "provider sample has no option 'seed'"),
        ("synthetic", {"seed": -1}, "provider synthetic, option 'seed': input should be greater than or equal to 0"),
        ("files", {"file": "here.csv"}, "provider files, option 'file': 'here.csv' must be an absolute path"),
        ("files", {"file": "/x.csv", "zone": "Mars/Base"}, "provider files, option 'zone': 'Mars/Base' is not a time zone"),
        ("ccxt", {"market": "future"}, "provider ccxt, option 'market': input should be 'spot' or 'swap'"),
        ("yahoo", {"tickr": "^GSPC"}, "provider yahoo has no option 'tickr'; did you mean 'ticker'?"),
        ("files", {"file": "/x.csv", "stamp": "mid"}, "provider files, option 'stamp': input should be 'start' or 'end'"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(name: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(Invalid) as failure:
        build(name, options)
    assert failure.value.message == sentence
    assert name in (failure.value.hint or "")


def rows(*times: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    count = len(times)
    columns = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 7.0}
    return np.array(times, "datetime64[us]"), {name: np.full(count, value) for name, value in columns.items()}


def test_rows_become_bars_in_order_and_a_repeated_one_counts_once() -> None:
    times, columns = rows("2020-01-02", "2020-01-01", "2020-01-02", "2020-01-03")
    bars, remarks, rejected = usable("AAPL", DAY, times, columns, "yahoo")
    assert [str(at)[:10] for at in bars.time] == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert (bars.provider, remarks, rejected) == ("yahoo", [], ())
    assert len(usable("AAPL", DAY, *rows(), "yahoo")[0]) == 0


def test_rows_that_cannot_be_bars_are_left_out_and_told_by_fault() -> None:
    times, columns = rows(*(f"2020-01-0{day}" for day in range(1, 8)), "2020-01-07")
    columns["close"][[0, 1]] = np.nan
    columns["low"][3] = 9.0
    columns["volume"][4] = -1.0
    columns["open"][7] = 2.1
    bars, remarks, rejected = usable("AAPL", DAY, times, columns, "yahoo")
    assert [str(at)[:10] for at in bars.time] == ["2020-01-03", "2020-01-06"]
    assert remarks == [
        "AAPL 1d: 2 rows were left out: each, as that of 2020-01-01 00:00, has no price",
        "AAPL 1d: the row of 2020-01-04 00:00 was left out: it has a low above its open or close",
        "AAPL 1d: the row of 2020-01-05 00:00 was left out: it has a volume that is negative or not a number",
        "AAPL 1d: 2 rows were left out: each, as that of 2020-01-07 00:00, comes twice, with different values",
    ]
    assert [(row.time.day if row.time else None, row.reason) for row in rejected] == [
        (1, "has no price"), (2, "has no price"), (4, "has a low above its open or close"),
        (5, "has a volume that is negative or not a number"), (7, "comes twice, with different values"),
        (7, "comes twice, with different values"),
    ]  # fmt: skip
    assert (rejected[2].values, rejected[2].row) == ((2.0, 3.0, 9.0, 2.5, 7.0), None)


def test_a_wait_says_for_how_long_and_is_ended_by_the_listener() -> None:
    told: list[str] = []
    begun = time.monotonic()
    wait(0.12, "the line is busy", told.append)
    assert 0.12 <= time.monotonic() - begun < 5
    assert set(told) == {"the line is busy; going on in 1 s"}
    assert len(told) >= 2

    def enough(_: str) -> None:
        raise Unavailable("enough")

    with pytest.raises(Unavailable, match="enough"):
        wait(60, "the line is busy", enough)


def test_a_package_that_is_not_there_is_named_with_what_to_install() -> None:
    with pytest.raises(Unavailable, match="provider ccxt needs the package no_such_package, which is not installed") as failure:
        require("ccxt", "no_such_package", "crypto")
    assert failure.value.hint == "pip install 'ktrdr[crypto]'"
    assert (PROVIDERS.get("ccxt").needs, PROVIDERS.get("yahoo").needs) == (("ccxt", "crypto"), ("yfinance", "yahoo"))


ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("ccxt", "yfinance"):
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Absent())
from ktrdr.errors import Unavailable
from ktrdr.providers.base import build
for name in ("ccxt", "yahoo"):
    try:
        build(name, {})
    except Unavailable as told:
        print(told.hint)
print(*(name for name in ("ccxt", "yfinance", "pandas", "requests") if name in sys.modules))
"""


@pytest.mark.process
def test_without_the_extras_only_their_providers_are_missing_and_nothing_is_loaded_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", ABSENT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["pip install 'ktrdr[crypto]'", "pip install 'ktrdr[yahoo]'", ""]
