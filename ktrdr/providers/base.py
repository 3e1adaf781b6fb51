"""What a provider of bars is."""

from __future__ import annotations

import difflib
import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from ktrdr.errors import Invalid, Unavailable
from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars, Floats, Times, as_datetime, row_faults
from ktrdr.market.rows import BadRow, bad_rows
from ktrdr.market.timeframe import Timeframe
from ktrdr.registry import Registry
from ktrdr.settings import Settings

OnProgress = Callable[[str], None]
"""Called with what is being done, in waits at least every 50 ms; what it raises ends the fetch."""
REQUEST_SECONDS = 0.7
"""About so long an answer takes."""
POLL_SECONDS = 0.05
"""While it waits, a provider asks this often whether it is to stop."""


MONTH = timedelta(days=30)
HOUR = 3600
"""In seconds; of shorter bars less is asked for before it is stored."""


@dataclass(frozen=True)
class Reach:
    """A provider's bars of a symbol lie in [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Standing:
    """How a provider stands on this machine."""

    configured: bool = True
    """Whether everything is installed that it takes."""
    reachable: bool = True
    sentence: str = "on this machine"
    hint: str | None = None


@dataclass(frozen=True)
class Spent:
    """What asking has taken."""

    requests: int = 0
    waited: float = 0.0
    """Seconds in which a limit or a pause was waited for."""


class Provider(BaseModel):
    """Where bars come from: a frozen class whose fields are its options.

    The docstring's first line is shown to users. A provider never touches the store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs: ClassVar[tuple[str, str] | None] = None
    """The package it cannot do without, and the extra of ktrdr that installs it."""
    limits: ClassVar[str] = "none"
    """How often it may be asked."""

    @classmethod
    def standing(cls, settings: Settings) -> Standing:
        """Whether it could be asked now; takes a second at most and asks for nothing."""
        if cls.needs is None:
            return Standing()
        package = cls.needs[0]
        if not installed(package):
            return Standing(False, False, f"needs the package {package}", cls.install())
        return Standing(True, True, f"the package {package} is there; whether its server answers shows when it is asked")

    @classmethod
    def install(cls) -> str | None:
        """The command that installs what it needs."""
        return f"pip install 'ktrdr[{cls.needs[1]}]'" if cls.needs else None

    def accept(self, symbol: str, timeframe: Timeframe) -> None:
        """Refuse, before anything is asked, what it cannot have."""

    def regular_hours(self) -> Self:
        """The provider that gives bars of the regular hours alone, where it can tell them apart; what it gives is cut to them anyway."""
        return self

    def extended_hours(self) -> Self:
        """The provider that gives bars before and after the regular hours too, where it leaves them out otherwise."""
        return self

    @property
    def extended(self) -> bool:
        """Whether its options ask for bars before and after the regular hours."""
        return False

    def piece(self, timeframe: Timeframe) -> timedelta | None:
        """How much is asked for and stored at once; by default a year."""
        return None

    def requests(self, timeframe: Timeframe, bars: int, length: timedelta) -> int:
        """How many requests a part of this length takes, in which so many bars are expected; 0 where nobody is asked."""
        return 0

    def seconds(self, requests: int) -> float:
        """About how long so many requests take, one after the other, with the waits for the provider's limits."""
        return requests * REQUEST_SECONDS

    def spent(self) -> Spent:
        """What asking has taken so far."""
        return self._spent

    def count_request(self) -> None:
        """Note that a request is sent."""
        self._spent = replace(self._spent, requests=self._spent.requests + 1)

    def count_wait(self, seconds: float) -> None:
        """Note that so long was waited."""
        self._spent = replace(self._spent, waited=self._spent.waited + seconds)

    _remarks: list[str] = PrivateAttr(default_factory=list)
    _spent: Spent = PrivateAttr(default_factory=Spent)

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach | None:
        """How far its bars reach; None where it has bars for whatever range it is asked for."""
        raise NotImplementedError

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """Its bars that start in [start, end), maybe none, stamped at their start in UTC.

        Every failure is a KtrdrError that says what to do; none is an empty answer.
        """
        raise NotImplementedError

    def origin(self, symbol: str) -> str:
        """What its bars of a symbol are, where its name does not say it all; one series keeps to one origin."""
        return ""

    def actions(self, symbol: str) -> tuple[Action, ...]:
        """The splits and dividends that came with the bars."""
        return ()

    _rejected: list[BadRow] = PrivateAttr(default_factory=list)

    def rejected(self) -> list[BadRow]:
        """The rows that could not be bars, of those fetched since this was asked last."""
        told, self._rejected[:] = list(self._rejected), []
        return told

    def remarks(self) -> list[str]:
        """What users must know of the bars fetched since this was asked last."""
        told, self._remarks[:] = list(self._remarks), []
        return told


PROVIDERS: Registry[Provider] = Registry("provider", "ktrdr.providers")


def build(name: str, options: Mapping[str, Any]) -> Provider:
    """The provider called `name` with its options, or Invalid that says which option is wrong."""
    cls = PROVIDERS.get(name)
    if cls.needs:
        require(name, *cls.needs)
    try:
        return cls(**options)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise Invalid(
            _complaint(name, cls, first["type"], str(first["loc"][0]), first["msg"].removeprefix("Value error, ")), hint=_known(name, cls)
        ) from wrong


def require(name: str, package: str, extra: str) -> None:
    """Unavailable, with what to install, unless a provider's package is there."""
    if not installed(package):
        raise Unavailable(f"provider {name} needs the package {package}, which is not installed", hint=f"pip install 'ktrdr[{extra}]'")


def installed(package: str) -> bool:
    """Whether a package is there; it is not loaded."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def no_bars(symbol: str, timeframe: Timeframe, provider: str) -> Bars:
    """An empty answer."""
    return Bars.checked(symbol, timeframe, [], **{column: [] for column in COLUMNS}, provider=provider)


def wait(seconds: float, why: str, on_progress: OnProgress) -> None:
    """Let time pass and say for how long; whatever the listener raises ends it."""
    over = time.monotonic() + seconds
    while (left := over - time.monotonic()) > 0:
        on_progress(f"{why}; going on in {math.ceil(left)} s")
        time.sleep(min(left, POLL_SECONDS))


def usable(
    symbol: str, timeframe: Timeframe, time: Times, columns: Mapping[str, Floats], provider: str
) -> tuple[Bars, list[str], tuple[BadRow, ...]]:
    """The rows of an answer that can be bars, in order of time; what is to be said of those that cannot; and these themselves."""
    order = np.argsort(time, kind="stable")
    time, columns = time[order], {name: columns[name][order] for name in COLUMNS}
    again = np.concatenate((np.zeros(min(len(time), 1), bool), time[1:] == time[:-1]))
    same = again & np.all([np.concatenate((np.zeros(min(len(time), 1), bool), c[1:] == c[:-1])) for c in columns.values()], axis=0)
    time, columns, again = time[~same], {name: column[~same] for name, column in columns.items()}, again[~same]
    unpriced = np.any([np.isnan(columns[name]) for name in COLUMNS[:4]], axis=0)
    disputed = again | np.concatenate((again[1:], np.zeros(min(len(time), 1), bool)))
    faults = [(unpriced, "has no price"), *row_faults(columns), (disputed, "comes twice, with different values")]
    left_out, remarks = np.zeros(len(time), bool), []
    for rows, what in faults:
        new = rows & ~left_out
        if new.any():
            first = f"{as_datetime(time[int(np.argmax(new))]):%Y-%m-%d %H:%M}"
            count = int(new.sum())
            which = f"the row of {first} was" if count == 1 else f"{count} rows were"
            remarks.append(f"{symbol} {timeframe}: {which} left out: {'it' if count == 1 else f'each, as that of {first},'} {what}")
        left_out |= rows
    kept = {name: column[~left_out] for name, column in columns.items()}
    return Bars.checked(symbol, timeframe, time[~left_out], **kept, provider=provider), remarks, bad_rows(time, columns, faults)


def _complaint(name: str, cls: type[Provider], kind: str, option: str, message: str) -> str:
    if kind == "missing":
        return f"provider {name} needs the option {option!r}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(option, cls.model_fields, n=1)
        return f"provider {name} has no option {option!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"provider {name}, option {option!r}: {message[0].lower()}{message[1:]}"


def _known(name: str, cls: type[Provider]) -> str:
    return f"options of {name}: {', '.join(cls.model_fields)}" if cls.model_fields else f"{name} has no options"
