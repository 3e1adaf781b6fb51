"""Folders that several homes share: published whole under a numbered manifest, fetched where they are missing or older.

A home keeps what it fetched; every file is checked against the manifest's sha256 before it is read.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from ktrdr.errors import Conflict, Invalid, Unavailable
from ktrdr.log import logger
from ktrdr.settings import Settings
from ktrdr.stores import atomic
from ktrdr.stores.locks import locked
from ktrdr.stores.manifests import Entry, Manifest, damaged, digest_of, manifest_name, newest
from ktrdr.stores.objects import MARK, Objects, open_objects

JSON = dict[str, Any]
T = TypeVar("T")
Wanted = Callable[[str], bool]
Noted = Callable[[Path], JSON]
TRIES = 40
"""So often a change is made again because another node was quicker."""
GRACE_SECONDS = 3600.0
"""A manifest that has a newer one stays so long; who took half of it to publish begins again, for his number may be free by then."""
ORPHAN_SECONDS = 86400.0
"""An object that no manifest names is what a writer left that was killed, if it is older than the newest manifest by so much."""
SWEPT_EVERY = 16
"""After so many changes old manifests and orphans are removed."""
BATCH = 16
"""Objects that are fetched or written together."""
LOCK_SECONDS = 120.0
log = logger(__name__)


class Artefacts(Protocol):
    """What stores need of the place that homes share; `Alone` where there is none."""

    shared: ClassVar[bool]
    """Whether there is one."""

    def reading(self, folder: Path, wanted: Wanted | None = None, *, lenient: bool = False) -> AbstractContextManager[None]:
        """Have a folder's files here as they were published last, all that are wanted; nobody on this machine changes them inside.

        A damaged one is an error, unless the caller is `lenient`, because it checks its files itself: then it is left out.
        """

    def changing(self, folder: Path, change: Callable[[], T], *, noted: Noted | None = None, lenient: bool = False) -> T:
        """Change a folder's files and publish them; when another node was quicker, on top of what that one published.

        `change` may be called several times. When this returns, every node sees the change; when it raises, none does.
        """

    def remove(self, folder: Path, *, for_ever: bool = False) -> None:
        """Remove a folder for every node, and `for_ever` what shows that it was there; local files are the caller's."""

    def look(self, folder: Path, wanted: Wanted | None = None) -> None:
        """Learn what folders are at or below one and fetch of each what is wanted; each has a folder here then."""

    def notes(self, folder: Path) -> Mapping[str, JSON] | None:
        """The files of a folder and what is noted of each, as of the last look; None where nothing was ever published."""

    def here(self, path: Path) -> Path:
        """Where a path of another node's home is in this home."""


class Alone:
    """No shared place: a home has everything."""

    shared: ClassVar[bool] = False

    def reading(self, folder: Path, wanted: Wanted | None = None, *, lenient: bool = False) -> AbstractContextManager[None]:
        """Nothing to fetch."""
        return nullcontext()

    def changing(self, folder: Path, change: Callable[[], T], *, noted: Noted | None = None, lenient: bool = False) -> T:
        """Nothing to publish."""
        return change()

    def remove(self, folder: Path, *, for_ever: bool = False) -> None:
        """Nobody else to tell."""

    def look(self, folder: Path, wanted: Wanted | None = None) -> None:
        """All is here."""

    def notes(self, folder: Path) -> Mapping[str, JSON] | None:
        """Nothing is published."""
        return None

    def here(self, path: Path) -> Path:
        """The path itself."""
        return path


ALONE = Alone()


def open_artefacts(settings: Settings) -> Artefacts:
    """The place that the settings name, or none."""
    if settings.artefacts is None:
        return ALONE
    return SharedFolder(open_objects(settings.artefacts, settings.artefacts_options), settings.home)


class SharedFolder:
    """The folders of one home as a cache of a shared place."""

    shared: ClassVar[bool] = True

    def __init__(self, objects: Objects, home: Path) -> None:
        self._objects, self._home = objects, home
        self._own = home / "shared"
        self._known = False

    def reading(self, folder: Path, wanted: Wanted | None = None, *, lenient: bool = False) -> AbstractContextManager[None]:
        """Fetch what is missing or older, and hold it."""
        return self._reading(self._name(folder), wanted or _all, lenient)

    @contextmanager
    def _reading(self, name: str, wanted: Wanted, lenient: bool) -> Iterator[None]:
        with self._locked(name):
            self._fetch(name, wanted, lenient=lenient)
        with self._locked(name, shared=True):
            yield

    def changing(self, folder: Path, change: Callable[[], T], *, noted: Noted | None = None, lenient: bool = False) -> T:
        """Fetch, change, publish; again where another node was quicker."""
        name = self._name(folder)
        with self._locked(name):
            for attempt in range(TRIES):
                began = time.time()
                base = self._fetch(name, _all, lenient=lenient, mine=attempt > 0)
                before = {file.name for file in _files(folder)}
                result = change()
                if self._publish(name, base, before, noted or _nothing) and time.time() - began < GRACE_SECONDS / 2:
                    return result
                for file in _files(folder):
                    if file.name not in before:
                        file.unlink()
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311  (whoever lost waits a little, each another while)
        raise Conflict(f"{name} is being changed by too many nodes at once: {TRIES} tries were too late", hint="try again")

    def remove(self, folder: Path, *, for_ever: bool = False) -> None:
        """Publish that it is empty, then remove its objects."""
        name = self._name(folder)
        with self._locked(name):
            for _ in range(TRIES):
                base = self._newest(name)
                empty = base.next({})
                if not base.number or self._objects.create(manifest_name(name, empty.number), empty.content()):
                    break
            else:
                raise Conflict(f"{name} is being changed by too many nodes at once: {TRIES} tries were too late", hint="try again")
            gone = [entry.object for entry in base.files.values()]
            if for_ever:
                gone += [object for kind in ("objects", "manifests") for object in self._objects.list(f"{kind}/{name}", deep=False)]
            self._objects.delete(gone)
            self._hold(name, {})
            self._file(name, "seen").unlink(missing_ok=True)

    def look(self, folder: Path, wanted: Wanted | None = None) -> None:
        """Read the newest manifests that were not read yet; a folder that is gone everywhere goes here as well."""
        self._open()
        name = self._name(folder)
        numbers = newest(self._objects, name, deep=True)
        unread = [(one, number) for one, number in numbers.items() if self._seen(one).number != number]
        for start in range(0, len(unread), 4 * BATCH):
            part = unread[start : start + 4 * BATCH]
            contents = self._objects.read([manifest_name(*each) for each in part])
            for (one, number), content in zip(part, contents, strict=True):
                if content is not None:  # else it was removed in between, or has a newer one
                    self._see(one, Manifest.parse(content, self._called(manifest_name(one, number))))
        for one in numbers:
            if files := self._seen(one).files:
                (self._home / one).mkdir(parents=True, exist_ok=True)
                if wanted and not all(_is(self._home / one / file, entry) for file, entry in files.items() if wanted(file)):
                    with self._locked(one):
                        self._fetch(one, wanted, lenient=True)
        for one in self._ever_held(name):
            if one not in numbers or not self._seen(one).files:
                with self._locked(one):
                    self._leave(one, {})

    def notes(self, folder: Path) -> Mapping[str, JSON] | None:
        """What the newest manifest says, as of the last look."""
        seen = self._seen(self._name(folder))
        return {name: entry.note for name, entry in seen.files.items()} if seen.number else None

    def here(self, path: Path) -> Path:
        """The same place below this home: homes may lie elsewhere on each node."""
        for depth, part in enumerate(path.parts):
            if path.is_absolute() and not path.is_relative_to(self._home) and part == "models" and len(path.parts) == depth + 3:
                return self._home.joinpath(*path.parts[depth:])
        return path

    # --- a folder's files and its manifest

    def _fetch(self, name: str, wanted: Wanted, *, lenient: bool, mine: bool = False) -> Manifest:
        """Bring the files here; those that differ and were never published are set aside, unless they are `mine` to make again."""
        self._open()
        folder = self._home / name
        for _ in range(TRIES):
            manifest = self._newest(name)
            asked = {n: entry for n, entry in manifest.files.items() if wanted(n)}
            local = {file.name: digest_of(file.read_bytes()) for file in _files(folder) if file.name in asked}
            lacking = {n: entry for n, entry in asked.items() if local.get(n) != entry.sha256}
            fresh, broken = self._download(name, lacking)
            if broken and self._newest(name).number != manifest.number:
                continue  # somebody published meanwhile, and its objects gave way to newer ones
            break
        if broken and not lenient:
            file, why = next(iter(broken.items()))
            raise damaged(self._called(f"{name}/{file}"), why)
        for file, why in broken.items():
            log.warning("a shared file is damaged", file=f"{name}/{file}", reason=why)
        held = self._held(name)
        for file, content in fresh.items():
            self._replace(folder / file, content, manifest.files[file].modified, known=mine or local.get(file) in {None, held.get(file)})
        self._leave(name, manifest.files)
        now = {n: e.sha256 for n, e in manifest.files.items() if n in fresh or local.get(n) == e.sha256}
        self._hold(name, {**{n: digest for n, digest in held.items() if n in manifest.files}, **now})
        return manifest

    def _publish(self, name: str, base: Manifest, before: set[str], noted: Noted) -> bool:
        """Publish a folder as it is here; False where another node published since `base`."""
        files = {n: entry for n, entry in base.files.items() if n not in before}  # damaged ones are not here and stay what they are
        contents: dict[str, bytes] = {}
        for path in _files(self._home / name):
            content = path.read_bytes()
            known = base.files.get(path.name)
            if known is None or known.sha256 != digest_of(content):
                known = Entry.of(name, content, path.stat().st_mtime, noted(path))
                contents[known.object] = content
            files[path.name] = known
        if files != base.files:
            for start in range(0, len(contents), BATCH):
                self._objects.write(dict(list(contents.items())[start : start + BATCH]))
            fresh = base.next(files)
            if not self._objects.create(manifest_name(name, fresh.number), fresh.content()) and self._newest(name) != fresh:
                self._objects.delete(list(contents))
                return False
            self._see(name, fresh)
            self._tidy(name, fresh, [e.object for n, e in base.files.items() if files.get(n) != e])
        self._hold(name, {n: entry.sha256 for n, entry in files.items()})
        return True

    def _tidy(self, name: str, fresh: Manifest, replaced: list[str]) -> None:
        """Remove what nobody needs any more; the change is published, and what stays is only room."""
        try:
            self._objects.delete(replaced)
            if fresh.number % SWEPT_EVERY == 0:
                manifests = self._objects.list(f"manifests/{name}", deep=False)
                now = manifests[manifest_name(name, fresh.number)]
                old = [one for one, written in manifests.items() if now - written > GRACE_SECONDS]
                needed = {entry.object for entry in fresh.files.values()}
                objects = self._objects.list(f"objects/{name}", deep=False)
                old += [one for one, written in objects.items() if one not in needed and now - written > ORPHAN_SECONDS]
                self._objects.delete(old)
        except (Unavailable, KeyError) as error:
            log.warning("a shared folder was not tidied", folder=name, reason=str(error))

    def _download(self, name: str, entries: Mapping[str, Entry]) -> tuple[dict[str, bytes], dict[str, str]]:
        """The contents that are whole, and why the others are not."""
        fresh, broken = dict[str, bytes](), dict[str, str]()
        for start in range(0, len(entries), BATCH):
            part = dict(list(entries.items())[start : start + BATCH])
            for (file, entry), content in zip(part.items(), self._objects.read([e.object for e in part.values()]), strict=True):
                if content is None:
                    broken[file] = f"its object {entry.object} is gone"
                elif (digest := digest_of(content)) != entry.sha256:
                    broken[file] = f"the sha256 of its content is {digest[:12]}…, the manifest says {entry.sha256[:12]}…"
                else:
                    fresh[file] = content
        return fresh, broken

    def _newest(self, name: str) -> Manifest:
        for _ in range(TRIES):
            number = newest(self._objects, name).get(name, 0)
            seen = self._seen(name)
            if number == seen.number:
                return seen
            if not number:
                return Manifest()
            (content,) = self._objects.read([manifest_name(name, number)])
            if content is not None:
                found = Manifest.parse(content, self._called(manifest_name(name, number)))
                self._see(name, found)
                return found
        raise Conflict(f"{name} is being changed by too many nodes at once: {TRIES} tries were too late", hint="try again")

    # --- what this home has of it

    def _open(self) -> None:
        """See that the place is the one that this home is a cache of, and that it can decide between two writers."""
        if self._known:
            return
        note = self._own / "place.json"
        own = json.loads(note.read_bytes()) if note.exists() else None
        (mark,) = self._objects.read([MARK])
        if mark is None and own is None:
            self._objects.create(MARK, json.dumps({"layout": 1, "place": random.SystemRandom().randbytes(8).hex()}).encode())
            (mark,) = self._objects.read([MARK])
        if mark is None:
            raise Unavailable(
                f"{self._objects.place} is empty, and this home has artefacts of it",
                hint="see that it is mounted, and that it is the right one",
            )
        if own is not None and own != json.loads(mark):
            raise Invalid(
                f"{self._objects.place} is not the one whose artefacts {self._home} keeps",
                hint=f"use a new KTRDR_HOME, or move {self._own} away: then what is here and nowhere else is published when it changes",
            )
        if own is None:
            if self._objects.create(MARK, mark):
                raise Invalid(f"{self._objects.place} lets two writers overwrite each other", hint="it must honour If-None-Match: *")
            atomic.write(note, mark)
        self._known = True

    def _replace(self, path: Path, content: bytes, modified: float, *, known: bool) -> None:
        if path.exists() and not known:
            self._set_aside(path)
        fresh = atomic.unfinished(path)
        fresh.write_bytes(content)
        os.utime(fresh, (modified, modified))
        fresh.replace(path)

    def _leave(self, name: str, published: Mapping[str, Entry]) -> None:
        """Remove the files that were published once and are no longer."""
        for file, digest in self._held(name).items():
            path = self._home / name / file
            if file in published or not path.exists():
                continue
            if digest_of(path.read_bytes()) == digest:
                path.unlink()
            else:
                self._set_aside(path)
        if not published:
            self._hold(name, {})
            with suppress(OSError):  # something else stands in it
                (self._home / name).rmdir()

    def _set_aside(self, path: Path) -> None:
        to = self._own / "aside" / path.relative_to(self._home).parent / f"{digest_of(path.read_bytes())[:8]}.{path.name}"
        to.parent.mkdir(parents=True, exist_ok=True)
        path.replace(to)
        log.warning("a file that was not published gave way to the shared one", file=str(path), kept=str(to))

    def _seen(self, name: str) -> Manifest:
        file = self._file(name, "seen")
        try:
            return Manifest.parse(file.read_bytes(), str(file))
        except FileNotFoundError:
            return Manifest()
        except Invalid:
            file.unlink(missing_ok=True)
            return Manifest()

    def _see(self, name: str, manifest: Manifest) -> None:
        fresh = atomic.unfinished(self._file(name, "seen"))
        fresh.write_bytes(manifest.content())
        fresh.replace(self._file(name, "seen"))

    def _held(self, name: str) -> dict[str, str]:
        file = self._file(name, "held")
        return dict(json.loads(file.read_bytes())) if file.exists() else {}

    def _hold(self, name: str, files: Mapping[str, str]) -> None:
        """Note what was published or fetched, by its sha256."""
        file = self._file(name, "held")
        if not files:
            file.unlink(missing_ok=True)
        elif files != self._held(name):
            fresh = atomic.unfinished(file)
            fresh.write_text(json.dumps(files))
            fresh.replace(file)

    def _ever_held(self, name: str) -> Iterator[str]:
        root = self._own / "held"
        for file in root.glob(f"{name}/**/*.json"):
            yield file.relative_to(root).as_posix().removesuffix(".json")

    def _file(self, name: str, what: str) -> Path:
        return self._own / what / f"{name}.json"

    def _locked(self, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
        return locked(self._own / "locks" / f"{name}.lock", name, LOCK_SECONDS, shared=shared)

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._home).as_posix()

    def _called(self, name: str) -> str:
        return f"{name} of {self._objects.place}"


def _files(folder: Path) -> list[Path]:
    """The files that are shared: what stands in the folder itself, but for locks and unfinished ones."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")) if folder.is_dir() else []


def _is(path: Path, entry: Entry) -> bool:
    return path.exists() and digest_of(path.read_bytes()) == entry.sha256


def _all(_file: str) -> bool:
    return True


def _nothing(_path: Path) -> JSON:
    return {}
