"""`python -m ktrdr.worker --runner FD` or `--zygote PROFILE FD`; started by the launcher, never by hand."""

from __future__ import annotations

import socket
import sys


def start(arguments: list[str]) -> None:
    """Become what the launcher asks for."""
    if arguments[0] == "--zygote":
        from ktrdr.worker import zygote

        zygote.serve(arguments[1], socket.socket(fileno=int(arguments[2])))
    else:
        from ktrdr.worker import main

        main.run(socket.socket(fileno=int(arguments[1])))


start(sys.argv[1:])
