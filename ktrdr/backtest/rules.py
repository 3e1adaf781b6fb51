"""What the simulation goes by: its rules, and the bars as it reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

CUT, REFUSE, BORROW = 0, 1, 2
"""What becomes of an order that the account cannot afford: filled as far as it goes, not at all, or on credit."""
NO_BAR, EXITS_ONLY, OPEN = 0, 1, 2
"""What may be done with a symbol at the open of a bar."""


class Rules(NamedTuple):
    """How orders are sized and positions ended; as it stands, the whole equity and nothing but the decisions."""

    units: float = 0.0
    """Units of each entry; 0 where it takes a share of the equity."""
    lot: float = 0.0
    """Least step of a quantity; 0 for any fraction."""
    leverage: float = 1.0
    """All positions together are worth at most so many times the equity when one is entered."""
    unaffordable: int = CUT
    stop_loss: float = 0.0
    """Share of the entry price; 0 for none, as the next two."""
    take_profit: float = 0.0
    trailing: float = 0.0
    """Share of the best price since the entry."""
    cooldown: int = 0
    """Bars after an exit before the next entry of the same symbol."""
    exits: bool = False
    """Whether there is any stop or take-profit."""
    gated: bool = False
    """Whether `allowed` has something to say."""
    borrows: bool = False
    """Whether any short position pays for what it borrows."""


class Market(NamedTuple):
    """What the loop reads: arrays when compiled, lists when plain. A row per bar, in it an entry per symbol, all in one line.

    `allowed`, `weight` and `years` have one entry where it is the same for all.
    """

    open: Any
    high: Any
    low: Any
    close: Any
    target: Any
    """Position wanted after the bar's close: -1, 0 or 1."""
    allowed: Any
    weight: Any
    """Share of the equity that an entry takes, as known at the bar's close; NaN where it is not."""
    years: Any
    """Time from this bar to the next, per bar."""
