"""A connection to a judge's server, with a limit of time that holds for a request as a whole."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.extras import require
from instructsel.grading.judge.address import is_loopback
from instructsel.time_limit import OutOfTime, within

NEEDED_BY: Final = "a judge behind a server"
LONGEST_BODY: Final = 1 << 20
"""Bytes of a server's response; a reply of one label takes a few hundred."""
OPENED: Final = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")
"""How the names of events end after which there is a network stream."""
Response = tuple[int, str | None, bytes]
"""Status, Retry-After and body; the body only of a response that succeeded."""


class Connection:
    """One request at a time to one server; the connection stays open between them. No redirects: they would carry the key along.

    httpx's own timeouts are for one read or write each, so that a server that sends a byte now and then never runs into them, and a
    name that is resolved slowly has none. Here a request has a thread of its own; when its time is over, its socket is shut down,
    which ends whatever waits for it, and what cannot be ended so is left behind.
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
        # What is decoded could be a thousand times as long as what is sent.
        self._headers = {"Accept": "application/json", **headers, "Accept-Encoding": "identity"}
        self._certificates = certificates
        # No proxy stands between this machine and itself.
        self._environment = not is_loopback(host)
        self._open = self._opened()

    def post(self, url: str, content: bytes, *, seconds: float | None = None) -> Response:
        """The server's response.

        Args:
            url: of the server.
            content: of the request.
            seconds: that are left for it, where these are fewer than the timeout.

        Raises:
            TimeoutError, httpx.TimeoutException: it took longer than the timeout, all of it.
            OSError, httpx.HTTPError: it cannot be reached, sends more than any reply holds, a body in a coding, or what is no HTTP.
        """
        limit = self._timeout if seconds is None else min(seconds, self._timeout)
        used = self._open
        try:
            return within(limit, lambda: used.sent(url, content, limit, self._httpx.HTTPError), name="judge")
        except OutOfTime:
            # Its thread hangs up as soon as it can; the next request has a connection of its own.
            self._open = self._opened()
            used.expire()
            raise

    def close(self) -> None:
        """Hang up."""
        self._open.client.close()

    def _opened(self) -> _Open:
        client = self._httpx.Client(
            headers=self._headers,
            timeout=self._timeout,
            follow_redirects=False,
            verify=self._certificates,
            trust_env=self._environment,
            limits=self._httpx.Limits(max_connections=1),
        )
        return _Open(client)


@dataclass(eq=False)
class _Open:
    """A client with the network stream that it opened last; there is one at a time."""

    client: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    stream: Any = None
    busy: bool = False
    """Whether a thread is at it."""
    expired: bool = False
    """Whether nobody waits for it any more: it opens nothing, and hangs up."""

    def sent(self, url: str, content: bytes, seconds: float, failures: type[Exception]) -> Response:
        """The server's response; whatever else goes wrong on the way is an OSError."""
        with self.lock:
            self.busy = True
        try:
            return self._sent(url, content, seconds)
        except (OSError, failures):
            raise
        except Exception as error:  # a response can make the library raise what it does not document
            raise OSError(type(error).__name__) from error
        finally:
            with self.lock:
                self.busy = False
                expired = self.expired
            if expired:
                self.client.close()

    def expire(self) -> None:
        """Shut the socket down, which ends whatever waits for it."""
        with self.lock:
            self.expired = True
            busy = self.busy
            opened = None if self.stream is None else self.stream.get_extra_info("socket")
        if not busy:
            self.client.close()
        elif opened is not None:
            # Closed already, or not connected any more.
            with suppress(OSError):
                # Closing it then resets the connection: a server that waits until it can go on sending would not notice otherwise.
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                opened.shutdown(socket.SHUT_RDWR)

    def _sent(self, url: str, content: bytes, seconds: float) -> Response:
        headers = {"Content-Type": "application/json"}
        extensions = {"trace": self._trace}
        with self.client.stream("POST", url, content=content, headers=headers, timeout=seconds, extensions=extensions) as response:
            body = b""
            if response.is_success:
                if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                    raise OSError("encoded")
                for part in response.iter_raw():
                    body += part
                    if len(body) > LONGEST_BODY:
                        raise OSError("too long")
            return response.status_code, response.headers.get("Retry-After"), body

    def _trace(self, event: str, details: Mapping[str, Any]) -> None:
        """Takes what httpx reports."""
        if event.endswith(OPENED):
            with self.lock:
                self.stream = details["return_value"]
                expired = self.expired
            if expired:
                # What was opened after the time was over is never written to.
                raise TimeoutError


__all__ = ["NEEDED_BY", "Connection", "Response"]
