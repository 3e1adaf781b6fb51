"""Things found by folder: a new one is a new file, registered under its file name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from ktrdr.errors import NotFound

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Registry(Generic[T]):
    """The classes of one package, by file name or alias, case-insensitively."""

    def __init__(self, noun: str, package: str) -> None:
        self.noun = noun
        self.package = package
        self._items: dict[str, type[T]] = {}
        self._loaded = False

    def add(self, cls: C) -> C:
        """Register a class under the name of its file; use as a decorator."""
        name = cls.__module__.rpartition(".")[2]
        known: type[Any] = self._items.setdefault(name, cls)
        if known is not cls:
            raise TypeError(f"{cls.__module__} registers two classes; one {self.noun} is one file")
        return cls

    def get(self, name: str) -> type[T]:
        """The class called `name`, with or without its noun at the end (RSIIndicator), or NotFound with the nearest name."""
        wanted = name.strip().lower().removesuffix(self.noun)
        for known, cls in self._all().items():
            if wanted == known or wanted in getattr(cls, "aliases", ()) or wanted == cls.__name__.lower():
                return cls
        near = self.nearest(name)
        raise NotFound(
            f"there is no {self.noun} called {name!r}",
            hint=(f"did you mean {near!r}? " if near else "") + f"known: {', '.join(self.names())}",
            details={"nearest": near},
        )

    def nearest(self, name: str) -> str | None:
        """The registered name or alias most like `name`."""
        spellings = {spelling: known for known, cls in self._all().items() for spelling in (known, *getattr(cls, "aliases", ()))}
        close = difflib.get_close_matches(name.lower(), list(spellings), n=1, cutoff=0.5)
        return close[0] if close else None

    def name_of(self, cls: type[Any]) -> str:
        """The registered name of a class."""
        return cls.__module__.rpartition(".")[2]

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(self._all())

    def __iter__(self) -> Iterator[type[T]]:
        return iter(self._all().values())

    def _all(self) -> dict[str, type[T]]:
        if not self._loaded:
            folder = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(folder.__path__):
                if module.name != "base":
                    importlib.import_module(f"{self.package}.{module.name}")
            self._items = dict(sorted(self._items.items()))
            self._loaded = True
        return self._items
