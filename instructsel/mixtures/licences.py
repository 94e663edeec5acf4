"""Whether a licence allows commercial use, as far as its name tells it. Nothing is guessed: what no rule knows is None."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

UNKNOWN: Final = frozenset({"", "unknown", "other", "none", "null", "n/a", "na", "not stated", "not specified", "unspecified", "?", "tbd"})
"""What is written where no licence is known."""
FORBIDS: Final = re.compile(r"(?:^|[^a-z])nc(?:$|[^a-z])|non[- ]?commercial|research[- ]?(?:only|purposes?|use)|(?:^|-)research$")
ALLOWS: Final = re.compile(
    r"(?:apache|mit|isc|zlib|unlicense|bsd|0bsd|cc0|cc-by|cc-by-sa|cc-by-nd|odc-by|odbl|pddl|cdla-permissive|cdla-sharing|gpl|lgpl|agpl|mpl|epl|eupl|afl|artistic|postgresql|ms-pl|wtfpl)"
    r"(?:-[0-9][0-9.a-z]*|-only|-or-later|-clause)*"
)
"""Licences of SPDX that allow commercial use, with their releases."""


def spelt(name: str) -> str:
    """A licence's name in small letters with hyphens, as SPDX writes it.

    >>> spelt("CC BY-NC 4.0"), spelt("Apache License 2.0")
    ('cc-by-nc-4.0', 'apache-2.0')
    """
    low = "-".join(name.strip().casefold().replace("_", "-").split())
    return re.sub(r"-licen[sc]e(?=-|$)|^the-|-version(?=-)", "", low)


def is_known(name: str | None) -> bool:
    """Whether a licence is stated at all."""
    return name is not None and " ".join(name.casefold().split()) not in UNKNOWN


def forbids_commercial_use(name: str | None) -> bool | None:
    """Whether a licence forbids commercial use; None where its name does not tell it.

    Of several, with AND or a comma between them, each has to allow it.

    >>> [forbids_commercial_use(name) for name in ("MIT", "CC-BY-NC-SA-4.0", "our own terms", "apache-2.0 AND cc-by-nc-4.0")]
    [False, True, None, True]
    """
    if name is None or not is_known(name):
        return None
    flags = {_forbids(part) for part in re.split(r"\s+and\s+|\s*[,;]\s*", name.casefold()) if part}
    return joined(flags)


def joined(flags: Iterable[bool | None]) -> bool | None:
    """Of a whole whose parts are so: True where one is, else None where one is not known."""
    values = set(flags)
    return True if True in values else None if None in values or not values else False


def _forbids(name: str) -> bool | None:
    low = spelt(name)
    if FORBIDS.search(low):
        return True
    return False if ALLOWS.fullmatch(low) else None


__all__ = ["forbids_commercial_use", "is_known", "joined", "spelt"]
