"""A connection to a judge's server, with a limit of time that holds for a request as a whole."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from instructsel.extras import require

NEEDED_BY: Final = "a judge behind a server"
LONGEST_BODY: Final = 1 << 20
"""Bytes of a server's response; a reply of one label takes a few hundred."""
OPENED: Final = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")
"""How the names of events end after which there is a network stream."""


class Connection:
    """One request at a time to one server; the connection stays open between them. No redirects: they would carry the key along.

    httpx's own timeouts are for one read or write each, so that a server that sends a byte now and then, of the body or of the
    headers, never runs into them. Here a timer shuts the socket down, which ends whatever waits for it.
    """

    def __init__(self, host: str, headers: Mapping[str, str], timeout: float, certificates: ssl.SSLContext) -> None:
        """Not connected yet.

        Args:
            host: of the server.
            headers: of every request.
            timeout: seconds for a request, all of it.
            certificates: that are trusted.
        """
        self._httpx = require("httpx", needed_by=NEEDED_BY)
        self._timeout = timeout
        self._stream: Any = None
        """The network stream that was opened last; there is one at a time."""
        self._client = self._httpx.Client(
            # What is decoded could be a thousand times as long as what is sent.
            headers={"Accept": "application/json", **headers, "Accept-Encoding": "identity"},
            timeout=timeout,
            follow_redirects=False,
            verify=certificates,
            # No proxy stands between this machine and itself.
            trust_env=not is_loopback(host),
            limits=self._httpx.Limits(max_connections=1),
        )

    def post(self, url: str, content: bytes) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of the server's response; the body only of one that succeeded.

        Raises:
            TimeoutError, httpx.TimeoutException: it took longer than the timeout, all of it.
            OSError, httpx.HTTPError: it cannot be reached, sends more than any reply holds, or a body in a coding.
        """
        with self._limited() as (trace, expired):
            try:
                answer = self._sent(url, content, trace)
            except (OSError, self._httpx.HTTPError):
                if expired.is_set():
                    raise TimeoutError from None
                raise
            # A body without a length ends where its connection does.
            if expired.is_set():
                raise TimeoutError
            return answer

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _sent(self, url: str, content: bytes, trace: Callable[[str, Mapping[str, Any]], None]) -> tuple[int, str | None, bytes]:
        headers = {"Content-Type": "application/json"}
        with self._client.stream("POST", url, content=content, headers=headers, extensions={"trace": trace}) as response:
            body = b""
            if response.is_success:
                if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                    raise OSError("encoded")
                for part in response.iter_raw():
                    body += part
                    if len(body) > LONGEST_BODY:
                        raise OSError("too long")
            return response.status_code, response.headers.get("Retry-After"), body

    @contextmanager
    def _limited(self) -> Iterator[tuple[Callable[[str, Mapping[str, Any]], None], threading.Event]]:
        """What httpx reports its events to, and whether the time is over, which ends the request."""
        expired, lock, ended = threading.Event(), threading.Lock(), threading.Event()

        def end() -> None:
            with lock:
                if not ended.is_set():
                    expired.set()
                    self._shut_down()

        def trace(event: str, details: Mapping[str, Any]) -> None:
            if event.endswith(OPENED):
                with lock:
                    self._stream = details["return_value"]
                if expired.is_set():
                    raise TimeoutError

        timer = threading.Timer(self._timeout, end)
        timer.daemon = True
        timer.start()
        try:
            yield trace, expired
        finally:
            with lock:
                ended.set()
            timer.cancel()

    def _shut_down(self) -> None:
        opened = None if self._stream is None else self._stream.get_extra_info("socket")
        if opened is not None:
            # Closed already, or not connected any more.
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its address or by the one name that always is.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("127.evil.example")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


__all__ = ["Connection", "is_loopback"]
