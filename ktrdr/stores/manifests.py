"""The numbered manifests of shared folders: what each file of a folder is, and which object holds it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ktrdr.errors import Invalid
from ktrdr.stores.objects import Objects

JSON = dict[str, Any]
NUMBERED = re.compile(r"manifests/(?P<folder>.+)/(?P<number>\d{6,})\.json")


class Entry(BaseModel):
    """One file of a shared folder."""

    model_config = ConfigDict(frozen=True)

    object: str
    """Where its content lies; a name that is used once."""
    sha256: str
    size_bytes: int
    modified: float
    """When the file was written, in seconds since 1970."""
    note: JSON = {}
    """What its store wants to know of it without fetching it."""

    @classmethod
    def of(cls, folder: str, content: bytes, modified: float, note: JSON) -> Self:
        """The entry of a file whose content is to be written."""
        digest = digest_of(content)
        where = f"objects/{folder}/{digest}.{secrets.token_hex(4)}"
        return cls(object=where, sha256=digest, size_bytes=len(content), modified=modified, note=note)


class Manifest(BaseModel):
    """The files of one shared folder; each change is the next number."""

    model_config = ConfigDict(frozen=True)

    number: int = 0
    """0 where nothing was ever published."""
    writer: str = ""
    """Of one attempt to publish, so that it knows its own work."""
    files: dict[str, Entry] = {}

    def next(self, files: Mapping[str, Entry]) -> Manifest:
        """The manifest that may follow this one."""
        return Manifest(number=self.number + 1, writer=secrets.token_hex(8), files=dict(sorted(files.items())))

    def content(self) -> bytes:
        """The manifest as its object, a line with the sha256 of the rest first."""
        body = self.model_dump_json().encode()
        return digest_of(body).encode() + b"\n" + body

    @classmethod
    def parse(cls, content: bytes, what: str) -> Self:
        """The manifest in an object, or Invalid."""
        digest, _, body = content.partition(b"\n")
        if digest != digest_of(body).encode():
            raise damaged(what, "the sha256 in its first line is not that of the rest")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise damaged(what, f"{error.error_count()} of its fields are wrong; is it of a newer ktrdr?") from None


def manifest_name(folder: str, number: int) -> str:
    """The object of a manifest."""
    return f"manifests/{folder}/{number:06d}.json"


def newest(objects: Objects, folder: str, *, deep: bool = False) -> dict[str, int]:
    """The number of the newest manifest of a folder, and with `deep` of those below it."""
    found: dict[str, int] = {}
    for name in objects.list(f"manifests/{folder}", deep=deep):
        if named := NUMBERED.fullmatch(name):
            found[named["folder"]] = max(found.get(named["folder"], 0), int(named["number"]))
    return found


def digest_of(content: bytes) -> str:
    """The sha256 of some content."""
    return hashlib.sha256(content).hexdigest()


def damaged(what: str, why: str) -> Invalid:
    """The error of an object that is not what it should be."""
    return Invalid(
        f"{what} is damaged: {why}", hint="bring it back from a backup of the shared place, or remove it there and write again what it held"
    )
