"""Load every hostile strategy in a process of its own, and print a line of JSON about each.

No case has more than five seconds, and all of them together no more memory than the second argument says.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ktrdr.errors import Invalid
from ktrdr.strategy.document import MAX_CHARACTERS
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from tests.wire.hostile import RIGHT, hostile_texts

SECONDS = 5


class Slow(BaseException):
    """A case has used up its time."""


def loaded(text: str) -> Strategy:
    """The strategy of a text, which must be one that can be stored, shown and read again."""
    strategy = load_strategy(text, "the strategy").strategy
    assert strategy.content_hash
    json.dumps(strategy.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode()
    written = strategy.to_yaml()
    if len(written) < MAX_CHARACTERS:
        try:
            again = load_strategy(written, "the strategy written out").strategy
        except Invalid as error:
            raise RuntimeError("what it writes it cannot read") from error
        assert again == strategy
    return strategy


def outcome(text: str) -> dict[str, Any]:
    """What loading comes to: `loaded`, `refused` with its message, or whatever else happened."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return {"outcome": "loaded", "name": loaded(text).name}
    except Invalid as error:
        return {"outcome": "refused", "message": error.message, "size": len(json.dumps(error.as_dict()))}
    except BaseException as error:  # whatever it is, it is the finding
        return {"outcome": type(error).__name__, "message": repr(error)[:500]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def private_memory() -> int:
    """Bytes of data that this process holds."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData")) * 1024


def main() -> None:
    """Go through all texts."""

    def ring(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    texts = hostile_texts()
    loaded(RIGHT)  # every module that is needed is in memory
    limit = private_memory() + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for name, text in texts:
        began = time.perf_counter()
        found = outcome(text)
        print(json.dumps({"text": name, "seconds": time.perf_counter() - began, **found}), flush=True)


if __name__ == "__main__":
    main()
