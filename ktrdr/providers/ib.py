"""Bars from Interactive Brokers, through TWS or Gateway on this machine or another."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import numpy as np
from pydantic import Field, PrivateAttr

from ktrdr.market.bars import COLUMNS, Bars, as_datetime, as_time
from ktrdr.market.sessions import bar_start
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.providers.base import PROVIDERS, REQUEST_SECONDS, OnProgress, Provider, Reach, Standing, installed, usable
from ktrdr.providers.ib_chunks import Chunk, bar_size, chunks, longest
from ktrdr.providers.ib_contract import Asset, Instrument, Price, named
from ktrdr.providers.ib_diagnosis import Diagnosis, Fault, diagnose
from ktrdr.providers.ib_pacing import RULES, Rule, SharedPacing
from ktrdr.providers.ib_session import Address, Question, Row, Session, pause
from ktrdr.settings import Settings

if TYPE_CHECKING:
    from ib_async import Contract

T = TypeVar("T")
PACKAGE = "ib_async"
PROBE_SECONDS = 1.0
EASIER_AFTER = 10
"""After so many good answers in a row longer chunks are tried again."""
SHORTEST = 4
"""Chunks are halved so many times at most before they are asked for."""


@PROVIDERS.add
class Ib(Provider):
    """Interactive Brokers, through a running TWS or Gateway.

    Each answer is looked into: what IB refuses, or does not answer, is told with advice, and is never taken for "no bars".
    """

    asset: Asset | None = None
    """What the symbol is; by default what its spelling says."""
    exchange: str | None = Field(None, pattern=r"^[A-Z0-9.]{2,16}$")
    """Where it is traded, such as CBOE; by default SMART for stocks, IDEALPRO for currencies."""
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    """What it is paid for in; by default USD for stocks."""
    primary_exchange: str | None = Field(None, pattern=r"^[A-Z0-9.]{2,16}$")
    """Where a stock is listed, such as NASDAQ, if more than one has that symbol."""
    price: Price | None = None
    """Which prices: TRADES for stocks, MIDPOINT for currencies, or BID, ASK."""

    needs: ClassVar[tuple[str, str]] = (PACKAGE, "ib")
    limits: ClassVar[str] = "; ".join(rule.reason.removeprefix("IB allows ") for rule in RULES)
    rules: ClassVar[tuple[Rule, ...]] = RULES

    _regular: bool = PrivateAttr(False)
    _halvings: int = PrivateAttr(0)
    _good: int = PrivateAttr(0)

    @classmethod
    def standing(cls, settings: Settings) -> Standing:
        """Whether the client is installed, and whether something listens where TWS or Gateway should."""
        if not installed(PACKAGE):
            return super().standing(settings)
        where = f"{settings.ib_host}:{settings.ib_port}"
        try:
            socket.create_connection((settings.ib_host, settings.ib_port), PROBE_SECONDS).close()
        except OSError as error:
            fault = diagnose("refused")
            return Standing(True, False, f"{fault.sentence}, {where} ({error})", fault.advice)
        return Standing(True, True, f"something listens at {where}", "ktrdr ib test asks whether it is TWS or Gateway")

    @classmethod
    def memory(cls, settings: Settings) -> SharedPacing:
        """What was asked lately, by any process of this home."""
        return SharedPacing(settings.folder("cache") / "ib-requests.tsv", cls.rules)

    def accept(self, symbol: str, timeframe: Timeframe) -> None:
        """Refuse what IB cannot be asked for."""
        self.instrument(symbol)
        bar_size(timeframe)

    def regular_hours(self) -> Self:
        """The provider that asks IB for the regular session alone."""
        regular = self.model_copy()
        regular._regular = True
        return regular

    def piece(self, timeframe: Timeframe) -> timedelta:
        """As long as one request."""
        return longest(timeframe)

    def requests(self, timeframe: Timeframe, bars: int, length: timedelta) -> int:
        """One for each piece, unless IB wants smaller ones."""
        return math.ceil(length / longest(timeframe))

    def seconds(self, requests: int) -> float:
        """With the waits for IB's limit, of which other loads may have used a part."""
        limit = self.rules[0]
        over = max(self.memory(Settings()).count() + requests - limit.most, 0)
        return requests * REQUEST_SECONDS + over / limit.most * limit.seconds

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach:
        """From IB's earliest bar to the last finished one."""
        self.accept(symbol, timeframe)
        wanted = self.instrument(symbol)
        first = _on_grid(self._ask(self._head(wanted, timeframe, on_progress), f"{symbol}, its earliest bar"), timeframe)
        end = _on_grid(datetime.now(UTC), timeframe)
        return Reach(first, end)

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """IB's finished bars of [start, end)."""
        self.accept(symbol, timeframe)
        about = f"{symbol} {timeframe} {start:%Y-%m-%d %H:%M} .. {end:%Y-%m-%d %H:%M}"
        rows = self._ask(self._history(self.instrument(symbol), timeframe, start, end, on_progress), about)
        columns = dict(zip(COLUMNS, np.array([row[1:] for row in rows], np.float64).reshape(-1, len(COLUMNS)).T, strict=True))
        columns["volume"] = np.maximum(columns["volume"], 0.0)  # -1 says that quotes have none
        time = np.array([as_time(row[0]) for row in rows], "datetime64[us]")
        found, remarks, rejected = usable(symbol, timeframe, time, columns, "ib")
        self._remarks.extend(remarks)
        self._rejected.extend(rejected)
        finished = found.known_at <= as_time(datetime.now(UTC))
        return found.rows(slice(0, int(finished.sum())))

    def pause_before(self, known: Diagnosis, tries: int) -> float:
        """Seconds until IB is asked again, after so many vain tries."""
        return known.pause_after(tries)

    def instrument(self, symbol: str) -> Instrument:
        """What a symbol is at IB, by the options and its spelling."""
        return named(
            symbol, asset=self.asset, exchange=self.exchange, currency=self.currency, primary_exchange=self.primary_exchange,
            price=self.price,
        )  # fmt: skip

    def _ask(self, work: Coroutine[None, None, T], about: str) -> T:
        try:
            return asyncio.run(work)
        except Fault as fault:
            raise fault.as_error(about) from fault

    def question(self, wanted: Instrument, timeframe: Timeframe) -> Question:
        """How IB is asked for an instrument's bars."""
        # The day's bar of a stock is that of its regular session, as everywhere; shorter bars are of the hours asked for.
        regular = wanted.asset in ("stock", "index") and (self._regular or timeframe.seconds >= SECONDS["1d"])
        return Question(_contract(wanted), wanted.price, regular)

    async def _head(self, wanted: Instrument, timeframe: Timeframe, tell: OnProgress) -> datetime:
        question = self.question(wanted, timeframe)
        async with Session(address(Settings()), tell) as session:
            return await self._patiently(session, wanted, "", tell, lambda: session.head(question))

    async def _history(self, wanted: Instrument, timeframe: Timeframe, start: datetime, end: datetime, tell: OnProgress) -> list[Row]:
        question, rows = self.question(wanted, timeframe), []
        todo = deque(chunks(timeframe, start, end, self._halvings))
        async with Session(address(Settings()), tell) as session:
            while todo:
                chunk = todo.popleft()
                try:
                    rows += await self._chunk(session, question, wanted, chunk, tell)
                except Fault as fault:
                    halves = chunk.halves() if fault.diagnosis.then == "split" and chunk.splits < fault.diagnosis.tries else None
                    if halves is None:
                        raise
                    self._halvings, self._good = min(self._halvings + 1, SHORTEST), 0
                    todo.extendleft(reversed(halves))
        return rows

    async def _chunk(self, session: Session, question: Question, wanted: Instrument, chunk: Chunk, tell: OnProgress) -> list[Row]:
        """The bars of one chunk; none where IB says that it has none."""
        size, text = bar_size(chunk.timeframe), f"asking IB for {wanted} {chunk}"
        words = f"{chunk.end_text} {chunk.duration} {size} {question.regular}"
        try:
            found = await self._patiently(
                session, wanted, words, tell, lambda: session.history(question, chunk.end_text, chunk.duration, size, text)
            )
        except Fault as fault:
            if fault.diagnosis.then != "none":
                raise
            return []
        if not found:
            raise Fault(diagnose("no bars"))
        self._good += 1
        if self._good >= EASIER_AFTER:
            self._halvings, self._good = max(self._halvings - 1, 0), 0
        return [row for row in found if chunk.start <= row[0] < chunk.end]

    async def _patiently(
        self, session: Session, wanted: Instrument, words: str, tell: OnProgress, ask: Callable[[], Awaitable[T]]
    ) -> T:  # fmt: skip
        """The answer to a request that keeps to IB's limits; it is repeated as long as the diagnosis says so, or Fault."""
        memory, tried = self.memory(Settings()), Counter[Diagnosis]()
        while True:
            while wait := memory.take(str(wanted), words and f"{wanted} {words}"):
                await self._pause(wait.seconds, wait.reason, tell)
            try:
                await session.stay()
                self.count_request()
                return await ask()
            except Fault as fault:
                known = fault.diagnosis
                if known.then != "wait" or tried[known] >= known.tries:
                    raise
                await self._pause(self.pause_before(known, tried[known]), f"{known.sentence} (IB {known.code})", tell)
                tried[known] += 1

    async def _pause(self, seconds: float, text: str, tell: OnProgress) -> None:
        await pause(seconds, text, tell)
        self.count_wait(seconds)


def address(settings: Settings) -> Address:
    """Where the settings say that TWS or Gateway is."""
    return Address(settings.ib_host, settings.ib_port, settings.ib_client_id, settings.ib_timeout_seconds)


def _contract(wanted: Instrument) -> Contract:
    from ib_async import Contract

    return Contract(
        secType=wanted.sec_type, symbol=wanted.symbol, exchange=wanted.exchange, currency=wanted.currency,
        primaryExchange=wanted.primary_exchange,
    )  # fmt: skip


def _on_grid(moment: datetime, timeframe: Timeframe) -> datetime:
    """The start of the bar that a moment falls into."""
    return as_datetime(bar_start(np.array([as_time(moment)]), timeframe)[0])
