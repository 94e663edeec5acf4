"""A mixture: the rows that a recipe gives, with the record of where they are from.

    mixture = mix(MixtureRecipe.named("mine.toml"), "mine.jsonl")
    Mixture.read("mine.jsonl").check()

A row is `dataset` (the label of its source), `id` (label and id of the conversation; -2 behind it where it repeats), `messages`, and
`tools` where it has some. Beside it lie the manifest, mine.jsonl.json, and the card, mine.card.md. Of a source no more is held in memory
than where its examples stand; texts are read when their row is written.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from instructsel import kinds
from instructsel.artifact import (
    atomic_write,
    check_outputs,
    check_replaced,
    file_digest,
    fingerprint,
    manifest_path,
    read_manifest,
    release,
    stamped,
    write_manifest,
)
from instructsel.errors import MissingExtra, ScoresError, UsageError
from instructsel.mixtures.card import card
from instructsel.mixtures.drawing import Draw, draws, duplicates, mixture_hash, output_order
from instructsel.mixtures.licences import joined
from instructsel.mixtures.opening import opened
from instructsel.mixtures.originals import located
from instructsel.mixtures.plan import licences_of
from instructsel.mixtures.recipe import TOKENS, MixtureRecipe, MixtureSource
from instructsel.mixtures.shape import MixtureManifest
from instructsel.mixtures.statistics import Statistics, with_tokens
from instructsel.pieces import TokenCounts
from instructsel.pool.example import Example
from instructsel.pool.json_text import as_bytes
from instructsel.pool.naming import files_of
from instructsel.pool.outputs import check_apart
from instructsel.pool.pool import Pool
from instructsel.pool.writer import MESSAGES_ENDINGS, compressed

SOURCE_FIELD: Final = "dataset"
"""The field of a row that is its source."""
CARD: Final = ".card.md"
"""What the card is called behind the name of the mixture."""
NOUN: Final = "a mixture"
MIX_AGAIN: Final = "Mix it again: instructsel mix RECIPE -o FILE"
Message = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture that was written."""

    path: Path
    """The rows."""
    manifest: Mapping[str, Any]
    """See `shape.MixtureManifest`."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A mixture by its rows or its manifest.

        Raises:
            UsageError: it is none.
            ScoresError: its manifest is damaged, or a newer release wrote it.
        """
        place = Path(path)
        if place.suffix == ".json" and not manifest_path(place).is_file():
            place = place.with_suffix("")
        manifest = read_manifest(place, MixtureManifest) if kind_is_mixture(place) else None
        if manifest is None:
            raise UsageError(f"{path} is no mixture: no manifest of one lies beside it.", fix=MIX_AGAIN)
        return cls(place, manifest)

    @classmethod
    def beside(cls, path: str | Path) -> Self | None:
        """The mixture whose rows a file is; None of any other file."""
        return cls.read(path) if Path(path).is_file() and kind_is_mixture(path) else None

    def check(self) -> None:
        """Compare the rows, and the manifest, with what was written.

        Raises:
            ScoresError: a byte is another.
        """
        if seal(self.manifest) != self.manifest["seal"]:
            raise ScoresError(f"{manifest_path(self.path)} has changed since the mixture was written.", fix=MIX_AGAIN)
        if not self.path.is_file():
            raise ScoresError(f"The rows of the mixture, {self.path}, are gone.", fix=MIX_AGAIN)
        if file_digest(self.path) != self.manifest["data"]["sha256"]:
            raise ScoresError(f"{self.path} has changed since the mixture was written: its manifest is of other rows.", fix=MIX_AGAIN)

    def changed_inputs(self) -> list[str]:
        """The files of the sources that are gone or are others now; those that came from elsewhere than this machine are passed over."""
        named = (self.manifest.get("run") or {}).get("files") or {}
        recorded = {file["name"]: file["sha256"] for source in self.manifest["sources"] for file in source["files"]}
        return [
            path for name, path in named.items() if recorded.get(name) and (not Path(path).is_file() or file_digest(path) != recorded[name])
        ]

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.manifest["name"])

    @property
    def hash(self) -> str:
        """Of the rows, in whatever order."""
        return str(self.manifest["hash"])

    @property
    def licences(self) -> dict[str, str]:
        """Label → licence, of the sources that have one."""
        return {source["label"]: source["licence"] for source in self.manifest["sources"] if source["licence"]}

    @property
    def shares(self) -> dict[str, float]:
        """Label → share of the rows."""
        return {source["label"]: source["share"] for source in self.manifest["sources"]}

    @property
    def non_commercial(self) -> bool | None:
        """Whether it is for non-commercial use alone; None where that is not known."""
        return cast("bool | None", self.manifest["licences"]["non_commercial"])


def kind_is_mixture(path: str | Path) -> bool:
    """Whether a manifest of a mixture lies beside a file."""
    from instructsel.artifact import kind_beside

    return kind_beside(path) == kinds.MIXTURE


def outputs_of(output: Path) -> list[Path]:
    """The files that a mixture is: rows, manifest, card."""
    return [output, manifest_path(output), card_path(output)]


def card_path(output: Path) -> Path:
    """Where the card of a mixture lies."""
    name = output.name
    for ending in (".gz", ".zst", *MESSAGES_ENDINGS):
        name = name.removesuffix(ending)
    return output.with_name(name + CARD)


def check_targets(recipe: MixtureRecipe, output: Path, *, force: bool) -> None:
    """Refuse outputs that cannot be written, are read, or are somebody's. Called before any work.

    Raises:
        UsageError, EnvironmentFault: one of them.
    """
    if not output.name.removesuffix(".gz").removesuffix(".zst").endswith(MESSAGES_ENDINGS):
        raise UsageError(f"A mixture is JSON lines, and {output.name} is no such name.", fix="Name an output ending in .jsonl with -o.")
    paths = [path for source in recipe.sources for path in source.paths]
    inputs = [*files_of(paths), *([recipe.where] if recipe.where else [])]
    check_outputs(outputs_of(output), inputs)
    check_apart(outputs_of(output), paths)
    check_replaced(output, kinds.MIXTURE, NOUN, force=force)


def mix(
    recipe: MixtureRecipe,
    output: str | Path,
    *,
    force: bool = False,
    message: Message | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Mixture:
    """Write the mixture of a recipe.

    Args:
        recipe: what is mixed.
        output: the rows, JSON lines; .gz and .zst are packed.
        force: replace a file that is no mixture; never an input.
        message: gets a line on each file, and on what the catalogue says otherwise.
        progress: gives what is called with how many rows of how many are done, for a stage of that name.

    Raises:
        UsageError: more is asked of a source than its repeats allow, an output that is an input, a file that is not there.
        EnvironmentFault: a dataset of the catalogue is not on this machine.
        PoolError: a file cannot be read.
        NothingToDo: nothing is left of a source.
    """
    watch = progress or (lambda stage: lambda done, total: None)
    target = Path(output)
    recipe = located(recipe)
    recipe = replace(recipe, sources=tuple(map(_inherited, recipe.sources)))
    check_targets(recipe, target, force=force)
    with _scratch() as folder:
        counter, tokenizer = _counter(recipe, message)
        sources = [opened(recipe, source, folder, counter, message) for source in recipe.sources]
        for source in sources:
            known = source.source.catalogue_rows
            if message is not None and known is not None and known != len(source.pool):
                message(f"the catalogue says {known:,} rows of {source.source.label}, and the files hold {len(source.pool):,}")
        pools = [source.pool for source in sources]
        masks, shared = duplicates(recipe, pools, watch("duplicates"))
        lengths = [
            _lengths(pool, counter, watch(f"tokens of {source.label}")) if counter is not None and _needs_tokens(recipe) else None
            for source, pool in zip(recipe.sources, pools, strict=True)
        ]
        drawn = draws(recipe, sources, lengths, masks)
        statistics = _written(recipe, drawn, target, counter, watch("writing"))
        record = _record(recipe, drawn, shared, statistics, target, tokenizer)
        files = {
            f"{draw.source.label}/{name}": str(Path(place).absolute())
            for draw in drawn
            for name, place, digest in draw.opened.files
            if digest
        }
    record["seal"] = seal(record)
    write_manifest(target, record, run={"recipe": recipe.where, "files": files})
    with atomic_write(card_path(target)) as out:
        out.write(card(record).encode())
    return Mixture.read(target)


def _inherited(source: MixtureSource) -> MixtureSource:
    """A source of mixtures has their licences where the recipe states none.

    Raises:
        ScoresError: one of them has changed since it was written.
    """
    mixtures = [Mixture.read(path) for path in source.paths if kind_is_mixture(path)]
    if source.licence is not None or not mixtures or len(mixtures) < len(source.paths):
        return source
    for mixture in mixtures:
        mixture.check()
    licences = {licence for mixture in mixtures for licence in mixture.manifest["licences"]["by_licence"]}
    flag = source.non_commercial
    if flag is None:
        flag = joined(mixture.non_commercial for mixture in mixtures)
    return replace(source, licence=" AND ".join(sorted(licences)), non_commercial=flag)


def seal(manifest: Mapping[str, Any]) -> str:
    """A digest of a manifest's content, without the part that differs from run to run."""
    return fingerprint({key: value for key, value in stamped(manifest).items() if key not in ("seal", "run")})


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what is converted, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="instructsel-mix-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _counter(recipe: MixtureRecipe, message: Message | None) -> tuple[TokenCounts | None, dict[str, Any] | None]:
    """What counts tokens, and its name and digest; None where its package is not installed and nothing needs it.

    Raises:
        MissingExtra: it is not installed, and the recipe has amounts in tokens.
        ModelUnavailable: it is neither here nor to be had.
    """
    from instructsel.indicators._tokenizer import counts, described

    try:
        return counts(recipe.tokenizer), described(recipe.tokenizer)
    except MissingExtra as error:
        if _needs_tokens(recipe):
            raise
        if message is not None:
            message(f"tokens are not counted: {error.message}")
        return None, None


def _needs_tokens(recipe: MixtureRecipe) -> bool:
    return (recipe.budget is not None and recipe.budget[0] == TOKENS) or any(source.amount == TOKENS for source in recipe.sources)


def _lengths(pool: Pool, counter: TokenCounts, progress: Progress) -> NDArray[np.int64]:
    """(n,), tokens of each example of a pool."""
    lengths = np.zeros(len(pool), dtype=np.int64)
    for position, (_, tokens) in enumerate(with_tokens(pool.examples(), counter)):
        lengths[position] = sum(tokens or ())
        if not position % 1024:
            progress(position, len(pool))
    progress(len(pool), len(pool))
    return lengths


def _written(
    recipe: MixtureRecipe, drawn: Sequence[Draw], target: Path, counter: TokenCounts | None, progress: Progress
) -> list[Statistics]:
    """Write the rows; of each source what they are like."""
    order = output_order(recipe, drawn)
    statistics = [Statistics(recipe.max_length, counter is not None) for _ in drawn]
    examples = _examples(drawn, order)
    with compressed(target) as out:
        for done, ((number, _, copy), (example, tokens)) in enumerate(zip(order, with_tokens(examples, counter), strict=True)):
            statistics[number].add(example, tokens)
            out.write(as_bytes(row_of(example, drawn[number].source.label, copy)) + b"\n")
            if not done % 1024:
                progress(done, len(order))
    progress(len(order), len(order))
    return statistics


def _examples(drawn: Sequence[Draw], order: Sequence[tuple[int, int, int]]) -> Iterator[Example]:
    """The examples of these rows, one source's between the others'."""
    listed: list[list[int]] = [[] for _ in drawn]
    for number, position, _ in order:
        listed[number].append(position)
    readers = [draw.pool.examples(positions) for draw, positions in zip(drawn, listed, strict=True)]
    return (next(readers[number]) for number, _, _ in order)


def row_of(example: Example, label: str, copy: int) -> dict[str, Any]:
    """A row of the mixture."""
    row: dict[str, Any] = {
        SOURCE_FIELD: label,
        "id": f"{label}_{example.id}" + (f"-{copy + 1}" if copy else ""),
        "messages": [turn.as_row() for turn in example.messages],
    }
    if example.tools is not None:
        row["tools"] = example.tools.as_given
    return row


def _record(
    recipe: MixtureRecipe,
    drawn: Sequence[Draw],
    shared: Sequence[Mapping[str, int]],
    statistics: Sequence[Statistics],
    target: Path,
    tokenizer: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest, unsealed."""
    total = statistics[0]
    for other in statistics[1:]:
        total = total.merged(other)
    sources = []
    for draw, counts, of_source in zip(drawn, shared, statistics, strict=True):
        source = draw.source
        sources.append(
            {
                "label": source.label,
                "dataset": None if source.dataset is None else source.dataset.key,
                "title": None if source.dataset is None else source.dataset.title,
                "licence": source.licence,
                "non_commercial": source.non_commercial,
                "conversion": draw.opened.conversion,
                "settings": draw.opened.settings,
                "files": _files(draw),
                "rows": draw.account(),
                "share": round(of_source.rows / total.rows, 6),
                "also_in": dict(counts),
                "statistics": of_source.as_dict(),
            }
        )
    return {
        **kinds.head(kinds.MIXTURE),
        "instructsel": release(),
        "name": recipe.name,
        "recipe": recipe.as_dict(),
        "hash": mixture_hash(drawn),
        "data": {"file": target.name, "sha256": file_digest(target), "rows": total.rows},
        "source_field": SOURCE_FIELD,
        "tokenizer": None if tokenizer is None else dict(tokenizer),
        "max_length": recipe.max_length,
        "licences": licences_of(recipe),
        "sources": sources,
        "statistics": total.as_dict(),
    }


def _files(draw: Draw) -> list[dict[str, Any]]:
    """Name and digest of each file of a source; null of what is not on this machine."""
    return [{"name": f"{draw.source.label}/{name}", "sha256": digest} for name, _, digest in draw.opened.files]


__all__ = ["Mixture", "card_path", "check_targets", "kind_is_mixture", "mix", "outputs_of", "row_of", "seal"]
