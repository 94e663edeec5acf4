"""What a consumer would train on by its documented rules: turns, masks, what it drops. No tokenizer is needed, and no token is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instructsel.adapters.exports.account import Account
from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.run import looked_at, rows_of
from instructsel.adapters.exports.selected import Selected
from instructsel.pool.pool import Pool
from instructsel.text import counted


@dataclass(frozen=True)
class View:
    """Rows as a consumer sees them."""

    export: Export
    settings: ExportSettings
    account: Account

    def lines(self) -> list[str]:
        """For people."""
        account, loss = self.account, self.settings.loss
        lines = self.account.lines(self.export)
        where = "" if loss is None else f", by the export's default (--loss {loss})"
        responses = f"{counted(account.trained, 'response')} of {counted(account.turns, 'turn')}"
        lines.append(
            f"the loss falls on {responses}{where}" if loss is not None else f"{responses} may be trained on, as the reader decides"
        )
        lines += [f"rule: {rule}" for rule in self.export.rules]
        lines.append(f"rules read in: {self.export.source}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "to": self.export.name,
            "loss": self.settings.loss,
            **self.account.as_dict(),
            "rules": list(self.export.rules),
            "source": self.export.source,
        }


def view(pool: Pool, consumer: Export, *, loss: str | None = None, progress: Callable[[int, int], None] | None = None) -> View:
    """What a consumer would train on of a pool that is exported to it.

    Args:
        pool: the rows.
        consumer: by its rules.
        loss: where it is to train; its default without it.
        progress: called every 1,024 rows.

    Raises:
        UsageError: a loss that the consumer cannot be made to have.
    """
    settings = consumer.decided(ExportSettings(loss))
    chosen = Selected.of(pool)
    account, positions = looked_at(chosen, consumer, settings, progress)
    for _ in rows_of(chosen, consumer, settings, positions, account):
        pass
    return View(consumer, settings, account)


__all__ = ["View", "view"]
