"""The rows that are exported: those of a selection, in its order of ranks, or those of pool files."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from instructsel.adapters.exports.facts import Facts
from instructsel.artifact import file_digest
from instructsel.errors import InstructselError, UsageError
from instructsel.mixtures.mixture import Mixture
from instructsel.mixtures.origin import Mixed, mixtures_of, of_selection, recipe_in
from instructsel.mixtures.origin import inputs_of as inputs_of_recipe
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.paths import resolved
from instructsel.pool.naming import files_of
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SUFFIX, SelectionSet, Subset, sidecar_of, stem_of

Message = Callable[[str], None]


@dataclass(frozen=True)
class Selected:
    """Examples to export."""

    pool: Pool
    """They, and maybe others that stand in the same rows."""
    positions: tuple[int, ...]
    """Of the examples, best first where they were ranked, else ascending."""
    facts: Facts
    ranked: bool = False
    """Whether positions are in the order of ranks."""
    stem: str = "train"
    """What default outputs are named after."""
    sources: Mapping[int, str] = field(default_factory=dict)
    """Position → the label of the file in the pool that it was selected from, where its rows stand in another file now."""

    @classmethod
    def of(cls, pool: Pool) -> Selected:
        """All of a pool."""
        facts = Facts(pool.fingerprint, _digests(pool), pool.report.counts(), mixtures=mixtures_of(pool.spec.paths))
        return cls(
            pool,
            tuple(range(len(pool))),
            facts,
            stem=pool.files[0].source.label if pool.files else "train",
        )

    def in_order(self, order: str, seed: int) -> list[int]:
        """The positions in an order of ORDERS.

        Raises:
            UsageError: an order by score of rows that were not ranked.
        """
        if order == "score":
            if not self.ranked:
                raise UsageError("--order score is for selections, and no selection is recorded here.", fix="Name what select wrote.")
            return list(self.positions)
        positions = sorted(self.positions)
        if order == "random":
            random.Random(seed).shuffle(positions)
        elif order == "file":
            keys = [(int(self.pool.file_of[at]), int(self.pool.row_of[at]), int(self.pool.part_of[at])) for at in positions]
            positions = [positions[number] for number in np.lexsort(np.array(keys, dtype=np.int64).reshape(-1, 3).T[::-1]).tolist()]
        return positions


def inputs_of(paths: Sequence[str]) -> list[str]:
    """The files that an export reads: what is named, and what a selection or a recipe leads to."""
    if (recipe := recipe_in(paths)) is not None:
        return inputs_of_recipe(recipe)
    listed = list(paths)
    if len(paths) == 1 and (named := _subset(paths[0])) is not None:
        selection_set, subset = named
        listed += [str(subset.file), str(subset.sidecar), str(selection_set.path)]
        listed += list(selection_set.spec.paths) if selection_set.spec is not None else []
    folders = [Path(path) for path in listed if not path.startswith("hf://") and Path(path).is_dir()]
    inside = [str(file) for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [path for path in files_of(listed) if path.startswith("hf://") or Path(path).is_file()]
    return list(dict.fromkeys([*files, *inside]))


def selected(paths: Sequence[str], reading: Reading, *, message: Message | None = None) -> Selected:
    """The examples that paths name.

    Args:
        paths: one of what `select` wrote (the rows, the table of all rows, the record of the set), a recipe, which is mixed for the while, or
            pool files of any format.
        reading: how pool files are read.
        message: gets a line on each file.

    Raises:
        UsageError: the rows of a selection are gone, or have changed.
        PoolError: a file cannot be read.
    """
    if (recipe := recipe_in(paths)) is not None:
        return _mixed(recipe, reading, message)
    named = _subset(paths[0]) if len(paths) == 1 and reading == Reading() else None
    if named is None:
        return Selected.of(reading.read(list(paths), message=message))
    selection_set, subset = named
    selection = Selection.read(subset.sidecar)
    pool, positions = _kept(selection_set, subset, selection, message)
    return Selected(
        pool,
        tuple(positions),
        Facts(pool.fingerprint, _digests(pool), pool.report.counts(), selection.manifest, _mixtures(selection_set, message)),
        ranked=True,
        stem=stem_of(subset.file.name)[0],
        sources=dict(zip(positions, _labels(selection), strict=True)),
    )


def _mixed(recipe: MixtureRecipe, reading: Reading, message: Message | None) -> Selected:
    """The rows of a recipe's mixture.

    Raises:
        UsageError: options of reading are named, which the recipe has for each source.
    """
    if reading != Reading():
        raise UsageError("A recipe says how each of its sources is read.", fix="Write these options beneath the sources: [source.reading]")
    mixed = Mixed(recipe, message)
    pool = reading.read([mixed.path], through=mixed.through())
    manifest = mixed.mixture.manifest
    files = tuple((file["name"], file["sha256"] or "") for source in manifest["sources"] for file in source["files"])
    facts = Facts(pool.fingerprint, files, pool.report.counts(), mixtures=(mixed.mixture,))
    return Selected(pool, tuple(range(len(pool))), facts, stem=recipe.name)


def _mixtures(selection_set: SelectionSet, message: Message | None) -> tuple[Mixture, ...]:
    """The mixtures that a selection is of, as far as they are still there."""
    spec = selection_set.spec
    return () if spec is None else of_selection(spec.paths, spec.digests, message)


def _subset(path: str) -> tuple[SelectionSet, Subset] | None:
    """The selection that a path belongs to; None of any other file."""
    place = Path(path)
    if path == "-" or path.startswith("hf://"):
        return None
    if not (place.name.endswith(SUFFIX) or sidecar_of(place).is_file() or place.name.endswith(".selection.parquet")):
        return None
    try:
        selection_set = SelectionSet.read(place)
    except UsageError:
        if place.name.endswith((SUFFIX, ".selection.parquet")):
            raise
        return None
    for subset in selection_set.subsets:
        if resolved(place) in (resolved(subset.file), resolved(subset.sidecar)):
            return selection_set, subset
    # Another file whose record would stand in the same place is no selection.
    return (selection_set, selection_set.selection) if place.name.endswith(SUFFIX) else None


def _kept(selection_set: SelectionSet, subset: Subset, selection: Selection, message: Message | None) -> tuple[Pool, list[int]]:
    """The rows of a selection as they were written, and where its examples stand in them, best first."""
    if subset.file.is_file():
        subset.check()
        pool = selection_set.reading.read([str(subset.file)], message=message)
        # An example that others equal is the first of them in the rows, whichever it was in the pool.
        at = {name: number for number, name in enumerate(pool.ids)}
        counts: dict[str, int] = {}
        positions: list[int] = []
        for name in selection.kept_ids:
            stem = name.partition(".")[0]
            number = counts[stem] = counts.get(stem, -1) + 1
            place = at.get(f"{stem}.{number}" if number else stem)
            if place is None:
                break
            positions.append(place)
        else:
            return pool, positions
    try:
        pool = selection_set.pool(message=message)
    except InstructselError as error:
        raise UsageError(
            f"The rows of {subset.file.name} are not there, and neither is their pool: {error.message}", fix="Select again."
        ) from error
    return pool, pool.positions(selection.kept_ids).tolist()


def _labels(selection: Selection) -> list[str]:
    """The source of each kept example, best first."""
    label_of = dict(selection.frame.select("id", "source").iter_rows())
    return [str(label_of[name]) for name in selection.kept_ids]


def _digests(pool: Pool) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, file_digest(file.source.name) if Path(file.source.name).is_file() else "")
        for name, file in zip(pool.file_names, pool.files, strict=True)
    )


__all__ = ["Selected", "inputs_of", "selected"]
