"""Write a selection for a consumer: every row is looked at first, then written; the file is named by what it holds.

>>> export(pool, "trl", "out")                              # doctest: +SKIP
>>> export(selected(["chosen.jsonl"], Reading()), "llamafactory", "data").account.lines(...)   # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from instructsel.adapters.exports.account import Account
from instructsel.adapters.exports.base import COMPLETION, Export, ExportSettings, Written
from instructsel.adapters.exports.card_text import licence_page
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.facts import Facts, RowFacts
from instructsel.adapters.exports.json_lines import json_bytes
from instructsel.adapters.exports.registry import export_of
from instructsel.adapters.exports.selected import Selected
from instructsel.artifact import TEMPORARY, another_place, atomic_write, check_outputs, dump_json, machine, release, sweep, umask
from instructsel.errors import EnvironmentFault, NothingToDo, UsageError
from instructsel.kinds import EXPORT, head
from instructsel.mixtures.card import licence_lines
from instructsel.mixtures.origin import joint
from instructsel.paths import of_full_disk
from instructsel.pool.pool import Pool
from instructsel.text import counted

SHORT: Final = 12
"""Hexadecimal digits of a digest in a file's name."""
STEM: Final = "train"
MANIFEST: Final = "instructsel-manifest.json"
BESIDE: Final = ".manifest.json"
"""What the manifest of one file is called behind its name."""
LICENCES: Final = "LICENCES.md"
LICENCES_BESIDE: Final = ".licences.md"
"""What the licences of a mixture's rows stand in, where no other companion says them."""
SHARD: Final = 300_000_000
"""Characters of text in a shard."""
FILES: Final = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv", ".gz", ".zst", ".txt", ".yaml", ".md"})
"""Endings by which a place is a file; any other name is a folder's."""
EVERY: Final = 1024
Progress = Callable[[int, int], None]
"""Rows done, rows in all."""


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    export: Export
    account: Account
    data: tuple[Path, ...]
    """The data files."""
    companions: tuple[Path, ...]
    """The files beside them."""
    digest: str
    """SHA-256 of the bytes of the data."""
    licences: Mapping[str, Any] | None = None
    """Of rows of a mixture, what the licences of their sources make of them; see `mixtures.shape.LicencesShape`."""

    def notes(self) -> list[str]:
        """What people must know before they use the rows."""
        return [] if self.licences is None else licence_lines(self.licences)

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "to": self.export.name,
            "data": [str(path) for path in self.data],
            "companions": [str(path) for path in self.companions],
            "digest": self.digest,
            **({} if self.licences is None else {"licences": dict(self.licences)}),
            **self.account.as_dict(),
        }


@dataclass(frozen=True)
class Target:
    """Where an export goes."""

    folder: Path
    file: str | None
    """The name of the data file; None where it is made of what the file holds."""

    @classmethod
    def of(cls, export: Export, place: str | Path) -> Target:
        """A folder, or a file whose ending is one of the export's.

        Raises:
            UsageError: a file where the export needs a folder, or one of another ending.
        """
        path = Path(place)
        if path.suffix not in FILES or path.is_dir():
            return cls(path, None)
        if export.whole_folder:
            raise UsageError(f"An export to {export.name} is a folder, and {path.name} names a file.", fix="Name a folder with -o.")
        if path.suffix not in export.endings:
            raise UsageError(
                f"{path.name} ends in none of {', '.join(export.endings)}.", fix="Name a file with such an ending, or a folder, with -o."
            )
        return cls(path.parent, path.name)

    def fixed(self, export: Export) -> list[Path]:
        """The files whose names are known before the work, the shared one aside."""
        if export.whole_folder:
            return [self.folder / name for name in (*export.companion_names, MANIFEST)]
        if self.file is None:
            return []
        stem = Path(self.file).stem
        return [self.folder / name for name in (self.file, *(stem + ending for ending in (*export.companion_endings, BESIDE)))]

    def check(self, export: Export, inputs: Sequence[str | Path], *, force: bool, with_licences: bool = False) -> None:
        """Refuse a place that cannot be written, is an input, or holds files that would be replaced. Called before any work.

        Raises:
            UsageError, EnvironmentFault: one of them.
        """
        outputs = [*self.fixed(export), *([self.folder / export.shared] if export.shared else [])]
        if with_licences and export.whole_folder:
            outputs.append(self.folder / LICENCES)
        elif with_licences and self.file is not None:
            outputs.append(self.folder / (Path(self.file).stem + LICENCES_BESIDE))
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file, and the export needs a folder.", fix="Name another place with -o.")
        if not self.folder.exists():
            check_outputs([self.folder], inputs)
            return
        check_outputs(outputs, inputs)
        if export.sharded:
            # They are removed where they are others: read together they would be one data set.
            shards = sorted((self.folder / export.data_folder).glob(f"{STEM}-*"))
            check_outputs(shards, inputs)
            outputs += shards
        for path in outputs if not force else ():
            if path.exists() and path.name != export.shared:
                raise UsageError(f"{path} is there already.", fix="Name another place with -o, or replace it with --force.")


def export(
    source: Pool | Selected,
    to: str | Export,
    target: str | Path,
    *,
    settings: ExportSettings | None = None,
    inputs: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> ExportResult:
    """Write examples for a consumer.

    Args:
        source: a pool, or what `selected` gives.
        to: the consumer's name.
        target: a folder, which is made where there is none, or a file.
        settings: loss, order, what to do about rows that the consumer cannot carry.
        inputs: files that are never replaced.
        progress: called every 1,024 rows.

    Raises:
        UsageError: no such consumer, rows that it cannot carry, or files that are there already.
        NothingToDo: no row is left.
        EnvironmentFault: the place cannot be written.
    """
    consumer = export_of(to) if isinstance(to, str) else to
    chosen = source if isinstance(source, Selected) else Selected.of(source)
    decided = consumer.decided(settings or ExportSettings())
    place = Target.of(consumer, target)
    place.check(consumer, inputs, force=decided.force, with_licences=bool(chosen.facts.mixtures))
    account, positions = looked_at(chosen, consumer, decided, progress)
    if account.refused and not decided.drop_unsupported:
        refused = "it" if account.n_refused == 1 else f"these {account.n_refused:,} rows"
        # Before the last response alone nothing is rewritten any more.
        alone = "not_a_prefix" in account.refused and COMPLETION in consumer.losses and decided.loss != COMPLETION
        other = "train on the last response alone with --loss completion" if alone else "choose another consumer"
        raise UsageError(account.refusal(consumer), fix=f"Leave {refused} out with --drop-unsupported, or {other}.")
    if not positions:
        raise NothingToDo(
            f"None of {counted(account.read, 'row')} is left to be written for {consumer.title}.", fix=account.lines(consumer)[-1]
        )
    shared = _shared(place, consumer)
    consumer.check_shared(shared)
    place.folder.mkdir(exist_ok=True)
    data_folder = place.folder / (consumer.data_folder if place.file is None else "")
    data_folder.mkdir(exist_ok=True)
    row_facts = RowFacts(licence_of=chosen.facts.licences)
    rows = rows_of(chosen, consumer, decided, positions, account, row_facts)
    if consumer.writes_itself:
        names, digest = consumer.write(rows, data_folder)
    elif consumer.sharded:
        names, digest = _write_shards(consumer, rows, data_folder, frozenset(account.contents))
    else:
        names, digest = _write(consumer, rows, data_folder, place.file, frozenset(account.contents), force=decided.force)
    prefix = f"{consumer.data_folder}/" if place.file is None and consumer.data_folder else ""
    shards = tuple(f"{prefix}{name}" for name in names)
    written = Written(shards[0], digest[:SHORT], account.written, account, decided, chosen.facts, row_facts, shards, shared)
    companions = consumer.companions(written)
    if chosen.facts.mixtures and not any(b"\n## Licences\n" in content for content in companions.values()):
        companions[LICENCES if consumer.whole_folder else Path(written.name).stem + LICENCES_BESIDE] = licence_page(written)
    own = MANIFEST if consumer.whole_folder else Path(written.name).stem + BESIDE
    companions[own] = dump_json(manifest(consumer, written, digest), indent=True) + b"\n"
    for name, content in companions.items():
        (place.folder / name).parent.mkdir(exist_ok=True)
        with atomic_write(place.folder / name) as out:
            out.write(content)
    return ExportResult(
        consumer,
        account,
        tuple(data_folder / name for name in names),
        tuple(place.folder / name for name in companions),
        digest,
        joint(chosen.facts.mixtures, row_facts.sources) if chosen.facts.mixtures else None,
    )


def looked_at(chosen: Selected, consumer: Export, settings: ExportSettings, progress: Progress | None = None) -> tuple[Account, list[int]]:
    """What becomes of every example, and the positions of those that are written, in order."""
    account, positions = Account(), chosen.in_order(settings.order, settings.seed)
    kept: list[int] = []
    examples = chosen.pool.examples(positions)
    for done, (position, names) in enumerate(zip(positions, consumer.held(examples, settings), strict=True), 1):
        if account.sort(consumer, settings, names, place_of(chosen.pool, position)):
            kept.append(position)
        if progress is not None and (done % EVERY == 0 or done == len(positions)):
            progress(done, len(positions))
    return account, kept


def place_of(pool: Pool, position: int) -> str:
    """FILE:LINE of an example."""
    _, lines = pool.locate(position)
    return f"{pool.file_names[int(pool.file_of[position])]}:{lines[0]}"


def rows_of(
    chosen: Selected,
    consumer: Export,
    settings: ExportSettings,
    positions: Sequence[int],
    account: Account,
    row_facts: RowFacts | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of these positions, as the consumer has them; their turns are added to the account."""
    return consumer.rows(_exported(chosen, consumer, settings, positions, account, row_facts), settings)


def _exported(
    chosen: Selected,
    consumer: Export,
    settings: ExportSettings,
    positions: Sequence[int],
    account: Account,
    row_facts: RowFacts | None,
) -> Iterator[Exported]:
    for position, read in zip(positions, chosen.pool.examples(positions), strict=True):
        example = replace(read, source=chosen.sources.get(position, read.source))
        turns = consumer.turns(example, settings)
        account.turns += len(turns)
        trained = [turn for turn in turns if turn.is_trained]
        account.trained += min(1, len(trained)) if settings.loss == "completion" else len(trained)
        if row_facts is not None and consumer.sharded:
            row_facts.add(example.source, chosen.pool.row(position), sum(len(turn.content) for turn in turns))
        elif row_facts is not None:
            row_facts.sources[example.source] += 1
        yield Exported(example, turns, place_of(chosen.pool, position))


def _shared(place: Target, consumer: Export) -> bytes | None:
    path = None if consumer.shared is None else place.folder / consumer.shared
    return path.read_bytes() if path is not None and path.is_file() else None


def _write(
    consumer: Export, rows: Iterator[dict[str, Any]], folder: Path, file: str | None, held: frozenset[str], *, force: bool
) -> tuple[list[str], str]:
    """The data file: its name and the SHA-256 of its bytes."""
    ending = Path(file).suffix if file is not None else consumer.endings[0]
    with _temporary(folder, file or STEM) as (out, temporary):
        if ending == ".parquet":
            consumer.frame(list(rows), held).write_parquet(out, compression="zstd", statistics=True)
        else:
            _write_lines(rows, out, is_array=ending == ".json")
        out.flush()
        os.fsync(out.fileno())
        with open(temporary, "rb") as again:
            digest = hashlib.file_digest(again, "sha256").hexdigest()
        name = file or f"{STEM}-{digest[:SHORT]}{ending}"
        if (folder / name).exists() and not force:
            raise UsageError(f"{folder / name} is there already.", fix="Name another place with -o, or replace it with --force.")
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, folder / name)
    return [name], digest


def _write_shards(consumer: Export, rows: Iterator[dict[str, Any]], folder: Path, held: frozenset[str]) -> tuple[list[str], str]:
    """The data files, numbered, of some SHARD bytes of text each: their names and the SHA-256 of all their bytes; others are removed."""
    digest = hashlib.sha256()
    with ExitStack() as stack:
        temporaries: list[str] = []
        for shard in _shards(rows):
            out, temporary = stack.enter_context(_temporary(folder, STEM))
            consumer.frame(shard, held).write_parquet(out, compression="zstd", statistics=True)
            out.flush()
            os.fsync(out.fileno())
            with open(temporary, "rb") as again:
                digest.update(hashlib.file_digest(again, "sha256").digest())
            temporaries.append(temporary)
        names = [f"{STEM}-{number:05d}-of-{len(temporaries):05d}.parquet" for number in range(len(temporaries))]
        for name, temporary in zip(names, temporaries, strict=True):
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, folder / name)
    for path in folder.glob(f"{STEM}-*-of-*.parquet"):
        # Shards of an export before this one would be read as well.
        if path.name not in names:
            path.unlink()
    return names, digest.hexdigest()


def _shards(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    shard: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        shard.append(row)
        size += sum(len(text) for turn in row["messages"] for text in (turn["content"], turn.get("reasoning_content") or ""))
        if size >= SHARD:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _write_lines(rows: Iterator[dict[str, Any]], out: BinaryIO, *, is_array: bool) -> None:
    out.write(b"[\n" if is_array else b"")
    for count, row in enumerate(rows):
        if is_array:
            out.write((b",\n" if count else b"") + json_bytes(row))
        else:
            out.write(json_bytes(row) + b"\n")
    out.write(b"\n]\n" if is_array else b"")


@contextmanager
def _temporary(folder: Path, name: str) -> Iterator[tuple[BinaryIO, str]]:
    """A file that is renamed in the block; it is gone if the block fails.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    temporary = None
    try:
        sweep(folder, name=name)
        handle, temporary = tempfile.mkstemp(prefix=f".{name[:80]}.{machine()}-{os.getpid()}-", suffix=TEMPORARY, dir=folder)
        with os.fdopen(handle, "wb") as out:
            yield out, temporary
    except Exception as error:
        refused = of_full_disk(error) or (error if isinstance(error, OSError) else None)
        if refused is None:
            raise
        raise EnvironmentFault(f"Cannot write in {folder}: {refused.strerror or refused}.", fix=another_place(refused)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def manifest(consumer: Export, written: Written, digest: str) -> dict[str, Any]:
    """What an export was made of and how; the same for the same rows and settings."""
    settings = written.settings
    return {
        **head(EXPORT),
        "instructsel": release(),
        "to": consumer.name,
        "format": consumer.source,
        "data": {"files": list(written.shards), "rows": written.rows, "sha256": digest},
        "settings": {
            "loss": settings.loss,
            "order": settings.order,
            "seed": settings.seed if settings.order == "random" else None,
            "drop_unsupported": settings.drop_unsupported,
            **({} if settings.max_length is None else {"max_length": settings.max_length}),
        },
        "rows": written.account.as_dict(),
        **consumer.stated,
        "pool": {"fingerprint": written.facts.fingerprint, "files": [list(file) for file in written.facts.files], **written.facts.reading},
        "selection": _selection(written.facts),
        **_mixtures(written),
    }


def _mixtures(written: Written) -> dict[str, Any]:
    """The mixtures that the rows are of, and what the licences of their sources make of these rows."""
    mixtures = written.facts.mixtures
    if not mixtures:
        return {}
    listed = [{"name": mixture.name, "hash": mixture.hash, "sha256": mixture.manifest["data"]["sha256"]} for mixture in mixtures]
    sources = [
        {"label": label, "licence": written.facts.licences.get(label), "rows": count}
        for label, count in sorted(written.row_facts.sources.items())
    ]
    return {"mixtures": listed, "licences": joint(mixtures, written.row_facts.sources), "sources": sources}


def _selection(facts: Facts) -> dict[str, Any] | None:
    """How the rows were chosen, without what differs from run to run."""
    if facts.selection is None:
        return None
    return {key: entry for key, entry in facts.selection.items() if key != "run"}


__all__ = ["ExportResult", "Target", "export", "looked_at", "manifest", "rows_of"]
