"""A judge's server that holds a question for ever: the question ends with a reason of its own, and the account stays exact.

The servers here go on as long as they are let: no test says how long anything takes, only that it ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import ModelUnavailable
from instructsel.grading.judge import HttpJudgeClient, Pair, PairwiseJudge, Reply
from instructsel.time_limit import OutOfTime, within
from tests.grading.test_judge import Server, about, asked_text, longest, said

BOUND = 60.0
"""Seconds after which a test is over, whatever it waits for."""
Say = Callable[[bytes], None]
Pause = Callable[[], bool]
Manner = Callable[[Say, Pause], None]
"""Writes to the client; the pause between two bytes says whether the test is over."""


def dripping(start: bytes, drop: bytes = b"x") -> Manner:
    """A byte now and then, for ever."""

    def manner(say: Say, pause: Pause) -> None:
        say(start)
        while not pause():
            say(drop)

    return manner


def pouring(start: bytes, drop: bytes) -> Manner:
    """As fast as it goes, for ever."""

    def manner(say: Say, pause: Pause) -> None:
        say(start)
        while True:
            say(drop * 64)

    return manner


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SLOW: dict[str, Manner] = {
    "says nothing": dripping(b"", b""),
    "drips the status line": dripping(b"HTTP/1.1 200 "),
    "drips headers": dripping(OK + b"X-Slow: "),
    "drips whole headers": dripping(OK, b"X-Slow: 1\r\n"),
    "drips a body of a length": dripping(OK + b"Content-Length: 100000000\r\n\r\n", b" "),
    "drips a body without a length": dripping(OK + b"\r\n", b" "),
    "drips chunks": dripping(CHUNKED, b"1\r\n \r\n"),
    "drips the size of a chunk": dripping(CHUNKED, b"0"),
    "drips trailers": dripping(CHUNKED + b"1\r\n \r\n0\r\n", b"X-T: 1\r\n"),
    "drips 100 Continue": dripping(b"", CONTINUE),
    "pours 100 Continue": pouring(b"", CONTINUE),
    "pours 103 with headers": pouring(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
}
LONG: dict[str, Manner] = {
    "pours a status line": pouring(b"HTTP/1.1 200 ", b"x"),
    "pours headers": pouring(OK, b"X-Many: 1\r\n"),
    "pours cookies": pouring(OK, b"Set-Cookie: a=1; expires=1 1 1 1 1 1 1 1\r\n"),
    "pours chunks": pouring(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "pours a chunk's extension": pouring(CHUNKED + b"1;", b"x"),
    "pours trailers": pouring(CHUNKED + b"1\r\n \r\n0\r\n", b"X-T: 1\r\n"),
    "pours a body without a length": pouring(OK + b"\r\n", b" "),
    "pours a body of a length": pouring(OK + b"Content-Length: 1000000000000\r\n\r\n", b" "),
    "pours what is no HTTP": pouring(b"", b"\0\xff"),
}


class Raw:
    """A server of sockets: what each connection says is written by a manner, which starts when a request begins to arrive."""

    def __init__(self, manner: Manner, *, reads: bool = True) -> None:
        self.stop = threading.Event()
        self.hung_up = threading.Semaphore(0)
        """Once for each connection that the client closed."""
        self.connections = 0
        self.manner = manner
        self.reads = reads
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.reads:
                client.recv(1 << 16)
            try:
                self.manner(client.sendall, lambda: self.stop.wait(0.02) or gone(client))
                if gone(client):
                    raise OSError
            except OSError:
                self.hung_up.release()

    def close(self) -> None:
        self.stop.set()
        self.listener.close()


def gone(client: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    client.setblocking(False)
    try:
        return client.recv(1 << 16, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        client.setblocking(True)


@pytest.fixture
def raw() -> Iterator[Callable[..., Raw]]:
    servers: list[Raw] = []

    def start(manner: Manner, **options: Any) -> Raw:
        servers.append(Raw(manner, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(script: Callable[[dict[str, Any]], tuple[int, Any] | None]) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def replies(client: HttpJudgeClient, questions: Sequence[str] = ("A or B?",)) -> list[Reply]:
    """The replies, in order; the test fails where they do not come at all."""
    answers: dict[int, Reply] = {}
    within(BOUND, lambda: client.ask(questions, answers.__setitem__))
    return [answers[number] for number in range(len(questions))]


def impatient(url: str, **options: Any) -> HttpJudgeClient:
    return HttpJudgeClient(url, "judge", **{"timeout": 0.3, "deadline": 0.5, "retries": 3, "backoff": 0.0, **options})


@pytest.mark.parametrize("name", SLOW)
def test_a_question_ends_whatever_the_server_goes_on_to_say(raw: Callable[..., Raw], name: str) -> None:
    server = raw(SLOW[name])
    (reply,) = replies(impatient(f"http://{server.address}/v1"))
    assert (reply.share, reply.final, reply.reason) == (None, False, "timed_out")
    # The server is told: nothing goes on behind the reply.
    assert server.hung_up.acquire(timeout=BOUND)


@pytest.mark.parametrize("name", LONG)
def test_a_response_without_end_is_not_read_to_its_end(raw: Callable[..., Raw], name: str) -> None:
    server = raw(LONG[name])
    # There is time for all of it, so that it is the size that ends it.
    (reply,) = replies(impatient(f"http://{server.address}/v1", timeout=50.0, deadline=50.0, retries=0))
    assert (reply.share, reply.final, reply.reason) == (None, False, "failed")
    assert server.hung_up.acquire(timeout=BOUND)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\xff/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://" + b"a" * 70_000 + b"/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: //x..y:99999999/\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        OK + b"Content-Length: 5\r\n\r\n\xff\xfe{}\0",
        OK + b"Content-Type: application/json; charset=\xff\r\nContent-Length: 2\r\n\r\n[]",
        OK + b"Content-Length: 20000\r\n\r\n" + b"[" * 20000,
        OK + b'Content-Length: 33\r\n\r\n{"choices": {"0": {"message": 1}}}',
        OK + b"Content-Encoding: \xff\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_response_that_is_none_is_no_reply(raw: Callable[..., Raw], response: bytes) -> None:
    server = raw(dripping(response, b""))
    (reply,) = replies(impatient(f"http://{server.address}/v1", timeout=50.0, deadline=50.0, retries=0))
    assert reply.share is None and not reply.final and reply.reason in ("failed", "refused")


def test_a_handshake_that_drips_ends(raw: Callable[..., Raw]) -> None:
    # A record of a handshake that is announced as 16 kB long.
    server = raw(dripping(b"\x16\x03\x03\x40\x00"))
    (reply,) = replies(impatient(f"https://{server.address}/v1"))
    assert (reply.share, reply.reason) == (None, "timed_out")
    assert server.hung_up.acquire(timeout=BOUND)


def test_a_server_that_never_accepts_ends() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        # What fills the queue: from here on nobody is let in.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        (reply,) = replies(impatient(f"http://127.0.0.1:{port}/v1"))
    assert (reply.share, reply.reason) == (None, "timed_out")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_is_never_resolved_ends_and_nothing_is_sent_when_it_is(
    raw: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server, resolved, real = raw(dripping(b""), reads=False), threading.Event(), socket.getaddrinfo
    ended = threading.Semaphore(0)

    def listen(say: Say, pause: Pause) -> None:
        ended.release()

    server.manner = listen

    def slow(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "slow.example":
            return real(host, port, *arguments, **options)
        resolved.wait()
        address, number = server.address.split(":")
        return real(address, int(number), *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        (reply,) = replies(impatient(f"{scheme}://slow.example/v1", retries=0))
    finally:
        resolved.set()
    assert (reply.share, reply.reason) == (None, "timed_out")
    # The one connection that its thread may still open is closed without a request.
    ended.acquire(timeout=BOUND)
    assert server.connections <= 1


@pytest.mark.parametrize("wait", ["1e9", "999999999999", "9" * 5000, "inf", "60"])
def test_a_wait_beyond_the_deadline_is_not_waited(raw: Callable[..., Raw], wait: str) -> None:
    def busy(say: Say, pause: Pause) -> None:
        say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: " + wait.encode() + b"\r\n\r\n")

    server = raw(busy)
    (reply,) = replies(impatient(f"http://{server.address}/v1", deadline=50.0, timeout=50.0))
    assert (reply.share, reply.reason, server.connections) == (None, "failed", 1)


@pytest.mark.parametrize("wait", ["-1", "-1e9", "nan", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "0x10", "\xff", ""])
def test_a_wait_that_is_no_number_of_seconds_is_the_client_s_own(raw: Callable[..., Raw], wait: str) -> None:
    def busy(say: Say, pause: Pause) -> None:
        say(b"HTTP/1.1 429 Busy\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: " + wait.encode("latin-1") + b"\r\n\r\n")

    server = raw(busy)
    (reply,) = replies(impatient(f"http://{server.address}/v1", deadline=50.0, timeout=50.0))
    assert (reply.share, reply.reason, server.connections) == (None, "failed", 4)


def test_a_server_that_redirects_for_ever_is_followed_nowhere(raw: Callable[..., Raw]) -> None:
    def elsewhere(say: Say, pause: Pause) -> None:
        say(b"HTTP/1.1 307 Elsewhere\r\nLocation: /v1/chat/completions\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    server = raw(elsewhere)
    (reply,) = replies(impatient(f"http://{server.address}/v1", deadline=50.0, timeout=50.0))
    assert (reply.reason, server.connections) == ("refused", 1)


def test_who_waits_to_ask_again_stops_when_the_run_does(serve: Callable[..., Server]) -> None:
    waiting = threading.Event()

    def script(request: dict[str, Any]) -> tuple[int, Any]:
        if "first" in asked_text(request):
            waiting.set()
            return 503, {}
        waiting.wait()
        return 401, {}

    client = impatient(serve(script).url, deadline=600.0, timeout=600.0, backoff=59.0, workers=2)
    with pytest.raises(ModelUnavailable, match="refuses the key"):
        # Less than the wait.
        within(50.0, lambda: client.ask(["the first", "the second"], lambda number, reply: None))


def test_the_account_is_exact_beside_questions_that_were_held(serve: Callable[..., Server], tmp_path: Path) -> None:
    known = {**SLOW, **LONG}
    manners = ["drips headers", "drips chunks", "drips 100 Continue", "pours headers", "pours chunks", "says nothing", "drips trailers"]
    pairs = [Pair(f"Count to {number}.", "1", "1, 2") for number in range(2 * len(manners))]
    hostile = dict(zip(pairs, manners, strict=False))
    stop, others_done = threading.Event(), threading.Event()
    server = serve(lambda request: said(longest(asked_text(request))))
    answered: list[str] = []
    total = 2 * len(pairs) + 2 * 8
    n_others = total - 2 * len(hostile)
    handler: Any = server.server.RequestHandlerClass

    def do_post(self: Any) -> None:
        text = asked_text(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        name = next((name for pair, name in hostile.items() if about(pair, text)), None)
        with contextlib.suppress(OSError):
            if name is None:
                body = json.dumps(said(longest(text))[1]).encode()
                answered.append(text)
                self.wfile.write(OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                if len(answered) >= n_others:
                    others_done.set()
                return
            # What is poured would keep the others from their answers.
            others_done.wait(BOUND)
            known[name](self.connection.sendall, lambda: stop.wait(0.02))
        self.close_connection = True

    handler.do_POST = do_post
    options: dict[str, Any] = {"timeout": 6.0, "deadline": 6.0, "retries": 0, "workers": 32, "give_up": 1000}
    judge = PairwiseJudge(HttpJudgeClient(server.url, "judge", **options), tmp_path)
    try:
        first = within(BOUND, lambda: judge.judge(pairs))
    finally:
        stop.set()
        others_done.set()
    held = [pair.instruction for pair in hostile]
    # On a busy machine a question that was answered may be out of time, too: then it is missing, and asked again.
    assert set(held) <= set(first.missing) and set(first.missing.values()) <= {"timed_out", "failed"}
    assert {row.preference for row in first.rows if row.instruction not in first.missing} <= {2.0}
    hostile.clear()
    second = judge.judge(pairs)
    # What was answered in time is not asked again; what was held is, once.
    assert second.preferences == (2.0,) * len(pairs) and len(set(answered)) == total
    assert second.record["known"] + second.record["asked"] == total and second.record["asked"] >= 2 * len(held)
    assert second.record["known"] >= 2 * (len(pairs) - len(first.missing))


# The limit itself


def test_work_is_waited_for_as_long_as_said_and_its_error_is_its_own() -> None:
    assert within(BOUND, lambda: [1]) == [1]
    with pytest.raises(IndexError):
        within(BOUND, lambda: [0][1])
    never = threading.Event()
    for seconds in (0.01, 0.0, -1.0):
        with pytest.raises(OutOfTime):
            within(seconds, never.wait)
    never.set()
