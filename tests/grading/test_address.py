"""Addresses of judges: one reading for whoever checks and whoever connects."""

from __future__ import annotations

import socket

import httpx
import pytest

from instructsel.errors import UsageError
from instructsel.grading.judge.address import Address, is_loopback

LOOPBACK = {
    "http://127.0.0.1": "http://127.0.0.1",
    "HTTP://127.0.0.1:8000/v1/": "http://127.0.0.1:8000/v1",
    "http://127.1:8000/v1": "http://127.0.0.1:8000/v1",
    "http://127.0.1": "http://127.0.0.1",
    "http://2130706433": "http://127.0.0.1",
    "http://0x7f.1": "http://127.0.0.1",
    "http://0X7F000001/": "http://127.0.0.1",
    "http://127.255.255.254": "http://127.255.255.254",
    "http://127.0.0.1.": "http://127.0.0.1",
    "http://localhost": "http://localhost",
    "http://LocalHost.:80/v1": "http://localhost:80/v1",
    "http://[::1]:8000/v1": "http://[::1]:8000/v1",
    "http://[0:0:0:0:0:0:0:1]": "http://[::1]",
    "http://[::ffff:127.0.0.1]": "http://127.0.0.1",
    "http://[::FFFF:7f00:1]": "http://127.0.0.1",
}
ELSEWHERE = {
    "http://127.evil.example": "http://127.evil.example",
    "http://127.0.0.1.evil.example": "http://127.0.0.1.evil.example",
    "http://localhost.evil": "http://localhost.evil",
    "http://evil.localhost": "http://evil.localhost",
    "http://xlocalhost": "http://xlocalhost",
    "http://localhost-": None,
    "http://128.0.0.1": "http://128.0.0.1",
    "http://2130706432.example": "http://2130706432.example",
    "http://[::ffff:128.0.0.1]": "http://128.0.0.1",
    "http://[fe80::1]": "http://[fe80::1]",
    "http://[::127.0.0.1]": "http://[::7f00:1]",
    "https://API.Example.com/V1/": "https://api.example.com/V1",
    "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
    "http://judge_1:8000": "http://judge_1:8000",
}
REFUSED = [
    *("", "http://", "http:///v1", "http:127.0.0.1", "//127.0.0.1", "127.0.0.1:8000/v1", "ftp://127.0.0.1", "file:///etc/passwd"),
    *("http://127.0.0.1@evil.example", "http://user:secret@127.0.0.1", "http://@127.0.0.1", "http://127.0.0.1:80@evil.example"),
    *("http://evil.example\\@127.0.0.1", "http://127.0.0.1\\.evil.example", "http:\\\\127.0.0.1", "http://127.0.0.1\\"),
    *("http://127.0.0.1/?key=secret", "http://127.0.0.1#@evil.example", "http://127.0.0.1?x", "http://evil.example#127.0.0.1"),
    *("http://127。0。0。1", "http://127．0．0．1", "http://１２７.0.0.1", "http://ⓛocalhost", "http://lоcalhost", "http://bücher.example"),
    *("http://127.0.0.1 ", " http://127.0.0.1", "http://127.0.0.1\n.evil.example", "http://127.0.0.1\t", "http://a\0b", "http://a\u200bb"),
    *("http://0177.0.0.1", "http://127.0.0.01", "http://017700000001", "http://127.0.0.0x", "http://0x"),
    *("http://0", "http://0.0.0.0", "http://[::]", "http://[::ffff:0.0.0.0]", "http://224.0.0.1", "http://[ff02::1]"),
    *("http://127.0.0.256", "http://127.0.0.1.1", "http://4294967296", "http://999999999999999999999", "http://1.2.3.4.5", "http://.1"),
    *("http://127..1", "http://.", "http://..", "http://a..b", "http://-a", f"http://{'a' * 64}", f"http://{'a.' * 127}a"),
    *("http://%31%32%37.0.0.1", "http://a%2eb", "http://a,b", "http://a b", "http://a;b", "http://a!b", "http://*"),
    *(
        "http://[::1",
        "http://::1",
        "http://[::1]x",
        "http://[127.0.0.1]",
        "http://[::1%25lo]",
        "http://[]",
        "http://[[::1]]",
        "http://[v1.x]",
    ),
    *("http://a:0", "http://a:65536", "http://a:", "http://a:-1", "http://a:+80", "http://a:80:80", "http://a:８０", "http://a:080000"),
    *("http://a/../b", "http://a/v1/..", "http://a/ü", "http://" + "a/" * 2000),
]


@pytest.mark.parametrize(("text", "url"), LOOPBACK.items())
def test_this_machine_is_known_by_every_spelling_of_its_address(text: str, url: str) -> None:
    address = Address.of(text)
    assert address.is_loopback and address.url == url and Address.of(url) == address
    # The system reads it in the same way.
    host = address.host
    reached = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)[0][4][0]
    assert reached == "::1" or reached.startswith("127.")


@pytest.mark.parametrize(("text", "url"), ELSEWHERE.items())
def test_no_other_machine_counts_as_this_one(text: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(UsageError, match="no address of a server"):
            Address.of(text)
        return
    address = Address.of(text)
    assert not address.is_loopback and address.url == url and Address.of(url) == address


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_programs_read_differently_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match=r"no address of a server|holds a name, a password") as refused:
        Address.of(text)
    assert "secret" not in str(refused.value) + (refused.value.fix or "") and refused.value.fix


@pytest.mark.parametrize("text", [*LOOPBACK, *(text for text, url in ELSEWHERE.items() if url)])
def test_the_library_connects_to_what_was_checked(text: str) -> None:
    address = Address.of(text)
    read = httpx.URL(f"{address.url}/chat/completions")
    assert (read.scheme, read.raw_host.decode(), read.userinfo) == (address.scheme, address.host, b"")
    assert read.port == (None if address.port in (None, {"http": 80, "https": 443}[address.scheme]) else address.port)
    assert read.path == f"{address.path}/chat/completions"


@pytest.mark.parametrize("host", ["", "127.0.0.1@evil", "evil\\127.0.0.1", "0", "0177.1", "127。0。0。1", "::", "1" * 500, "localhost:80"])
def test_a_host_that_is_none_is_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
