"""A strategy as the user names it: a file's text, or a name for the backend to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ktrdr.errors import Invalid, NotFound

JSON = dict[str, Any]
LARGEST = 1_000_000
"""Bytes; a strategy is a page or two."""


def strategy_argument(named: str) -> JSON:
    """What to send: `{"strategy": text, "source": path}` for a file, else `{"strategy_name": name}`.

    A path holds a slash or ends in .yaml or .yml. A name means `strategies/<name>.yaml` below the present folder where
    there is such a file.
    """
    if "/" in named or "\\" in named or named.endswith((".yaml", ".yml")):
        return {"strategy": text_of_file(Path(named)), "source": named}
    own = Path("strategies") / f"{named}.yaml"
    if own.is_file():
        return {"strategy": text_of_file(own), "source": str(own)}
    return {"strategy_name": named}


def text_of_file(path: Path) -> str:
    """The text of a strategy file."""
    try:
        if path.stat().st_size > LARGEST:
            raise Invalid(f"{path} has {path.stat().st_size:,} bytes; a strategy has {LARGEST:,} at most", hint="is this the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint="ktrdr list strategies shows the ones known by name") from None
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not a text file in UTF-8", hint="is this the right file?") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", hint="is this the right file?") from None
