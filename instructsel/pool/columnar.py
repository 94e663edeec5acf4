"""Parquet and Arrow files as rows of JSON lines, and rows of theirs into one file again.

The library that decodes them may crash on a damaged file or unpack a few bytes to gigabytes, so it decodes in a child process that this
module starts once and asks again and again; see `_columnar_child`. What a file does wrong stays there: the parent has the rows, or the reason
why the file is not read. The rows are spooled as JSON lines; the limits of a compressed pool hold for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

import orjson

from instructsel.artifact import full, spool
from instructsel.errors import PoolError, UsageError
from instructsel.guarded import GuardedChild, pipe_of
from instructsel.pool.lines import CHUNK, Limits, RowFault
from instructsel.pool.marks import BYTES, LONG, ODD, unmarked
from instructsel.pool.opaque import MEDIA, NOT_TEXT, TOO_LONG, Opaque

CALLED: Final = {"parquet": "Parquet", "arrow": "Arrow", "arrow-stream": "Arrow"}
"""Kind of file → what messages call it."""
PROGRAM: Final = Path(__file__).with_name("_columnar_child.py")
"""What decodes."""
MARK: Final = b"\\u0000"
"""What begins the key of a mark, in a line."""
PATIENCE: Final = 300
"""Seconds of waiting for the child's next answer after which it is ended."""
MAX_HEAD: Final = 64 << 20
"""Bytes of the head of a frame."""


OF_TOOLS: Final = frozenset({"function", "parameters", "input_schema"})
OF_TURNS: Final = frozenset({"role", "from"})


def are_tools(fields: Iterable[str]) -> bool:
    """Whether structures of these fields describe tools: what is null in one is a field of another."""
    return not OF_TOOLS.isdisjoint(names := set(fields)) and OF_TURNS.isdisjoint(names)


@dataclass(frozen=True)
class Columns:
    """What a columnar file says of its columns."""

    kind: str
    """parquet, arrow or arrow-stream."""
    path: Path
    """The file that rows are copied from on export."""
    rows: int
    """How many it has."""
    schema: Mapping[str, str]
    """Column → its type, as text."""
    turns: Mapping[str, Sequence[str]]
    """Column that holds lists of structures, as of turns → the fields of these."""
    opaque: Mapping[str, Any]
    """Column → where in its values stand texts that are none in the file: a leaf's words, or an object with struct, list or map."""
    infinite: Mapping[str, int]
    """Column of numbers → the first row (0-based) in which it is infinite; null stands there in JSON."""
    stamp: tuple[int, ...]
    """Its size, its time and its place on disk when it was read."""
    keep: object = field(default=None, repr=False)
    """What must live as long: a temporary file."""
    media: Sequence[str] = ()
    """Columns of pictures, sounds or films, whatever they are called."""

    @cached_property
    def _nulls(self) -> dict[str, None]:
        return dict.fromkeys(self.schema)

    @cached_property
    def _turns(self) -> list[tuple[str, dict[str, None]]]:
        return [(name, dict.fromkeys(fields)) for name, fields in self.turns.items() if not are_tools(fields)]

    def restored(self, raw: bytes, value: dict[str, Any]) -> dict[str, Any]:
        """A row with every column and every field of its turns, null where it has none, and with `Opaque` values where its line has a stand-in.

        What is null deeper in a structure, or in a tool, was not there: arguments of calls have the keys of all calls of the file.
        """
        row = {**self._nulls, **value} if len(value) < len(self.schema) else value
        for name, nulls in self._turns:
            if row[name] is not None:
                row[name] = [{**nulls, **turn} if type(turn) is dict and len(turn) < len(nulls) else turn for turn in row[name]]
        for name, tree in self.opaque.items():
            if row[name] is not None:
                row[name] = _wrapped(row[name], tree)
        if MARK in raw:
            row = {name: unmarked(item, MADE) for name, item in row.items()}
        return row

    def more_than_text(self, value: Any) -> RowFault | None:
        """Why a row is about more than text; None where none of its columns of pictures, sounds or films has any."""
        for name in self.media:
            held = value.get(name) if isinstance(value, dict) else None
            if any(held) if isinstance(held, list) else held:
                return RowFault(NOT_TEXT, f"'{name}' holds {MEDIA}")
        return None

    def not_finite(self, name: str) -> list[int]:
        """The rows (0-based) in which a column of numbers is NaN or infinite, which is null in JSON.

        Raises:
            PoolError: the file has changed since it was read.
        """
        request = {"do": "not_finite", "files": [self.entry()], "column": name, "limits": _limits(Limits())}
        return list(_answer(request)["rows"])

    def entry(self) -> dict[str, Any]:
        """The file as the child is told of it.

        Raises:
            PoolError: it has changed since it was read.
        """
        if _stamp(self.path) != self.stamp:
            raise PoolError(f"{self.path} has changed since it was read.", fix="Run the command again.")
        return {"path": os.fsencode(self.path).hex(), "kind": self.kind}


@dataclass(frozen=True)
class Spooled:
    """The rows of a columnar file."""

    rows: BinaryIO
    """As JSON lines, in an unnamed temporary file."""
    columns: Columns
    """What the file says of them."""


@dataclass(frozen=True)
class Temporary:
    """A named temporary file that goes when nobody holds it any more."""

    path: Path

    def __del__(self) -> None:
        self.path.unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written again; nothing for one that is gone."""
    try:
        state = os.stat(path)
    except OSError:
        return ()
    return state.st_size, state.st_mtime_ns, state.st_dev, state.st_ino


def _wrapped(value: Any, tree: Any) -> Any:
    """A value with `Opaque` where the tree says."""
    if value is None:
        return None
    if isinstance(tree, str):
        return Opaque(tree, value) if isinstance(value, str) else value
    if "list" in tree and isinstance(value, list):
        return [_wrapped(item, tree["list"]) for item in value]
    if "map" in tree and isinstance(value, dict):
        return {key: _wrapped(item, tree["map"]) for key, item in value.items()}
    if "struct" in tree and isinstance(value, dict):
        inner = tree["struct"]
        return {key: _wrapped(item, inner[key]) if key in inner else item for key, item in value.items()}
    return value


def _length(held: Any) -> int:
    return held[0] if isinstance(held, list) and held and isinstance(held[0], int) else 0


MADE: Final[Mapping[str, Callable[[Any], Opaque]]] = {
    BYTES: lambda held: Opaque(f"{_length(held):,} bytes that are no UTF-8"),
    LONG: lambda held: Opaque(f"{_length(held):,} bytes", code=TOO_LONG),
    ODD: lambda held: Opaque("a value that cannot be written"),
}
"""Key of an object that stands for a value without a form in JSON, as the child writes it → what stands for it here."""


def plain(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row as JSON can hold it: dates and decimal numbers as texts.

    Raises:
        UsageError: it holds bytes, or a text that was too long to be read.
    """
    return {key: _plain(value, key, name) for key, value in row.items() if value is not None}


def _plain(value: Any, column: str, name: str) -> Any:
    if isinstance(value, Opaque):
        if value.text is None:
            raise UsageError(
                f"{name}: the column '{column}' holds {value.kind}, which JSON has no form for.", fix="Name an output ending in .parquet."
            )
        return value.text
    if isinstance(value, list):
        return [_plain(item, column, name) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, column, name) for key, item in value.items()}
    return value


def spool_rows(file: BinaryIO, name: str, kind: str, path: Path | None, limits: Limits) -> Spooled:
    """The rows of a Parquet or Arrow file.

    Args:
        file: its bytes.
        name: for messages.
        kind: parquet, arrow or arrow-stream.
        path: where it lies; None for a stream, which is copied to a temporary file.
        limits: on the bytes that its rows may come to, and on those of a row.

    Raises:
        PoolError: it cannot be read, or is beyond the limits.
        EnvironmentFault: the temporary folder is full, or the process that decodes cannot be started.
    """
    keep = None
    if path is None:
        keep = _copied(file)
        path = keep.path
    path = Path(os.path.abspath(path))
    stamp = _stamp(path)
    size = file.seek(0, os.SEEK_END)
    request = {"do": "rows", "path": os.fsencode(path).hex(), "kind": kind, "limits": _limits(limits)}
    rows = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    total = count = 0
    done: dict[str, Any] = {}
    try:
        with contextlib.closing(_Child.mine().ask(request)) as frames:
            for head, data in frames:
                if "done" in head:
                    done = head["done"]
                    continue
                if why := _why(head):
                    raise _refused(name, kind, why, head, limits)
                total += len(data)
                count += head["rows"]
                if count > limits.most_rows(size):
                    raise _refused(name, kind, "rows", {"limit": "rows"}, limits)
                if total > limits.max_bytes:
                    raise _refused(name, kind, "size", {"limit": "size"}, limits)
                if total > limits.free_bytes and total > limits.max_ratio * max(size, 1):
                    raise _refused(name, kind, "ratio", {"limit": "ratio"}, limits)
                _write(rows, data)
        try:
            rows.flush()
        except OSError as error:
            raise full(error) from error
    except BaseException:
        rows.close()
        raise
    columns = Columns(kind, path, done["rows"], done["schema"], done["turns"], done["opaque"], done["infinite"], stamp, keep, done["media"])
    return Spooled(rows, columns)


def _copied(file: BinaryIO) -> Temporary:
    """A stream as a file with a name."""
    handle, temporary = spool()
    spooled = Temporary(Path(temporary))
    file.seek(0)
    with os.fdopen(handle, "wb") as copy:
        while chunk := file.read(CHUNK):
            _write(copy, chunk)
    return spooled


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise full(error) from error


def _limits(limits: Limits) -> dict[str, Any]:
    names = ("max_line_bytes", "max_ratio", "free_bytes", "max_bytes")
    return {name: getattr(limits, name) for name in names}


LIMITS: Final = {
    "size": ("it unpacks to more than {max_bytes:,} bytes", "Split it, or raise Limits.max_bytes from Python."),
    "ratio": ("it unpacks to more than {max_ratio:g} times its size", "It looks like a decompression bomb; write it again as JSON lines if you trust it."),
    "rows": ("it holds more rows than a file of its size may", "It looks like a decompression bomb; write it again as JSON lines if you trust it, or raise Limits.free_rows from Python."),
    "memory": ("decoding it takes more memory than a file of its size may: it is damaged, or unpacks to far more", "Fetch it again; or write it again with smaller row groups, or as JSON lines."),
    "time": ("decoding it takes more time than a file of its size may", "It is damaged: fetch it again, or write it again as JSON lines."),
    "depth": ("its columns are nested too deeply", "Write it again without the nesting, or as JSON lines."),
    "crash": ("the library that decodes it crashed", "It is damaged: fetch or write it again."),
    "silence": ("decoding it does not end", "It is damaged: fetch or write it again."),
}  # fmt: skip
"""What a file may meet → the reason, and what to do."""


def _why(head: Mapping[str, Any]) -> str | None:
    """The limit or reason that a frame tells of; None for one of rows."""
    return head.get("limit") or head.get("refused")


def _refused(name: str, kind: str, why: str, head: Mapping[str, Any], limits: Limits) -> PoolError:
    if "limit" in head:
        reason, fix = LIMITS[why]
        return PoolError(f"{name}: {reason.format(**_limits(limits))}.", fix=fix)
    return PoolError(f"{name}: the {CALLED[kind]} file cannot be read ({why}).", fix="Fetch it again, or write it again.")


Place = tuple[int, int]
"""The number of a file, and a row of it (0-based)."""


def union_notes(files: Sequence[Columns]) -> list[str]:
    """What is changed where rows of several files are written as one: columns that differ in type.

    Raises:
        UsageError: they cannot be written as one without loss.
        PoolError: a file has changed since it was read.
    """
    if len({tuple(file.schema.items()) for file in files}) < 2:
        return []
    kinds: dict[tuple[Any, ...], Columns] = {}
    for file in files:
        kinds.setdefault(tuple(file.schema.items()), file)
    every = [file.entry() for file in files]
    request = {"do": "union", "files": [file.entry() for file in kinds.values()], "all": every, "limits": _limits(Limits())}
    return list(_answer(request)["notes"])


def copy_rows(files: Sequence[Columns], places: Sequence[Place], out: BinaryIO, *, to: str) -> None:
    """Write rows with all their columns, and those of the other files, to an open file.

    Args:
        files: they come from.
        places: the rows, in the order to write them.
        out: a Parquet file, or an Arrow stream.
        to: parquet or arrow.

    Raises:
        UsageError: the files' columns make no one table.
        PoolError: a file has changed since it was read.
    """
    rows: dict[int, list[int]] = {}
    for number, row in places:
        rows.setdefault(number, []).append(row)
    ordered = {number: sorted(set(wanted)) for number, wanted in sorted(rows.items())}
    starts: dict[int, dict[int, int]] = {}
    count = 0
    for number, wanted in ordered.items():
        starts[number] = {row: count + position for position, row in enumerate(wanted)}
        count += len(wanted)
    request = {
        "do": "copy",
        "files": [{**files[number].entry(), "rows": wanted} for number, wanted in ordered.items()],
        "order": [starts[number][row] for number, row in places],
        "limits": _limits(Limits()),
        "to": to,
    }
    _answer(request, out)


def _answer(request: dict[str, Any], out: BinaryIO | None = None) -> dict[str, Any]:
    done: dict[str, Any] = {}
    with contextlib.closing(_Child.mine().ask(request)) as frames:
        for head, data in frames:
            if why := _why(head):
                if "limit" in head or head.get("broken"):
                    why = LIMITS[why][0].format(**request["limits"]) if why in LIMITS else why
                    raise PoolError(f"The rows cannot be read again ({why}).", fix="Read the pool again.")
                raise UsageError(
                    f"The rows of these files make no one table: {why}.", fix="Add --to messages to write them all as messages."
                )
            if "done" in head:
                done = head["done"]
            elif out is not None:
                out.write(data)
    return done


class _Child(GuardedChild):
    """The process that decodes; restarted when a file has ended it."""

    program: ClassVar[Path] = PROGRAM
    does: ClassVar[str] = "decodes Parquet"
    captures: ClassVar[bool] = True

    def environment(self) -> Mapping[str, str]:
        """Nothing of this process's settings but where its modules and temporary files are: no key, no address, no token."""
        return {name: os.environ[name] for name in PASSED if name in os.environ} | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "POLARS_MAX_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        }

    def ask(self, request: dict[str, Any]) -> Generator[tuple[dict[str, Any], bytes], None, None]:
        """The frames of an answer; the last one says that it is done, or why it is not."""
        with self.lock:
            is_answered = False
            try:
                for head, data in self._frames(request):
                    is_answered = "done" in head or ("refused" in head and not head.get("broken"))
                    yield head, data
            finally:
                # Who stops between question and answer leaves answers in the pipe; what broke the library may have broken more.
                if not is_answered:
                    self.close(kill=True)

    def _frames(self, request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
        process = self.send(json.dumps(request).encode())
        answers = pipe_of(process.stdout)
        while True:
            silent = threading.Event()

            def end(silent: threading.Event = silent) -> None:
                silent.set()
                process.kill()

            watchdog = threading.Timer(PATIENCE, end)
            watchdog.daemon = True
            watchdog.start()
            try:
                line = answers.readline(MAX_HEAD)
                head: dict[str, Any] = orjson.loads(line) if line.endswith(b"\n") else {}
                data = answers.read(head["size"]) if head else b""
            finally:
                watchdog.cancel()
            if not head or len(data) < head["size"]:
                yield {"limit": "silence" if silent.is_set() else self.why_ended(process), "size": 0}, b""
                return
            yield head, data
            if "size" in head and not head.keys().isdisjoint(("done", "refused", "limit")):
                return


PASSED: Final = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that the child has of this process."""


def rest() -> None:
    """End the process that decodes until it is needed again."""
    _Child.rest()


__all__ = ["CALLED", "Columns", "Place", "Spooled", "Temporary", "copy_rows", "plain", "rest", "spool_rows", "union_notes"]
