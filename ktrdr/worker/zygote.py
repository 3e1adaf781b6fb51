"""A small server that has loaded what runners need and forks one whenever it is asked."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator

from ktrdr.worker import main


def serve(profile: str, control: socket.socket) -> None:
    """Fork runners until the other end of `control` closes; tell of each that is born or gone."""
    preload(profile)
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    gc.collect()
    gc.freeze()  # a runner's collector would only copy these pages
    tell(control, type="ready")
    while True:
        for key, _ in selector.select():
            if key.fileobj == wake_read:
                os.read(wake_read, 4096)
                for pid, status in children_gone():
                    tell(control, type="gone", pid=pid, status=os.waitstatus_to_exitcode(status))
                continue
            asked, descriptors, _, _ = socket.recv_fds(control, 64, 1)
            if not asked:
                sys.exit(0)
            pid = os.fork()
            if pid == 0:
                become_runner(socket.socket(fileno=descriptors[0]), [control.fileno(), wake_read, wake_write])
            os.close(descriptors[0])
            tell(control, type="born", pid=pid)


def become_runner(channel: socket.socket, foreign: list[int]) -> None:
    """The forked child: a process group of its own, without the server's descriptors. Does not return."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for descriptor in foreign:
        os.close(descriptor)
    main.run(channel)


def preload(profile: str) -> None:
    """Load what every runner of this profile would load; fails loudly if it cannot."""
    from ktrdr import workspace  # noqa: F401
    from ktrdr.kinds.base import KINDS

    KINDS.names()
    if profile == "torch":
        import torch

        torch.set_num_threads(1)
        layer = torch.nn.Linear(4, 4)
        layer(torch.zeros(2, 4)).sum().backward()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            raise RuntimeError("a fork server must not touch the GPU")
        import talib  # noqa: F401


def children_gone() -> Iterator[tuple[int, int]]:
    """The children that have ended since the last call."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def tell(control: socket.socket, **message: object) -> None:
    """Send one message to the launcher."""
    try:
        control.send(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)  # the backend is gone; its runners hear that on their own sockets
