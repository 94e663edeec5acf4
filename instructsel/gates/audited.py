"""The audit of a change: made once for all checks that name the same tokenizer and the same settings of the trainer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from instructsel.errors import UsageError
from instructsel.experiments.limits import LONGEST_ROW, between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck

if TYPE_CHECKING:
    from instructsel.audits.result import Audit
    from instructsel.audits.settings import AuditSettings

NEEDS: Final = ("a tokenizer: the setting tokenizer or base", "the extra: models")


@dataclass(frozen=True)
class AuditedChange:
    """An audit with the examples that its rows are."""

    audit: Audit
    positions: tuple[int, ...]
    """Of the examples of the audit's rows, among those of the change."""

    def rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Position of the example → its row of `Audit.frame`."""
        yield from zip(self.positions, self.audit.frame.iter_rows(named=True), strict=True)


@dataclass(frozen=True)
class AuditCheck(RowCheck):
    """A question about the tokens that a trainer makes of a row."""

    needs: ClassVar[tuple[str, ...]] = NEEDS

    tokenizer: str = ""
    """Of the model that is trained: a folder, or a name on the hub; with its chat template."""
    base: str = ""
    """In its place the model itself: its context, vocabulary and stop tokens are looked at, too."""
    max_length: int = field(default=1024, metadata=between(1, LONGEST_ROW))
    """Tokens of a row, or of a packed sequence; the rest is cut off. TRL's default is 1,024, too."""
    packing: Literal["", "bfd", "bfd_split", "wrapped"] = ""
    """How rows share a sequence, by TRL's names; not at all by default."""
    loss: Literal["completion", "assistant", "tulu-1", "all"] = "completion"
    """Where the loss falls: on the last response, on all responses, as in the first release of Tülu, on everything."""
    trainer: Literal["trl", "instructsel"] = "trl"
    """Whose preparation of rows."""

    def __post_init__(self) -> None:
        if self.tokenizer and self.base:
            raise UsageError("A check has both a tokenizer and a base.", fix="Leave one of the two out: a base has its own tokenizer.")

    def locked(self, change: Change) -> str | None:
        """It needs a tokenizer."""
        if self.tokenizer or self.base:
            return None
        return 'It needs the tokenizer of the model that is trained. In gate.toml, under [defaults]: tokenizer = "FOLDER-OR-HUB-ID"'

    def audited(self, change: Change) -> AuditedChange:
        """The audit under the check's settings.

        Raises:
            UsageError: both a tokenizer and a base.
            EnvironmentFault: there is no such tokenizer, or no transformers to load it.
        """
        from instructsel.audits.settings import AuditSettings

        settings = AuditSettings(max_length=self.max_length, packing=self.packing or None, loss=self.loss, trainer=self.trainer)
        key = f"audit {self.base!r} {self.tokenizer!r} {settings}"
        return change.shared(key, lambda: self._made(change, settings))

    def _made(self, change: Change, settings: AuditSettings) -> AuditedChange:
        from instructsel.audits.run import audit_with
        from instructsel.audits.subject import Subject

        pool = change.pool
        subject = Subject.load(settings, base=self.base or None, tokenizer=self.tokenizer or None)
        order = np.lexsort((pool.part_of, pool.row_of, pool.file_of))
        return AuditedChange(audit_with(pool, subject), tuple(order.tolist()))

    @abstractmethod
    def hits(self, change: Change) -> Iterator[Hit]:
        """The rows that are so, in any order."""


__all__ = ["AuditCheck", "AuditedChange"]
