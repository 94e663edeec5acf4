"""The app in headless Chromium, with real clicks and keys, on a desk and on a phone, light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel.human.record import Record
from instructsel.human.store import JudgmentStore
from tests.human.app_client import MODELS
from tests.human.served import Served
from tests.reports.test_report_browser import Browser, chromium

pytest.importorskip("uvicorn")
PICTURES = os.environ.get("INSTRUCTSEL_PICTURES", "")
"""A folder to leave pictures in, for whoever wants to look."""
CODE = (
    "Some *text* with code:\n\n```python\ndef add(a, b):\n    return a + b  # " + "a comment that is wider than any phone " * 4 + "\n```\n"
)
TABLE = (
    "| a | b |\n|---|---|\n| 1 | "
    + "wide " * 30
    + "|\n\n1. one\n2. two\n\n<script>document.title = 'broken'</script>\n\n![x](/undo)\n\n"
    + "w" * 300
)
KEYS = {"Enter": (13, "\r"), "ArrowLeft": (37, ""), "ArrowRight": (39, ""), "Tab": (9, ""), " ": (32, " ")}


class Page(Browser):
    """A browser with a mouse and a keyboard."""

    def visit(self, url: str, *, width: int = 1280, dark: bool = False) -> None:
        """Open an address in a new tab."""
        self.session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.messages = []
        self.ask("Page.navigate", url=url)
        self.loaded()

    def loaded(self) -> None:
        """Wait until the next page is there."""
        while not any(message["method"] == "Page.loadEventFired" for message in self.messages):
            self.listen(1.0)
            assert self.process.poll() is None, "Chromium ended."
        self.messages = [message for message in self.messages if message["method"] != "Page.loadEventFired"]

    def faults(self) -> list[str]:
        """What the pages complained of since they were opened, and what they asked of other hosts."""
        found = []
        for message in self.messages:
            detail = message.get("params", {})
            if message["method"] == "Log.entryAdded" and detail["entry"]["level"] == "error":
                found.append(f"{detail['entry']['text']} {detail['entry'].get('url', '')}")
            elif message["method"] in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Runtime.consoleAPICalled"):
                found.append(str(detail))
            elif message["method"] == "Network.requestWillBeSent" and not detail["request"]["url"].startswith("http://127.0.0.1:"):
                found.append(detail["request"]["url"])
        return found

    def click(self, selector: str) -> None:
        """A click in the middle of an element."""
        place = self.value(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView({{block: 'center'}}); "
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key."""
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
        common: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, name: str) -> None:
        """Leave a picture where one is wanted."""
        if PICTURES:
            import base64

            data = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            Path(PICTURES, f"{name}.png").write_bytes(base64.b64decode(data))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(chromium(), tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


def serve(folder: Path) -> Served:
    """An app with three pairs."""
    texts = [(CODE, TABLE), ("Yes.", "# No\n\n> because"), ("one", "two")]
    rows = [
        {
            "id": f"i{n}",
            "prompt": f"Prompt {n}\nwith two lines",
            "completions": [{"model": model, "completion": text} for model, text in zip(MODELS, side, strict=True)],
        }
        for n, side in enumerate(texts)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Served(folder, "pairs.jsonl", "--seed", "5")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = serve(tmp_path)
    yield running
    running.close()


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One in which nothing is judged."""
    running = serve(tmp_path_factory.mktemp("looked_at"))
    yield running
    running.close()


def saved(folder: Path) -> list[Record]:
    store = JudgmentStore.open(folder / "judged.sqlite3", create=False)
    records = list(store.records())
    store.close()
    return records


def sign_in(browser: Page, served: Served, name: str, **how: Any) -> None:
    """By the link, as an annotator does."""
    browser.visit(served.links[name], **how)
    browser.click("button.main")
    browser.loaded()


def test_three_pairs_are_judged_with_keys_alone(browser: Page, served: Served, tmp_path: Path) -> None:
    sign_in(browser, served, "ada")
    assert browser.value("location.pathname") == "/pairs/1" and browser.value("document.title") == "Pair 1 of 3"
    # Left acceptable, right not, A slightly better.
    for key in "qp2":
        browser.press(key)
    browser.press("Enter")
    browser.loaded()
    assert browser.value("location.pathname") == "/pairs/2"
    browser.press("ArrowLeft")
    browser.loaded()
    assert browser.value("[...document.querySelectorAll('#judgment input:checked')].map(one => one.id)") == [
        "left-yes",
        "right-no",
        "preference-2",
    ]
    browser.press("u")
    browser.loaded()
    assert browser.value("document.querySelectorAll('#judgment input:checked').length") == 0 and saved(tmp_path) == []
    for keys in ("wo5", "qo3", "wp1"):
        for key in keys:
            browser.press(key)
        browser.press("Enter")
        browser.loaded()
    assert browser.value("location.pathname") == "/done" and "All 3 pairs" in browser.value("document.body.innerText")
    found = saved(tmp_path)
    assert [(record.acceptable_a, record.acceptable_b, record.preference) for record in found] == [
        (False, True, 4),
        (True, True, 2),
        (False, False, 0),
    ]
    assert browser.faults() == []


def test_pairs_are_judged_with_clicks_and_words_written_are_no_shortcuts(browser: Page, served: Served, tmp_path: Path) -> None:
    sign_in(browser, served, "ben")
    # Nothing is sent before all is answered: the browser says what is missing.
    browser.click("label[for=left-no]")
    browser.click("#save")
    assert browser.value("location.pathname") == "/pairs/1" and saved(tmp_path) == []
    browser.click("#comment")
    for sign in "queu 5t":
        browser.press(sign)
    assert browser.value("document.getElementById('comment').value") == "queu 5t"
    assert browser.value("[...document.querySelectorAll('#judgment input:checked')].map(one => one.id)") == ["left-no"]
    browser.click("label[for=quality-3]")
    browser.click("#feedback button")
    browser.loaded()
    assert [(record.quality, record.comment, record.preference) for record in saved(tmp_path)] == [("too hard", "queu 5t", None)]
    for selector in ("label[for=left-yes]", "label[for=right-yes]", "label[for=preference-4]", "#save"):
        browser.click(selector)
    browser.loaded()
    browser.click("#previous")
    browser.loaded()
    browser.click("#undo")
    browser.loaded()
    assert (
        browser.value("location.pathname") == "/pairs/1"
        and browser.value("document.querySelectorAll('#judgment input:checked').length") == 0
    )
    browser.press("t")
    browser.loaded()
    assert browser.value("document.querySelectorAll('pre.plain').length") == 2
    assert browser.faults() == []


OUTSIDE = """
[...document.querySelectorAll("body *")].filter(one => !one.closest("pre, table, .skip") && getComputedStyle(one).opacity !== "0")
  .filter(one => { const box = one.getBoundingClientRect(); return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5) })
  .map(one => one.outerHTML.slice(0, 120))
"""
UNLABELLED = """
[...document.querySelectorAll("input:not([type=hidden]), textarea, progress, button, a, section, nav, fieldset")]
  .filter(one => !(one.labels?.length || one.innerText?.trim()) || (one.matches("section") && !document.getElementById(one.getAttribute("aria-labelledby"))))
  .map(one => one.outerHTML.slice(0, 120))
"""
CONTRAST = """
(() => {
  const light = color => { const parts = color.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] }
  const behind = one => { for (let at = one; at; at = at.parentElement) { const color = getComputedStyle(at).backgroundColor; if (!/, 0\\)$/.test(color)) return color } return "rgb(255, 255, 255)" }
  return [...document.querySelectorAll("h1, h2, p, label, legend, button, a.button, .text *, .hint")].filter(one => one.getClientRects().length && !one.closest(".skip")).map(one => {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))]
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 100)]
  }).filter(([ratio]) => ratio < 4.5)
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_fits_is_labelled_and_can_be_read(browser: Page, looked_at: Served, width: int, dark: bool) -> None:
    sign_in(browser, looked_at, "ada", width=width, dark=dark)
    place = next(n for n in range(1, 4) if "wider" in looked_at.ask("GET", f"/pairs/{n}", _cookie(browser))[2])
    browser.ask("Page.navigate", url=f"http://{looked_at.host}/pairs/{place}")
    browser.loaded()
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OUTSIDE) == []
    assert browser.value(UNLABELLED) == []
    assert browser.value(CONTRAST) == []
    assert browser.value("document.title").startswith("Pair ")
    assert browser.value("document.querySelectorAll('.response script, .response img').length") == 0
    # One beside the other on a desk, one below the other on a phone.
    tops = browser.value("[...document.querySelectorAll('.response')].map(one => one.getBoundingClientRect().top)")
    assert (tops[0] == tops[1]) == (width > 1000)
    if width > 1000:
        # Every control is reached with the tabulator, in the order of the page, and shows where it is.
        browser.value("document.activeElement.blur()")
        order = []
        for _ in range(40):
            browser.press("Tab")
            order.append(browser.value("document.activeElement.id || document.activeElement.tagName"))
        assert {"left-yes", "right-yes", "preference-1", "save", "undo", "comment"} <= set(order)
        assert (
            order.index("left-yes") < order.index("right-yes") < order.index("preference-1") < order.index("save") < order.index("comment")
        )
    browser.picture(f"pair-{width}-{'dark' if dark else 'light'}")
    assert browser.faults() == []


def _cookie(browser: Page) -> str:
    cookies = browser.ask("Network.getCookies")["cookies"]
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in cookies)


def test_hostile_texts_run_nothing_load_nothing_and_open_nothing(browser: Page, tmp_path: Path) -> None:
    from tests.human.test_judge_app import HOSTILE

    texts = [
        # Long ones are tried in the app's own tests.
        *(text for text in HOSTILE if len(text) < 200),
        "<svg onload=alert(1)>",
        "<style>@import 'http://evil.example/x.css'</style>",
        '<a href="//evil.example" autofocus onfocus=alert(1)>',
    ]
    rows = [
        {
            "id": f"i{n}",
            "prompt": text,
            "completions": [{"model": model, "completion": text + at} for at, model in zip(("", " "), MODELS, strict=True)],
        }
        for n, text in enumerate(texts)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    running = Served(tmp_path, "pairs.jsonl")
    try:
        sign_in(browser, running, "ada")
        for position in range(1, len(texts) + 1):
            browser.ask("Page.navigate", url=f"http://{running.host}/pairs/{position}")
            browser.loaded()
            assert browser.value("document.title") == f"Pair {position} of {len(texts)}"
            assert browser.value("document.scripts.length") == 1 and browser.value("document.forms.length") == 4
        assert browser.faults() == []
    finally:
        running.close()


def test_a_page_cannot_read_the_cookie_and_another_site_cannot_send_a_form(browser: Page, served: Served, tmp_path: Path) -> None:
    sign_in(browser, served, "ada")
    assert browser.value("document.cookie") == ""
    other = tmp_path / "other.html"
    other.write_text(
        f'<form id="f" method="post" action="http://{served.host}/pairs/1"><input name="left" value="yes"><input name="right" value="no">'
        '<input name="preference" value="0"></form><script>document.getElementById("f").submit()</script>'
    )
    browser.ask("Page.navigate", url=other.as_uri())
    browser.loaded()
    while browser.value("location.protocol") != "http:":
        browser.listen(0.2)
    assert saved(tmp_path) == []
