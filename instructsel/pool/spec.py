"""Where a pool came from and how it was read: a plain record that another command reads it by again."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

from instructsel.artifact import file_digest
from instructsel.errors import PoolError, ScoresError, UsageError
from instructsel.pool.example import ID_RULE
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.lines import Limits
from instructsel.read_report import role_fix
from instructsel.shapes import Misfit, PathName, checked
from instructsel.text import counted, excerpt

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.pool.sources import Source

EVERY = 10.0
"""Seconds between two lines of progress."""
STDIN = "-"
HUB = "hf://"
MEMORY = "memory:"
"""What stands before the name of a pool that was made from rows in memory; the path of a file is absolute."""
REASONING = ("out", "in")
"""Whether indicators read the reasoning of turns."""
FIRST_ID_RULE = 1
"""The rule of records that name none."""
SOURCES = 8
"""Sources that are named when a pool is read."""
LOOKED_AT = 50
"""Files of a folder that are read in search of one that was renamed."""


class RecordedReading(TypedDict, total=False):
    """A Reading in a manifest."""

    form: str
    mapping: str | None
    columns: str | None
    oasst: str
    duplicate_key: str
    roles: list[str] | None
    reasoning: str
    undesirable: str
    source_field: str | None
    delimiter: str | None


class RecordedPool(TypedDict, total=False):
    """A PoolSpec in a manifest."""

    paths: list[PathName]
    digests: list[str | None] | None
    reading: RecordedReading | None
    part: bool | None
    id_rule: int | None


class PoolRun(TypedDict, total=False):
    """The place of a pool in a manifest's `run`; `pools`, `reading` and `limit` are the last release's."""

    pool: RecordedPool | None
    pools: list[PathName] | None
    reading: RecordedReading | None
    limit: int | None


@dataclass(frozen=True)
class Reading:
    """How pool files are to be read; recorded with scores and selections, so that every command reads them the same way."""

    form: str = "auto"
    """A format's name, or auto."""
    mapping: str | None = None
    """The fields of any other format: instruction=FIELD,response=FIELD."""
    columns: str | None = None
    """Column names of a CSV or TSV file without a header, comma-separated."""
    oasst: str = "best-path"
    """Which paths of OpenAssistant trees become examples: best-path or all-paths."""
    duplicate_key: str = "error"
    """A row that names a key twice: error quarantines it, last keeps the last value."""
    roles: tuple[str, ...] = ()
    """What odd spellings of roles mean: SPELLING=ROLE."""
    reasoning: str = "out"
    """Whether indicators read the reasoning of turns: in or out."""
    undesirable: str = "drop"
    """What becomes of rows that a field marks as not wanted: drop or keep."""
    source_field: str | None = None
    """The field of a row that is its source; its file where None."""
    delimiter: str | None = None
    """Between two fields of a CSV or TSV file; told from its header where None."""

    @classmethod
    def of(cls, recorded: Any) -> Self:
        """From a manifest; defaults where it records nothing."""
        if not isinstance(recorded, dict):
            return cls()
        fields = {key: value for key, value in recorded.items() if key in cls.__dataclass_fields__}
        return cls(**{**fields, "roles": tuple(fields.get("roles") or ())})

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        return {**{key: getattr(self, key) for key in self.__dataclass_fields__}, "roles": list(self.roles)}

    def over(self, other: Self) -> Self:
        """This, where it says something else than the defaults; the other where it does not."""
        default = type(self)()
        stated = {key: getattr(self, key) for key in self.__dataclass_fields__ if getattr(self, key) != getattr(default, key)}
        if {"form", "mapping"} & stated.keys():
            # Each excludes the other.
            stated = {"form": self.form, "mapping": self.mapping} | stated
        return replace(other, **stated)

    def read(
        self,
        paths: Sequence[str],
        *,
        message: Callable[[str], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        through: Callable[[Source], Source] | None = None,
        refused: Callable[[str, PoolError, int], None] | None = None,
    ) -> Pool:
        """Read the files.

        Args:
            paths: the files.
            message: gets a line on each file, on the count of rows, and on the first quarantined rows.
            progress: called with how many bytes of how many are read; without it, `message` gets a line every ten seconds.
            through: see `Pool.read`.
            refused: see `Pool.read`.

        Raises:
            UsageError: options that exclude each other.
            PoolError: a file that cannot be read as a pool.
        """
        from instructsel.pool.pool import Pool

        if self.duplicate_key not in ("error", "last"):
            raise UsageError.named(self.duplicate_key, ["error", "last"], noun="treatment of duplicate keys")
        if self.mapping is not None and self.form not in ("auto", "mapped"):
            raise UsageError("--map and --format exclude each other.", fix="Leave one out.")
        columns = [name.strip() for name in self.columns.split(",")] if self.columns else None
        form: Any = Mapped.parse(self.mapping) if self.mapping else self.form
        if progress is None and message is not None:
            progress = _every_ten_seconds(message)
        limits = Limits(duplicate_key=self.duplicate_key)
        pool = Pool.read(
            *paths,
            format=form,
            columns=columns,
            oasst=self.oasst,
            limits=limits,
            roles=self.roles,
            reasoning=self.reasoning,
            undesirable=self.undesirable,
            source_field=self.source_field,
            delimiter=self.delimiter,
            progress=progress,
            through=through,
            refused=refused,
        )
        # A field that there is not is told here, and not after the work.
        without = pool.without_source
        if message is None:
            return pool
        for note in pool.report.notes:
            message(note)
        for line in pool.report.readings():
            message(line)
        message(pool.report.sentence())
        names = pool.report.names()
        for entry in pool.report.quarantine[:3]:
            shown = names.get(entry.file, Path(entry.file).name)
            message(f"  quarantined {shown}, line {entry.line}, byte {entry.offset}: {entry.reason} ({entry.detail})")
        if pool.report.n_quarantined > 3:
            message(f"  … and {pool.report.n_quarantined - 3:,} more")
        for line in _notes(pool):
            message(line)
        source_field = pool.spec.reading.source_field
        if source_field is not None:
            sources = Counter(pool.sources)
            named = ", ".join(
                f"{excerpt(name, 30)} {count:,}" for name, count in sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:SOURCES]
            )
            more = f" and {len(sources) - SOURCES:,} more" if len(sources) > SOURCES else ""
            message(f"sources by {excerpt(source_field, 40)}: {named}{more}")
            if without:
                message(f"  {counted(without, 'example')} without it: the file stands for the source")
        return pool


def _notes(pool: Pool) -> Iterator[str]:
    """What people must know of a pool that its account does not say."""
    report = pool.report
    if report.unknown_roles:
        yield f"  roles that nobody named: {', '.join(list(report.unknown_roles)[:6])}. {role_fix(report.unknown_roles)}"
    if report.with_reasoning and not pool.with_reasoning:
        yield f"{counted(report.with_reasoning, 'example')} with reasoning, which indicators leave out; they read it with --reasoning in"
    elif report.with_reasoning:
        yield f"{counted(report.with_reasoning, 'example')} with reasoning, which indicators read"
    if report.first_answers:
        yield f"{counted(report.first_answers, 'example')} whose response is the first turn: scored, but never handed over to a trainer"


def _every_ten_seconds(message: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Progress as lines for people."""
    last = clock()

    def report(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= EVERY and done < total:
            last = clock()
            message(f"reading: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    return report


@dataclass(frozen=True)
class PoolSpec:
    """The files of a pool, their reading options and their digests: enough to read the pool again."""

    paths: tuple[str, ...]
    """Absolute; hf://OWNER/NAME stands as it is; - is standard input and memory:NAME rows in memory, which cannot be read again."""
    reading: Reading = field(default_factory=Reading)
    """How they were read."""
    part: bool = False
    """Whether the pool is only some of these files' examples."""
    recorded: tuple[str | None, ...] | None = None
    """The digests of a manifest; None where they are still to be computed."""
    id_rule: int = ID_RULE
    """The rule that the ids were made by when this was recorded."""

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Self | None:
        """From the part of a manifest that differs from run to run; None where it names no pool.

        The last release wrote `pools`, `reading` and `limit` there instead of `pool`.

        Raises:
            ScoresError: it is of another shape.
        """
        try:
            checked(dict(run), PoolRun)
        except Misfit as misfit:
            raise ScoresError(f"A manifest does not say where the pool is: run.{misfit}.", fix="Score the pool again.") from misfit
        entry = run.get("pool") or {}
        if entry.get("paths"):
            digests = entry.get("digests")
            return cls(
                tuple(entry["paths"]),
                Reading.of(entry.get("reading")),
                bool(entry.get("part")),
                None if digests is None else tuple(digests),
                entry.get("id_rule") or FIRST_ID_RULE,
            )
        if run.get("pools"):
            return cls(tuple(run["pools"]), Reading.of(run.get("reading")), run.get("limit") is not None, (), FIRST_ID_RULE)
        return None

    @cached_property
    def digests(self) -> tuple[str | None, ...]:
        """SHA-256 of the bytes of each file, in hexadecimal; None for standard input, the hub, and a file that is gone."""
        if self.recorded is not None:
            return self.recorded
        return tuple(file_digest(path) if path != STDIN and Path(path).is_file() else None for path in self.paths)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        return {
            "paths": list(self.paths),
            "digests": list(self.digests),
            "reading": self.reading.as_dict(),
            "part": self.part,
            "id_rule": ID_RULE,
        }

    @property
    def earlier_ids(self) -> str:
        """The end of a message on a record that does not fit a pool: that its ids were made by an earlier rule."""
        if self.id_rule >= ID_RULE:
            return ""
        return (
            f" Its ids are of rule {self.id_rule}: since rule {ID_RULE}, calls, tools, reasoning, names and weights have a part in an id."
        )

    def check(self) -> None:
        """Refuse a pool that cannot be read again.

        Raises:
            UsageError: it came from memory, from standard input or from the hub, or a file is gone.
        """
        if memory := [path for path in self.paths if path.startswith(MEMORY)]:
            raise UsageError(
                f"The pool was made from rows in memory ({excerpt(memory[0].removeprefix(MEMORY))}), which cannot be read again.",
                fix='Write it where it is made, pool.write("pool.jsonl"), and name that file with --pool: its ids and its scores are the same.',
            )
        if STDIN in self.paths:
            raise UsageError("The pool was read from standard input or a pipe, which is gone.", fix="Name its files with --pool.")
        if fetched := [path for path in self.paths if path.startswith(HUB)]:
            # A record may come from anybody: nothing is fetched because it says so.
            raise UsageError(
                f"The record says that the pool is {excerpt(fetched[0])}, which would be fetched from the hub.",
                fix=f"To read it, name it: {' '.join(f'--pool {shlex.quote(path)}' for path in self.paths)}",
            )
        for path in self.paths:
            if not path.startswith(HUB) and not Path(path).exists():
                renamed = self._renamed(Path(path))
                fix = "Name the pool's files with --pool."
                if renamed is not None:
                    place = renamed.name if renamed.parent == Path.cwd() else str(renamed)
                    others = [place if other == path else other for other in self.paths]
                    fix = f"{renamed.name} has the same bytes: {' '.join(f'--pool {shlex.quote(other)}' for other in others)}"
                raise UsageError(f"The pool's file {path} is gone.", fix=fix)

    def _renamed(self, path: Path) -> Path | None:
        """The file in the folder of one that is gone that has its bytes, among those of the same ending; None where there is none."""
        digest = dict(zip(self.paths, self.recorded or (), strict=False)).get(str(path))
        if digest is None or not path.parent.is_dir():
            return None
        try:
            alike = sorted(other for other in path.parent.iterdir() if other.suffix == path.suffix and other.is_file())
            return next((other for other in alike[:LOOKED_AT] if file_digest(other) == digest), None)
        except OSError:
            return None

    def read(
        self, paths: Sequence[str] | None = None, *, ids: Iterable[str] | None = None, message: Callable[[str], None] | None = None
    ) -> Pool:
        """Read the pool again.

        Args:
            paths: where its files are now, if they have moved.
            ids: of the examples, needed where the pool is a part of its files.
            message: gets a line on each file.

        Raises:
            UsageError: a file is gone, or came from standard input.
            PoolError: a file that cannot be read as a pool.
            UnknownExample: an id that the files do not hold.
        """
        if not paths:
            self.check()
        pool = self.reading.read(list(paths or self.paths), message=message)
        return pool.take(ids) if self.part and ids is not None else pool


def of_an_earlier_id_rule(run: Any) -> str:
    """The end of a message on a record that does not fit a pool: that its ids were made by an earlier rule; "" where they were not.

    >>> of_an_earlier_id_rule({"pool": {"paths": ["pool.jsonl"], "id_rule": 2}})
    ''
    """
    spec = PoolSpec.of(run) if isinstance(run, Mapping) else None
    return "" if spec is None else spec.earlier_ids


def rows_digest(ids: Iterable[str]) -> str:
    """A digest of rows by their ids, which a pool has in order.

    >>> rows_digest(["a", "b"]) == rows_digest(["b", "a"])
    False
    """
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()


__all__ = ["PoolSpec", "Reading", "of_an_earlier_id_rule", "rows_digest"]
