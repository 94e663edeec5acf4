"""What people see: stdout carries data, everything else goes to stderr, and no row can write to the terminal."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TextIO, TypeVar

import typer

from instructsel.commands import _progress
from instructsel.commands._progress import Progress, Stages
from instructsel.errors import EnvironmentFault, InstructselError
from instructsel.text import clean, wrapped

P = ParamSpec("P")
R = TypeVar("R")


def say(text: str = "", *, quiet: bool = False) -> None:
    """A line for people, on stderr, wrapped at words."""
    if quiet:
        return
    for line in note(text):
        if not _progress.above(line):
            typer.echo(line, err=True)


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
        typer.echo(line)


def note(text: str, *, hang: int = 0, stream: TextIO | None = None) -> list[str]:
    """A safe text for people as lines that end between words where there is a terminal; later lines begin `hang` columns further in."""
    width = columns(stream or sys.stderr)
    lines = []
    for line in clean(text).split("\n"):
        if width is None or len(line) <= width:
            lines.append(line)
            continue
        indent = len(line) - len(line.lstrip())
        pieces = wrapped(line, max(20, width - indent - hang))
        lines += [" " * (indent + (hang if number else 0)) + piece for number, piece in enumerate(pieces)]
    return lines


def watching(*, quiet: bool) -> Callable[[str], Progress]:
    """A display for each thing that the engine counts, named by it."""
    return lambda label: Progress(label, quiet=quiet)


def fail(error: InstructselError) -> NoReturn:
    """Say what went wrong and what to do, and end with the error's exit code."""
    _progress.close_all()
    for label, text in (("error: ", error.message), ("fix:   ", error.fix)):
        for line in note(f"{label}{text}", hang=len(label)) if text else []:
            typer.echo(line, err=True)
    raise typer.Exit(error.exit_code)


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """A command that reports its errors: one line for the cause, one for the fix; a traceback only when asked."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InstructselError as error:
            if kwargs.get("show_traceback"):
                traceback.print_exc()
            fail(error)
        except KeyboardInterrupt:
            _progress.close_all(interrupted=True)
            say("interrupted; whatever was finished is kept, run the command again to go on.")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read our output has gone; that is no error. Nothing may be flushed to the broken pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except MemoryError:
            fail(EnvironmentFault("The machine ran out of memory.", fix="Score a part with --limit, or use a larger machine."))
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if kwargs.get("show_traceback"):
                raise
            fail(
                EnvironmentFault(
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}",
                    fix="This is a fault of instructsel; add --traceback and report it.",
                )
            )
        finally:
            _progress.close_all()

    return wrapper


__all__ = ["Progress", "Stages", "columns", "display", "fail", "messages", "note", "reported", "say", "watching"]
