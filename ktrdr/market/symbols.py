"""One spelling for each symbol: EUR/USD, EUR.USD and EURUSD are the same series."""

from __future__ import annotations

import re

from ktrdr.market.sessions import CURRENCIES

TWO_PARTS = re.compile(r"([A-Z0-9]{1,12})[/.\- ]([A-Z0-9]{1,12})")
QUOTES = frozenset({"USDT", "USDC", "BUSD", "FDUSD", "PERP", "BTC", "ETH"})
"""What coins are paid in, beside currencies."""
COINS = frozenset({"BTC", "ETH", "XBT", "SOL", "XRP", "ADA", "DOGE", "LTC", "BNB", "DOT", "AVAX", "LINK", "TRX", "BCH"})
SHARE_CLASSES = frozenset("ABCK")
METALS = frozenset({"XAU", "XAG", "XPT", "XPD"})


def joined(symbol: str) -> str:
    """A symbol in the spelling of the store; what is not recognised is left as it is.

    >>> [joined(name) for name in ("eur/usd", "EUR.USD", "BTC-USDT", "btc/usdt", "BRK-B", "brk b", "AAPL")]
    ['EURUSD', 'EURUSD', 'BTCUSDT', 'BTCUSDT', 'BRK.B', 'BRK.B', 'AAPL']
    """
    name = " ".join(symbol.upper().split())
    parts = TWO_PARTS.fullmatch(name)
    if parts is None:
        return name
    first, second = parts[1], parts[2]
    paid_in_money = second in CURRENCIES and first in CURRENCIES | COINS | METALS
    if second in QUOTES or paid_in_money or ("/" in name and min(len(first), len(second)) > 1):
        return first + second
    return f"{first}.{second}" if second in SHARE_CLASSES and first.isalpha() and len(first) > 1 else name
