"""Wrong input of every kind: one clear sentence, what to do next, exit 1 or 2, nothing half done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.acceptance.conftest import User

pytestmark = pytest.mark.process
BAD_YAML = "name: broken\nindicators: [\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train", "momentun", "--start", "2014-01-01", "--end", "2015-01-01"), 1, "did you mean 'momentum'?"),
        (("train", "momentum", "--start", "2015-01-01", "--end", "2014-01-01"), 2, "not before the end"),
        (("train", "momentum", "--start", "yesterday", "--end", "2014-01-01"), 2, "is not a date"),
        (("train", "momentum", "--symbols", "GBPJPY"), 1, "GBPJPY"),
        (("train", "broken.yaml"), 1, "broken.yaml"),
        (("train", "no/such.yaml"), 1, "there is no file"),
        (("backtest", "momentum", "--capital", "-5"), 2, "capital"),
        (("research",), 2, "goal"),
        (("research", "find an edge in GBPJPY"), 1, "GBPJPY"),
        (("research", "x", "--strategy", "momentum"), 2, ""),
        (("status", "op_none_at_all"), 1, "there is no operation"),
        (("follow", "op_none_at_all"), 1, "there is no operation"),
        (("cancel", "op_none_at_all"), 1, "there is no operation"),
        (("resume", "chk_none_at_all"), 1, "there is no checkpoint"),
        (("show", "EURUSD", "3h"), 1, "not a timeframe"),
        (("show", "NOTHING", "1h"), 1, "NOTHING"),
        (("trian", "momentum"), 2, "train"),
        (("dummy", "start", "--duration", "0", "--iterations", "1"), 2, "duration"),
        (("data", "load", "EURUSD", "--timeframe", "1h", "--provider", "nobody"), 1, "nobody"),
        (("--port", "1", "ops"), 1, "no backend answers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_one_sentence_and_a_way_on(regular: User, words: tuple[str, ...], code: int, said: str) -> None:
    (regular.folder / "broken.yaml").write_text(BAD_YAML, encoding="utf-8")
    done = regular.run(*words, code=code)
    assert said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    if "--port" not in words:
        assert regular.json("ops") == []


def test_an_unusable_home_is_named(user: User) -> None:
    user.home.write_text("a file stands where the home should be", encoding="utf-8")
    done = user.run("ops", code=1)
    assert "cannot be used" in done.stderr
    assert "KTRDR_HOME" in done.stderr


def test_a_taken_port_is_no_obstacle_unless_it_was_insisted_on(user: User) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        user.extra["KTRDR_PORT"] = port
        assert user.json("ops") == []
        assert not user.backend()["url"].endswith(f":{port}")
        user.run("down")
        refused = user.run("serve", "--port", port, code=1)
        assert f"port {port}" in refused.stderr


def test_ten_commands_at_once_start_one_backend(user: User) -> None:
    processes = [user.start("ops", "--json") for _ in range(10)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, "[]"), err
    serving = subprocess.run(["pgrep", "-f", "ktrdr.api serve"], capture_output=True, text=True, check=False).stdout.split()
    mine = [pid for pid in serving if f"KTRDR_HOME={user.home}" in environ_of(pid)]
    assert mine == [str(user.backend()["pid"])]


def environ_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def test_the_backend_leaves_when_told_and_nothing_stays_behind(user: User) -> None:
    user.run("dummy", "start", "--duration", "0.2", "--iterations", "2")
    pid = user.backend()["pid"]
    user.run("down")
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
    assert not (user.home / "backend.json").exists()
    serving = subprocess.run(["pgrep", "-f", "ktrdr.worker"], capture_output=True, text=True, check=False).stdout.split()
    assert not [p for p in serving if f"KTRDR_HOME={user.home}" in environ_of(p)]


def test_an_idle_backend_leaves_by_itself(user: User) -> None:
    user.extra["KTRDR_IDLE_MINUTES"] = "0.01"
    user.json("ops")
    deadline = time.monotonic() + 10
    while (user.home / "backend.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (user.home / "backend.json").exists()


def test_others_need_a_token_and_commands_send_it(user: User) -> None:
    refused = user.run("serve", "--host", "0.0.0.0", "--port", "0", code=1)
    assert "KTRDR_TOKEN" in refused.stderr
    user.extra["KTRDR_TOKEN"] = "a secret of more than sixteen characters"
    serving = subprocess.Popen(
        [sys.executable, "-m", "ktrdr.api", "serve", "--host", "0.0.0.0", "--port", "0"], env=user.environment, cwd=user.folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not (user.home / "backend.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert user.lines("dummy", "start", "--duration", "0.1", "--iterations", "1")[-1]["event"] == "completed"
        url = user.backend()["url"]
        user.extra["KTRDR_TOKEN"] = "another secret of sixteen characters"
        assert "token" in user.run("ops", "--url", url, code=1).stderr
        assert "token" in user.run("ops", code=1).stderr
    finally:
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
