"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PREFIX = ".unfinished-"
"""How the names of files that were not finished begin; nobody reads them."""


def unfinished(path: Path) -> Path:
    """A new file beside `path`, to be written and then given to `replace` or `create`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PREFIX, dir=path.parent)
    os.close(handle)
    os.chmod(name, 0o644)
    return Path(name)


def replace(path: Path, fresh: Path) -> None:
    """Put a finished file in the place of `path`, whether there is one or not."""
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def create(path: Path, fresh: Path) -> bool:
    """Give a finished file the name `path`; False, and the file is gone, if there is one of that name already."""
    sync(fresh)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
    sync(path.parent)
    return True


def write_new(path: Path, content: bytes) -> bool:
    """Write a new file; False, and nothing written, if there is one already."""
    fresh = unfinished(path)
    fresh.write_bytes(content)
    return create(path, fresh)


def write(path: Path, content: bytes) -> None:
    """Write a file, in the place of an older one if there is one."""
    fresh = unfinished(path)
    fresh.write_bytes(content)
    replace(path, fresh)


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
