"""What a recipe would give, by the catalogue alone: no file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsel.mixtures.drawing import apportioned
from instructsel.mixtures.licences import is_known
from instructsel.mixtures.originals import fetched
from instructsel.mixtures.recipe import ALL, ROWS, SHARE, TIMES, TOKENS, MixtureRecipe, MixtureSource


@dataclass(frozen=True)
class Plan:
    """Rows and tokens of each source; None where nobody knows before its files are read."""

    recipe: MixtureRecipe
    rows: tuple[int | None, ...]
    """Of each source."""
    tokens: tuple[int | None, ...]
    """Of each source, by the catalogue's mean lengths."""

    @classmethod
    def of(cls, recipe: MixtureRecipe) -> Plan:
        """Of a recipe."""
        rows = tuple(_rows(recipe))
        tokens = tuple(_tokens(source, count) for source, count in zip(recipe.sources, rows, strict=True))
        return cls(recipe, rows, tokens)

    @property
    def total_rows(self) -> int | None:
        """Of all sources.

        >>> Plan.of(MixtureRecipe.named("human")).total_rows, Plan.of(MixtureRecipe.named("human-gpt")).total_rows
        (249806, 490694)
        """
        return _sum(self.rows)

    @property
    def total_tokens(self) -> int | None:
        """Of all sources."""
        return _sum(self.tokens)

    def as_dict(self) -> dict[str, Any]:
        """As plain data; see `shape.PlanPrinted`."""
        return {
            "name": self.recipe.name,
            "dry_run": True,
            "rows": self.total_rows,
            "tokens": self.total_tokens,
            "licences": licences_of(self.recipe),
            "sources": [
                {
                    "label": source.label,
                    "dataset": None if source.dataset is None else source.dataset.key,
                    "asked": source.asked,
                    "rows": rows,
                    "catalogue_rows": source.catalogue_rows,
                    "tokens": tokens,
                    "licence": source.licence,
                    "non_commercial": source.non_commercial,
                    "here": bool(source.paths or fetched(source)),
                }
                for source, rows, tokens in zip(self.recipe.sources, self.rows, self.tokens, strict=True)
            ],
        }


def shares_of(path: str | Path) -> dict[str, float] | None:
    """Source → its share of the rows, of a mixture that was written or of a recipe; None where it is not known before files are read.

    Raises:
        UsageError: it is neither.
    """
    from instructsel.mixtures.mixture import Mixture, kind_is_mixture

    if kind_is_mixture(path):
        return Mixture.read(path).shares
    recipe = MixtureRecipe.named(path)
    if recipe.budget is not None and recipe.sources[0].amount == SHARE:
        return {source.label: source.value for source in recipe.sources}
    plan = Plan.of(recipe)
    total = plan.total_rows
    if not total:
        return None
    return {source.label: (rows or 0) / total for source, rows in zip(recipe.sources, plan.rows, strict=True)}


def licences_in(path: str | Path) -> dict[str, str]:
    """Source → its licence, of a mixture that was written or of a recipe; without those of which none is known.

    Raises:
        UsageError: it is neither.
    """
    from instructsel.mixtures.mixture import Mixture, kind_is_mixture

    if kind_is_mixture(path):
        return Mixture.read(path).licences
    return {source.label: source.licence for source in MixtureRecipe.named(path).sources if source.licence}


def licences_of(recipe: MixtureRecipe) -> dict[str, Any]:
    """What the sources' licences make of the mixture; see `shape.LicencesShape`."""
    by_licence: dict[str, list[str]] = {}
    for source in recipe.sources:
        licence = source.licence if source.licence is not None and is_known(source.licence) else "unknown"
        by_licence.setdefault(licence, []).append(source.label)
    return {
        "non_commercial": recipe.non_commercial,
        "because_of": [source.label for source in recipe.sources if source.non_commercial],
        "unknown": [source.label for source in recipe.sources if source.non_commercial is None],
        "by_licence": dict(sorted(by_licence.items())),
    }


def _rows(recipe: MixtureRecipe) -> list[int | None]:
    """Of each source, duplicates across sources not looked for."""
    if recipe.budget is not None and recipe.budget[0] == ROWS:
        if recipe.sources[0].amount == SHARE:
            return list(apportioned(recipe.budget[1], [source.value for source in recipe.sources]))
        sizes = [source.catalogue_rows for source in recipe.sources]
        known = [size for size in sizes if size is not None]
        return list(apportioned(recipe.budget[1], known)) if len(known) == len(sizes) else [None] * len(sizes)
    if recipe.budget is not None:
        return [None] * len(recipe.sources)
    return [_own_rows(source) for source in recipe.sources]


def _own_rows(source: MixtureSource) -> int | None:
    size = source.catalogue_rows
    if source.amount == ROWS:
        return int(source.value)
    if size is None or source.amount not in (ALL, TIMES):
        return None
    return size if source.amount == ALL else int(source.value * size + 0.5)


def _tokens(source: MixtureSource, rows: int | None) -> int | None:
    if source.amount == TOKENS:
        return int(source.value)
    dataset = source.dataset
    if rows is None or dataset is None or dataset.prompt_length is None or dataset.completion_length is None:
        return None
    return round(rows * (dataset.rounds or 1) * (dataset.prompt_length + dataset.completion_length))


def _sum(values: tuple[int | None, ...]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


__all__ = ["Plan", "licences_in", "licences_of", "shares_of"]
