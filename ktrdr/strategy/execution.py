"""How a backtest executes decisions: size, stops, hours, what is affordable, and costs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Share = Annotated[float, Field(gt=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _clock(given: Any) -> Any:
    """YAML reads 17:30 without quotes as the number of its minutes."""
    if isinstance(given, int) and not isinstance(given, bool) and 600 <= given <= 1440:
        return f"{given // 60:02}:{given % 60:02}"
    if not isinstance(given, str) or minutes(given) is None:
        raise ValueError(f'{given!r} is not a time of day such as "08:00" (UTC, in quotes)')
    return given


def minutes(clock: str) -> int | None:
    """A time of day in minutes after midnight, up to 24:00; None where it is none.

    >>> minutes("08:30"), minutes("24:00"), minutes("24:01"), minutes("8")
    (510, 1440, None, None)
    """
    hour, colon, minute = clock.partition(":")
    if not colon or not (hour.isdecimal() and minute.isdecimal() and len(hour) == len(minute) == 2 and int(minute) < 60):
        return None
    total = int(hour) * 60 + int(minute)
    return total if total <= 1440 else None


Clock = Annotated[str, BeforeValidator(_clock)]


class Size(_Part):
    """How much an entry takes: exactly one of the first three."""

    share: float | None = Field(None, gt=0, le=100)
    """Of the equity."""
    units: float | None = Field(None, gt=0)
    volatility: float | None = Field(None, gt=0, le=10)
    """Yearly volatility that the position is to have."""
    span: int = Field(100, ge=10, le=10_000)
    """Bars over which volatility is measured; with `volatility` alone."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        said = [name for name in ("share", "units", "volatility") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"takes exactly one of share, units and volatility, has {' and '.join(said) or 'none'}")
        if self.volatility is None and "span" in self.model_fields_set and self.span != Size.model_fields["span"].default:
            raise ValueError("span goes with volatility alone")
        return self


class Hours(_Part):
    """When positions are entered, by the start of the bar in UTC; they are left at any time."""

    start: Clock = "00:00"
    end: Clock = "24:00"
    """Not included; before `start` it is on the next day."""
    days: Annotated[tuple[Day, ...], Field(strict=False, min_length=1)] = DAYS

    @model_validator(mode="after")
    def _is_some_time(self) -> Self:
        if self.start == self.end:
            raise ValueError(f"starts and ends at {self.start}; leave hours out for all day")
        return self


class ExecutionCosts(_Part):
    """What is charged per side instead of the usual costs of the asset class."""

    commission: float | None = Field(None, ge=0, lt=1)
    """Share of the traded value."""
    per_unit: float | None = Field(None, ge=0)
    """Money per unit."""
    spread: float | None = Field(None, ge=0)
    """Half of the quoted spread, in price."""
    slippage: float | None = Field(None, ge=0, lt=1)
    """Share of the price."""
    borrow: float | None = Field(None, ge=0, le=10)
    """Share of the value of a short position, per year."""


class Execution(_Part):
    """How decisions become trades; what is left out is the whole equity at the next open, with nothing in between."""

    size: Size = Field(default_factory=lambda: Size(share=1.0))
    lot: float = Field(0.0, ge=0)
    """Least step of a quantity: 1 for whole units, 0 for any fraction."""
    leverage: float = Field(1.0, ge=1, le=100)
    """All positions together are worth at most so many times the equity when one is entered."""
    unaffordable: Literal["cut", "refuse", "borrow"] = "cut"
    """An order beyond that is filled as far as it goes, not at all, or on credit."""
    stop_loss: Share | None = None
    """Share of the entry price."""
    take_profit: Share | None = None
    """Share of the entry price."""
    trailing_stop: Share | None = None
    """Share of the best price since the entry."""
    cooldown: int = Field(0, ge=0, le=100_000)
    """Bars after an exit before the same symbol is entered again."""
    hours: Hours | None = None
    portfolio: bool = False
    """Trade all symbols of the strategy in one account, not the first alone."""
    costs: ExecutionCosts | None = None
