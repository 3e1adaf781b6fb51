from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ktrdr.errors import NoData
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import Reach
from ktrdr.providers.sample import Sample


def quiet(_: str) -> None:
    """Nobody listens."""


def test_it_reaches_from_the_first_bundled_bar_to_the_end_of_the_last() -> None:
    reach = Sample().reach("SPY", Timeframe("1d"), quiet)
    assert reach == Reach(datetime(1998, 1, 2, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))


def test_it_gives_the_bars_of_a_range() -> None:
    start, end = datetime(2018, 12, 24, tzinfo=UTC), datetime(2018, 12, 29, tzinfo=UTC)
    bars = Sample().fetch("SPY", Timeframe("1d"), start=start, end=end, on_progress=quiet)
    assert len(bars) == 4
    assert bars.provider == "sample"


def test_what_does_not_come_with_the_product_is_an_error_that_says_what_does() -> None:
    with pytest.raises(NoData, match=r"no bars of MSFT 1d come with the product; there are AAPL 1h, EURUSD 1h, SPY 1d"):
        Sample().reach("MSFT", Timeframe("1d"), quiet)
