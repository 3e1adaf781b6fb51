"""What a provider of bars is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.registry import Registry
from ktrdr.settings import Settings

OnProgress = Callable[[str], None]
"""Called with what is being done, in waits at least every 50 ms; what it raises ends the fetch."""


@dataclass(frozen=True)
class Reach:
    """A provider's bars of a symbol lie in [start, end)."""

    start: datetime
    end: datetime
    recent: datetime | None = None
    """Where a first load begins that names no start; by default at the start."""


@dataclass(frozen=True)
class Standing:
    """How a provider stands on this machine."""

    configured: bool = True
    """Whether everything is installed that it takes."""
    reachable: bool = True
    sentence: str = "on this machine"
    hint: str | None = None


class Provider(BaseModel):
    """Where bars come from: a frozen class whose fields are its options.

    The docstring's first line is shown to users. A provider never touches the store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs: ClassVar[str | None] = None
    """The command that installs what it takes beyond the product itself."""
    limits: ClassVar[str] = "none"
    """How often it may be asked."""

    @classmethod
    def standing(cls, settings: Settings) -> Standing:
        """Whether it could be asked now; takes a second at most and asks for nothing."""
        return Standing()

    def accept(self, symbol: str, timeframe: Timeframe) -> None:
        """Refuse, before anything is asked, what it cannot have."""

    def regular_hours(self) -> Self:
        """The provider that gives bars of the regular hours alone, where it can tell them apart; what it gives is cut to them anyway."""
        return self

    def piece(self, timeframe: Timeframe) -> timedelta | None:
        """How much is asked for and stored at once; by default a year."""
        return None

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach | None:
        """How far its bars reach; None where it has bars for whatever range it is asked for."""
        raise NotImplementedError

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """Its bars that start in [start, end), maybe none, stamped at their start in UTC.

        Every failure is a KtrdrError that says what to do; none is an empty answer.
        """
        raise NotImplementedError


PROVIDERS: Registry[Provider] = Registry("provider", "ktrdr.providers")


def build(name: str, options: Mapping[str, Any]) -> Provider:
    """The provider called `name` with its options, or Invalid that says which option is wrong."""
    cls = PROVIDERS.get(name)
    try:
        return cls(**options)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise Invalid(
            _complaint(name, cls, first["type"], str(first["loc"][0]), first["msg"].removeprefix("Value error, ")), hint=_known(name, cls)
        ) from wrong


def no_bars(symbol: str, timeframe: Timeframe, provider: str) -> Bars:
    """An empty answer."""
    return Bars.checked(symbol, timeframe, [], **{column: [] for column in COLUMNS}, provider=provider)


def _complaint(name: str, cls: type[Provider], kind: str, option: str, message: str) -> str:
    if kind == "missing":
        return f"provider {name} needs the option {option!r}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(option, cls.model_fields, n=1)
        return f"provider {name} has no option {option!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"provider {name}, option {option!r}: {message[0].lower()}{message[1:]}"


def _known(name: str, cls: type[Provider]) -> str:
    return f"options of {name}: {', '.join(cls.model_fields)}" if cls.model_fields else f"{name} has no options"
