"""One record of a selection and everything it is compared with.

`instructsel select -o chosen.jsonl` writes `chosen.selection-set.json` beside the rows: the selection, its baselines with their
replicates, the pool they come from and the score table. Whoever compares them later reads this record; nobody guesses from file names.

>>> chosen = SelectionSet.read("chosen.jsonl")              # doctest: +SKIP
>>> {arm: len(pools) for arm, pools in chosen.arms().items()}   # doctest: +SKIP
{'selection': 1, 'longest': 1, 'random': 3}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from instructsel.artifact import atomic_write, checked_version, dump_json, file_digest, now, read_manifest, release
from instructsel.errors import ScoresError, UsageError
from instructsel.kinds import SELECTION_SET, head
from instructsel.paths import resolved
from instructsel.pool.pool import Pool
from instructsel.pool.spec import PoolSpec, Reading, rows_digest
from instructsel.scores.shape import WithPool
from instructsel.scores.table import ScoreTable
from instructsel.selection.candidates import Candidates
from instructsel.selection.selection import Selection
from instructsel.selection.settings import SelectionSettings
from instructsel.selection.shape import SetManifest, SidecarManifest, SubsetRecord
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_json
from instructsel.text import excerpt

SUFFIX: Final = ".selection-set.json"
SIDECAR: Final = ".selection.parquet"
SELECTION: Final = "selection"
"""The arm of the selection itself."""
COMPRESSED: Final = (".gz", ".zst")
AGAIN: Final = "Select again with: instructsel select"


@dataclass(frozen=True)
class Subset:
    """The rows of one arm's one replicate, as they were written."""

    arm: str
    """`selection`, or the baseline's name: `random`, `longest`, …"""
    replicate: int
    """From 0; always 0 where the arm has only one."""
    seed: int | None
    """Of a random baseline; None where chance has no part."""
    name: str
    """What the selection is called in its own sidecar: a rule's name, `random-seed0`, …"""
    file: Path
    """The rows."""
    sidecar: Path
    """All the pool's rows with rank, score and reason."""
    rows: int
    """Examples kept."""
    digest: str
    """Of the kept ids: `rows_digest` of them in ascending order."""
    file_digest: str
    """SHA-256 of the bytes of `file`; "" where nobody recorded it (selections of the last release)."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data; the files by name, as they stand beside the manifest."""
        record = {key: getattr(self, key) for key in ("arm", "replicate", "seed", "name", "rows", "digest", "file_digest")}
        return {**record, "file": self.file.name, "sidecar": self.sidecar.name}

    @classmethod
    def of(cls, record: SubsetRecord, folder: Path) -> Self:
        """From a checked manifest in `folder`."""
        return cls(
            arm=record["arm"],
            replicate=record["replicate"],
            seed=record["seed"],
            name=record["name"],
            file=folder / record["file"],
            sidecar=folder / record["sidecar"],
            rows=record["rows"],
            digest=record["digest"],
            file_digest=record["file_digest"],
        )

    def check(self) -> None:
        """Refuse rows that are not those that were selected.

        Raises:
            UsageError: the file is gone, or its bytes have changed.
        """
        if not self.file.is_file():
            raise UsageError(f"{self.file}, the rows of {self.name}, is gone.", fix=AGAIN)
        if self.file_digest and file_digest(self.file) != self.file_digest:
            raise UsageError(f"{self.file} has changed since it was selected.", fix=AGAIN)


@dataclass(frozen=True)
class SelectionSet:
    """A selection, its baselines with their replicates, the pool they were chosen from, and the score table behind them."""

    path: Path
    """The manifest, …selection-set.json; where a selection of the last release has none, the place where it would be."""
    subsets: tuple[Subset, ...]
    """The selection first, then the baselines by name and replicate."""
    fingerprint: str | None
    """Of the pool: `Pool.fingerprint`."""
    examples: int
    """In the pool."""
    spec: PoolSpec | None
    """Where the pool is and how it was read; None where nobody recorded it."""
    reading: Reading = field(default_factory=Reading)
    """How the rows of the subsets are read."""
    scores: Path | None = None
    """The score table; None where nobody recorded it."""
    scores_digest: str | None = None
    """SHA-256 of the score table's bytes."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Subset's name → seconds of its ranking, without scoring."""
    finished_at: str | None = None
    """When it was written, as ISO 8601 in UTC; None where nobody recorded it."""

    @property
    def selection(self) -> Subset:
        """The selection's own rows."""
        return self.subsets[0]

    @property
    def baselines(self) -> tuple[Subset, ...]:
        """The rows of everything it is compared with."""
        return self.subsets[1:]

    @property
    def of_last_release(self) -> bool:
        """Whether it was read from a sidecar without a manifest, so that baselines beside it are not known."""
        return not self.selection.file_digest

    def same_rows(self) -> tuple[str, ...]:
        """Names of the baselines that keep exactly the selection's rows: comparing with them says nothing."""
        return tuple(subset.name for subset in self.baselines if subset.digest == self.selection.digest)

    def by_arm(self) -> dict[str, tuple[Subset, ...]]:
        """Arm → its subsets by replicate, the selection first."""
        arms: dict[str, list[Subset]] = {}
        for subset in self.subsets:
            arms.setdefault(subset.arm, []).append(subset)
        return {arm: tuple(sorted(subsets, key=lambda subset: subset.replicate)) for arm, subsets in arms.items()}

    def arms(self, *, reading: Reading | None = None) -> dict[str, tuple[Pool, ...]]:
        """Arm → a Pool of rows per replicate, read from the files and checked against their digests.

        Args:
            reading: how the files are read, if not as recorded.

        Raises:
            UsageError: a file is gone or has changed.
            PoolError: a file that cannot be read.
        """
        pools: dict[str, tuple[Pool, ...]] = {}
        for arm, subsets in self.by_arm().items():
            for subset in subsets:
                subset.check()
            pools[arm] = tuple((reading or self.reading).read([str(subset.file)]) for subset in subsets)
        return pools

    def selections(self) -> tuple[Selection, ...]:
        """All rows of the pool with rank, score and reason: the selection's, then the baselines'.

        Raises:
            ScoresError: a sidecar is gone or damaged.
        """
        return tuple(Selection.read(subset.sidecar) for subset in self.subsets)

    def table(self) -> ScoreTable:
        """The score table behind the selection.

        Raises:
            UsageError: nobody recorded where it is, it is gone, or it has changed since.
        """
        if self.scores is None or not self.scores.is_file():
            gone = "is not recorded" if self.scores is None else f"{self.scores} is gone"
            raise UsageError(f"The score table behind {self.selection.file.name} {gone}.", fix="Name it with --scores.")
        if self.scores_digest is not None and file_digest(self.scores) != self.scores_digest:
            raise UsageError(f"{self.scores} has changed since {self.selection.file.name} was selected.", fix=AGAIN)
        return ScoreTable.read(self.scores)

    def pool(self, paths: Sequence[str] | None = None, *, message: Callable[[str], None] | None = None) -> Pool:
        """The pool that the rows were chosen from.

        Args:
            paths: where its files are now, if they have moved; a renamed file of the same rows is the same pool.
            message: gets a line on each file.

        Raises:
            UsageError: its files are gone, or hold another pool.
            PoolError: a file that cannot be read.
        """
        spec = self.spec
        if spec is None and not paths:
            raise UsageError(f"Where the pool of {self.selection.file.name} is was not recorded.", fix="Name its files with --pool.")
        spec = spec or PoolSpec(tuple(paths or ()))
        ids = Selection.read(self.selection.sidecar).frame["id"].to_list() if spec.part else None
        pool = spec.read(paths, ids=ids, message=message)
        if self.fingerprint is not None and not pool.has_fingerprint(self.fingerprint):
            raise UsageError(
                f"{', '.join(paths or spec.paths)} is not the pool that {self.selection.file.name} was selected from." + spec.earlier_ids,
                fix="Name its files with --pool, or select again.",
            )
        return pool

    def settings(self) -> SelectionSettings:
        """The settings of the selection, as its sidecar records them.

        Raises:
            ScoresError: the sidecar is gone, damaged, or records none.
        """
        record = Selection.read(self.selection.sidecar).manifest.get("settings") or {}
        try:
            return SelectionSettings.from_dict(record)
        except (KeyError, TypeError, UsageError) as error:
            raise ScoresError(f"{self.selection.sidecar} does not record the settings of its selection: {error}.", fix=AGAIN) from error

    def candidates(self, pool: Pool | None = None) -> Candidates:
        """The rows that were eligible for the selection and its baselines, without their scores: for `random_subset`.

        Args:
            pool: that they were chosen from, where it has been read already.

        Raises:
            UsageError: the pool is gone, or another one.
            ScoresError: the sidecar is gone or damaged.
        """
        selection = Selection.read(self.selection.sidecar)
        frame = selection.frame
        pool = pool if pool is not None else self.pool()
        if not pool.ids.equals(frame["id"]):
            raise UsageError(f"{self.selection.file.name} was not selected from this pool.", fix="Name the pool's files with --pool.")
        return Candidates.recorded(pool, self.settings(), frame, way=selection.baseline)

    def as_dict(self) -> dict[str, Any]:
        """What does not differ between two equal runs."""
        return {
            **head(SELECTION_SET),
            "instructsel": release(),
            "pool": {"fingerprint": self.fingerprint, "examples": self.examples},
            "scores": {"digest": self.scores_digest},
            "reading": self.reading.as_dict(),
            "subsets": [subset.as_dict() for subset in self.subsets],
            "same_rows_as_the_selection": list(self.same_rows()),
        }

    def write(self, path: str | Path | None = None) -> Path:
        """Write the manifest, at its own path or another one in the folder of the rows; the path is returned.

        Raises:
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        target = Path(path) if path is not None else self.path
        run = {
            "finished_at": now(),
            "pool": self.spec.as_dict() if self.spec is not None else None,
            "scores": str(resolved(self.scores)) if self.scores is not None else None,
            "seconds": dict(self.seconds),
        }
        with atomic_write(target) as out:
            out.write(dump_json({**self.as_dict(), "run": run}, indent=True) + b"\n")
        return target

    @classmethod
    def create(
        cls,
        target: str | Path,
        selection: Selection,
        baselines: Sequence[Selection] = (),
        *,
        to: str | None = None,
        scores: str | Path | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> Self:
        """Write the rows of a selection and of its baselines, a sidecar each, and the manifest beside them.

        Args:
            target: the file of the selection's rows; baselines go beside it: `chosen.random-seed0.jsonl`, …
            selection: made by `select`, not read from a file.
            baselines: made by `baselines`.
            to: "messages" writes JSON lines with messages instead of the pool's own format.
            scores: where the score table stands on disk.
            seconds: selection's name → seconds of its ranking.

        Raises:
            UsageError: a selection read from a file, or an ending that is not the format's.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        candidates = selection.candidates
        if candidates is None:
            raise UsageError("Only a selection that was just made can be written with its baselines.", fix=AGAIN)
        pool, place, times = candidates.pool, Path(target), dict(seconds or {})
        manifest = manifest_of(place)
        table = Path(scores) if scores is not None else None
        subsets: list[Subset] = []
        arms: dict[str, int] = {}
        for one in (selection, *baselines):
            arm = SELECTION if one is selection else one.baseline or one.name
            file = place if one is selection else sibling(place, one.name)
            replicate = arms[arm] = arms.get(arm, -1) + 1
            run = {
                "output": str(resolved(file)),
                "scores": str(resolved(table)) if table is not None else None,
                "seconds": times.get(one.name),
                "selection_set": manifest.name,
            }
            # The rows last: a run that was killed leaves no rows that a second run would take for somebody else's file.
            one.write_sidecar(sidecar_of(file), run=run)
            pool.write(file, pool.positions(one.kept_ids), to=to)
            digest = rows_digest(sorted(one.kept_ids))
            subsets.append(Subset(arm, replicate, one.seed, one.name, file, sidecar_of(file), len(one), digest, file_digest(file)))
        selection_set = cls(
            path=manifest,
            subsets=tuple(subsets),
            fingerprint=pool.fingerprint,
            examples=len(pool),
            spec=pool.spec,
            # The selected rows are trained on, whatever their sources; a field that few rows have may be in none of them.
            reading=Reading("messages") if to is not None else replace(pool.spec.reading, source_field=None),
            scores=table,
            scores_digest=file_digest(table) if table is not None and table.is_file() else None,
            seconds=times,
        )
        selection_set.write()
        return selection_set

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The set that a manifest, a file of rows, or a sidecar belongs to.

        A selection of the last release has no manifest: its sidecar alone is read, and baselines beside it are not known.

        Raises:
            UsageError: no selection is recorded there.
            ScoresError: the manifest is damaged, or of a newer release.
        """
        target = Path(path)
        manifest = _manifest_behind(target)
        if manifest is not None:
            return cls._of_manifest(manifest)
        sidecar = target if target.name.endswith(SIDECAR) else sidecar_of(target)
        if not sidecar.is_file():
            raise UsageError(
                f"{target} is not a selection: neither {manifest_of(target).name} nor {sidecar.name} stands beside it.",
                fix="Name the rows that instructsel select wrote, or their selection-set.json.",
            )
        return cls._of_sidecar(sidecar, target)

    @classmethod
    def _of_manifest(cls, path: Path) -> Self:
        refusal = Refusal(ScoresError, AGAIN)
        record = read_json(path, dict[str, Any], refusal, missing=None)
        if record is None:
            raise UsageError(f"There is no file {path}.", fix=AGAIN)
        record = checked_version(record, path)
        if record.get("kind") != SELECTION_SET:
            raise ScoresError(f"{path} holds {excerpt(str(record.get('kind') or 'something else'))}, not a selection set.", fix=AGAIN)
        try:
            checked(record, SetManifest)
        except Misfit as misfit:
            raise refusal.of(path, str(misfit)) from misfit
        if not record["subsets"] or record["subsets"][0]["arm"] != SELECTION:
            raise refusal.of(path, f"the first of its subsets should be of the arm {SELECTION}")
        run = record.get("run") or {}
        return cls(
            path=path,
            subsets=tuple(Subset.of(entry, path.parent) for entry in record["subsets"]),
            fingerprint=record["pool"]["fingerprint"],
            examples=record["pool"]["examples"],
            spec=PoolSpec.of(run),
            reading=Reading.of(record.get("reading")),
            scores=Path(run["scores"]) if run.get("scores") else None,
            scores_digest=record["scores"]["digest"],
            seconds=run.get("seconds") or {},
            finished_at=run.get("finished_at"),
        )

    @classmethod
    def _of_sidecar(cls, sidecar: Path, target: Path) -> Self:
        """A selection of the last release."""
        selection = Selection.read(sidecar)
        run = (read_manifest(sidecar, SidecarManifest) or {}).get("run") or {}
        rows = Path(run["output"]) if target == sidecar and run.get("output") else target
        scores = Path(run["scores"]) if run.get("scores") else None
        table_run = ((read_manifest(scores, WithPool) or {}).get("run") or {}) if scores is not None and scores.is_file() else {}
        pool = selection.manifest.get("pool") or {}
        digest = rows_digest(sorted(selection.kept_ids))
        subset = Subset(SELECTION, 0, selection.seed, selection.name, rows, sidecar, len(selection), digest, "")
        spec = PoolSpec.of(table_run)
        seconds = {selection.name: float(run["seconds"])} if isinstance(run.get("seconds"), int | float) else {}
        return cls(
            path=manifest_of(rows),
            subsets=(subset,),
            fingerprint=pool.get("fingerprint"),
            examples=selection.frame.height,
            spec=spec,
            reading=Reading(),
            scores=scores,
            seconds=seconds,
        )


def _manifest_behind(target: Path) -> Path | None:
    """The manifest that a manifest, a file of rows or a sidecar belongs to; None where there is none."""
    if target.name.endswith(SUFFIX):
        return target
    if manifest_of(target).is_file() and not target.name.endswith(SIDECAR):
        return manifest_of(target)
    sidecar = target if target.name.endswith(SIDECAR) else sidecar_of(target)
    name = ((read_manifest(sidecar, SidecarManifest) or {}).get("run") or {}).get("selection_set") if sidecar.is_file() else None
    # A name alone: a record leads to no other folder.
    beside = sidecar.with_name(name) if name and Path(name).name == name else None
    return beside if beside is not None and beside.is_file() else None


def stem_of(name: str) -> tuple[str, str]:
    """A file's name without its endings, and these.

    >>> stem_of("chosen.jsonl.gz")
    ('chosen', '.jsonl.gz')
    """
    packed = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    path = Path(name.removesuffix(packed))
    return path.stem, path.suffix + packed


def manifest_of(rows: Path) -> Path:
    """Where the manifest of a selection stands: `chosen.jsonl` → `chosen.selection-set.json`."""
    return rows.with_name(stem_of(rows.name)[0] + SUFFIX)


def sidecar_of(rows: Path) -> Path:
    """Where all rows with rank and reason stand: `chosen.jsonl` → `chosen.selection.parquet`."""
    return rows.with_name(stem_of(rows.name)[0] + SIDECAR)


def check_rows(rows: Path) -> None:
    """Refuse rows whose record would replace that of other rows: `chosen.csv` and `chosen.jsonl` have one manifest and one sidecar.

    Raises:
        UsageError: the record beside them is of another file.
    """
    sidecar = sidecar_of(rows)
    output = ((read_manifest(sidecar, SidecarManifest) or {}).get("run") or {}).get("output") if sidecar.is_file() else None
    other = Path(output).name or rows.name if output else rows.name
    if other != rows.name and rows.with_name(other).exists():
        raise UsageError(
            f"{manifest_of(rows).name} and {sidecar.name} are the record of {other}, which {rows.name} would replace.",
            fix="Give -o another name, or replace the record with --force.",
        )


def sibling(rows: Path, name: str) -> Path:
    """Where a baseline's rows stand: `chosen.jsonl` → `chosen.random-seed0.jsonl`."""
    stem, ending = stem_of(rows.name)
    return rows.with_name(f"{stem}.{name}{ending}")


__all__ = ["SELECTION", "SelectionSet", "Subset", "check_rows", "manifest_of", "sibling", "sidecar_of", "stem_of"]
