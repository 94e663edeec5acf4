"""What stands in front of every request: which host it names, where it comes from, how large it is; and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY: Final = 64 << 10
"""Bytes of a form."""
MOST_FIELDS: Final = 20
MOST_PATH: Final = 2_000
BODY_SECONDS: Final = 20.0
"""In which a form has to arrive."""
FORM: Final = b"application/x-www-form-urlencoded"
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: with it a browser would send Origin: null with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer."""


@dataclass(frozen=True)
class Origins:
    """Under which addresses the app is reached."""

    hosts: frozenset[str]
    """What a request may name as its host, with the port."""
    secure: bool = False
    """Whether it is reached over https: cookies are then sent over nothing else."""

    @classmethod
    def of(cls, host: str, port: int, public_url: str | None = None) -> Origins:
        """The addresses of a server on a host and port, and of the one that others reach it by."""
        names = {f"[{host}]" if ":" in host else host, "127.0.0.1", "localhost", "[::1]"}
        hosts = {f"{name}:{port}".lower() for name in names} | ({name.lower() for name in names} if port == 80 else set())
        if public_url is None:
            return cls(frozenset(hosts))
        parts = urlsplit(public_url)
        return cls(frozenset({*hosts, parts.netloc.lower()}), parts.scheme == "https")

    def admits(self, origin: str) -> bool:
        """Whether a page of an origin may send forms."""
        scheme, separator, host = origin.partition("://")
        return bool(separator) and scheme in ("http", "https") and host.lower() in self.hosts


class Guard:
    """Refuses requests of other hosts and sites, and gives every answer its headers."""

    def __init__(self, app: App, origins: Origins) -> None:
        self.app, self.origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        reason = self.refused(scope)
        if reason is not None:
            await _answer(send, *reason)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in present]
                if b"cache-control" not in present:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, with_headers)

    def refused(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason why a request is refused; None where it is not."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [value.decode("latin-1").strip().lower() for value in headers.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self.origins.hosts:
            return 421, "This server does not answer for that host."
        if len(scope.get("raw_path") or scope["path"]) > MOST_PATH or len(scope["query_string"]) > MOST_PATH:
            return 414, "The address is too long."
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "There is nothing to do this with."
        origins = [value.decode("latin-1").strip() for value in headers.get(b"origin", [])]
        if origins and (len(origins) > 1 or not self.origins.admits(origins[0])):
            return 403, "The form is of another site."
        sites = [value.decode("latin-1").strip().lower() for value in headers.get(b"sec-fetch-site", [])]
        if any(site != "same-origin" for site in sites):
            return 403, "The form is of another site."
        kinds = [value.split(b";")[0].strip().lower() for value in headers.get(b"content-type", [])]
        if kinds != [FORM]:
            return 415, "A form is sent as application/x-www-form-urlencoded."
        lengths = headers.get(b"content-length", [])
        if any(not length.isdigit() or len(length) > 9 or int(length) > MOST_BODY for length in lengths):
            return 413, "The form is too large."
        return None


async def read_form(receive: Receive) -> dict[str, str] | None:
    """The fields of a form; None where it is too large, too slow, cut off, or has a field twice.

    Starlette's own reader needs another package for this, and knows no time limit.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > MOST_BODY:
                    return None
                if not message.get("more_body"):
                    break
    except TimeoutError:
        return None
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        return None
    return dict(fields) if len({name for name, _ in fields}) == len(fields) else None


async def _answer(send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = {**HEADERS, "content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "connection": "close"}
    await send(
        {"type": "http.response.start", "status": status, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    )
    await send({"type": "http.response.body", "body": body})


__all__ = ["Guard", "Origins", "read_form"]
