"""Select: rank a pool by a rule, remove repetitions, fill a budget; every row with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import polars as pl

from instructsel.columns import Columns, MadeFrame, held_columns
from instructsel.errors import ScoresError, UnknownExample
from instructsel.kinds import SELECTION
from instructsel.pool.pool import Pool
from instructsel.selection.shape import COLUMNS, PLACE, SidecarManifest
from instructsel.structured import Refusal, first_line
from instructsel.tables import NUMBER_OR_NULL, checked_columns, read_frame, write_frame
from instructsel.text import counted, excerpt, html_table

if TYPE_CHECKING:
    from instructsel.selection.candidates import ScoredCandidates

CONTRIBUTION: Final = "_contribution"


@dataclass(frozen=True)
class Selection:
    """What a rule and a budget keep of a pool, and why the rest was left."""

    name: str
    """The rule's or the baseline's name."""
    frame: MadeFrame = MadeFrame()  # noqa: RUF009 - a descriptor: each selection has its own
    """A polars frame: all the pool's rows in its order: `id`, `source`, `file`, `line`, `rank` (1 is best, null where not ranked), `score` (lower is
    better), one `<symbol>_contribution` per term, `kept`, `reason` (null where kept), `duplicate_of` (the id it repeats)."""
    # mypy takes a descriptor for a default.
    summary: dict[str, Any] = field(repr=False)  # type: ignore[misc]
    """Counts, shares, means, composition: plain data."""
    manifest: dict[str, Any] = field(repr=False)  # type: ignore[misc]
    """Kind, rule, what `score` is, pool, settings, summary. Nothing in it differs between two equal runs."""
    candidates: ScoredCandidates | None = field(default=None, repr=False, compare=False)
    """What it was chosen from, for its baselines; None for a selection read from a file."""

    @cached_property
    def kept_ids(self) -> tuple[str, ...]:
        """The ids of the kept examples, best first."""
        columns, begin = self._columns, 0
        positions, ranks = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for piece in columns.only("rank", "kept").pieces():
            kept = np.flatnonzero(piece["kept"].to_numpy())
            positions.append(kept + begin)
            ranks.append(piece["rank"].gather(kept).to_numpy().astype(np.int64))
            begin += len(piece)
        best_first = np.concatenate(positions)[np.argsort(np.concatenate(ranks), kind="stable")]
        return tuple(columns.texts("id", best_first.tolist()))

    @property
    def _columns(self) -> Columns:
        return held_columns(self)

    def __repr__(self) -> str:
        """One line: the rule or baseline, and how many examples it keeps.

        >>> select(pool, table, "longest", budget=20)  # doctest: +SKIP
        Selection(longest: 20 of 300 examples kept, 280 dropped)
        """
        read, kept = self.summary["read"], len(self)
        return f"Selection({excerpt(self.name, 40)}: {kept:,} of {counted(read, 'example')} kept, {read - kept:,} dropped)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the kept rows and the dropped ones by reason."""
        counts = {"kept": len(self), **(self.summary.get("dropped") or {})}
        return html_table(repr(self), ("outcome", "examples"), [(outcome, f"{count:,}") for outcome, count in counts.items()])

    def __len__(self) -> int:
        return int(self.summary["kept"])

    @property
    def baseline(self) -> str | None:
        """Name of the baseline whose ranking it is, e.g. `random`; None of a rule's selection."""
        recorded: str | None = self.manifest.get("baseline")
        return recorded

    @property
    def seed(self) -> int | None:
        """Of a baseline in which chance has a part; else None."""
        recorded: int | None = self.summary.get("seed")
        return recorded

    @property
    def shortfall(self) -> int:
        """What is missing to the budget, in its unit, because no more rows (or none under their quota) were left; else 0."""
        return int(self.summary.get("shortfall") or 0)

    @property
    def unused_tokens(self) -> int | None:
        """Tokens of the budget that no example fitted into; None for a budget of examples."""
        unused: int | None = self.summary.get("unused_tokens")
        return unused

    def of(self, pool: Pool) -> Pool:
        """The kept part of the pool.

        Raises:
            UnknownExample: the selection was made from another pool.
        """
        return pool.take(self.kept_ids)

    def explain(self, id: str) -> dict[str, Any]:  # noqa: A002 - the column's name
        """The row of one example, as plain data.

        Raises:
            UnknownExample: the id is not among the rows.
        """
        rows = self.frame.filter(pl.col("id") == id)
        if not rows.height:
            raise UnknownExample(f"No example has the id '{id}' in this selection.")
        return rows.row(0, named=True)

    def write_sidecar(self, path: str | Path, *, run: dict[str, Any] | None = None) -> None:
        """Write all rows with rank, score, contributions and reason, as .parquet or .csv; the manifest as JSON beside it.

        Raises:
            UsageError: another suffix.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        write_frame(path, self._columns, self.manifest, run=run)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The selection whose sidecar stands at `path`.

        Raises:
            ScoresError: missing, damaged, not a selection, or of a newer release.
        """
        frame, manifest = read_frame(path, kind=SELECTION, noun="a selection's sidecar", shape=SidecarManifest)
        refusal = Refusal(ScoresError, "Select again.", noun="a selection's sidecar")
        if not manifest:
            raise refusal.of(path, "its manifest is missing")
        if Path(path).suffix == ".csv":
            frame = _of_csv(frame, path, refusal)
        terms = {name: NUMBER_OR_NULL for name in frame.columns if name.endswith(CONTRIBUTION)}
        columns = {name: column for name, column in COLUMNS.items() if name in frame.columns or name not in PLACE}
        if "value" in frame.columns and "score" not in frame.columns:
            columns["value"] = columns.pop("score")
        frame = checked_columns(frame, {**columns, **terms}, path, refusal)
        if manifest["summary"]["read"] != frame.height or manifest["summary"]["kept"] != frame["kept"].sum():
            raise refusal.of(path, "its manifest counts other rows than it has")
        frame, manifest = _of_last_release(frame, manifest)
        return cls(manifest["name"], frame, manifest["summary"], manifest)


def _of_csv(frame: pl.DataFrame, path: str | Path, refusal: Refusal) -> pl.DataFrame:
    """The texts of a CSV as ids, places, numbers and reasons; a column that is not there is refused later."""
    wholes = [name for name in ("rank", "line") if name in frame.columns]
    numbers = [name for name in frame.columns if name in ("score", "value") or name.endswith(CONTRIBUTION)]
    texts = [name for name in ("reason", "duplicate_of") if name in frame.columns]
    flags = [name for name in ("kept",) if name in frame.columns]
    try:
        return frame.with_columns(
            pl.col(wholes).cast(pl.Int64), pl.col(numbers).cast(pl.Float64), pl.col(texts).replace("", None), pl.col(flags) == "true"
        )
    except pl.exceptions.PolarsError as error:
        raise refusal.of(path, f"a cell that should be a number is none: {first_line(error)}") from error


RENAMED: Final = {"not_reached": "below_budget"}
"""Reasons of the last release → what they are called now."""
BELOW: Final = ("below_floor:", "below_minimum:")
"""The beginning of a reason, then and now."""


def _of_last_release(frame: pl.DataFrame, manifest: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A sidecar in today's words; what the last release did not record is null."""
    if "value" in frame.columns and "score" not in frame.columns:
        frame = frame.rename({"value": "score"})
        frame = frame.with_columns(pl.col("reason").replace(RENAMED).str.replace(f"^{BELOW[0]}", BELOW[1]))
    if "file" not in frame.columns:
        known = frame.columns
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("file"), pl.lit(None, dtype=pl.Int64).alias("line"))
        frame = frame.select(*known[: known.index("source") + 1], "file", "line", *known[known.index("source") + 1 :])
    if "value" not in manifest:
        return frame, manifest
    summary = {{"floors": "minima", "rule_value": "rule_score"}.get(key, key): entry for key, entry in manifest["summary"].items()}
    dropped = summary.get("dropped") or {}
    summary["dropped"] = {_renamed(reason): count for reason, count in dropped.items()}
    settings = {{"floors": "minima"}.get(key, key): entry for key, entry in (manifest.get("settings") or {}).items()}
    renamed = {("score" if key == "value" else key): entry for key, entry in manifest.items()}
    return frame, {**renamed, "baseline": _baseline_of_last_release(manifest), "summary": summary, "settings": settings}


def _baseline_of_last_release(manifest: dict[str, Any]) -> str | None:
    """The baseline whose ranking it is: the last release named its replicates by their seed, which it recorded."""
    name, seed = str(manifest["name"]), manifest["summary"].get("seed")
    if seed is not None:
        return name.removesuffix(f"-seed{seed}")
    return None if name == (manifest.get("rule") or {}).get("name") else name


def _renamed(reason: str) -> str:
    return BELOW[1] + reason.removeprefix(BELOW[0]) if reason.startswith(BELOW[0]) else RENAMED.get(reason, reason)


__all__ = ["Selection"]
