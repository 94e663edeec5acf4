"""The app as a process of its own, reached over a socket as browsers do."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.conftest import ROOT
from tests.human.app_client import token_of


class Served:
    """A process of `instructsel judge-app`."""

    def __init__(self, folder: Path, *arguments: str, annotators: str = "ada,ben") -> None:
        command = [sys.executable, "-m", "instructsel", "judge-app", *arguments, "--db", str(folder / "judged.sqlite3"), "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.log = (folder / "stderr.txt").open("ab")
        self.process = subprocess.Popen(
            [*command, "--annotators", annotators], stdout=subprocess.PIPE, stderr=self.log, cwd=folder, env=environment, text=True
        )
        assert self.process.stdout is not None
        self.links: dict[str, str] = {}
        for _ in annotators.split(","):
            line = self.process.stdout.readline()
            assert line, (folder / "stderr.txt").read_text()
            name, link = line.split()
            self.links[name] = link
        self.host = urlsplit(next(iter(self.links.values()))).netloc

    def ask(self, method: str, path: str, cookie: str = "", **fields: str) -> tuple[int, dict[str, str], str]:
        """A request and its answer."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        headers = {"Cookie": cookie} if cookie else {}
        body = None
        if method == "POST":
            body = urlencode(fields)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.host}"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def sign_in(self, name: str) -> str:
        """The cookie of a new session."""
        code = re.search(r"code=([0-9a-f]+)", self.links[name])
        assert code is not None
        status, headers, text = self.ask("POST", "/sign-in", code=code[1])
        assert status == 303, text
        return headers["set-cookie"].partition(";")[0]

    def token(self, cookie: str) -> str:
        """What the forms of a session carry."""
        return token_of(self.ask("GET", "/done", cookie)[2])

    def kill(self) -> None:
        """End the process without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> int:
        """Ask the process to end, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()
        return code
