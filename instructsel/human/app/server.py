"""The server of the app, on one address."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.extras import require
from instructsel.human.app.guard import Origins
from instructsel.human.store import JudgmentStore

NEEDED_BY: Final = "judge-app"
LOOPBACK: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 900


@dataclass(frozen=True)
class Address:
    """Where the app is served."""

    host: str = LOOPBACK
    port: int = 0
    """0 takes one that is free."""
    public_url: str | None = field(default=None)
    """What others reach it by; needed where the host is not this machine alone."""

    def __post_init__(self) -> None:
        if self.public_url is not None:
            parts = _split(self.public_url)
            if (
                parts is None
                or parts.scheme not in ("http", "https")
                or not parts.hostname
                or parts.path.strip("/")
                or parts.query
                or parts.username
            ):
                raise UsageError(
                    f"{self.public_url!r} is no address that the app could be reached by.",
                    fix="Write --public-url https://judge.example.org",
                )
        elif not is_loopback(self.host):
            raise UsageError(
                f"{self.host} lets other machines reach the pairs and the judgments.",
                fix="Say what they reach it by: --public-url http://NAME:PORT. Without https, judgments can be read on the way.",
            )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        # Raises where it is no number.
        _ = parts.port
    except ValueError:
        return None
    return parts


def listening(address: Address) -> socket.socket:
    """A socket that waits for requests.

    Raises:
        EnvironmentFault: the address is taken, or not of this machine.
    """
    host = address.host.strip("[]")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
        waiting = socket.socket(family, kind, protocol)
        waiting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        waiting.bind(target)
        waiting.listen(128)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFault(f"{address.host}:{address.port} cannot be listened on: {reason}.", fix="Choose another --port.") from error
    return waiting


def links(store: JudgmentStore, address: Address, port: int) -> dict[str, str]:
    """Annotator → the link by which this one alone signs in."""
    host = f"[{address.host}]" if ":" in address.host.strip("[]") else address.host
    root = (address.public_url or f"http://{host}:{port}").rstrip("/")
    return {name: f"{root}/sign-in?code={store.code(number)}" for name, number in store.annotators.items()}


def serve(store: JudgmentStore, address: Address, *, ready: Callable[[int], None]) -> None:
    """Serve the app until the process is asked to end.

    Args:
        store: the evaluation.
        address: where.
        ready: called with the port when requests are answered.

    Raises:
        MissingExtra: Starlette, uvicorn or markdown-it-py is not installed.
        EnvironmentFault: the address cannot be listened on.
    """
    require("starlette", needed_by=NEEDED_BY)
    require("markdown_it", needed_by=NEEDED_BY)
    uvicorn = require("uvicorn", needed_by=NEEDED_BY)
    from instructsel.human.app.routes import Pages

    waiting = listening(address)
    port = int(waiting.getsockname()[1])
    # A browser has one jar for all ports of a host.
    pages = Pages(store, Origins.of(address.host.strip("[]"), port, address.public_url), cookie=f"instructsel_judge_{port}")
    config = uvicorn.Config(
        pages.app(),
        log_level="error",
        # Addresses hold codes.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    ready(port)
    try:
        uvicorn.Server(config).run(sockets=[waiting])
    finally:
        waiting.close()


__all__ = ["Address", "is_loopback", "links", "serve"]
