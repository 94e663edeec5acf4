"""The sources of a recipe as pools: read as they are, or converted from their originals first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import file_digest
from instructsel.errors import PoolError, UsageError
from instructsel.mixtures.conversions import Conversion, InputRow, convert, make
from instructsel.mixtures.recipe import AUTO, NO_CONVERSION, ORIGINAL, MixtureRecipe, MixtureSource
from instructsel.pieces import TokenCounts
from instructsel.pool.lines import Limits, RowFault
from instructsel.pool.naming import expanded
from instructsel.pool.pool import Pool
from instructsel.pool.sources import open_source
from instructsel.read_report import ReadReport

Message = Callable[[str], None]
LOOKED_AT: Final = 5
"""Rows of a file that tell whether it is an original."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A source that was read."""

    source: MixtureSource
    pool: Pool
    report: ReadReport
    """What became of the rows of its files."""
    files: tuple[tuple[str, str, str | None], ...]
    """Name, place and SHA-256 of each file; no digest of what is not on this machine."""
    conversion: str | None = None
    """The conversion that the files went through; None where they were read as they are."""
    settings: dict[str, Any] | None = None
    """Of the conversion."""


def opened(recipe: MixtureRecipe, source: MixtureSource, folder: Path, counter: TokenCounts | None, message: Message | None) -> Opened:
    """A source of a recipe.

    Args:
        recipe: its seed is the conversion's, its tokenizer splits long conversations.
        source: with its files.
        folder: where the conversations of an original are kept meanwhile.
        counter: counts tokens.
        message: gets a line on each file.

    Raises:
        UsageError: a conversion or a setting that there is not.
        PoolError: a file cannot be read, or is no original.
    """
    tell: Message | None = None if message is None else lambda line: message(f"  {line}")
    if message is not None:
        message(f"{source.label}:")
    conversion = _conversion(recipe, source, counter, tell)
    if conversion is None:
        pool = source.reading.read(list(source.paths), message=tell)
        files = tuple((name, file.source.name, _digest(file.source.name)) for name, file in zip(pool.file_names, pool.files, strict=True))
        return Opened(source, pool, pool.report, files)
    columns = [name.strip() for name in source.reading.columns.split(",")] if source.reading.columns else None
    limits = Limits(duplicate_key=source.reading.duplicate_key)
    result = convert(conversion, list(source.paths), columns=columns, delimiter=source.reading.delimiter, limits=limits)
    if tell is not None:
        tell(f"converted as the original of {conversion.name}: {result.sentence()}")
    target = folder / f"{len(list(folder.iterdir()))}.jsonl"
    result.write(target)
    entries = [entry for path in source.paths for entry in expanded(path).entries]
    files = tuple((Path(entry.name).name, entry.path, _digest(entry.path)) for entry in entries)
    settings = {name: value for name, value in conversion.settings().items() if name not in ("seed", "count")}
    return Opened(source, Pool.read(target, format="messages"), result.report, _told_apart(files), conversion.name, settings)


def _conversion(recipe: MixtureRecipe, source: MixtureSource, counter: TokenCounts | None, tell: Message | None) -> Conversion | None:
    """The conversion of a source's files; None where they are read as they are."""
    dataset = source.dataset
    name: str | None = source.conversion
    if name in (ORIGINAL, AUTO):
        name = None if dataset is None else dataset.conversion
        if name is None and source.conversion == ORIGINAL:
            raise UsageError(
                f"The source {source.label} has no conversion of its own.", fix='Name one, conversion = "dolly"; or leave it out.'
            )
    if name is None or name == NO_CONVERSION:
        return None
    settings = dict(source.settings)
    if name == "sharegpt":
        if counter is None:
            raise UsageError(
                f"The conversion of {source.label} counts tokens, and nothing counts them.",
                fix="Install: pip install 'instructsel[minilm]'",
            )
        settings |= {"count": counter.count, "tokenizer": recipe.tokenizer}
    conversion = make(name, seed=recipe.seed, **settings)
    if source.conversion == AUTO and not _is_original(conversion, source):
        if tell is not None:
            tell(f"the rows are not those of the original of {name}, and are read as they are")
        return None
    return conversion


def _is_original(conversion: Conversion, source: MixtureSource) -> bool:
    """Whether the first rows of the files are those of the original."""
    for path in source.paths:
        for entry in expanded(path).entries:
            opened_file = open_source(entry.path, Limits(), name=entry.name, label=entry.label or "")
            try:
                for number, (_, value) in enumerate(opened_file.rows()):
                    if number == LOOKED_AT:
                        break
                    if isinstance(value, dict):
                        conversion.content(InputRow(value, opened_file.label))
            except (RowFault, PoolError, ValueError, KeyError, TypeError):
                return False
            finally:
                opened_file.file.close()
    return True


def _told_apart(files: tuple[tuple[str, str, str | None], ...]) -> tuple[tuple[str, str, str | None], ...]:
    """Files of one name with a number behind it."""
    seen: dict[str, int] = {}
    result = []
    for name, place, digest in files:
        seen[name] = seen.get(name, 0) + 1
        result.append((name if seen[name] == 1 else f"{name} ({seen[name]})", place, digest))
    return tuple(result)


def _digest(path: str) -> str | None:
    return file_digest(path) if Path(path).is_file() else None


__all__ = ["Opened", "opened"]
