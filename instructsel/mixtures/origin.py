"""Mixtures where others read pools: a recipe is mixed for the while, and files that are mixtures say where their rows are from."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from instructsel import kinds
from instructsel.artifact import kind_beside
from instructsel.errors import UsageError
from instructsel.pool.naming import STDIN, files_of, is_here
from instructsel.pool.sources import Source

if TYPE_CHECKING:
    # Loaded where a mixture or a recipe is there: a gate of plain rows, as a hook runs it, has none.
    from instructsel.mixtures.mixture import Mixture
    from instructsel.mixtures.recipe import MixtureRecipe

SUFFIX: Final = ".toml"
"""How the name of a recipe file ends."""
Through = Callable[[Source], Source]


def is_recipe(path: str) -> bool:
    """Whether a name is that of a recipe file, or of a built-in recipe where nothing here is called so."""
    if path.endswith(SUFFIX) or is_here(path):
        return path.endswith(SUFFIX)
    from instructsel.mixtures.recipe import built_in

    return path in built_in()


def recipe_in(paths: Sequence[str]) -> MixtureRecipe | None:
    """The recipe that paths name; None where they name files of rows.

    Raises:
        UsageError: a recipe is named with other files, or is none.
    """
    named = [path for path in paths if is_recipe(path)]
    if not named:
        return None
    if len(paths) > 1:
        raise UsageError(
            f"{named[0]} is a recipe, and it is named with other files.", fix="Name it alone, or make the files sources of it."
        )
    from instructsel.mixtures.recipe import MixtureRecipe

    return MixtureRecipe.named(named[0])


def inputs_of(recipe: MixtureRecipe) -> list[str]:
    """The files that mixing reads."""
    from instructsel.mixtures.originals import located

    paths = [path for source in located(recipe).sources for path in source.paths]
    return [*files_of(paths), *([recipe.where] if recipe.where else [])]


class Mixed:
    """A mixture of a recipe in a temporary folder, which goes when nothing refers to this any more; the files that are read of it do.

    Its rows stand in the lines that they have where `instructsel mix` writes it, so that places name what a user can have.
    """

    def __init__(self, recipe: MixtureRecipe, message: Callable[[str], None] | None = None) -> None:
        from instructsel.mixtures.mixture import mix

        folder = tempfile.mkdtemp(prefix="instructsel-mixture-")
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, True)
        self.name = f"{recipe.name}.jsonl"
        """What its rows are called."""
        self.mixture: Mixture = mix(recipe, Path(folder) / self.name, message=message)

    @property
    def path(self) -> str:
        """Where the rows lie."""
        return str(self.mixture.path)

    def through(self, before: Through | None = None) -> Through:
        """What a pool is read through, so that places name the mixture and not the temporary folder."""

        def named(source: Source) -> Source:
            is_own = source.name == self.path
            opened = source if before is None else before(source)
            return replace(opened, name=self.name, keep=(opened.keep, self)) if is_own else opened

        return named


def mixtures_of(paths: Iterable[str]) -> tuple[Mixture, ...]:
    """The mixtures among files, each compared with what was written.

    Raises:
        ScoresError: one has changed since, or its manifest is damaged.
    """
    mixtures = []
    for path in paths:
        if path != STDIN and Path(path).is_file() and kind_beside(path) == kinds.MIXTURE:
            from instructsel.mixtures.mixture import Mixture

            mixture = Mixture.read(path)
            mixture.check()
            mixtures.append(mixture)
    return tuple(mixtures)


def read_files(paths: Sequence[str]) -> list[str]:
    """What is read where these paths are named: them, and of a recipe the files of its sources."""
    recipe = recipe_in(paths)
    return list(paths) if recipe is None else inputs_of(recipe)


def of_selection(paths: Sequence[str], digests: Sequence[str | None], message: Callable[[str], None] | None = None) -> tuple[Mixture, ...]:
    """The mixtures that a selection is of, by the digests of the files that it was made from; their rows may be gone.

    A mixture that was written anew since is passed over, and said.
    """
    mixtures = []
    for path, digest in zip(paths, digests, strict=False):
        if path == STDIN or kind_beside(path) != kinds.MIXTURE:
            continue
        from instructsel.mixtures.mixture import Mixture, seal

        mixture = Mixture.read(path)
        if seal(mixture.manifest) == mixture.manifest["seal"] and digest == mixture.manifest["data"]["sha256"]:
            mixtures.append(mixture)
        elif message is not None:
            message(f"{path} is another mixture than the one that was selected from: the licences of its sources are not taken from it")
    return tuple(mixtures)


def licences_of(mixtures: Iterable[Mixture]) -> dict[str, str]:
    """Label of a source → its licence, of the sources that have one."""
    return {label: licence for mixture in mixtures for label, licence in mixture.licences.items()}


def joint(mixtures: Sequence[Mixture], labels: Iterable[str]) -> dict[str, Any]:
    """What the licences make of rows of some of the sources; see `shape.LicencesShape`."""
    wanted = set(labels)
    by_licence: dict[str, list[str]] = {}
    forbidding, unknown = [], []
    for source in (source for mixture in mixtures for source in mixture.manifest["sources"]):
        label = source["label"]
        if label not in wanted:
            continue
        by_licence.setdefault(source["licence"] or "unknown", []).append(label)
        if source["non_commercial"]:
            forbidding.append(label)
        elif source["non_commercial"] is None:
            unknown.append(label)
    others = sorted(wanted - {label for labels in by_licence.values() for label in labels})
    if others:
        unknown += others
        by_licence.setdefault("unknown", []).extend(others)
    flag = True if forbidding else None if unknown else False
    return {"non_commercial": flag, "because_of": forbidding, "unknown": unknown, "by_licence": dict(sorted(by_licence.items()))}


__all__ = ["Mixed", "inputs_of", "is_recipe", "joint", "licences_of", "mixtures_of", "of_selection", "read_files", "recipe_in"]
