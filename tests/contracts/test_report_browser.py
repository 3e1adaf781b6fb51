"""The report in a real browser: it draws, it complains of nothing, and it asks nobody for anything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ktrdr.reports.page import page
from tests.unit.reports.test_page import HOSTILE, researched

pytestmark = pytest.mark.process
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)} (on Debian: apt install chromium)")
    return found


@dataclass
class Looked:
    """What a browser made of a page."""

    dom: str
    console: list[str]
    asked: list[str]
    """The paths asked of this machine."""
    outside: list[str]
    """What the page asked of others, whether it was answered or not."""


@contextmanager
def serving(content: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a page, and the paths that are asked for while it is served."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = content.encode() if self.path == "/" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def look(browser: str, content: str, folder: Path, *flags: str) -> Looked:
    """Open a page, wait until it is drawn, and listen."""
    log = folder / "net.json"
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with serving(content) as (url, asked):
        command = [browser, *QUIET, *root, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", *flags, f"{url}/"]
        done = subprocess.run(command, capture_output=True, timeout=120, check=True, env={**os.environ, "HOME": str(folder)})
    console = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text(encoding="utf-8", errors="replace"))["events"]
    jobs = [event["params"] for event in events if "initiator" in event.get("params", {})]
    outside = [job["url"] for job in jobs if job["initiator"].startswith(url) and not job["url"].startswith(url)]
    return Looked(done.stdout.decode(), console, asked, outside)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_a_report_draws_itself_and_asks_for_nothing(browser: str, tmp_path: Path, width: int, dark: bool) -> None:
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    seen = look(browser, page(researched()), tmp_path, f"--window-size={width},2000", scheme)
    assert seen.console == []
    assert seen.asked == ["/"]
    assert seen.outside == []
    drawn = {name: int(pixels) for name, pixels in re.findall(r'data-chart="(\w+)"[^>]*?data-drawn="(\d+)"', seen.dom)}
    assert set(drawn) == {"equity", "drawdown", "price"}
    assert all(0 < pixels <= max(width, 500) for pixels in drawn.values())  # a headless window has 500 pixels at least
    assert seen.dom.count("<canvas") == 3


def test_hostile_words_do_nothing_in_a_browser(browser: str, tmp_path: Path) -> None:
    text = " ".join(word for word in HOSTILE if word.isprintable())
    material = researched(verdict_reason=text, goal=text, notes=[text], strategy_in_words=[text])
    seen = look(browser, page(material), tmp_path)
    assert (seen.console, seen.asked, seen.outside) == ([], ["/"], [])
    assert seen.dom.count("<canvas") == 3


def test_a_page_that_does_what_it_must_not_would_be_seen(browser: str, tmp_path: Path) -> None:
    """The instruments hear: a message, a forbidden script, a request here, and one to somebody else."""
    content = page(researched())
    without = re.sub(r"<meta http-equiv=[^>]*>", "", content)
    loud = '<script>console.log("said")</script><img src="/pixel.png"/><img src="http://127.0.0.2:9/pixel.png"/></body>'
    seen = look(browser, without.replace("</body>", loud), tmp_path)
    assert any("said" in line for line in seen.console)
    assert "/pixel.png" in seen.asked
    assert seen.outside == ["http://127.0.0.2:9/pixel.png"]
    stopped = look(browser, content.replace("</body>", loud), tmp_path)
    assert any("Content Security Policy" in line for line in stopped.console)
    assert not any('"said"' in line for line in stopped.console)
    assert (stopped.asked, stopped.outside) == (["/"], [])
