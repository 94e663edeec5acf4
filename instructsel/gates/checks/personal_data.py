"""Rows with personal data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import ClassVar, Literal, Self

from instructsel.extras import require
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.personal import ENTITIES, LIBRARIES, NEEDED_BY, entities_in
from instructsel.gates.wording.sieve import sieve_of_passages
from instructsel.gates.wording.texts import disjoint, hidden_around, passages


@dataclass(frozen=True)
class PersonalData(RowCheck):
    """Addresses of mail, numbers of telephones, payment cards, bank accounts and identity cards, by form and checksum.

    What nobody has (example.com, 555 numbers, numbers of payment providers' tests) is reported one severity lower and does not count. What is
    shown of a row never has the data in it.
    """

    number: ClassVar[str] = "IS051"
    kind: ClassVar[str] = "personal-data"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "phonenumbers (libphonenumber), python-stdnum (checksums), RFC 2606, RFC 5737; Subramani et al. 2023, TrustNLP"
    fix: ClassVar[str] = "Take the data out of the row, or put invented data of documentation there."
    needs: ClassVar[tuple[str, ...]] = ("the extra gate for numbers; addresses of mail are found without it",)
    of_row: ClassVar[bool] = True

    entities: tuple[Literal["email", "phone", "card", "iban", "national-id", "ip"], ...] = ("email", "phone", "card", "iban", "national-id")
    """What is looked for."""
    regions: tuple[str, ...] = ("US", "GB", "CA")
    """Countries whose numbers of telephones count without the country's code, as ISO 3166 names them in two letters."""
    invented: bool = True
    """Whether what nobody has is reported, too."""
    allow: tuple[str, ...] = field(default=())
    """Addresses and domains that may be there, e.g. @your-company.com."""

    def locked(self, change: Change) -> str | None:
        """The libraries of its entities."""
        for entity in self.entities:
            if entity in LIBRARIES:
                require(LIBRARIES[entity], needed_by=NEEDED_BY)
        return None

    def core(self) -> tuple[Self, str] | None:
        """The entities that are told by their form alone."""
        left, gone = (tuple(name for name in self.entities if (name in LIBRARIES) == needs_library) for needs_library in (False, True))
        return (replace(self, entities=left), f"Not looked for: {', '.join(gone)}.") if left and gone else None

    def hits(self, change: Change) -> Iterator[Hit]:
        """One for each entity."""
        # An IP address may have four figures, all other numbers have seven.
        pattern = r"@|[0-9]" if "ip" in self.entities else r"@|(?:[0-9][^0-9\n]{0,3}){7}"
        likely = sieve_of_passages(change).matching(pattern)
        for passage in compress(passages(change), likely.tolist()):
            entities = sorted(entities_in(passage.text, self.entities, self.regions), key=lambda entity: entity.start)
            places = disjoint((one.start, one.end) for one in entities)
            counts: dict[str, int] = {}
            for entity in entities:
                if entity.is_invented and not self.invented:
                    continue
                if any(passage.text[entity.start : entity.end].casefold().endswith(allowed.casefold()) for allowed in self.allow):
                    continue
                counts[entity.kind] = counts.get(entity.kind, 0) + 1
                number = f" {counts[entity.kind]}" if counts[entity.kind] > 1 else ""
                detail = f" ({entity.detail})" if entity.detail else ""
                invented = ", an invented one" if entity.is_invented else ""
                yield Hit(
                    passage.position,
                    f"{passage.holds} {ENTITIES[entity.kind]}{detail}{invented}.",
                    evidence=hidden_around(passage.text, places, entity.start, entity.end),
                    key=f"{passage.where} {entity.kind}{number}",
                    is_mild=entity.is_invented,
                )
