"""`python -m ktrdr.api serve [--host HOST] [--port PORT]`: the backend in the foreground."""

from __future__ import annotations

import argparse
import sys

from ktrdr.api.serve import serve
from ktrdr.errors import KtrdrError


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m ktrdr.api")
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    try:
        serve(given.host, given.port)
    except KtrdrError as error:
        sys.stderr.write(f"Error: {error.message}\n" + (f"Hint: {error.hint}\n" if error.hint else ""))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
