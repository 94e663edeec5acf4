"""A recipe: which sources are mixed, and how much of each.

schema = 1
name = "mine"
seed = 42

[budget]                        # where sources have shares
rows = 50_000                   # or tokens

[duplicates]
across = "exact"                # rows that another source has, too: keep, exact, near

[[source]]
dataset = "dolly"               # a key of the catalogue: its licence and format follow
path = "dolly.jsonl"            # or several, or hf://OWNER/NAME
share = 0.3

[[source]]
label = "ours"
path = ["support-*.jsonl"]
licence = "cc-by-4.0"
share = 0.7
repeat = 4                      # a row may stand so many times in the mixture
"""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Required, Self, TypedDict, cast

from instructsel.errors import UsageError
from instructsel.mixtures.catalogue import Dataset, entry
from instructsel.mixtures.licences import forbids_commercial_use
from instructsel.pool.hub import HUB
from instructsel.pool.spec import STDIN, Reading
from instructsel.shapes import Between, Count, Misfit, PathName, checked, is_path
from instructsel.structured import Refusal, parse_toml, read_bytes

SCHEMA: Final = 1
SUFFIX: Final = ".toml"
ALL: Final = "all"
ROWS: Final = "rows"
SHARE: Final = "share"
TOKENS: Final = "tokens"
TIMES: Final = "times"
AMOUNTS: Final = (ROWS, SHARE, TOKENS, TIMES, ALL)
"""How much of a source: rows, a share of the budget, tokens, a multiple of it, or all of it."""
NO_CONVERSION: Final = "none"
ORIGINAL: Final = "original"
AUTO: Final = "auto"
"""In place of a conversion: none, that of the dataset, or that of the dataset where the files are its originals."""
KEEP: Final = "keep"
EXACT: Final = "exact"
NEAR: Final = "near"
SHUFFLED: Final = "shuffled"
THRESHOLD: Final = 0.8
TOKENIZER: Final = "embedded"
SEED: Final = 42
MAX_LENGTH: Final = 2048
WHOLE: Final = 1e-6
"""How far shares may be from adding up to 1."""
MOST: Final = 1 << 50
MOST_REPEATS: Final = 1000
LARGEST_SEED: Final = (1 << 32) - 1
REFUSAL: Final = Refusal(
    UsageError, "See docs/how-to/mix.md, or begin with a built-in one: instructsel mix human --print-recipe", "a recipe"
)
MOST_BYTES: Final = 16 << 20

Many = Annotated[int, Between(1, MOST)]


class ReadingShape(TypedDict, total=False):
    """How the files of a source are read; the names are those of the options."""

    format: str
    map: str
    columns: str
    delimiter: str
    oasst: Literal["best-path", "all-paths"]
    on_duplicate_key: Literal["error", "last"]
    role: list[str]
    undesirable: Literal["drop", "keep"]


class SourceShape(TypedDict, total=False):
    """One source."""

    dataset: str
    label: str
    path: PathName | list[PathName]
    licence: str
    non_commercial: bool
    conversion: str
    settings: dict[str, str | int | float | bool]
    rows: Many
    share: Annotated[float, Between(0, 1)]
    tokens: Many
    times: Annotated[float, Between(0, MOST_REPEATS)]
    all: bool
    repeat: Annotated[int, Between(1, MOST_REPEATS)]
    reading: ReadingShape


class BudgetShape(TypedDict, total=False):
    """What the shares are shares of."""

    rows: Many
    tokens: Many


class DuplicatesShape(TypedDict, total=False):
    """What becomes of rows that several sources have."""

    across: Literal["keep", "exact", "near"]
    threshold: Annotated[float, Between(0.6, 1)]


class RecipeShape(TypedDict, total=False):
    """A recipe file."""

    schema: Count
    name: Required[str]
    title: str
    citation: str
    seed: Annotated[int, Between(0, LARGEST_SEED)]
    order: Literal["shuffled", "sources"]
    tokenizer: str
    max_length: Many
    budget: BudgetShape
    duplicates: DuplicatesShape
    source: Required[list[SourceShape]]


SHAPES: Final[Mapping[str, Any]] = {"budget": BudgetShape, "duplicates": DuplicatesShape}
"""Table → what it may hold."""
READING: Final[Mapping[str, str]] = {"format": "form", "map": "mapping", "on_duplicate_key": "duplicate_key", "role": "roles"}
"""Setting of a source's reading → field of a Reading, where the names differ."""


@dataclass(frozen=True)
class MixtureSource:
    """One source of a recipe."""

    label: str
    """What its rows are called in the mixture: the field `dataset`."""
    paths: tuple[str, ...] = ()
    """Its files; none where they are still to be named."""
    dataset: Dataset | None = None
    """Its entry in the catalogue."""
    licence: str | None = None
    """As SPDX names it; None where it is not known."""
    non_commercial: bool | None = None
    """Whether the licence forbids commercial use; None where that is not known."""
    conversion: str = NO_CONVERSION
    """The conversion of the original files: the key of a dataset that has one, original (the dataset's own), auto (its own where the files are
    its originals), or none."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the conversion, e.g. paths = "every-response"."""
    amount: str = ALL
    """One of AMOUNTS."""
    value: float = 1.0
    """How many rows or tokens, which share, or which multiple."""
    repeat: int = 1
    """How many times a row may stand in the mixture."""
    reading: Reading = field(default_factory=Reading)
    """How the files are read."""

    @property
    def catalogue_rows(self) -> int | None:
        """Rows by the catalogue; None where it does not say."""
        return None if self.dataset is None else self.dataset.rows

    @property
    def asked(self) -> str:
        """How much of it is asked, for people.

        >>> MixtureSource("ours", amount="share", value=0.25).asked
        'share 25%'
        """
        words = {
            ALL: "all",
            ROWS: f"{self.value:,.0f} rows",
            TOKENS: f"{self.value:,.0f} tokens",
            SHARE: f"share {100 * self.value:.4g}%",
            TIMES: f"{self.value:g} times",
        }
        return words[self.amount]

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without what differs from machine to machine."""
        return {
            "label": self.label,
            "dataset": None if self.dataset is None else self.dataset.key,
            "licence": self.licence,
            "non_commercial": self.non_commercial,
            "conversion": self.conversion,
            "settings": dict(self.settings),
            "amount": self.amount,
            "value": self.value,
            "repeat": self.repeat,
            "reading": self.reading.as_dict(),
        }


@dataclass(frozen=True)
class MixtureRecipe:
    """Which sources are mixed, and how much of each."""

    name: str
    sources: tuple[MixtureSource, ...]
    title: str = ""
    citation: str = ""
    seed: int = SEED
    order: str = SHUFFLED
    """Of the mixture's rows: shuffled, or sources (one after the other)."""
    tokenizer: str = TOKENIZER
    """What counts tokens: embedded, a folder, or a hub id."""
    max_length: int = MAX_LENGTH
    """Tokens beyond which a row counts as truncated."""
    budget: tuple[str, int] | None = None
    """rows or tokens, and how many; None where no source has a share."""
    across: str = KEEP
    """What becomes of rows that several sources have: keep, exact (equal ones stay in the first source alone), near (similar ones, too)."""
    threshold: float = THRESHOLD
    """Jaccard similarity of near-duplicates."""
    where: str = ""
    """The file that it is from; "" for a built-in one."""

    @classmethod
    def named(cls, name: str | Path) -> Self:
        """A recipe file, or a built-in recipe by its name.

        Raises:
            UsageError: there is neither, or it is no recipe; the closest name is said.
        """
        path = Path(name)
        if path.suffix == SUFFIX or path.is_file() or len(path.parts) > 1:
            return cls.read(path)
        if str(name) not in built_in():
            raise UsageError.named(str(name), built_in(), noun="recipe", where="and no such file")
        return cls.of(parse_toml(built_in()[str(name)], dict, f"recipe {name}", REFUSAL), Path.cwd(), where="", title=f"recipe {name}")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A recipe file.

        Raises:
            UsageError: it cannot be read, is of another shape, or names what there is not.
        """
        data = read_bytes(path, REFUSAL, max_bytes=MOST_BYTES)
        return cls.of(parse_toml(data, dict, path, REFUSAL), Path(path).parent, where=str(path))

    @classmethod
    def of(cls, table: Mapping[str, Any], folder: Path, *, where: str, title: str = "") -> Self:
        """From the content of a file.

        Args:
            table: the content.
            folder: where relative paths begin.
            where: the file.
            title: what messages call it, where that is no file.

        Raises:
            UsageError: it is of another shape, or names what there is not.
        """
        place = title or where or "the recipe"
        check_keys(table, place)
        try:
            checked(dict(table), RecipeShape)
        except Misfit as misfit:
            raise REFUSAL.of(place, str(misfit)) from misfit
        shape = cast(RecipeShape, table)
        schema = shape.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise UsageError(f"{place} is of schema {schema}; this release reads {SCHEMA}.", fix="Install a newer release of instructsel.")
        if not shape["name"].strip() or not is_path(f"{shape['name']}.jsonl") or "/" in shape["name"]:
            raise REFUSAL.of(place, f"its name is {shape['name'][:60]!r}, and outputs are called after it")
        if not shape["source"]:
            raise REFUSAL.of(place, "it has no [[source]]")
        sources = tuple(_source(source, number, folder, place) for number, source in enumerate(shape["source"], 1))
        labels = [source.label for source in sources]
        for label in labels:
            if labels.count(label) > 1:
                raise UsageError(
                    f"Two sources of {place} are called {label}.", fix=f'Tell them apart: label = "{label}-2" beneath one of them.'
                )
        duplicates = shape.get("duplicates", {})
        if "threshold" in duplicates and duplicates.get("across") != NEAR:
            raise UsageError(f"duplicates.threshold of {place} is of near-duplicates alone.", fix='Add: across = "near"')
        recipe = cls(
            name=shape["name"],
            sources=sources,
            title=shape.get("title", ""),
            citation=shape.get("citation", ""),
            seed=shape.get("seed", SEED),
            order=shape.get("order", SHUFFLED),
            tokenizer=shape.get("tokenizer", TOKENIZER),
            max_length=shape.get("max_length", MAX_LENGTH),
            budget=_budget(shape.get("budget", {}), place),
            across=duplicates.get("across", KEEP),
            threshold=duplicates.get("threshold", THRESHOLD),
            where=where,
        )
        recipe.check()
        return recipe

    def check(self) -> None:
        """Refuse shares without a budget, a budget without shares, and shares that are not of one whole.

        Raises:
            UsageError: one of them.
        """
        place = self.where or f"the recipe {self.name}"
        with_shares = [source for source in self.sources if source.amount == SHARE]
        if with_shares and self.budget is None:
            raise UsageError(
                f"{place} has shares, and no budget that they are shares of.", fix="Add [budget] with rows = N, or with tokens = N."
            )
        if self.budget is None:
            return
        others = [source for source in self.sources if source.amount != SHARE and source.amount != ALL]
        whole = [source for source in self.sources if source.amount == ALL]
        if others or (with_shares and whole):
            label = (others or whole)[0].label
            raise UsageError(
                f"{place} has a budget, and {label} no share of it.", fix=f"Give each source a share, {label} too, or leave [budget] out."
            )
        if with_shares:
            total = math.fsum(source.value for source in with_shares)
            if abs(total - 1) > WHOLE:
                shares = " + ".join(f"{source.value:g}" for source in with_shares[:8]) + (" + …" if len(with_shares) > 8 else "")
                raise UsageError(f"The shares of {place} add up to {total:.6g}: {shares}.", fix="Write shares that add up to 1.")

    def with_paths(self, paths: Mapping[str, Sequence[str]]) -> Self:
        """The recipe with other files of some sources, by label or by key of the catalogue.

        Raises:
            UsageError: there is no such source; the closest is named.
        """
        known = {name: source.label for source in self.sources for name in _names(source)}
        for name in paths:
            if name not in known:
                raise UsageError.named(name, list(known), noun="source", where=f"in {self.where or self.name}")
        by_label = {known[name]: tuple(listed) for name, listed in paths.items()}
        sources = tuple(replace(source, paths=by_label.get(source.label, source.paths)) for source in self.sources)
        return replace(self, sources=sources)

    @property
    def non_commercial(self) -> bool | None:
        """Whether the mixture is for non-commercial use alone: one source is; None where that is not known of one, and no other is."""
        from instructsel.mixtures.licences import joined

        return joined(source.non_commercial for source in self.sources)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without what differs from machine to machine."""
        return {
            "name": self.name,
            "title": self.title,
            "citation": self.citation,
            "seed": self.seed,
            "order": self.order,
            "tokenizer": self.tokenizer,
            "max_length": self.max_length,
            "budget": None if self.budget is None else dict([self.budget]),
            "duplicates": {"across": self.across, "threshold": self.threshold if self.across == NEAR else None},
            "sources": [source.as_dict() for source in self.sources],
        }


def built_in() -> dict[str, bytes]:
    """Name → file of the recipes that come along."""
    folder = files("instructsel.mixtures") / "recipes"
    return {file.name.removesuffix(SUFFIX): file.read_bytes() for file in folder.iterdir() if file.name.endswith(SUFFIX)}


def recipe_text(name: str | Path) -> str:
    """The text of a built-in recipe, or of a recipe file, that can be read as one.

    Raises:
        UsageError: there is neither, or it is no recipe.
    """
    recipe = MixtureRecipe.named(name)
    data = built_in()[str(name)] if not recipe.where else read_bytes(recipe.where, REFUSAL, max_bytes=MOST_BYTES)
    return data.decode()


def check_keys(table: Mapping[str, Any], place: str) -> None:
    """Refuse a key that a recipe does not have, with the one that may have been meant; before its shapes are looked at.

    Raises:
        UsageError: there is one.
    """
    _only_known(table, RecipeShape.__annotations__, f"in {place}")
    for name, shape in SHAPES.items():
        if isinstance(inner := table.get(name), Mapping):
            _only_known(inner, shape.__annotations__, f"in [{name}] of {place}")
    listed = table.get("source")
    for source in listed if isinstance(listed, list) else ():
        if not isinstance(source, Mapping):
            continue
        _only_known(source, SourceShape.__annotations__, f"of a [[source]] in {place}")
        if isinstance(reading := source.get("reading"), Mapping):
            _only_known(reading, ReadingShape.__annotations__, f"of the reading of a [[source]] in {place}")


def _only_known(table: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError.named(str(key), known, noun="setting", where=where)


def _names(source: MixtureSource) -> tuple[str, ...]:
    return (source.label,) if source.dataset is None else (source.dataset.key, source.label)


def _budget(table: BudgetShape, place: str) -> tuple[str, int] | None:
    if len(table) > 1:
        raise UsageError(f"[budget] of {place} has both rows and tokens.", fix="Leave one out.")
    return next(((unit, cast(int, size)) for unit, size in table.items()), None)


def _source(table: SourceShape, number: int, folder: Path, place: str) -> MixtureSource:
    """One source of a recipe file."""
    dataset = entry(table["dataset"]) if "dataset" in table else None
    named = table.get("path", [])
    listed = [named] if isinstance(named, str) else list(named)
    label = table.get("label") or (dataset.key if dataset is not None else "")
    title = f"source {label or number} of {place}"
    if not label:
        raise UsageError(f"Source {number} of {place} has no name.", fix='Write label = "…", or dataset = "…" of the catalogue.')
    if dataset is None and not listed:
        raise UsageError(
            f"The {title} names neither files nor a dataset of the catalogue.", fix='Write path = "FILE", or dataset = "dolly".'
        )
    licence = table.get("licence") or (dataset.licence if dataset is not None else None)
    if "non_commercial" in table:
        non_commercial: bool | None = table["non_commercial"]
    elif dataset is not None and "licence" not in table:
        non_commercial = dataset.non_commercial
    else:
        non_commercial = forbids_commercial_use(licence)
    amount, value = _amount(table, title)
    return MixtureSource(
        label=label,
        paths=tuple(path for name in listed for path in _paths(name, folder, title)),
        dataset=dataset,
        licence=licence,
        non_commercial=non_commercial,
        conversion=_conversion(table, title),
        settings=table.get("settings", {}),
        amount=amount,
        value=value,
        repeat=table.get("repeat", 1),
        reading=_reading(table.get("reading", {})),
    )


def _conversion(table: SourceShape, title: str) -> str:
    """The conversion of a source.

    Raises:
        UsageError: there is no such conversion, or it has no such setting.
    """
    from instructsel.mixtures.conversions import make, names

    name = table.get("conversion", NO_CONVERSION)
    known = [*names(), ORIGINAL, AUTO, NO_CONVERSION]
    if name not in known:
        raise UsageError.named(name, known, noun="conversion", where=f"of the {title}")
    settings = table.get("settings", {})
    if settings and name == NO_CONVERSION:
        raise UsageError(f"The {title} has settings of a conversion, and none.", fix='Add: conversion = "original"')
    if {"seed", "count", "tokenizer"} & settings.keys():
        raise UsageError(f"The seed and the tokenizer of the {title} are the recipe's.", fix="Leave them out of its settings.")
    own = table.get("dataset", "") if name in (ORIGINAL, AUTO) else name
    if own in names():
        make(own, **settings)
    return name


def _amount(table: SourceShape, title: str) -> tuple[str, float]:
    """How much of a source is asked.

    Raises:
        UsageError: it is said twice, or nothing of it is.
    """
    stated = [name for name in AMOUNTS if name in table and table.get(name) is not False]
    if len(stated) > 1:
        raise UsageError(f"The {title} has both {stated[0]} and {stated[1]}.", fix="Leave one out.")
    if not stated:
        if table.get(ALL) is False:
            raise UsageError(f"The {title} says all = false, and not how much.", fix="Write rows, share, tokens or times instead.")
        return ALL, 1.0
    value = float(table[stated[0]])
    if value == 0:
        raise UsageError(f"Nothing is asked of the {title}: {stated[0]} = 0.", fix="Leave the source out.")
    return stated[0], value


def _paths(name: str, folder: Path, title: str) -> list[str]:
    """The files that a name leads to: patterns as what they match.

    Raises:
        UsageError: it is no place of this machine and not of the hub, or no file matches.
    """
    if name.startswith(HUB):
        return [name]
    if "://" in name or name.startswith(("\\\\", "//")) or name == STDIN:
        raise UsageError(f"The {title} is {name[:80]!r}, which is not read.", fix="Name files of this machine, or hf://OWNER/NAME.")
    path = folder / Path(name).expanduser()
    if glob.has_magic(name) and not path.exists():
        matches = sorted(str(folder / match) for match in glob.glob(name, root_dir=folder, recursive=True))
        if not matches:
            raise UsageError(f"The {title} names {name}, and no file is called so.", fix="Correct the pattern.")
        return matches
    return [str(path)]


def _reading(table: ReadingShape) -> Reading:
    changes: dict[str, Any] = {READING.get(name, name): value for name, value in table.items()}
    if "roles" in changes:
        changes["roles"] = tuple(changes["roles"])
    return Reading(**changes)


__all__ = ["AMOUNTS", "MixtureRecipe", "MixtureSource", "RecipeShape", "built_in", "recipe_text"]
