"""The app's protocol: who may see and send what, what is saved, and that nothing of it says which model wrote what."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel.human.app.guard import Origins
from instructsel.human.store import Answer, JudgmentStore
from tests.human.app_client import MODELS, App, judged, pairs, token_of


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    running = App(tmp_path / "judged.sqlite3")
    yield running
    running.close()


def records(app: App) -> list[Any]:
    return list(app.store.records())


def test_a_judgment_is_saved_and_the_next_open_pair_is_shown(app: App) -> None:
    client = app.client("ada")
    assert client.get("/").headers["location"] == "/pairs/1"
    answer = judged(client, 1, left="yes", right="no", preference=1)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pairs/2")
    (record,) = records(app)
    assert (record.evaluator, record.preference, record.acceptable_a, record.acceptable_b) == ("ada", 1, True, False)
    # What stood on the left is what the record calls A.
    page = client.get("/pairs/1").text
    left = re.search(r"Response A</h2>.*?<p>(.*?)</p>", page, flags=re.DOTALL)
    assert left is not None and left[1] == record.completion_a
    assert 'id="left-yes" name="left" value="yes" required checked' in page


def test_the_order_is_fixed_for_an_annotator_and_differs_between_annotators_and_pairs(tmp_path: Path) -> None:
    app = App(tmp_path / "many.sqlite3", 200)

    def lefts(store: JudgmentStore) -> list[list[bool]]:
        return [[store.shown(number, place).left.startswith("first") for place in range(1, 201)] for number in app.numbers.values()]

    before = lefts(app.store)
    assert before == lefts(app.store)
    app.close()
    again = JudgmentStore.open(tmp_path / "many.sqlite3")
    assert before == lefts(again)
    again.close()
    other = JudgmentStore.open(tmp_path / "other.sqlite3", seed=4)
    other.add(pairs(200))
    assert before != lefts(other)
    other.close()
    ada, ben = before
    # Halves, up to four standard deviations of a fair coin.
    assert all(72 <= sum(side) <= 128 for side in before)
    assert 72 <= sum(a == b for a, b in zip(ada, ben, strict=True)) <= 128


def test_no_page_address_element_or_header_names_a_model(app: App) -> None:
    client = app.client("ada")
    judged(client, 1)
    seen = [
        client.get(path)
        for path in ("/", "/pairs/1", "/pairs/2", "/pairs/2?plain=1", "/done", "/sign-in", "/static/app.js", "/static/app.css")
    ]
    seen.append(judged(client, 2, left="maybe"))
    for answer in seen:
        text = answer.text + json.dumps(dict(answer.headers))
        assert not [model for model in MODELS if model in text or model.partition("-")[0] in text]
    # Nor does the page tell the pair by the id or the place that it has in the file.
    assert not re.search(r"\bi[0-9]\b", client.get("/pairs/1").text)


@pytest.mark.parametrize("missing", ["left", "right", "preference"])
def test_all_three_questions_have_to_be_answered(app: App, missing: str) -> None:
    client = app.client("ada")
    data = {"token": token_of(client.get("/pairs/1").text), "left": "yes", "right": "no", "preference": "2"}
    del data[missing]
    answer = client.post("/pairs/1", data=data)
    assert answer.status_code == 422 and 'role="alert"' in answer.text and "all three" in answer.text
    assert answer.text.count(" checked") == 3
    assert records(app) == []


def test_undo_brings_back_what_counted_before(app: App) -> None:
    client = app.client("ada")
    judged(client, 1, preference=0)
    judged(client, 2, preference=1)
    judged(client, 1, preference=4)
    assert [record.preference for record in records(app)] == [0, 1, 4]
    for place, left in (("/pairs/1", [0, 1]), ("/pairs/2", [0]), ("/pairs/1", []), ("/done", [])):
        answer = client.post("/undo", data={"token": token_of(client.get("/done").text)})
        assert answer.headers["location"] == place
        assert [record.preference for record in records(app)] == left
    assert "0 of 5 judged" in client.get("/done").text


def test_feedback_is_saved_apart_and_exported_with_the_judgment_or_alone(app: App) -> None:
    client = app.client("ada")
    token = token_of(client.get("/pairs/1").text)
    said = {"token": token, "quality": "too hard", "comment": " <b>no</b>\r\nreally "}
    assert client.post("/pairs/1/feedback", data=said).headers["location"] == "/pairs/1#feedback"
    (alone,) = records(app)
    assert (alone.preference, alone.quality, alone.comment) == (None, "too hard", "<b>no</b>\nreally")
    page = client.get("/pairs/1").text
    assert "&lt;b&gt;no&lt;/b&gt;" in page and "<b>no</b>" not in page and 'value="too hard" checked' in page
    judged(client, 1)
    (record,) = records(app)
    assert (record.preference, record.quality) == (0, "too hard")
    assert client.post("/pairs/1/feedback", data={"token": token, "quality": "boring", "comment": ""}).status_code == 422
    client.post("/pairs/1/feedback", data={"token": token, "quality": "", "comment": ""})
    assert records(app)[0].quality is None


def test_progress_goes_around_what_is_judged_and_ends(app: App) -> None:
    client = app.client("ada")
    for position in (1, 3, 5):
        judged(client, position)
    assert client.get("/").headers["location"] == "/pairs/2"
    assert judged(client, 4).headers["location"] == "/pairs/2"
    assert judged(client, 2).headers["location"] == "/done"
    assert "All 5 pairs are judged" in client.get("/done").text
    assert "0 of 5 judged" in app.client("ben").get("/done").text


@pytest.mark.parametrize("path", ["/", "/pairs/1", "/done"])
def test_who_is_not_signed_in_sees_nothing(app: App, path: str) -> None:
    for client in (app.client(), app.client(cookie="instructsel_judge=forged"), app.client(cookie="instructsel_judge=\x7f; a=b")):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/sign-in", "")
    assert app.client().post("/pairs/1", data={"left": "yes", "right": "no", "preference": "0"}).status_code == 403
    assert records(app) == []


def test_an_annotator_neither_sees_nor_changes_what_another_said(app: App) -> None:
    ada, ben = app.client("ada"), app.client("ben")
    judged(ada, 1, preference=4)
    ada.post("/pairs/1/feedback", data={"token": token_of(ada.get("/pairs/1").text), "quality": "invalid", "comment": "ada's words"})
    page = ben.get("/pairs/1").text
    assert "checked" not in page.replace('value="" checked', "") and "ada" not in page and "words" not in page
    assert ben.post("/undo", data={"token": token_of(page)}).headers["location"] == "/done"
    # The token of one session is not that of another.
    assert judged(ben, 1, token=token_of(ada.get("/pairs/1").text)).status_code == 403
    assert judged(ada, 2, token=token_of(page)).status_code == 403
    assert [(record.evaluator, record.preference) for record in records(app)] == [("ada", 4)]


def test_two_annotators_at_once_keep_their_own(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = ("ada", "ben", "eva", "dan")
    app = App(tmp_path / "judged.sqlite3", 20, names)

    def work(name: str) -> None:
        client = app.client(name)
        for position in range(1, 21):
            assert judged(client, position, preference=names.index(name)).status_code == 303

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, names))
    found = records(app)
    assert len(found) == 80 and all(record.preference == names.index(record.evaluator) for record in found)
    for name in names:
        # Each sees what they said themselves, and all of it.
        client = app.client(name)
        assert "All 20 pairs are judged" in client.get("/done").text
        assert re.search(rf'name="preference" value="{names.index(name)}"[^>]*checked', client.get("/pairs/7").text), name
    app.close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:8788", "127.0.0.1:8787.evil.example", "evil@127.0.0.1:8787", ""])
def test_a_request_for_another_host_is_refused(app: App, host: str) -> None:
    answer = app.client("ada").get("/pairs/1", headers={"host": host})
    assert answer.status_code == 421 and "Prompt" not in answer.text
    assert app.client("ada").get("/pairs/1", headers={"host": "LOCALHOST:8787"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8787.evil.example"},
        {"origin": "file://127.0.0.1:8787"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
def test_a_form_of_another_site_is_refused(app: App, headers: dict[str, str]) -> None:
    client = app.client("ada")
    data = {"token": token_of(client.get("/pairs/1").text), "left": "yes", "right": "no", "preference": "0"}
    assert client.post("/pairs/1", data=data, headers=headers).status_code == 403
    assert client.post("/sign-in", data={"code": "x"}, headers=headers).status_code == 403
    assert records(app) == []


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "é"])
def test_a_form_without_the_session_s_token_is_refused(app: App, token: str) -> None:
    client = app.client("ada")
    for path, fields in (
        ("/pairs/1", {"left": "yes", "right": "no", "preference": "0"}),
        ("/pairs/1/feedback", {"quality": "", "comment": "x"}),
        ("/undo", {}),
        ("/sign-out", {}),
    ):
        assert client.post(path, data={**fields, "token": token}).status_code == 403
    assert records(app) == [] and client.get("/pairs/1").status_code == 200


def test_looking_at_a_link_changes_nothing_and_its_code_is_needed(app: App) -> None:
    client = app.client()
    code = app.store.code(app.numbers["ada"])
    answer = client.get("/sign-in", params={"code": code})
    assert f'value="{code}"' in answer.text and "set-cookie" not in answer.headers
    for wrong in ("", "x", code[:-1], code + "0", code.upper(), "é" * 40):
        refused = client.post("/sign-in", data={"code": wrong})
        assert refused.status_code == 403 and "set-cookie" not in refused.headers
    cookie = client.post("/sign-in", data={"code": code}).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie and "Secure" not in cookie
    assert len(set(map(app.store.code, app.numbers.values()))) == 2 and len(code) == 40


def test_new_links_end_all_sessions_and_signing_out_ends_one(app: App) -> None:
    ada, ben = app.client("ada"), app.client("ben")
    code = app.store.code(app.numbers["ada"])
    ben.post("/sign-out", data={"token": token_of(ben.get("/done").text)})
    assert (ada.get("/done").status_code, ben.get("/done").status_code) == (200, 303)
    app.store.renew()
    assert ada.get("/done").status_code == 303
    assert app.client().post("/sign-in", data={"code": code}).status_code == 403


def test_a_public_address_is_answered_for_and_its_cookies_need_https(tmp_path: Path) -> None:
    origins = Origins.of("0.0.0.0", 8787, "https://judge.example.org")
    assert origins.secure and "judge.example.org" in origins.hosts
    assert origins.admits("https://judge.example.org") and not origins.admits("https://evil.example.org")


def test_every_answer_has_the_headers_that_keep_a_page_from_running_or_loading_anything(app: App) -> None:
    client = app.client("ada")
    for answer in (
        client.get("/pairs/1"),
        client.get("/nowhere"),
        client.get("/", headers={"host": "x"}),
        judged(client, 1),
        client.get("/static/app.js"),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert client.get("/pairs/1").headers["cache-control"] == "no-store"
    page = client.get("/pairs/1").text
    assert not re.search(r"<script>|<style|style=|\son[a-z]+=|javascript:", page)


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "[x](data:text/html,<script>alert(1)</script>)",
    "![x](http://evil.example/x.png)", "<http://a\" onclick=\"alert(1)>", "`<script>`", "```html\n<script>alert(1)</script>\n```",
    "</div></main><form action=/undo>", "[a]: javascript:alert(1)\n\n[a]", "<a href=\"javascript:1\">x</a>", "&lt;script&gt;", "\x00<b>", "{{ 7*7 }}",
    "| a |\n|---|\n| <b>x</b> |", ">" * 3_000 + "x", "[" * 5_000, "*" * 5_000, "`" * 5_000 + "a", "- " * 2_000, "|" * 3_000 + "\n" + "|-" * 3_000,
]  # fmt: skip


def test_texts_are_shown_and_run_nothing(tmp_path: Path) -> None:
    lxml = pytest.importorskip("lxml.html")
    from instructsel.human.comparison import Comparison

    app = App(tmp_path / "judged.sqlite3", 0)
    app.store.add([Comparison(f"i{place}", text, *MODELS, text, f"{text}\n\nother") for place, text in enumerate(HOSTILE)])
    client = app.client("ada")
    for position in range(1, len(HOSTILE) + 1):
        for path in (f"/pairs/{position}", f"/pairs/{position}?plain=1"):
            answer = client.get(path)
            assert answer.status_code == 200
            tree = lxml.fromstring(answer.text)
            texts = tree.xpath("//div[contains(@class, 'text')]")
            assert len(texts) == 3
            for text in texts:
                inside = {element.tag for element in text.iter() if isinstance(element.tag, str)}
                assert not inside & {"script", "img", "iframe", "form", "style", "object", "svg", "input", "b", "link", "base"}
                for element in text.iter():
                    assert not [name for name in element.attrib if name.startswith("on") or name in ("style", "src", "id", "name")]
                    assert not element.get("href", "").lower().startswith(("javascript", "data", "vbscript"))
                    assert element.tag != "a" or element.get("rel") == "noopener noreferrer nofollow"
    app.close()


def test_a_response_without_text_says_so(tmp_path: Path) -> None:
    from instructsel.human.comparison import Comparison

    app = App(tmp_path / "judged.sqlite3", 0)
    app.store.add([Comparison("i", "p", *MODELS, "", " \n")])
    client = app.client("ada")
    assert all(client.get(path).text.count("(no text)") == 2 for path in ("/pairs/1", "/pairs/1?plain=1"))
    app.close()


def test_long_texts_are_shown_whole(tmp_path: Path) -> None:
    from instructsel.human.comparison import Comparison

    app = App(tmp_path / "judged.sqlite3", 0)
    app.store.add([Comparison("i", "p", *MODELS, "x" * 300_000, "**y**")])
    page = app.client("ada").get("/pairs/1").text
    assert "x" * 300_000 in page and "<strong>y</strong>" in page
    app.close()


def _request(generator: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    """One hostile request: method, path, headers, body."""
    junk = "".join(generator.choice(string.printable + "é\u202e中") for _ in range(generator.randrange(60)))
    paths = ["/", "/pairs/1", "/pairs/0", "/pairs/-1", "/pairs/99999999999999999999", "/pairs/1/feedback", "/undo", "/sign-in", "/sign-out", "/done",
             "/static/../store.py", "/static/%2e%2e/x", "/static/app.js", "//evil.example/", "/pairs/1%00", "/pairs/" + "9" * 3_000, f"/{junk}", "/pairs/１", "/%ff%fe"]  # fmt: skip
    names = [
        "host",
        "origin",
        "cookie",
        "content-type",
        "content-length",
        "sec-fetch-site",
        "referer",
        "transfer-encoding",
        "x-forwarded-for",
        "accept",
    ]
    values = ["evil.example", "null", "instructsel_judge=" + "a" * 90, "application/json", "-1", "99999999999999999999", "cross-site", "x" * 9_000,
              "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-7", "chunked"]  # fmt: skip
    headers = {generator.choice(names): generator.choice(values) for _ in range(generator.randrange(4))}
    if generator.random() < 0.6:
        headers["content-type"] = "application/x-www-form-urlencoded"
    bodies = [b"", b"left=yes&right=no&preference=0", b"left=yes&left=no", b"%ff%fe=%00", b"&" * 500, junk.encode("utf-8"), b"x=" + b"y" * 70_000,
              b"token=&left=yes&right=no&preference=9", b"\xff\xfe", b"quality=invalid&comment=" + b"%F0%9F" * 40]  # fmt: skip
    return (
        generator.choice(["GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"]),
        generator.choice(paths),
        headers,
        generator.choice(bodies),
    )


def _sent(app: Any, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Send a request past what a client would put right."""
    import asyncio
    from urllib.parse import unquote_to_bytes

    raw, _, query = path.partition("?")
    present = {"host": "127.0.0.1:8787", **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "root_path": "",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"), "raw_path": raw.encode("utf-8", "replace"), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("utf-8", "replace")) for name, value in present.items()],
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8787),
    }  # fmt: skip
    parts = [
        {"type": "http.request", "body": body[:100], "more_body": True},
        {"type": "http.request", "body": body[100:], "more_body": False},
    ]
    answers: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(app(scope, receive, send))
    return answers[0]["status"], b"".join(answer.get("body", b"") for answer in answers)


def test_a_thousand_hostile_requests_break_nothing_lose_nothing_and_show_nothing(app: App) -> None:
    ada, ben = app.client("ada"), app.client("ben")
    judged(ada, 1, preference=3)
    ada.post("/pairs/1/feedback", data={"token": token_of(ada.get("/pairs/1").text), "quality": "invalid", "comment": "only ada knows"})
    before = records(app)
    session = ben.cookies["instructsel_judge"]
    generator = random.Random(20)
    statuses = set()
    for number in range(1_000):
        method, path, headers, body = _request(generator)
        if number % 2 and "cookie" not in headers:
            # As a signed-in annotator, who may see their own pages, and whose forms lack the token.
            headers["cookie"] = f"instructsel_judge={session}"
        status, answer = _sent(app.app, method, path, headers, body)
        statuses.add(status)
        assert status < 500, (status, method, path, headers, body[:100])
        assert b"only ada knows" not in answer and not [model for model in MODELS if model.encode() in answer]
    assert statuses >= {200, 303, 403, 404, 405, 413, 415, 421}
    assert records(app) == before
    assert ada.get("/pairs/1").status_code == 200 and judged(ben, 1).status_code == 303


def test_ten_thousand_pairs_page_by_index(tmp_path: Path) -> None:
    app = App(tmp_path / "judged.sqlite3", 10_000, ("ada",))
    client, number = app.client("ada"), app.numbers["ada"]
    with app.store._writing() as connection:
        connection.execute(
            "INSERT INTO judgments (annotator, position, turned, acceptable_left, acceptable_right, preference, time) "
            "SELECT ?, position, 0, 1, 1, 2, '2026-01-01T00:00:00+00:00' FROM pairs WHERE position < 9990", (number,),
        )  # fmt: skip
        connection.execute("INSERT INTO answers SELECT annotator, position, id FROM judgments")
    assert client.get("/").headers["location"] == "/pairs/9990"
    # What would make a page slow is a scan, which SQLite's own plan tells.
    plans = {query: _plan(app, query) for query in _queries(app, client)}
    assert plans and not [plan for plan in plans.values() if any(step.startswith("SCAN") for step in plan)], plans
    app.close()


def _queries(app: App, client: Any) -> list[str]:
    """What one page and one judgment ask of the file."""
    queries: list[str] = []
    app.store._connection.set_trace_callback(
        lambda query: queries.append(query) if query.lstrip().upper().startswith(("SELECT", "UPDATE")) else None
    )
    client.get("/pairs/9991")
    judged(client, 9_991)
    app.store.undo(app.numbers["ada"])
    app.store._connection.set_trace_callback(None)
    return queries


def _plan(app: App, query: str) -> list[str]:
    return [str(row[3]) for row in app.store._connection.execute(f"EXPLAIN QUERY PLAN {query}")]


def test_another_program_s_database_a_newer_one_and_another_seed_are_refused(tmp_path: Path) -> None:
    from instructsel.errors import ObservationsError, UsageError

    foreign = tmp_path / "foreign.sqlite3"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE x (y)")
    connection.commit()
    connection.close()
    with pytest.raises(ObservationsError, match="another program"):
        JudgmentStore.open(foreign)
    ours = tmp_path / "ours.sqlite3"
    JudgmentStore.open(ours, seed=1).close()
    assert ours.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="another seed"):
        JudgmentStore.open(ours, seed=2)
    connection = sqlite3.connect(ours)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ObservationsError, match="newer"):
        JudgmentStore.open(ours)
    with pytest.raises(ObservationsError, match="There is no file"):
        JudgmentStore.open(tmp_path / "none.sqlite3", create=False)
    assert not (tmp_path / "none.sqlite3").exists()


def test_more_pairs_come_behind_and_none_twice(tmp_path: Path) -> None:
    store = JudgmentStore.open(tmp_path / "judged.sqlite3", seed=1)
    assert (store.add(pairs(5)), store.add(pairs(5)), store.add(pairs(8))) == (5, 0, 3)
    ada = store.annotator("ada")
    before = [store.shown(ada, position).prompt for position in range(1, 6)]
    # Not in the order of the file, in which the pairs of one kind may stand together.
    assert before != [f"Prompt {number}" for number in range(5)] and sorted(before) == [f"Prompt {number}" for number in range(5)]
    store.judge(ada, 1, Answer(True, True, 2))
    assert store.next_open(ada) == 2 and store.n_pairs == 8
    store.close()
