"""Results on disk: written whole or not at all, with what they were made from.

A result file is deterministic: same in, same bytes. What differs between two equal runs (when, where, how long) goes
into the JSON file beside it, under `run`, and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict

import orjson

from instructsel.errors import EnvironmentFault, ScoresError, UsageError
from instructsel.kinds import KINDS, OLD_SCHEMA, SCHEMA, kind_of, newest_schema, schema_of
from instructsel.paths import FULL, of_full_disk, resolved
from instructsel.shapes import is_utf8
from instructsel.structured import Refusal, read_json

AGAIN: Final = "Score the pool again."
TEMPORARY: Final = ".tmp"
NOT_UTF8: Final = "is not UTF-8, and the records that name it are"
ANOTHER_NAME: Final = "Give it another name."
MARK: Final = re.compile(r"\.(?P<target>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>[0-9]{1,10})-[a-z0-9_]{3,16}\.tmp", re.DOTALL)
"""The name of a temporary file: of what, and of which machine and process."""


@contextmanager
def atomic_write(path: str | Path, *, flag: str = "-o") -> Iterator[BinaryIO]:
    """A binary file that appears under `path` when the block ends, and not at all if it fails; what was written can be read in it.

    Written to a temporary file in the same folder, flushed to disk, renamed. A link at `path` is replaced, not followed.

    Args:
        path: of the file.
        flag: names the place, for messages.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    target = Path(path)
    try:
        sweep(target.parent, name=target.name)
        prefix = f".{_shortened(target.name)}.{machine()}-{os.getpid()}-"
        handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=TEMPORARY, dir=target.parent)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write {target}: {error.strerror or error}.", fix=another_place(error, flag)) from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        refused = of_full_disk(error) or (error if isinstance(error, OSError) else None)
        if refused is not None:
            raise EnvironmentFault(f"Cannot write {target}: {refused.strerror or refused}.", fix=another_place(refused, flag)) from error
        raise


def another_place(error: OSError, flag: str = "-o") -> str:
    """What to do about a file that cannot be written."""
    return f"Free some space, or choose another place with {flag}." if error.errno in FULL else f"Choose another place with {flag}."


def check_outputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path], *, flags: Mapping[Path, str] | None = None) -> None:
    """Refuse outputs that cannot be written, or would destroy what is read. Called before any work.

    Args:
        outputs: every file to be written, manifests and other siblings included; `-` is passed over.
        inputs: every file to be read; `-` and hf:// names are passed over.
        flags: output → the flag that names it, where that is not -o.

    Raises:
        UsageError: an output is an input, under whatever name or link; two outputs are one file; or one is a folder or is not UTF-8.
        EnvironmentFault: the folder of an output is missing or not writable.
    """
    read = [Path(name) for name in map(str, inputs) if name != "-" and not name.startswith("hf://")]
    written: dict[Path, Path] = {}
    folders: dict[Path, Path] = {}
    flag_of = flags or {}
    for target in (Path(name) for name in map(str, outputs) if name != "-"):
        flag = flag_of.get(target, "-o")
        check_name(target)
        for source in read:
            if same_file(target, source):
                raise UsageError(
                    f"The output {target} is the input {source}; it would be replaced.",
                    fix=f"Name another file for the output with {flag}.",
                )
        if target.is_dir():
            raise UsageError(f"The output {target} is a folder.", fix="Name a file in it.")
        if resolved(target) in written:
            raise UsageError(f"{written[resolved(target)]} and {target} are one file, and both would be written.", fix="Name two files.")
        written[resolved(target)] = target
        folders.setdefault(target.parent, target)
    for folder, target in folders.items():
        flag = flag_of.get(target, "-o")
        if not folder.is_dir():
            raise EnvironmentFault(
                f"Cannot write {target}: there is no folder {folder}.", fix=f"Make it, or choose another place with {flag}."
            )
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise EnvironmentFault(f"Cannot write {target}: {error.strerror or error}.", fix=another_place(error, flag)) from error


def check_name(path: str | Path) -> None:
    """Refuse a path that no record can name.

    Raises:
        UsageError: it is not UTF-8, as it stands or as the system resolves it.
    """
    for place in (str(path), str(resolved(path))):
        if not is_utf8(place):
            raise UsageError(f"{place!r} {NOT_UTF8}.", fix=ANOTHER_NAME)


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file: by name, over links, or as hard links."""
    try:
        return resolved(one) == resolved(other) or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))
    except (OSError, ValueError):
        return False


def kind_beside(path: str | Path) -> str | None:
    """The `kind` in the manifest beside a file, e.g. "scores"; None where there is no readable one."""
    try:
        manifest = read_json(manifest_path(path), dict[str, Any], Refusal(ScoresError), missing=None)
    except ScoresError:
        return None
    kind = manifest.get("kind") if manifest is not None else None
    return kind if isinstance(kind, str) else None


def check_replaced(target: str | Path, kind: str, noun: str, *, force: bool, flag: str = "-o") -> None:
    """Refuse to replace a file that is no earlier result of this kind.

    Args:
        target: the output. Nothing is refused where no file stands, or where the one that stands there is empty.
        kind: the kind in the manifests of such results.
        noun: what the output is, for the message: "a score table".
        force: replace whatever stands there.
        flag: names the output.

    Raises:
        UsageError: another file stands there.
    """
    place = Path(target)
    if force or str(target) == "-" or not place.exists() or place.stat().st_size == 0:
        return
    # A run that was killed between a table and its manifest leaves the table alone, which names its kind in itself.
    if kind_beside(place) == kind or _names_kind(place, kind):
        return
    raise UsageError(f"{place} exists and is not {noun} of instructsel.", fix=f"Name another file with {flag}, or replace it with --force.")


def check_no_record(target: str | Path, kind: str) -> None:
    """Refuse to replace a record of another kind: a manifest, a plan, a verdict. Nobody forces that, for results are read by it.

    Raises:
        UsageError: one stands there.
    """
    try:
        record = read_json(Path(target), dict[str, Any], Refusal(ScoresError), missing=None)
    except ScoresError:
        return
    known = None if record is None else record.get("kind")
    if isinstance(known, str) and known in KINDS and known != kind:
        raise UsageError(f"{target} is a record of instructsel ({known}).", fix="Name another file with -o, or remove that one.")


def _names_kind(path: Path, kind: str) -> bool:
    """Whether the footer of a Parquet file holds a manifest of this kind. Nothing is parsed: the file may be anybody's."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            end = file.read(8)
            if end[4:] != b"PAR1":
                return False
            file.seek(max(0, size - 8 - int.from_bytes(end[:4], "little")))
            footer = file.read()
    except OSError:
        return False
    return f'"kind":"{kind}"'.encode() in footer


def spool() -> tuple[int, str]:
    """A named temporary file of this process, open for writing; those of processes that were killed are removed first.

    Returns:
        Its handle and its path.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    sweep(Path(tempfile.gettempdir()), name="instructsel")
    try:
        return tempfile.mkstemp(prefix=f".instructsel.{machine()}-{os.getpid()}-", suffix=TEMPORARY)
    except OSError as error:
        raise full(error) from error


def full(error: OSError) -> EnvironmentFault:
    """What a temporary file that cannot be written means."""
    return EnvironmentFault(
        f"A temporary file in {tempfile.gettempdir()} cannot be written: {error.strerror or error}.",
        fix="Free some space there, or name another folder with TMPDIR.",
    )


def sweep(folder: Path, *, name: str = "") -> None:
    """Remove the temporary files of writers that were killed: of one target, or of all in a folder.

    A writer is gone when its process is not running on this machine, or its file is a day old. Only files that bear a writer's mark
    and belong to this user are removed; what else is called .NAME.….tmp is somebody's.
    """
    beginning = f".{_shortened(name)}." if name else "."
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(beginning)]
    except OSError:
        return
    for file in names:
        mark = MARK.fullmatch(file)
        if mark is None or (name and mark["target"] != _shortened(name)):
            continue
        path = os.path.join(folder, file)
        try:
            state = os.lstat(path)
            if not stat.S_ISREG(state.st_mode) or (hasattr(os, "getuid") and state.st_uid != os.getuid()):
                continue
            old = time.time() - state.st_mtime > 86_400
            if old or (mark["host"] == machine() and not running(int(mark["process"]))):
                os.unlink(path)
        except OSError:
            continue


def _shortened(name: str) -> str:
    """The beginning of a file's name, so that what is put around it is no longer than a name may be."""
    return os.fsencode(name[:80])[:160].decode("utf-8", "ignore")


def running(process: int) -> bool:
    """Whether a process of this machine is running."""
    if not 0 < process < 1 << 31:
        # No process has such a number: it was read from a file.
        return False
    if os.name != "posix":
        # Signal 0 would end the process there.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def machine() -> str:
    """A name for this machine that says nothing of it."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def umask() -> int:
    """The permissions that this process takes from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def dump_json(value: Any, *, indent: bool = False) -> bytes:
    """Canonical JSON: sorted keys, UTF-8, NaN never (it becomes null)."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=_as_list, option=options)


def _as_list(value: Any) -> list[Any]:
    """A sequence that is neither list nor tuple, as the ids of a pool are."""
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def fingerprint(value: Any, *, size: int = 16) -> str:
    """The blake2b digest, in hexadecimal, of a value's canonical JSON."""
    return hashlib.blake2b(dump_json(value), digest_size=size).hexdigest()


def manifest_path(path: str | Path) -> Path:
    """Where the manifest of a result stands: `scores.parquet` → `scores.parquet.json`."""
    target = Path(path)
    return target.with_name(target.name + ".json")


def write_manifest(path: str | Path, manifest: dict[str, Any], *, run: dict[str, Any]) -> None:
    """Write the manifest beside the result at `path`, with the part that differs from run to run under `run`.

    Raises:
        ScoresError: its kind is not in `kinds.KINDS`, so that nothing would read it again.
        EnvironmentFault: it cannot be written.
    """
    kind_of(manifest, path)
    stamp = {"finished_at": now(), **run}
    with atomic_write(manifest_path(path)) as file:
        file.write(dump_json({**stamped(manifest), "run": stamp}, indent=True) + b"\n")


def stamped(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with the schema that this release writes of its kind."""
    return {key: value for key, value in manifest.items() if key != OLD_SCHEMA} | {SCHEMA: newest_schema(manifest)}


class Manifest(TypedDict, total=False):
    """What every manifest may hold."""

    kind: str
    schema: int
    schema_version: int
    instructsel: str
    run: dict[str, Any] | None


def read_manifest(path: str | Path, shape: Any = Manifest) -> dict[str, Any] | None:
    """The manifest beside a result, or None where there is none.

    Args:
        path: of the result.
        shape: of the manifest, a type hint as `shapes.checked` takes it.

    Raises:
        ScoresError: it cannot be read, is no JSON of this shape, or a newer release wrote it.
    """
    beside = manifest_path(path)
    manifest = read_json(beside, shape, Refusal(ScoresError, AGAIN), missing=None)
    return None if manifest is None else checked_version(manifest, beside)


def checked_version(manifest: Any, where: str | Path) -> dict[str, Any]:
    """The manifest, if this release can read it."""
    schema = schema_of(manifest) if isinstance(manifest, dict) else None
    if not isinstance(manifest, dict) or not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ScoresError(f"{where} does not hold a manifest.", fix=AGAIN)
    newest = newest_schema(manifest)
    if schema > newest:
        raise ScoresError(
            f"{where} was written by a newer instructsel (schema {schema}, this one reads {newest}).",
            fix="Upgrade with: pip install -U instructsel",
        )
    return manifest


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds; SOURCE_DATE_EPOCH is honoured."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="microseconds")


def release() -> str:
    """The version of the installed package, or "unknown" in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("instructsel")
    except PackageNotFoundError:
        return "unknown"


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
