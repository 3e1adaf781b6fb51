"""What trading costs: commission, spread and slippage, per side."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.backtest.kernel import Rates
from ktrdr.market.sessions import asset_class
from ktrdr.strategy.execution import ExecutionCosts

BASIS_POINT = 0.0001
SHARES = {"us_stock": (1.0, 0.5), "crypto": (10.0, 2.0), "other": (2.0, 1.0)}
"""Commission and slippage in basis points of the traded value, per side, by asset class."""
FX_PIPS = (0.5, 0.1)
"""Spread and slippage in pips, per side."""


class Costs(BaseModel):
    """The costs of one side of a trade; a round trip pays them twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commission: float = Field(0.0, ge=0, lt=1)
    """Share of the traded value."""
    slippage: float = Field(0.0, ge=0, lt=1)
    """Share of the price: buys fill above it, sales below."""
    spread: float = Field(0.0, ge=0)
    """Price units between the bar's price and the side of the quote that is traded."""
    slippage_price: float = Field(0.0, ge=0)
    """Slippage in price units, for markets that quote it so."""
    per_unit: float = Field(0.0, ge=0)
    """Money per unit traded."""
    borrow: float = Field(0.0, ge=0)
    """Share of the value of a short position, per year."""

    @property
    def rates(self) -> Rates:
        """The costs as the simulation reads them."""
        return Rates(self.commission, self.slippage, self.spread + self.slippage_price, self.per_unit, self.borrow)

    def overridden(self, commission: float | None = None, slippage: float | None = None) -> Costs:
        """The costs with what a user names instead, as shares of the traded value.

        A commission replaces the whole of the broker's charge, spread included; a slippage replaces all slippage.
        """
        changed = self.model_dump()
        if commission is not None:
            changed |= {"commission": commission, "spread": 0.0, "per_unit": 0.0}
        if slippage is not None:
            changed |= {"slippage": slippage, "slippage_price": 0.0}
        return Costs(**changed)

    def executed(self, given: ExecutionCosts | None) -> Costs:
        """The costs with what a strategy's execution names instead; a commission replaces the whole of the broker's charge."""
        if given is None:
            return self
        named = given.model_dump(exclude_none=True)
        changed = self.overridden(given.commission, given.slippage).model_dump() | named
        return Costs(**changed)

    def sentence(self) -> str:
        """The costs in words."""
        parts = [
            f"commission {self.commission:.4%}" if self.commission else "",
            f"slippage {self.slippage:.4%}" if self.slippage else "",
            f"spread {_decimal(self.spread)} in price" if self.spread else "",
            f"slippage {_decimal(self.slippage_price)} in price" if self.slippage_price else "",
            f"{_decimal(self.per_unit)} per unit" if self.per_unit else "",
        ]
        named = [part for part in parts if part]
        sides = [f"per side: {', '.join(named)}"] if named else []
        lent = [f"borrowing {self.borrow:.4%} a year"] if self.borrow else []
        return "; ".join(sides + lent) or "no costs"


def _decimal(amount: float) -> str:
    return f"{amount:.10f}".rstrip("0")


def pip(symbol: str) -> float:
    """The usual smallest step of an exchange rate: 0.01 for quotes in yen, else 0.0001."""
    return 0.01 if symbol.upper().endswith("JPY") else 0.0001


def default_costs(symbol: str) -> Costs:
    """What a retail account pays for this asset class, unless the strategy or the user says otherwise."""
    kind = asset_class(symbol)
    if kind == "fx":
        spread, slippage = FX_PIPS
        return Costs(spread=spread * pip(symbol), slippage_price=slippage * pip(symbol))
    commission, slippage = SHARES[kind]
    return Costs(commission=commission * BASIS_POINT, slippage=slippage * BASIS_POINT)
