"""Strategy documents on disk: those of the home, then those that come with the product."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ktrdr.errors import Conflict, Invalid, NotFound
from ktrdr.sample import FOLDER
from ktrdr.stores import atomic
from ktrdr.stores.shared import ALONE, Artefacts

BUNDLED = FOLDER / "strategies"
EXPERIMENT = "experiment.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
JSON = dict[str, Any]
Source = Literal["home", "bundled"]


@dataclass(frozen=True)
class StrategyFile:
    """Where a strategy document is."""

    name: str
    source: Source
    path: Path


@dataclass(frozen=True)
class StrategyText:
    """A strategy document as it was written."""

    name: str
    text: str
    source: Source
    path: Path


StrategyFiles = list[StrategyFile]
Documents = list[JSON]


class StrategyStore:
    """Strategies by name; one of the home hides a bundled one of the same name."""

    def __init__(self, home_strategies: Path, artefacts: Artefacts = ALONE) -> None:
        self.root, self._artefacts = home_strategies, artefacts

    def list(self) -> StrategyFiles:
        """All strategies, by name."""
        with self._artefacts.reading(self.root, lenient=True):
            return self._files()

    def _files(self) -> StrategyFiles:
        found: dict[str, StrategyFile] = {}
        places: tuple[tuple[Source, Path], ...] = (("bundled", BUNDLED), ("home", self.root))
        for source, folder in places:
            for path in folder.glob("*.yaml"):
                if NAME.fullmatch(path.stem):
                    found[path.stem] = StrategyFile(path.stem, source, path)
        return [found[name] for name in sorted(found)]

    def names(self) -> tuple[str, ...]:
        """The names of all strategies, sorted."""
        return tuple(file.name for file in self.list())

    def read(self, name: str) -> StrategyText:
        """The document called `name`, or NotFound with the nearest name."""
        wanted = checked_name(name)
        with self._artefacts.reading(self.root, lambda file: file == f"{wanted}.yaml"):
            found = self._text(wanted)
        if found:
            return found
        near = difflib.get_close_matches(wanted, self.names(), n=1, cutoff=0.5)
        raise NotFound(
            f"there is no strategy called {wanted!r}",
            hint=(f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(self.names())}",
            details={"nearest": near[0] if near else None},
        )

    def save(self, name: str, text: str) -> Path:
        """Write a new document to the home; saving the same text again does nothing, another text is a Conflict."""
        path = self.root / f"{checked_name(name)}.yaml"

        def put() -> Path:
            there = self._text(name)
            if there is None and not atomic.write_new(path, text.encode()):
                there = self._text(name)
            if there and there.text != text:
                raise Conflict(
                    f"there is another strategy called {name!r} ({there.source}: {there.path})",
                    hint="save it under a new name",
                    details={"name": name},
                )
            return there.path if there else path

        return self._artefacts.changing(self.root, put, lenient=True)

    def _text(self, name: str) -> StrategyText | None:
        for file in self._files():
            if file.name == name:
                return StrategyText(name, file.path.read_text(encoding="utf-8"), file.source, file.path)
        return None

    def save_assessment(self, name: str, assessment: JSON) -> Path:
        """Write what was made of a strategy's results to `{name}/assessment.json`, in the place of an earlier one."""
        return self._write(self._assessment(name), assessment)

    def assessment(self, name: str) -> JSON | None:
        """What was last made of a strategy's results."""
        path = self._assessment(name)
        with self._artefacts.reading(path.parent):
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def save_experiment(self, name: str, experiment: JSON) -> Path:
        """Write what a cycle came to with a strategy to `{name}/experiment.json`, in the place of an earlier one."""
        return self._write(self.root / checked_name(name) / EXPERIMENT, experiment)

    def experiments(self, limit: int) -> Documents:
        """What cycles came to, the newest first."""
        self._artefacts.look(self.root, lambda file: file == EXPERIMENT)
        files = sorted(self.root.glob(f"*/{EXPERIMENT}"), key=lambda path: (-path.stat().st_mtime_ns, path.parent.name))
        return [json.loads(path.read_text(encoding="utf-8")) for path in files[:limit]]

    def _write(self, path: Path, document: JSON) -> Path:
        content = (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
        self._artefacts.changing(path.parent, lambda: atomic.write(path, content), lenient=True)
        return path

    def _assessment(self, name: str) -> Path:
        return self.root / checked_name(name) / "assessment.json"


def checked_name(name: str) -> str:
    """A name that stays inside the store's folder, or Invalid."""
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} cannot name a strategy", hint="1 to 64 letters, digits, _ and -, beginning with a letter or digit")
    return name
