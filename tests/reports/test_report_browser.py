"""A report in headless Chromium: no error, no request, no dialog, everything in its place on a phone and on a desk."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from instructsel.reports.render import Report, report
from tests.reports.pages import everything
from tests.reports.test_render import hostile

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "headless_shell")
NEEDED = "INSTRUCTSEL_NEEDS_CHROMIUM"
SETTLED = 0.5
"""Seconds without a message after which a page is taken to have done what it does."""


@dataclass
class Seen:
    """What a page did."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


class Browser:
    """Chromium on the other end of a pair of pipes, spoken to in the DevTools protocol."""

    def __init__(self, program: str, profile: Path) -> None:
        read_end, self.out = os.pipe()
        self.inward, write_end = os.pipe()
        # High first: 3 and 4, which Chromium reads and writes, may be among the four.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (read_end, write_end)]

        def wired() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        flags = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            [program, *flags, "about:blank"], pass_fds=(3, 4), preexec_fn=wired, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (read_end, write_end, *high):
            os.close(end)
        self.number, self.rest, self.messages = 0, b"", list[dict[str, Any]]()
        self.session = ""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **({"sessionId": self.session} if self.session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while self.process.poll() is None:
            for message in self.listen(1.0):
                if message.get("id") == self.number:
                    assert "error" not in message, message["error"]
                    return dict(message["result"])
        raise AssertionError(f"Chromium ended at {method}.")

    def listen(self, seconds: float) -> list[dict[str, Any]]:
        """The next messages, nothing where none is whole within some seconds; events are kept, too."""
        end = time.monotonic() + seconds
        while select.select([self.inward], [], [], max(0.0, end - time.monotonic()))[0]:
            self.rest += os.read(self.inward, 1 << 20)
            *whole, self.rest = self.rest.split(b"\0")
            if whole:
                found = [json.loads(each) for each in whole]
                self.messages += [each for each in found if "method" in each]
                return found
        return []

    def open(self, page: Path, *, width: int, dark: bool = False, scripts: bool = True) -> Seen:
        """Open a file in a new tab, and say what it did."""
        self.session, self.messages = "", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.messages = []
        self.ask("Page.navigate", url=page.as_uri())
        while not any(each["method"] == "Page.loadEventFired" for each in self.messages):
            self.listen(1.0)
            assert self.process.poll() is None, "Chromium ended before the page was loaded."
        while self.listen(SETTLED):
            pass
        seen = Seen()
        for each in self.messages:
            method, told = each["method"], each.get("params", {})
            if method == "Log.entryAdded":
                seen.errors.append(told["entry"]["text"])
            elif method == "Runtime.exceptionThrown":
                seen.errors.append(str(told["exceptionDetails"].get("text")))
            elif method == "Runtime.consoleAPICalled":
                seen.errors.append(f"console: {told['args']}")
            elif method == "Network.requestWillBeSent":
                seen.requests.append(told["request"]["url"])
            elif method == "Page.javascriptDialogOpening":
                seen.dialogs.append(told["message"])
        return seen

    def value(self, expression: str) -> Any:
        """What an expression is worth in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def close(self) -> None:
        """End the browser."""
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.inward)


def chromium() -> str:
    """The program; without one the tests are skipped, or fail where they are needed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        assert not os.environ.get(NEEDED), f"{NEEDED} is set, and none of {', '.join(NAMES)} is installed."
        pytest.skip("Chromium is not installed")
    return program


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(chromium(), tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Report, Path]]:
    folder = tmp_path_factory.mktemp("pages")
    made = {"whole": report(*everything()), "attacked": report(*hostile(), title="<script>alert(0)</script>")}
    for name, each in made.items():
        each.write(folder / f"{name}.html")
    return {name: (each, folder / f"{name}.html") for name, each in made.items()}


MARKS = """
[...document.querySelectorAll("figure svg")].map(svg => {
  const box = svg.getBoundingClientRect()
  const marks = [...svg.querySelectorAll("path, circle, rect:not(.paper)")].filter(mark => {
    const own = mark.getBoundingClientRect(), style = getComputedStyle(mark)
    return (own.width > 0 || own.height > 0) && (style.fill !== "none" || style.stroke !== "none")
  })
  return [svg.querySelector("title").textContent, box.width, box.height, marks.length]
})
"""
OUTSIDE = """
[...document.querySelectorAll("body *")].filter(each => !each.closest(".box table") && !each.closest("svg") && !each.closest(".hidden"))
  .filter(each => { const box = each.getBoundingClientRect(); return box.right > innerWidth + 0.5 || box.left < -0.5 })
  .map(each => each.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("name", ["whole", "attacked"])
@pytest.mark.parametrize("width", [360, 1440])
def test_a_report_runs_nothing_loads_nothing_and_fits(
    browser: Browser, pages: dict[str, tuple[Report, Path]], name: str, width: int
) -> None:
    made, page = pages[name]
    seen = browser.open(page, width=width)
    assert (seen.errors, seen.dialogs) == ([], [])
    assert [each for each in seen.requests if not each.startswith("data:")] == [page.as_uri()]
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OUTSIDE) == []
    drawn = browser.value(MARKS)
    charts = [part for section in made.as_dict()["sections"] for part in section["parts"] if part["part"] == "chart"]
    assert [each[0] for each in drawn] == [each["title"] for each in charts]
    assert all(wide > 200 and tall > 50 and marks > 0 for _, wide, tall, marks in drawn)
    assert browser.value("document.getElementById('data').textContent.length") > 1000
    assert json.loads(browser.value("document.getElementById('data').textContent")) == json.loads(made.json())
    # The style was taken: the hash in the policy is right.
    assert browser.value("getComputedStyle(document.querySelector('h1')).fontSize") == "25.6px"


def test_without_scripts_and_in_the_dark_the_page_is_the_same(browser: Browser, pages: dict[str, tuple[Report, Path]]) -> None:
    _, page = pages["whole"]
    browser.open(page, width=1440)
    light, words = browser.value("getComputedStyle(document.body).backgroundColor"), browser.value("document.body.innerText")
    seen = browser.open(page, width=1440, dark=True, scripts=False)
    assert (seen.errors, seen.dialogs) == ([], [])
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.value("document.body.innerText") == words
    assert (light, browser.value("getComputedStyle(document.body).backgroundColor")) == ("rgb(255, 255, 255)", "rgb(20, 25, 31)")
    assert browser.value("getComputedStyle(document.querySelector('svg .label')).fill") == "rgb(232, 236, 241)"
    assert browser.value("getComputedStyle(document.querySelector('svg .paper')).fill") == "rgb(20, 25, 31)"


def test_on_paper_a_report_is_light_and_nothing_is_cut(browser: Browser, pages: dict[str, tuple[Report, Path]]) -> None:
    _, page = pages["whole"]
    browser.open(page, width=1440, dark=True)
    browser.ask("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert browser.value("[...document.querySelectorAll('.box')].filter(each => getComputedStyle(each).overflow !== 'visible').length") == 0
    assert browser.value("getComputedStyle(document.querySelector('svg .paper')).fill") == "rgb(255, 255, 255)"
    assert base64.b64decode(browser.ask("Page.printToPDF")["data"]).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ("<script>console.log(1)</script>", "errors"),
        ("<p style='color:red'>x</p>", "errors"),
        ("<img src='http://127.0.0.1:9/a.png'>", "requests"),
    ],
)
def test_a_page_with_something_in_it_is_found_out(
    browser: Browser, pages: dict[str, tuple[Report, Path]], tmp_path: Path, broken: str, what: str
) -> None:
    text = pages["whole"][1].read_text(encoding="utf-8")
    page = tmp_path / "broken.html"
    page.write_text(text.replace("<main>", f"<main>{broken}"), encoding="utf-8")
    seen = browser.open(page, width=1440)
    assert seen.errors
    if what == "requests":
        # The policy stops it; without the policy it leaves.
        page.write_text(text.replace("<main>", f"<main>{broken}").replace("Content-Security-Policy", "X"), encoding="utf-8")
        assert "http://127.0.0.1:9/a.png" in browser.open(page, width=1440).requests
    wide = tmp_path / "wide.html"
    wide.write_text(text.replace("<main>", '<main><svg width="2000" height="1"></svg>'), encoding="utf-8")
    browser.open(wide, width=360)
    assert browser.value("document.documentElement.scrollWidth") > 360


def test_without_chromium_the_tests_are_skipped_and_fail_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(NEEDED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is not installed"):
        chromium()
    monkeypatch.setenv(NEEDED, "1")
    with pytest.raises(AssertionError, match="is set, and none of"):
        chromium()
