"""An evaluation with a client for each annotator, in this process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel.human.app.guard import Origins
from instructsel.human.comparison import Comparison, numbered
from instructsel.human.store import JudgmentStore

ORIGIN: Final = "http://127.0.0.1:8787"
MODELS: Final = ("zebra-65b-secret", "quagga-7b-secret")


def pairs(n: int) -> list[Comparison]:
    """Pairs whose texts say which model wrote them to whoever knows, in words that name no model."""
    made = [Comparison(f"i{number}", f"Prompt {number}", *MODELS, f"first {number}", f"second {number}") for number in range(n)]
    return numbered(made)[0]


class App:
    """An app with its store."""

    def __init__(self, path: Path, n: int = 5, annotators: tuple[str, ...] = ("ada", "ben"), *, seed: int | None = 3) -> None:
        pytest.importorskip("starlette")
        pytest.importorskip("markdown_it")
        from instructsel.human.app.routes import Pages

        self.store = JudgmentStore.open(path, seed=seed)
        self.store.add(pairs(n))
        self.numbers = {name: self.store.annotator(name) for name in annotators}
        self.app = Pages(self.store, Origins.of("127.0.0.1", 8787)).app()

    def client(self, name: str | None = None, **headers: str) -> Any:
        """A client, signed in where there is a name."""
        from starlette.testclient import TestClient

        client = TestClient(self.app, base_url=ORIGIN, headers=headers, follow_redirects=False)
        if name is not None:
            answer = client.post("/sign-in", data={"code": self.store.code(self.numbers[name])})
            assert answer.status_code == 303, answer.text
        return client

    def close(self) -> None:
        """Close the file."""
        self.store.close()


def token_of(page: str) -> str:
    """The token in a page's forms."""
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found is not None, page[:500]
    return found[1]


def judged(client: Any, position: int, *, left: str = "yes", right: str = "no", preference: int = 0, **fields: str) -> Any:
    """Judge a pair as a browser does."""
    token = fields.pop("token", None) or token_of(client.get(f"/pairs/{position}").text)
    data = {"token": token, "left": left, "right": right, "preference": str(preference), **fields}
    return client.post(f"/pairs/{position}", data=data, headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"})
