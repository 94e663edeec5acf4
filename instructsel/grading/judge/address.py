"""Addresses of servers: parsed once, refused where programs read them differently, and written in one spelling for whoever connects."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self

from instructsel.errors import UsageError

EXAMPLE: Final = "For example: https://api.example.com/v1"
FORM: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL)
SCHEMES: Final = ("http", "https")
LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
LONGEST_HOST: Final = 253
"""Characters of a name in the DNS."""
LONGEST: Final = 2000
"""Characters of an address."""


@dataclass(frozen=True)
class Address:
    """Where a server is: host and port in the one spelling that is connected to."""

    scheme: str
    """http or https."""
    host: str
    """A lower-case name without a dot at its end, or an IP address as its standard writes it."""
    port: int | None
    """None where the scheme's own."""
    path: str
    """What stands behind, without a slash at its end."""

    @classmethod
    def of(cls, text: str) -> Self:
        """The address that a text is.

        Raises:
            UsageError: none, or one that programs read differently: with a name or password, backslashes, white space, letters outside
                ASCII, escapes or leading zeros in the host. The text is not repeated: it may hold a secret.
        """
        if len(text) > LONGEST:
            raise _none(f"it has {len(text):,} characters")
        if any(sign.isspace() or not sign.isprintable() or sign == "\\" for sign in text):
            raise _none("it holds white space, a backslash or an invisible character")
        parts = FORM.fullmatch(text)
        if parts is None or parts["scheme"].lower() not in SCHEMES:
            raise _none("it begins with neither http:// nor https://")
        if "@" in parts["authority"] or parts["rest"]:
            raise UsageError(
                "The address of a judge holds a name, a password, a query or a fragment.",
                fix="Name the key's environment variable instead.",
            )
        host, port = _split(parts["authority"])
        return cls(parts["scheme"].lower(), _host(host), port, _path(parts["path"]))

    @property
    def url(self) -> str:
        """As it is connected to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its address in any spelling, or by the one name that always is.

    Args:
        host: of an address, without brackets.

    >>> is_loopback("127.1"), is_loopback("::ffff:127.0.0.1"), is_loopback("LOCALHOST.")
    (True, True, True)
    >>> is_loopback("127.evil.example"), is_loopback("localhost.evil.example"), is_loopback("0")
    (False, False, False)
    """
    try:
        name = _host(host)
    except UsageError:
        return False
    if name == "localhost":
        return True
    try:
        return _unmapped(name).is_loopback
    except ValueError:
        return False


def _unmapped(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address; the IPv4 address where it is one that is mapped into IPv6.

    Raises:
        ValueError: it is a name.
    """
    address = ipaddress.ip_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _split(authority: str) -> tuple[str, int | None]:
    """Host, in its brackets where it has some, and port."""
    host, colon, port = authority, "", ""
    if not authority.endswith("]"):
        host, colon, port = authority.rpartition(":") if ":" in authority else (authority, "", "")
    if not colon:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 1 << 16):
        raise _none("its port is no number from 1 to 65535")
    return host, int(port)


def _path(path: str) -> str:
    if not path.isascii() or ".." in path.split("/"):
        raise _none("its path holds '..' or letters outside ASCII")
    return path.rstrip("/")


def _host(host: str) -> str:
    """A host in its one spelling.

    Raises:
        UsageError: none, or one that programs read differently.
    """
    name = host.lower()
    if not name.isascii():
        raise _none("its host holds letters outside ASCII", fix="Write the host as the DNS does: xn--…")
    if name.startswith("[") or ":" in name:
        return _six(name.removeprefix("[").removesuffix("]") if name.startswith("[") and name.endswith("]") else name)
    name = name.removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > LONGEST_HOST or any(LABEL.fullmatch(label) is None for label in labels):
        raise _none("its host is no name and no IP address")
    if NUMBER.fullmatch(labels[-1]) is None:
        return name
    return _four(labels)


def _six(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise _none("its host is no IPv6 address", fix="For example: http://[::1]:8000/v1") from None
    return _connectable(address.ipv4_mapped or address)


def _four(labels: list[str]) -> str:
    """An IPv4 address in the dotted form, out of what the C library also takes: fewer parts, hexadecimal numbers.

    Source: the parser of IPv4 hosts in the URL standard of WHATWG; numbers with leading zeros are octal to some programs and decimal to
    others, and refused.
    """
    numbers: list[int] = []
    for label in labels:
        if NUMBER.fullmatch(label) is None or label == "0x" or (len(label) > 1 and label.startswith("0") and not label.startswith("0x")):
            numbers = []
            break
        numbers.append(int(label, 16) if label.startswith("0x") else int(label))
    *first, last = numbers or [1 << 32]
    if len(numbers) > 4 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        raise _none("its host is a number, and no IPv4 address", fix="Write four numbers without zeros in front: 192.0.2.1")
    value = last + sum(number << (24 - 8 * place) for place, number in enumerate(first))
    return _connectable(ipaddress.IPv4Address(value))


def _connectable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.is_unspecified or address.is_multicast:
        raise _none(f"{address} is no one machine's", fix="For this machine: http://127.0.0.1:8000/v1")
    return str(address)


def _none(why: str, fix: str = EXAMPLE) -> UsageError:
    return UsageError(f"The judge's address is no address of a server: {why}.", fix=fix)


__all__ = ["Address", "is_loopback"]
