"""How pool files are read: a plain record that a later command reads them by again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsel.errors import UsageError
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.lines import Limits
from instructsel.pool.pool import Pool


@dataclass(frozen=True)
class Reading:
    """How pool files are to be read; kept with the scores so that select reads them the same way."""

    form: str = "auto"
    mapping: str | None = None
    columns: str | None = None
    oasst: str = "best-path"
    duplicate_key: str = "error"

    @classmethod
    def of(cls, kept: Any) -> Reading:
        """From a manifest."""
        return cls(**{key: value for key, value in kept.items() if key in cls.__dataclass_fields__}) if isinstance(kept, dict) else cls()

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}

    def read(self, paths: list[str], *, message: Callable[[str], None] | None = None) -> Pool:
        """Read the files; `message` gets a line on each file, on the count of rows, and on the first quarantined rows."""
        if self.duplicate_key not in ("error", "last"):
            raise UsageError.named(self.duplicate_key, ["error", "last"], noun="treatment of duplicate keys")
        if self.mapping is not None and self.form not in ("auto", "mapped"):
            raise UsageError("--map and --format exclude each other.", fix="Leave one out.")
        columns = [name.strip() for name in self.columns.split(",")] if self.columns else None
        form: Any = Mapped.parse(self.mapping) if self.mapping else self.form
        pool = Pool.read(*paths, format=form, columns=columns, oasst=self.oasst, limits=Limits(duplicate_key=self.duplicate_key))
        if message is None:
            return pool
        for file, why in pool.account.formats.items():
            message(f"{Path(file).name}: read as {why}")
        message(pool.account.sentence())
        for entry in pool.account.quarantine[:3]:
            message(f"  quarantined {Path(entry.file).name}, line {entry.line}, byte {entry.offset}: {entry.reason} ({entry.detail})")
        if pool.account.n_quarantined > 3:
            message(f"  … and {pool.account.n_quarantined - 3:,} more")
        return pool
