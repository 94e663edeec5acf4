"""kill -9 between any two clicks, and in the middle of many, loses no judgment that was answered."""

from __future__ import annotations

import http.client
import json
import sqlite3
from pathlib import Path
from threading import Thread

import pytest

from instructsel.human.store import JudgmentStore
from tests.human.app_client import MODELS
from tests.human.served import Served

pytest.importorskip("uvicorn")
PAIRS = 60


def comparisons(folder: Path) -> str:
    rows = [
        {
            "id": f"i{n}",
            "prompt": f"Prompt {n}",
            "completions": [{"model": model, "completion": f"{n} {place}"} for place, model in enumerate(MODELS)],
        }
        for n in range(PAIRS)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "pairs.jsonl"


def saved(folder: Path) -> dict[tuple[str, str], int]:
    """Annotator and prompt → the preference that counts."""
    store = JudgmentStore.open(folder / "judged.sqlite3", create=False)
    found = {(record.evaluator, record.prompt): record.preference for record in store.records()}
    store.close()
    connection = sqlite3.connect(folder / "judged.sqlite3")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return {key: preference for key, preference in found.items() if preference is not None}


def test_a_killed_app_has_every_judgment_that_it_answered_and_goes_on(tmp_path: Path) -> None:
    file = comparisons(tmp_path)
    answered: dict[tuple[str, int], int] = {}
    cookies: dict[str, str] = {}
    for start in range(3):
        served = Served(tmp_path, file)
        if start:
            # The port is another one, and with it the cookie's name; the session is that of before.
            cookies = {
                name: f"instructsel_judge_{served.host.rpartition(':')[2]}={cookie.partition('=')[2]}" for name, cookie in cookies.items()
            }
            assert f"{sum(name == 'ada' for name, _ in answered)} of {PAIRS} judged" in served.ask("GET", "/done", cookies["ada"])[2]
        else:
            cookies = {name: served.sign_in(name) for name in served.links}
        tokens = {name: served.token(cookie) for name, cookie in cookies.items()}

        def judge(
            name: str, first: int, *, counted: bool, at: Served = served, tokens: dict[str, str] = tokens, cookies: dict[str, str] = cookies
        ) -> None:
            # Until the process is gone.
            for position in range(first, first + 15):
                fields = {"token": tokens[name], "left": "yes", "right": "no", "preference": str(position % 5)}
                try:
                    status, *_ = at.ask("POST", f"/pairs/{position}", cookies[name], **fields)
                except (OSError, http.client.HTTPException):
                    assert not counted
                    return
                assert status == 303
                answered[name, position] = position % 5

        # Between two clicks: the last answer is in, and nothing else is under way.
        judge("ada", 1 + 15 * start, counted=True)
        if start == 2:
            # In the middle of many.
            both = [Thread(target=judge, args=(name, 46), kwargs={"counted": False}) for name in cookies]
            for thread in both:
                thread.start()
            while not any(position >= 46 for _, position in list(answered)):
                pass
            served.kill()
            for thread in both:
                thread.join()
        else:
            served.kill()
        store = JudgmentStore.open(tmp_path / "judged.sqlite3", create=False)
        kept = {
            (name, position): store._answer(number, position)
            for name, number in store.annotators.items()
            for position in range(1, PAIRS + 1)
        }
        store.close()
        for (name, position), preference in answered.items():
            answer = kept[name, position]
            assert answer is not None and answer.preference == preference, (start, name, position)
    assert len(saved(tmp_path)) >= len(answered) >= 46


def test_an_app_that_is_asked_to_end_ends_and_says_how_far_it_is(tmp_path: Path) -> None:
    served = Served(tmp_path, comparisons(tmp_path))
    cookie = served.sign_in("ben")
    served.ask("POST", "/pairs/1", cookie, token=served.token(cookie), left="yes", right="yes", preference="2")
    assert served.close() in (0, 130)
    text = (tmp_path / "stderr.txt").read_text()
    assert f"judged: ada 0, ben 1, of {PAIRS}." in " ".join(text.split()) and "Traceback" not in text
    assert saved(tmp_path) == {("ben", next(iter(saved(tmp_path)))[1]): 2}
