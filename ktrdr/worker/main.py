"""What a runner process does: one attempt of one operation, and a last word about it."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
import threading
from dataclasses import asdict
from typing import Any

import ktrdr.errors
from ktrdr import telemetry
from ktrdr.errors import GateError, KtrdrError
from ktrdr.kinds.base import KINDS
from ktrdr.log import configure, logger
from ktrdr.operations.job import Cancelled, Drained, Job, Orphaned, Parked
from ktrdr.operations.model import CheckpointRef, Operation
from ktrdr.settings import Settings

JSON = dict[str, Any]
log = logger(__name__)


class SocketLink:
    """The runner's end of the socket to its guardian; one thread listens, the others speak."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._speaking = threading.Lock()
        self._lines = channel.makefile("rb")
        self._interruption: Exception | None = None
        self._answers: dict[int, JSON] = {}
        self._answered = threading.Condition()
        self._asked = 0

    def first(self) -> JSON:
        """The guardian's first message: what to do."""
        line = self._lines.readline()
        if not line:
            os._exit(0)
        begin: JSON = json.loads(line)
        threading.Thread(target=self._listen, name="guardian's words", daemon=True).start()
        return begin

    def send(self, message: JSON) -> None:
        """Tell the guardian something."""
        line = json.dumps(message, allow_nan=False).encode() + b"\n"
        try:
            with self._speaking:
                self._channel.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            raise Orphaned("the guardian is gone") from None

    def ask(self, message: JSON) -> Any:
        """Tell the guardian something and wait for the answer."""
        self._asked += 1
        self.send({"type": "ask", "id": self._asked, "message": message})
        with self._answered:
            self._answered.wait_for(lambda: self._asked in self._answers or isinstance(self._interruption, Orphaned))
            if self._asked not in self._answers:
                raise Orphaned("the guardian is gone")
            answer = self._answers.pop(self._asked)
        if "error" in answer:
            raise as_raised(answer["error"])
        return answer["answer"]

    def interruption(self) -> Exception | None:
        """What was asked of this runner, if anything."""
        return self._interruption

    def _listen(self) -> None:
        for line in self._lines:
            said = json.loads(line)
            with self._answered:
                match said["type"]:
                    case "answer":
                        self._answers[said["id"]] = said
                    case "cancel":
                        self._interruption = Cancelled("cancel was asked for")
                    case "drain":
                        self._interruption = self._interruption or Drained("the engine wants its slot back")
                self._answered.notify_all()
        with self._answered:
            self._interruption = Orphaned("the guardian is gone")
            self._answered.notify_all()


def as_raised(error: JSON) -> KtrdrError:
    """An error of the backend, as one of ours again."""
    kind = getattr(ktrdr.errors, error["kind"], KtrdrError)
    plain = kind if kind.__init__ is KtrdrError.__init__ else KtrdrError
    raised: KtrdrError = plain(error["message"], hint=error["hint"], details=error["details"], code=error["code"])
    return raised


def run(channel: socket.socket) -> None:
    """Do one attempt and leave; the guardian hears how it went. Does not return."""
    settings = Settings()
    configure(settings.log_level)
    if settings.runner_memory_mb:
        limit = settings.runner_memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    link = SocketLink(channel)
    begin = link.first()
    operation = Operation.model_validate(begin["operation"])
    resumed = CheckpointRef.model_validate(begin["resumed"]) if begin["resumed"] else None
    below = telemetry.SpanContext.parse(begin["traceparent"])
    try:
        with telemetry.telling(lambda span: link.send({"type": "span", "span": asdict(span)}), below):
            link.send(attempt(operation, begin["parameters"], Job(operation, link, resumed), settings))
    except Orphaned:
        log.warning("nobody listens any more", operation_id=operation.operation_id)
    sys.stderr.flush()
    # Nothing is left to do, and libraries that take their time to unload would only hold the slot.
    os._exit(0)


def attempt(operation: Operation, parameters: JSON, job: Job, settings: Settings) -> JSON:
    """The last word on an attempt: how it ended, with its result or its error."""
    from ktrdr.workspace import open_workspace

    result: JSON | None = None
    try:
        kind = KINDS.get(operation.operation_type)(**parameters)
        result = kind.run(job, open_workspace(settings))
        json.dumps(result, allow_nan=False)
        return last_word("completed", result)
    except Orphaned:
        raise
    except Cancelled:
        return last_word("cancelled")
    except Drained:
        return last_word("drained")
    except Parked:
        return last_word("parked")
    except GateError as error:
        return last_word("failed", error.result, error.as_dict())
    except KtrdrError as error:
        return last_word("failed", None, error.as_dict())
    except Exception as error:  # the runner's edge: whatever happened, the row must say it
        known = of_the_machine(error, operation, settings)
        if known:
            return last_word("failed", None, known)
        log.exception("the kind failed", operation_id=operation.operation_id, operation_type=operation.operation_type)
        message = f"{type(error).__name__}: {error}"
        return last_word("failed", None, {"code": "internal", "message": message, "hint": "the backend's log has the whole story"})


def of_the_machine(error: Exception, operation: Operation, settings: Settings) -> JSON | None:
    """What to say of an error that this machine is to blame for."""
    refused = isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "CUDA out of memory" in str(error))
    if isinstance(error, MemoryError) or refused:
        limit = f" of {settings.runner_memory_mb:,} MB (KTRDR_RUNNER_MEMORY_MB)" if settings.runner_memory_mb else ""
        hint = "use fewer bars, a smaller network or batch, or more memory"
        return {"code": "out_of_memory", "message": f"the runner ran out of memory{limit}", "hint": hint}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        hint = f"make room, then: ktrdr resume {operation.operation_id}"
        return {"code": "disk_full", "message": f"{error.filename or settings.home} cannot be written: {error.strerror}", "hint": hint}
    return None


def last_word(status: str, result: JSON | None = None, error: JSON | None = None) -> JSON:
    """What the guardian hears last."""
    return {"type": "end", "status": status, "result": result, "error": error}
