"""Symbols become what IB calls them."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.errors import Invalid
from ktrdr.providers.base import build
from ktrdr.providers.ib import Ib
from ktrdr.providers.ib_contract import named


@pytest.mark.parametrize(
    ("symbol", "said", "contract"),
    [
        ("EURUSD", {}, "CASH EUR USD IDEALPRO MIDPOINT"),
        ("EUR.USD", {"price": "BID"}, "CASH EUR USD IDEALPRO BID"),
        ("USDJPY", {}, "CASH USD JPY IDEALPRO MIDPOINT"),
        ("AAPL", {}, "STK AAPL USD SMART TRADES"),
        ("BRK.B", {}, "STK BRK B USD SMART TRADES"),
        ("SAP", {"exchange": "IBIS", "currency": "EUR"}, "STK SAP EUR IBIS TRADES"),
        ("MSFT", {"primary_exchange": "NASDAQ", "price": "MIDPOINT"}, "STK MSFT USD SMART NASDAQ MIDPOINT"),
        ("BTCUSD", {}, "CRYPTO BTC USD PAXOS AGGTRADES"),
        ("XAUUSD", {"asset": "commodity"}, "CMDTY XAUUSD USD SMART MIDPOINT"),
        ("SPX", {"asset": "index"}, "IND SPX USD CBOE TRADES"),
    ],
)
def test_an_instrument_by_its_spelling_and_by_what_is_said_of_it(symbol: str, said: dict[str, Any], contract: str) -> None:
    assert str(named(symbol, **said)) == contract
    assert str(build("ib", said).instrument(symbol)) == contract


@pytest.mark.parametrize(
    ("symbol", "said", "sentence"),
    [
        ("SP500", {}, "what SP500 is at ib does not show in its spelling"),
        ("BTCUSDT", {}, "BTCUSDT is no pair that ib has"),
        ("AAPL", {"asset": "fx"}, "AAPL is no pair that ib has"),
        ("EURUSD", {"price": "TRADES"}, "ib has no trades of EURUSD, only quotes"),
        ("EURUSD", {"currency": "CHF"}, "EURUSD is paid for in USD, not in CHF"),
    ],
)
def test_what_is_not_clear_is_refused_with_advice(symbol: str, said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as failure:
        named(symbol, **said)
    assert failure.value.message == sentence
    assert failure.value.hint


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"price": "LAST"}, "provider ib, option 'price': input should be 'TRADES', 'MIDPOINT', 'BID' or 'ASK'"),
        ({"asset": "bond"}, "provider ib, option 'asset': input should be 'stock', 'fx', 'crypto', 'commodity' or 'index'"),
        ({"currency": "usd"}, "provider ib, option 'currency': string should match pattern '^[A-Z]{3}$'"),
        ({"curency": "USD"}, "provider ib has no option 'curency'; did you mean 'currency'?"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as failure:
        build("ib", said)
    assert failure.value.message == sentence


def test_it_says_what_it_allows_and_what_it_takes() -> None:
    assert Ib.install() == "pip install 'ktrdr[ib]'"
    assert Ib.limits == "60 requests in 10 minutes; the same request once in 15 s; 5 requests about a contract in 2 s"
