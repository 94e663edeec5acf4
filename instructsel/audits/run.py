"""Audit a pool: every row rendered, tokenized, cut, checked and counted, in one pass and without training."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.audits.checks.base import LISTED, PoolCheck, Pooled, RowCheck, TemplateCheck
from instructsel.audits.checks.registry import checks
from instructsel.audits.finding import SEVERITIES, Finding
from instructsel.audits.packing import Packing, pack
from instructsel.audits.prepared import prepare
from instructsel.audits.result import Audit
from instructsel.audits.row import AuditedRow
from instructsel.audits.settings import AuditSettings
from instructsel.audits.shown import ShownRow, show_row
from instructsel.audits.subject import Subject
from instructsel.audits.totals import SourceTotals, totals
from instructsel.errors import UsageError
from instructsel.pool.pool import Pool

BATCH: Final = 256
"""Rows that are tokenized together."""
Progress = Callable[[int, int], None]
"""Rows done, rows in all."""


def audit(
    pool: Pool,
    *,
    base: str | None = None,
    tokenizer: Any = None,
    settings: AuditSettings | None = None,
    show: int = 0,
    progress: Progress | None = None,
    **changes: Any,
) -> Audit:
    """What a trainer would train on, without training: tokens and loss tokens of each row, and what is wrong with them.

    Tokens, loss tokens and packed sequences are those of TRL's own preparation of the same rows, in the order of the files;
    docs/how-to/audit.md names where the two differ on purpose.

    Args:
        pool: the rows.
        base: a model by its folder or hub id: its tokenizer, context, vocabulary and size are taken into account.
        tokenizer: instead of a base, a tokenizer by its folder or hub id, or one that is loaded.
        settings: of the trainer.
        show: rows to render, for a look at them; those with findings come first.
        progress: called with rows done and rows in all.
        changes: settings by name: max_length, packing, loss, trainer, batch_size, epochs.

    Raises:
        UsageError: both or neither of base and tokenizer, or a setting that cannot be.
        ModelUnavailable: no such model, or no fast tokenizer with an end-of-sequence token.

    >>> audit(pool, base="my-org/my-base", max_length=2048).findings  # doctest: +SKIP
    """
    unknown = [name for name in changes if name not in AuditSettings.__dataclass_fields__]
    if unknown:
        raise UsageError.named(unknown[0], AuditSettings.__dataclass_fields__, noun="setting of an audit")
    chosen = replace(settings or AuditSettings(), **changes)
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        if base is not None:
            raise UsageError("An audit needs a base model or a tokenizer, not both.")
        subject = Subject.of(tokenizer, chosen)
    else:
        subject = Subject.load(chosen, base=base, tokenizer=None if tokenizer is None else str(tokenizer))
    return audit_with(pool, subject, show=show, progress=progress)


def audit_with(pool: Pool, subject: Subject, *, show: int = 0, progress: Progress | None = None) -> Audit:
    """The same with a subject that is loaded."""
    settings = subject.settings
    order = np.lexsort((pool.part_of, pool.row_of, pool.file_of))
    rows = _Rows(pool, subject, order)
    for number, row in enumerate(rows.stream()):
        rows.add(row)
        if progress is not None and (number % BATCH == 0 or number + 1 == len(order)):
            progress(number + 1, len(order))
    packing = None
    if settings.packing is not None:
        packing = pack([(number, tokens) for number, tokens in enumerate(rows.full) if tokens], settings.max_length, settings.packing)
    findings = rows.findings(packing)
    frame = rows.frame()
    counted = totals(rows.columns(), rows.sources(), packing, settings, subject.parameters)
    shown = rows.shown(show, packing) if show else ()
    return Audit(subject.name, settings, frame, findings, counted, shown)


def audited_rows(pool: Pool, subject: Subject) -> Iterator[AuditedRow]:
    """The rows of a pool in the order of the files, rendered, tokenized and cut as `audit` sees them."""
    rows = _Rows(pool, subject, np.lexsort((pool.part_of, pool.row_of, pool.file_of)))
    for row in rows.stream():
        yield row
        rows.full.append(len(row.full.ids))


@dataclass
class _Tally:
    """What one check of rows has flagged."""

    count: int = 0
    first: list[int] = field(default_factory=list)
    detail: str = ""


class _Rows:
    """The rows of a pool, and what is seen_tokens of each: a few dozen bytes."""

    def __init__(self, pool: Pool, subject: Subject, order: Any) -> None:
        self.pool = pool
        self.subject = subject
        self.order = order
        self.row_checks = [check for check in checks() if isinstance(check, RowCheck)]
        self.tallies = {check.kind: _Tally() for check in self.row_checks}
        self.full = array("l")
        self.tokens = array("l")
        self.loss_tokens = array("l")
        self.flags: list[int] = []
        self.reasons: list[str | None] = []
        self.seen: dict[bytes, int] = {}
        self.several_responses = 0
        self.bits: dict[str, int] = {check.kind: 1 << number for number, check in enumerate(checks())}

    def stream(self, positions: Sequence[int] | None = None) -> Iterator[AuditedRow]:
        """The rows at these positions of the order, all by default, rendered and tokenized in batches."""
        numbers = iter(self.order.tolist() if positions is None else [int(self.order[position]) for position in positions])
        subject, settings = self.subject, self.subject.settings
        while batch := list(itertools.islice(numbers, BATCH)):
            examples = list(self.pool.examples(batch))
            for position, example, prepared in zip(batch, examples, prepare(examples, subject), strict=True):
                full = prepared.encoded
                length = min(len(full.ids), settings.max_length) if settings.packing in (None, "bfd") else len(full.ids)
                file = self.pool.files[int(self.pool.file_of[position])]
                raw = tuple(file.row(row) for row in file.rows_of(int(self.pool.row_of[position])))
                yield AuditedRow(
                    example=example,
                    raw=raw,
                    fields=tuple(frozenset[str]().union(*map(file.fields_of, raw))),
                    turns=prepared.turns,
                    text=prepared.text,
                    full=full,
                    length=length,
                    prompt=prepared.prompt,
                    fault=prepared.fault,
                    duplicate=self._is_duplicate(full.ids[:length], full.loss_mask[:length]),
                )

    def _is_duplicate(self, ids: Sequence[int], loss_mask: Sequence[bool]) -> bool:
        if not ids:
            return False
        digest = hashlib.blake2b(np.asarray(ids, dtype=np.int64).tobytes(), digest_size=16)
        digest.update(np.asarray(loss_mask, dtype=bool).tobytes())
        return self.seen.setdefault(digest.digest(), len(self.full)) != len(self.full)

    def add(self, row: AuditedRow) -> None:
        """Check a row and count it."""
        number = len(self.full)
        flags = 0
        for check in self.row_checks:
            if check.flags(row, self.subject):
                flags |= self.bits[check.kind]
                tally = self.tallies[check.kind]
                tally.count += 1
                if len(tally.first) < LISTED:
                    tally.first.append(number)
                if tally.count == 1:
                    tally.detail = check.detail(row, self.subject)
        self.full.append(len(row.full.ids))
        self.tokens.append(row.length)
        self.loss_tokens.append(row.loss_tokens)
        self.flags.append(flags)
        self.reasons.append(row.reason)
        self.several_responses += len(row.responses) > 1

    def place(self, number: int) -> str:
        """FILE:LINE of a row by its number."""
        position = int(self.order[number])
        _, lines = self.pool.locate(position)
        return f"{self.pool.file_names[int(self.pool.file_of[position])]}:{lines[0]}"

    def findings(self, packing: Packing | None) -> tuple[Finding, ...]:
        """What all checks found, and the flags of those that look at all rows."""
        reasons = Counter(reason for reason in self.reasons if reason is not None)
        pooled = Pooled(len(self.full), self.several_responses, dict(sorted(reasons.items())), packing, self.pool.report, self.place)
        findings: list[Finding] = []
        for check in checks():
            if isinstance(check, RowCheck):
                tally = self.tallies[check.kind]
                if tally.count:
                    severity = check.severity_of(self.subject)
                    places = pooled.first(tally.first)
                    findings.append(Finding(check.kind, severity, tally.count, check.unit, check.cause, check.fix, places, tally.detail))
            elif isinstance(check, TemplateCheck | PoolCheck) and (seen := check.see(self.subject, pooled)) is not None:
                findings.append(check.finding(seen))
                for number in seen.flagged:
                    self.flags[number] |= self.bits[check.kind]
        return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))

    def _flags_of(self, number: int) -> list[str]:
        return [kind for kind, bit in self.bits.items() if self.flags[number] & bit]

    def frame(self) -> Any:
        """One row an example; see `Audit.frame`."""
        import polars

        places = self.pool.places[self.order]
        seen_tokens = np.asarray(self.tokens, dtype=np.int64)
        full = np.asarray(self.full, dtype=np.int64)
        return polars.DataFrame(
            {
                "file": places["file"],
                "line": places["line"],
                "source": polars.Series([self.pool.sources[position] for position in self.order.tolist()], dtype=polars.String),
                "tokens": seen_tokens,
                "loss_tokens": np.asarray(self.loss_tokens, dtype=np.int64),
                "full_tokens": full,
                "truncated": full > seen_tokens,
                "reason": polars.Series(self.reasons, dtype=polars.String),
                "flags": polars.Series([" ".join(self._flags_of(number)) for number in range(len(self.flags))], dtype=polars.String),
            }
        )

    def columns(self) -> dict[str, Sequence[Any]]:
        """What the totals are of."""
        trained = [reason is None for reason in self.reasons]
        return {"full": self.full, "tokens": self.tokens, "loss_tokens": self.loss_tokens, "is_trained": trained}

    def sources(self) -> list[SourceTotals]:
        """The rows by source, in the order of the files, or of the names of a field."""
        names = self.pool.sources
        labels = (
            list(dict.fromkeys([file.source.label for file in self.pool.files]))
            if self.pool.spec.reading.source_field is None
            else sorted(set(names))
        )
        number_of = {label: number for number, label in enumerate(labels)}
        of_row = np.array([number_of[name] for name in names], dtype=np.int64)[self.order]
        trained = np.array([reason is None for reason in self.reasons], dtype=bool)
        full, seen_tokens, loss = (np.asarray(column, dtype=np.int64) for column in (self.full, self.tokens, self.loss_tokens))
        result = []
        for number, label in enumerate(labels):
            mine = of_row == number
            used = mine & trained
            counts = (mine.sum(), used.sum(), seen_tokens[used].sum(), loss[used].sum(), ((full > seen_tokens) & mine).sum())
            result.append(SourceTotals(label, *map(int, counts)))
        return result

    def shown(self, count: int, packing: Packing | None) -> tuple[ShownRow, ...]:
        """Rows to look at: the first one of each error and warning, then the first ones."""
        alarms = {check.kind for check in self.row_checks if check.severity != "info"}
        first = [tally.first[0] for kind, tally in self.tallies.items() if kind in alarms and tally.first]
        chosen = sorted(list(dict.fromkeys((*first, *range(len(self.full)))))[:count])
        parts: dict[int, list[tuple[int, int, int, int]]] = {}
        for number, sequence in enumerate(packing.sequences if packing is not None else ()):
            for part in sequence:
                parts.setdefault(part.row, []).append((number, len({other.row for other in sequence}), part.start, part.stop))
        rows = []
        for number, row in zip(chosen, self.stream(chosen), strict=True):
            mine = parts.get(number, [])
            words = (
                [f"sequence {place + 1:,} of {len(packing.sequences):,}, with {counted - 1} other rows" for place, counted, _, _ in mine]
                if packing
                else []
            )
            context = {
                "place": self.place(number),
                "flags": self._flags_of(number),
                "sequence": "; ".join(words),
                "boundaries": {start for _, _, start, _ in mine if start},
            }
            rows.append(show_row(row, self.subject, context))
        return tuple(rows)


__all__ = ["audit", "audit_with", "audited_rows"]
