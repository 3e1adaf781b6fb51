"""`python -m ktrdr.cluster`: the dispatcher of a cluster in the foreground, which starts its driver again when Ray ends it."""

from __future__ import annotations

import sys

from ktrdr.errors import KtrdrError


def main(words: list[str]) -> int:
    """Supervise; or be the driver that is supervised."""
    from ktrdr.cluster import process

    if words[:1] == ["--driver"]:
        return process.drive(*words[1:2])
    try:
        return process.supervise(words)
    except KtrdrError as error:
        sys.stderr.write(f"Error: {error.message}\n" + (f"Hint: {error.hint}\n" if error.hint else ""))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
