"""How often Interactive Brokers may be asked: its limits, and a memory of what was asked that all processes of a home share."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Rule:
    """At most so many requests in any so many seconds."""

    most: int
    seconds: float
    per: Literal["account", "contract", "question"]
    """Whether all requests count together, those about one contract, or those that are the same in every word."""
    reason: str


RULES = (
    Rule(55, 600.0, "account", "IB allows 60 requests in 10 minutes"),  # five are left to other programs
    Rule(1, 15.0, "question", "IB allows the same request once in 15 s"),
    Rule(1, 0.4, "contract", "IB allows 5 requests about a contract in 2 s"),
)


@dataclass(frozen=True)
class Asked:
    """One request that was sent."""

    at: float
    contract: str
    question: str
    """Every word of the request; empty for one that may be repeated at will."""

    def counts(self, rule: Rule, contract: str, question: str) -> bool:
        """Whether it counts against another request."""
        if rule.per == "account":
            return True
        return self.contract == contract if rule.per == "contract" else bool(question) and self.question == question


@dataclass(frozen=True)
class Wait:
    """So many seconds must pass before a request, and why."""

    seconds: float
    reason: str


class Pacing:
    """What was asked, and when the next request may be sent."""

    def __init__(self, asked: Iterable[Asked] = (), *, clock: Callable[[], float] = time.time, rules: tuple[Rule, ...] = RULES) -> None:
        self._clock, self._rules = clock, rules
        self._longest = max(rule.seconds for rule in rules)
        self.asked = [one for one in asked if 0 <= clock() - one.at < self._longest]  # a clock that was set back forgets

    def take(self, contract: str, question: str) -> Wait | None:
        """Count a request that is sent now; or, uncounted, how long it must wait."""
        now = self._clock()
        self.asked = [one for one in self.asked if now - one.at < self._longest]
        waits = [self._wait(rule, contract, question, now) for rule in self._rules]
        longest = max(waits, key=lambda wait: wait.seconds)
        if longest.seconds > 0:
            return longest
        self.asked.append(Asked(now, contract, question))
        return None

    def _wait(self, rule: Rule, contract: str, question: str, now: float) -> Wait:
        times = sorted(one.at for one in self.asked if one.counts(rule, contract, question))
        full = len(times) >= rule.most
        return Wait(times[-rule.most] + rule.seconds - now if full else 0.0, rule.reason)


class SharedPacing:
    """The memory of requests in a file, one a line, read and written under a lock."""

    def __init__(self, path: Path, rules: tuple[Rule, ...] = RULES) -> None:
        self._path, self._rules = path, rules

    def take(self, contract: str, question: str) -> Wait | None:
        """Count a request that is sent now, for every process; or, uncounted, how long it must wait."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            pacing = Pacing(_read(file), rules=self._rules)
            wait = pacing.take(contract, question)
            if wait is None:
                file.seek(0)
                file.truncate()
                file.writelines(f"{one.at!r}\t{one.contract}\t{one.question}\n" for one in pacing.asked)
        return wait

    def count(self) -> int:
        """How many requests count at the moment."""
        if not self._path.exists():
            return 0
        with self._path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return len(Pacing(_read(file), rules=self._rules).asked)


def _read(lines: Iterable[str]) -> list[Asked]:
    """The requests in a file; a line that a crash cut short is no request."""
    parts = [line.removesuffix("\n").split("\t") for line in lines if line.endswith("\n")]
    return [Asked(float(part[0]), part[1], part[2]) for part in parts if len(part) == 3]
