"""Where shared artefacts lie: a folder that every node mounts, or a bucket. Objects are written once and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from ktrdr.errors import Invalid, Unavailable
from ktrdr.stores import atomic

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MARK = "ktrdr.json"
"""The object that says that a place is one of ours, and which."""
SECRETS = {"key", "secret", "token", "username", "password", "session"}
TIMES = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 3}}
"""How long a bucket may take to answer, unless the options say otherwise."""


class Objects(Protocol):
    """Whole objects by name; what a writer was told is written, every reader sees."""

    place: str
    """What the place is called in a sentence."""

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents, None where there is no such object."""

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write objects under names that are new."""

    def create(self, name: str, content: bytes) -> bool:
        """Write an object; False, and nothing written, if there is one of that name: of two who try at once one hears True."""

    def list(self, folder: str, *, deep: bool) -> dict[str, float]:
        """The objects in a folder, and with `deep` in those below it, each with the second in which it was written."""

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""


def open_objects(url: str, options: Mapping[str, Any]) -> Objects:
    """The place that a URL names; Invalid if it cannot be one."""
    named = urlsplit(url)
    if named.username or named.password or SECRETS & set(options):
        raise Invalid(
            "KTRDR_ARTEFACTS names credentials; settings are shown, so none stand in them",
            hint="leave them to the environment, as the library reads them: AWS_ACCESS_KEY_ID, AWS_PROFILE, a role of the machine",
        )
    if named.scheme == "file" and not named.netloc and named.path.startswith("/"):
        return FolderObjects(Path(unquote(named.path)))
    if named.scheme == "s3" and named.netloc:
        return BucketObjects(url.rstrip("/"), options)
    raise Invalid(
        f"KTRDR_ARTEFACTS is {url!r}, which is no place where an object can be created by one of two alone",
        hint="a folder that every node mounts, such as file:///shared/ktrdr, or a bucket: s3://bucket/prefix",
    )


class FolderObjects:
    """Objects as files of a folder that every node mounts; it must make hard links, as NFS does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = f"the shared folder {root}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents, None where there is no such file."""
        with self._reached():
            return [path.read_bytes() if (path := self.root / name).is_file() else None for name in names]

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write new files; each is on the disk when this returns."""
        with self._reached():
            (self.root / MARK).stat()
            paths = {self.root / name: content for name, content in contents.items()}
            for folder in {path.parent for path in paths}:
                folder.mkdir(parents=True, exist_ok=True)
            for path, content in paths.items():  # nobody looks for a name that is new before a manifest has it
                path.write_bytes(content)
            for path in [*paths, *{path.parent for path in paths}]:
                atomic.sync(path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file whole, then give it its name, unless there is one."""
        with self._reached():
            if name == MARK and self.root.parent.is_dir():
                self.root.mkdir(exist_ok=True)
            elif name != MARK:
                (self.root / MARK).stat()
            return atomic.write_new(self.root / name, content)

    def list(self, folder: str, *, deep: bool) -> dict[str, float]:
        """The files of a folder."""
        with self._reached():
            (self.root / MARK).stat()  # a folder that is not mounted is empty, and that would look as if all were deleted
            return dict(_files(self.root, folder, deep))

    def delete(self, names: Sequence[str]) -> None:
        """Remove files."""
        with self._reached():
            for name in names:
                (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unreachable(self.place, error, "see that it is mounted, can be written and has room") from error


def _files(root: Path, folder: str, deep: bool) -> Iterator[tuple[str, float]]:
    try:
        found = list(os.scandir(root / folder))
    except FileNotFoundError:
        return
    for entry in found:
        name = f"{folder}/{entry.name}"
        if entry.is_dir():
            if deep:
                yield from _files(root, name, deep)
        elif not entry.name.startswith(atomic.PREFIX):
            try:
                yield name, entry.stat().st_mtime
            except FileNotFoundError:
                continue  # removed since it was listed


class BucketObjects:
    """Objects of a bucket, through fsspec; credentials are those that its library finds in the environment."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, dict(options)
        self._opened: tuple[AbstractFileSystem, str] | None = None
        self.place = f"the bucket {url}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents, fetched together; None where there is no such object."""
        with self._reached():
            files, root = self._files()
            found = files.cat([f"{root}/{name}" for name in names], on_error="return") if names else {}
        contents = [found[f"{root}/{name}"] for name in names]
        for content in contents:
            if isinstance(content, BaseException) and not isinstance(content, FileNotFoundError):
                with self._reached():
                    raise content
        return [content if isinstance(content, bytes) else None for content in contents]

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write new objects, together."""
        with self._reached():
            files, root = self._files()
            files.pipe({f"{root}/{name}": content for name, content in contents.items()})

    def create(self, name: str, content: bytes) -> bool:
        """Write an object if there is none of that name (`If-None-Match: *`)."""
        with self._reached():
            files, root = self._files()
            try:
                files.pipe_file(f"{root}/{name}", content, mode="create")
            except FileExistsError:
                return False
        return True

    def list(self, folder: str, *, deep: bool) -> dict[str, float]:
        """The objects of a folder, as they are now."""
        with self._reached():
            files, root = self._files()
            found = files.find(f"{root}/{folder}", detail=True, **({} if deep else {"maxdepth": 1}))
        return {name.removeprefix(f"{root}/"): entry["LastModified"].timestamp() for name, entry in found.items()}

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        if names:
            with self._reached():
                files, root = self._files()
                files.rm([f"{root}/{name}" for name in names])

    def _files(self) -> tuple[AbstractFileSystem, str]:
        if self._opened is None:
            try:
                from fsspec.core import url_to_fs

                given = {"config_kwargs": TIMES, **self._options}
                self._opened = url_to_fs(self._url, use_listings_cache=False, skip_instance_cache=True, **given)
            except ImportError:
                raise Unavailable("artefacts in a bucket need the package s3fs", hint="pip install 'ktrdr[cluster]'") from None
            except (TypeError, ValueError) as error:
                raise Invalid(f"KTRDR_ARTEFACTS_OPTIONS cannot be used: {error}", hint='such as {"endpoint_url": "https://…"}') from None
        return self._opened

    @contextmanager
    def _reached(self) -> Iterator[None]:
        self._files()
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (OSError, BotoCoreError, ClientError) as error:
            hint = "see that its address and region are right, that it exists, and that the credentials in the environment may use it"
            raise _unreachable(self.place, error, hint) from error


def _unreachable(place: str, error: BaseException, hint: str) -> Unavailable:
    why = (getattr(error, "strerror", None) or str(error)) or type(error).__name__
    return Unavailable(f"{place} cannot be used: {why}", hint=f"{hint}; nothing of this home is lost meanwhile")
