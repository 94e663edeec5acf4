"""Rows whose licence does not allow what they are for, or that have none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from instructsel.errors import UsageError
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.mixtures.plan import licences_in
from instructsel.pool.row_sources import field_of

FIELDS: Final = ("license", "licence", "licenses", "license_name", "metadata.license", "meta.license")
"""Fields in which rows name their licence."""
UNKNOWN: Final = frozenset(
    {"", "unknown", "other", "none", "null", "n/a", "na", "unlicensed", "no license", "not specified", "unspecified", "?", "tbd"}
)
"""What is written where no licence is known."""
SPELLINGS: Final = {
    "apache": "apache-2.0",
    "apache-2": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "mit license": "mit",
    "the mit license": "mit",
    "cc0": "cc0-1.0",
    "cc0 1.0": "cc0-1.0",
    "public domain": "cc0-1.0",
    "bsd": "bsd-3-clause",
    "odc-by": "odc-by-1.0",
}
"""Spellings → SPDX, in small letters."""
CREATIVE: Final = re.compile(
    r"^cc[ -]?(by(?:[ -](?:nc|sa|nd))*)[ -]?(\d(?:\.\d)?)?(?:[ -](?:unported|international|intl|generic|deed|[a-z]{2}))*$"
)
DEED: Final = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)")


@dataclass(frozen=True)
class Licence(RowCheck):
    """Rows whose licence is not among those allowed, is among those denied, or is not known.

    The licence is that of a row's own field, else that of its source. A row of several licences needs all of them to be allowed.
    """

    number: ClassVar[str] = "IS052"
    kind: ClassVar[str] = "licence"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "Longpre et al. 2024, arXiv:2310.16787 (Data Provenance); SPDX license list"
    fix: ClassVar[str] = 'Take the rows out, or write the licence that their source states: sources = { name = "apache-2.0" }.'
    needs: ClassVar[tuple[str, ...]] = ("the setting allow, deny, sources or recipe; or a mixture",)
    by_default: ClassVar[bool] = False

    allow: tuple[str, ...] = field(default=())
    """Licences that may be, as SPDX names them; `*` at the end stands for any ending: cc-by-*. All that are not denied where it is empty."""
    deny: tuple[str, ...] = field(default=())
    """Licences that may not be, e.g. *-nc-*: they come before those that may."""
    sources: dict[str, str] = field(default_factory=dict)
    """Source of a row → its licence, for rows that name none; the source is what source_field says, or the file. Of a mixture, what its recipe states where this says nothing."""
    recipe: str = ""
    """A mixture, or a recipe of one: its sources' licences, where sources says nothing."""
    field_name: str = ""
    """The field of a row that names its licence; OBJECT.FIELD for one of an object. By default the first of the usual ones."""
    unknown: bool = False
    """Whether rows of no known licence may join."""

    def locked(self, change: Change) -> str | None:
        """What tells licences."""
        if not (self.allow or self.deny or self.sources or self.recipe or self.field_name or change.licences):
            return 'No licence is allowed or denied yet. Say which: allow = ["apache-2.0", "mit", "cc-by-*"]'
        return None

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every row of a licence that may not be, or of none."""
        labels = change.pool.sources
        path = change.path(self.recipe)
        of_recipe = licences_in(path if path.exists() else self.recipe) if self.recipe else {}
        by_source = {name.casefold(): licence for name, licence in {**change.licences, **of_recipe, **self.sources}.items()}
        for row in change.rows:
            source = labels[row.position]
            stated = self._stated(change.fields(row.position), source, by_source)
            names = [spdx(name) for name in stated if name.strip().casefold() not in UNKNOWN]
            if not names:
                if not self.unknown:
                    message = f"The licence of the row is not known (source {source})."
                    yield Hit(row.position, message, key="unknown")
                continue
            for name in dict.fromkeys(names):
                if any(_fits(name, pattern) for pattern in self.deny):
                    yield Hit(row.position, f"The licence {name} is denied (source {source}).", key=name)
                elif self.allow and not any(_fits(name, pattern) for pattern in self.allow):
                    yield Hit(row.position, f"The licence {name} is not among those allowed (source {source}).", key=name)

    def _stated(self, record: Mapping[str, Any], source: str, by_source: Mapping[str, str]) -> list[str]:
        """The licences that a row, or else its source, names."""
        value: Any = None
        for name in (self.field_name,) if self.field_name else FIELDS:
            value = field_of(record, name)
            if value is not None:
                break
        if isinstance(value, list):
            stated = [str(item) for item in value]
        elif isinstance(value, str):
            stated = re.split(r"\s+(?:AND|and)\s+|\s*[,;]\s*", value)
        elif value is None:
            stated = []
        else:
            raise UsageError(
                f"The licence of a row is no text: {type(value).__name__}.", fix='Name the field that holds it: field_name = "…"'
            )
        if not [name for name in stated if name.strip().casefold() not in UNKNOWN] and source.casefold() in by_source:
            return re.split(r"\s+(?:AND|and)\s+|\s*[,;]\s*", by_source[source.casefold()])
        return stated


def spdx(name: str) -> str:
    """A licence as SPDX names it, in small letters; as it is written where it is none of those that are known.

    >>> spdx("CC BY-NC 4.0"), spdx("Apache 2.0"), spdx("https://creativecommons.org/licenses/by-sa/3.0/")
    ('cc-by-nc-4.0', 'apache-2.0', 'cc-by-sa-3.0')
    """
    low = " ".join(name.strip().casefold().replace("_", "-").split())
    deed = DEED.search(low)
    if deed:
        return f"cc0-{deed[3]}" if deed[1] == "publicdomain" else f"cc-{deed[2]}-{deed[3]}"
    low = low.removesuffix(" license").removesuffix(" licence")
    creative = CREATIVE.match(
        low.replace("attribution", "by").replace("creative commons", "cc").replace("noncommercial", "nc").replace("sharealike", "sa")
    )
    if creative:
        return "-".join(["cc", *re.split("[ -]", creative[1]), *([creative[2]] if creative[2] else [])])
    return SPELLINGS.get(low, low.replace(" ", "-"))


def _fits(name: str, pattern: str) -> bool:
    """Whether a licence is one that a pattern names; * stands for any text."""
    wanted = pattern.strip().casefold() if "*" in pattern else spdx(pattern)
    return re.fullmatch(".*".join(map(re.escape, re.split(r"\*+", wanted))), name) is not None
