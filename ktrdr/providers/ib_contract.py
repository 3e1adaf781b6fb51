"""What Interactive Brokers calls an instrument."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ktrdr.errors import Invalid
from ktrdr.market.sessions import PAIR, asset_class

Asset = Literal["stock", "fx", "crypto", "commodity", "index"]
Price = Literal["TRADES", "MIDPOINT", "BID", "ASK"]
PAIRS = frozenset({"fx", "crypto", "commodity"})
"""What is named by what is bought and what it is paid with."""
COIN = re.compile(r"([A-Z0-9]{2,6})[/.-]?([A-Z]{3})")
SHARE_CLASS = re.compile(r"[.-]([A-Z])$")


@dataclass(frozen=True)
class Terms:
    """How an asset is asked for unless the user says otherwise."""

    sec_type: str
    exchange: str
    price: str


TERMS: dict[Asset, Terms] = {
    "stock": Terms("STK", "SMART", "TRADES"),
    "fx": Terms("CASH", "IDEALPRO", "MIDPOINT"),
    "crypto": Terms("CRYPTO", "PAXOS", "AGGTRADES"),
    "commodity": Terms("CMDTY", "SMART", "MIDPOINT"),
    "index": Terms("IND", "CBOE", "TRADES"),
}


@dataclass(frozen=True)
class Instrument:
    """An instrument as IB knows it, and which of its prices are asked for."""

    asset: Asset
    symbol: str
    exchange: str
    currency: str
    primary_exchange: str
    price: str

    @property
    def sec_type(self) -> str:
        """What IB calls its kind."""
        return TERMS[self.asset].sec_type

    def __str__(self) -> str:
        return " ".join(filter(None, (self.sec_type, self.symbol, self.currency, self.exchange, self.primary_exchange, self.price)))


def named(
    symbol: str, *, asset: Asset | None = None, exchange: str | None = None, currency: str | None = None,
    primary_exchange: str | None = None, price: Price | None = None,
) -> Instrument:  # fmt: skip
    """What a symbol is at IB: what is said of it, else what its spelling says; Invalid where that is not clear.

    >>> str(named("EURUSD"))
    'CASH EUR USD IDEALPRO MIDPOINT'
    >>> str(named("BRK.B"))
    'STK BRK B USD SMART TRADES'
    """
    kind = asset or _by_spelling(symbol)
    terms = TERMS[kind]
    name, paid_in = _pair(symbol, kind) if kind in PAIRS else (SHARE_CLASS.sub(r" \1", symbol), "USD")
    if kind in PAIRS and currency not in (None, paid_in):
        raise Invalid(f"{symbol} is paid for in {paid_in}, not in {currency}", hint="leave out the option currency")
    if kind in ("fx", "commodity") and price == "TRADES":
        raise Invalid(f"ib has no trades of {symbol}, only quotes", hint="take the option price=MIDPOINT, BID or ASK")
    name = symbol if kind == "commodity" else name  # gold is XAUUSD there, in USD
    chosen = "AGGTRADES" if kind == "crypto" and price == "TRADES" else price or terms.price
    return Instrument(kind, name, exchange or terms.exchange, currency or paid_in, primary_exchange or "", chosen)


def _by_spelling(symbol: str) -> Asset:
    kind = asset_class(symbol)
    if kind == "fx":
        return "fx"
    if kind == "crypto":
        return "crypto"
    if kind == "us_stock":
        return "stock"
    raise Invalid(
        f"what {symbol} is at ib does not show in its spelling",
        hint="say it, such as --option asset=index --option exchange=CBOE; known: " + ", ".join(TERMS),
    )


def _pair(symbol: str, kind: Asset) -> tuple[str, str]:
    found = (COIN if kind == "crypto" else PAIR).fullmatch(symbol)
    if not found or (kind == "crypto" and symbol.endswith(("USDT", "USDC", "BUSD", "PERP"))):
        example = "BTCUSD" if kind == "crypto" else "XAUUSD" if kind == "commodity" else "EURUSD"
        raise Invalid(f"{symbol} is no pair that ib has", hint=f"write it like {example}")
    return found[1], found[2]
