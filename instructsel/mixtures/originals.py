"""Where the files of a recipe's sources are: those that are named, else those of the catalogue in the hub's cache of this machine."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.mixtures.catalogue import Dataset
from instructsel.mixtures.recipe import MixtureRecipe, MixtureSource
from instructsel.pool.hub import HUB
from instructsel.pool.naming import is_here

LISTED = 12


def located(recipe: MixtureRecipe) -> MixtureRecipe:
    """The recipe with the files of every source.

    Raises:
        UsageError: a file that is named is not there.
        EnvironmentFault: originals of the catalogue are not on this machine; says where they lie, and what fetches them.
    """
    for source in recipe.sources:
        for path in source.paths:
            if not path.startswith(HUB) and not is_here(path):
                raise UsageError(
                    f"The source {source.label} of {recipe.where or recipe.name} is {path}, and there is no such file.",
                    fix=f"Correct the path, or name the file: --source {shlex.quote(source.label)}=FILE",
                )
    sources = tuple(source if source.paths else replace(source, paths=fetched(source)) for source in recipe.sources)
    if lacking := [source for source in sources if not source.paths]:
        raise EnvironmentFault(_lacking(recipe, lacking), fix=_fix(recipe, lacking))
    return replace(recipe, sources=sources)


def fetched(source: MixtureSource) -> tuple[str, ...]:
    """The originals of a dataset in the hub's cache; () where one of them is not there. Nothing is fetched."""
    if source.dataset is None or importlib.util.find_spec("huggingface_hub") is None:
        return ()
    from huggingface_hub import constants, try_to_load_from_cache

    for original in source.dataset.sources:
        if original.host != "hub":
            continue
        if not original.files:
            snapshots = Path(constants.HF_HUB_CACHE) / f"datasets--{original.address.replace('/', '--')}" / "snapshots"
            if snapshots.is_dir() and any(snapshots.iterdir()):
                return (f"{HUB}{original.address}",)
            continue
        places = [try_to_load_from_cache(original.address, file, repo_type="dataset") for file in original.files]
        if all(isinstance(place, str) and Path(place).is_file() for place in places):
            return tuple(map(str, places))
    return ()


def command_for(dataset: Dataset) -> str:
    """What fetches the originals of a dataset, or where a browser finds them.

    >>> from instructsel.mixtures.catalogue import entry
    >>> command_for(entry("dolly"))
    'hf download databricks/databricks-dolly-15k databricks-dolly-15k.jsonl --repo-type dataset'
    """
    for original in dataset.sources:
        if original.host == "hub":
            return " ".join(["hf download", original.address, *map(shlex.quote, original.files), "--repo-type dataset"])
    return f"see {dataset.sources[0].url}" if dataset.sources else "its originals are at no public address"


def _lacking(recipe: MixtureRecipe, lacking: Sequence[MixtureSource]) -> str:
    lines = [f"{len(lacking)} of the {len(recipe.sources)} sources of {recipe.name} are not on this machine:"]
    for source in lacking[:LISTED]:
        assert source.dataset is not None
        place = source.dataset.hub or (source.dataset.sources[0].url if source.dataset.sources else "no public address")
        lines.append(f"  {source.label}: {place}")
        lines.append(f"    {command_for(source.dataset)}")
    if len(lacking) > LISTED:
        lines.append(f"  and {len(lacking) - LISTED} more")
    return "\n".join(lines)


def _fix(recipe: MixtureRecipe, lacking: Sequence[MixtureSource]) -> str:
    name = shlex.quote(recipe.where or recipe.name)
    flags = " ".join(f"--source {shlex.quote(source.label)}=FILE" for source in lacking[:LISTED])
    return f"Fetch them, or name the files: instructsel mix {name} {flags}"


__all__ = ["command_for", "fetched", "located"]
