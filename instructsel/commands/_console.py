"""What people see: stdout carries data, everything else goes to stderr, and no row can write to the terminal."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, ParamSpec, TextIO, TypeVar

import typer

from instructsel.commands import _progress
from instructsel.commands._progress import Progress, Stages
from instructsel.errors import EnvironmentFault, InstructselError, UsageError
from instructsel.paths import FULL, of_full_disk
from instructsel.shapes import is_path, is_utf8, shown
from instructsel.text import clean, columns_of, in_json, without_keys, wrapped

LONGEST_WORD: Final = 400
LONGEST_MESSAGE: Final = 1_500
"""Characters of a word and of a message before they are cut."""

P = ParamSpec("P")
R = TypeVar("R")

COMMAND: Final = re.compile(
    r"(?:^|(?<=: ))(?P<command>(?:[A-Z_]+=\S+ )?(?:instructsel|hf|pip|cd) \S.*?)(?P<rest>(?:[;,] | \().*|\.)?$",
)
"""A command to copy: at the beginning of a line or behind a colon, up to its end, a semicolon, a comma or a bracket."""


def write(text: str = "", *, err: bool = False) -> None:
    """Lines as they are, on stdout or stderr, but for keys and for what a terminal or a CI runner would obey."""
    typer.echo(clean(without_keys(text)), err=err)


def write_json(record: Any) -> None:
    """Plain data as indented JSON on stdout; its strings are escaped where a terminal would obey them."""
    # Imported here: --version and --help write no JSON.
    import orjson

    try:
        text = orjson.dumps(record, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        # A file name that is not UTF-8, a number of more than 64 bits.
        text = json.dumps(record, indent=2, default=str)
    typer.echo(in_json(text))


def say(text: str = "", *, quiet: bool = False) -> None:
    """A line for people, on stderr, wrapped at words."""
    if quiet:
        return
    for line in note(text):
        if not _progress.above(line):
            write(line, err=True)


def messages(*, quiet: bool) -> Callable[[str], None] | None:
    """Where the engine's lines for people go: stderr, or nowhere."""
    return None if quiet else say


def columns(stream: TextIO) -> int | None:
    """The width of the terminal behind a stream, or what COLUMNS says; None where a program reads the lines, which stay as they are."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isdigit() and int(stated):
        return int(stated)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream.isatty() else None
    except (OSError, ValueError):
        return None


def display(text: str = "") -> None:
    """A line for people that is the command's result, on stdout."""
    for line in note(text, stream=sys.stdout):
        write(line)


def note(text: str, *, hang: int = 0, label: str = "", stream: TextIO | None = None) -> list[str]:
    """A safe text for people as lines that end between words where there is a terminal.

    A command to copy that is too wide stands on lines of its own, joined by backslashes.

    Args:
        text: what is said.
        hang: columns by which the later lines of a text begin further in.
        label: what stands in front of the first line; the other lines begin below the text.
        stream: whose width counts; stderr by default.
    """
    width = columns(stream or sys.stderr)
    lines: list[str] = []
    # Before it is broken into lines, each of which would have a part of a key.
    for line in clean(without_keys(text)).split("\n"):
        space = None if width is None else width - len(label)
        indent = len(line) - len(line.lstrip())
        if space is None or columns_of(line) <= space:
            lines.append(line)
        else:
            lines += [" " * indent + piece for piece in _broken(line.strip(), max(20, space - indent), hang)]
    return [f"{' ' * len(label) if number else label}{line}".rstrip() if label else line for number, line in enumerate(lines)]


def _broken(line: str, width: int, hang: int) -> list[str]:
    """A wide line as lines: prose between its words, a command only where a backslash may stand."""
    match = COMMAND.search(line)
    command: list[str] = []
    if match is not None:
        try:
            command = continued(match["command"], width)
        except ValueError:  # an apostrophe: prose that only begins as a command does
            match = None
    if match is None:
        pieces = wrapped(line, max(20, width - hang))
        return [" " * (hang if number else 0) + piece for number, piece in enumerate(pieces)]
    before, rest = line[: match.start()].rstrip(), (match["rest"] or "").lstrip(";,. ")
    return [*(_broken(before, width, hang) if before else []), *command, *(_broken(rest, width, hang) if rest else [])]


def continued(command: str, width: int = 78) -> list[str]:
    """A command for a shell as lines of at most `width` characters where its words allow, joined by backslashes.

    Raises:
        ValueError: a quote of it is not closed.

    >>> continued("instructsel diff one.parquet two.parquet --top 5", width=46)
    ['  instructsel diff one.parquet two.parquet \\\\', '    --top 5']
    """
    lines: list[list[str]] = [[]]
    for part in _parts(command):
        indent = 2 if len(lines) == 1 else 4
        if lines[-1] and indent + len(" ".join([*lines[-1], part])) + 2 > width:
            lines.append([])
        lines[-1].append(part)
    texts = ["  " * (2 if number else 1) + " ".join(line) for number, line in enumerate(lines)]
    return [f"{text} \\" for text in texts[:-1]] + texts[-1:]


def _parts(command: str) -> Sequence[str]:
    """A command's words, a flag together with its value."""
    words = [word if word in ("#", "&&") or re.fullmatch(r"[A-Z_]+=\w+", word) else _quoted(word) for word in shlex.split(command)]
    parts: list[str] = []
    for word in words:
        if parts and parts[-1].startswith("-") and " " not in parts[-1] and not word.startswith("-"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts


def _quoted(word: str) -> str:
    """A word as a shell reads it; an ellipsis stands for what the reader writes and needs no quotes."""
    return word if "…" in word and not set(word) & set(" \"'$`\\") else shlex.quote(word)


def watching(*, quiet: bool) -> Callable[[str], Progress]:
    """A display for each thing that the engine counts, named by it: one until it is done, however often it is asked for."""
    displays: dict[str, Progress] = {}

    def watch(label: str) -> Progress:
        if label not in displays or displays[label].stage.ended:
            displays[label] = Progress(label, quiet=quiet)
        return displays[label]

    return watch


def fail(error: InstructselError) -> NoReturn:
    """Say what went wrong and what to do, and end with the error's exit code."""
    _progress.close_all()
    for label, text in (("error: ", error.message), ("fix:   ", error.fix)):
        for line in note(shortened(text), label=label) if text else []:
            write(line, err=True)
    raise typer.Exit(error.exit_code)


def shortened(text: str) -> str:
    """A message of a length that people read: names of files that are far too long, and endless lists, are cut.

    >>> shortened("There is no file " + "a" * 5000 + ".")[:60]
    'There is no file aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    >>> len(shortened("There is no file " + "a" * 5000 + "."))
    238
    """
    words = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:120]}…{word[0][-100:]}", text)
    return words if len(words) <= LONGEST_MESSAGE else f"{words[: LONGEST_MESSAGE - 1]}…"


def check_paths(values: Mapping[str, Any]) -> None:
    """Refuse arguments that no file system can have as a path, before a command looks for them.

    Args:
        values: of the command's parameters, by name.

    Raises:
        UsageError: a path with a NUL or a name that is too long, or a text with a NUL, or one that is not UTF-8.
    """
    for name, value in values.items():
        for entry in value if isinstance(value, list | tuple) else [value]:
            if (isinstance(entry, Path) and not is_path(str(entry))) or (isinstance(entry, str) and "\0" in entry):
                raise UsageError(f"{name.replace('_', '-')}: {shown(str(entry))} cannot be the path of a file.", fix="Correct it.")
            if isinstance(entry, Path | str) and not is_utf8(str(entry)):
                # Here, as it brings orjson, which help and completion do without.
                from instructsel.artifact import ANOTHER_NAME, NOT_UTF8

                raise UsageError(f"{name.replace('_', '-')}: {shown(str(entry))} {NOT_UTF8}.", fix=ANOTHER_NAME)


def of_system(error: OSError) -> InstructselError | None:
    """What a file that the system refuses means to a command; None where no file is named and the disk is not full."""
    if error.filename is None:
        if error.errno in FULL:
            # Which file is not said: stdout, or a library's own.
            return EnvironmentFault(f"Cannot write: {error.strerror or error}.", fix="Free some space, or write to another disk.")
        return None
    reason = f"{os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename}: {error.strerror or error}."
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return UsageError(reason, fix="Correct the path.")
    return EnvironmentFault(reason, fix="Check its permissions, and the room on its disk.")


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """A command that reports its errors: one line for the cause, one for the fix; a traceback only when asked."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            check_paths(kwargs)
            result = command(*args, **kwargs)
            sys.stdout.flush()
            return result
        except InstructselError as error:
            if kwargs.get("show_traceback"):
                write(traceback.format_exc().rstrip(), err=True)
            fail(error)
        except KeyboardInterrupt:
            _progress.close_all(interrupted=True)
            say("interrupted; whatever was finished is kept, run the command again to go on.")
            raise typer.Exit(130) from None
        except MemoryError:
            fail(EnvironmentFault("The machine ran out of memory.", fix="Score a part with --limit, or use a larger machine."))
        except (typer.Exit, typer.Abort, typer.BadParameter, SystemExit):
            raise
        except BaseException as error:  # a panic of a library in Rust is no Exception
            if kwargs.get("show_traceback"):
                write(traceback.format_exc().rstrip(), err=True)
            of_disk = of_full_disk(error) or (error if isinstance(error, OSError) else None)
            if of_disk is not None and (refused := of_system(of_disk)) is not None:
                fail(refused)
            fail(
                EnvironmentFault(
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}",
                    fix="This is a fault of instructsel; add --traceback and report it.",
                )
            )
        finally:
            _progress.close_all()

    return wrapper


__all__ = [
    "Progress",
    "Stages",
    "columns",
    "continued",
    "display",
    "fail",
    "messages",
    "note",
    "reported",
    "say",
    "watching",
    "write",
    "write_json",
]
