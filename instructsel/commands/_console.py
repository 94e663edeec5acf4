"""What people see: stdout carries data, everything else goes to stderr, and no row can write to the terminal."""

from __future__ import annotations

import functools
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import typer

from instructsel.errors import EnvironmentFault, InstructselError
from instructsel.text import clean

P = ParamSpec("P")
R = TypeVar("R")


def say(text: str = "", *, quiet: bool = False) -> None:
    """A line for people, on stderr."""
    if not quiet:
        typer.echo(clean(text), err=True)


def messages(*, quiet: bool) -> Callable[[str], None] | None:
    """Where the engine's lines for people go: stderr, or nowhere."""
    return None if quiet else say


def fail(error: InstructselError) -> NoReturn:
    """Say what went wrong and what to do, and end with the error's exit code."""
    typer.echo(f"error: {clean(error.message)}", err=True)
    if error.fix:
        typer.echo(f"fix:   {clean(error.fix)}", err=True)
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

    return wrapper


class Progress:
    """Progress on stderr: a line that moves on a terminal, one plain line every ten seconds elsewhere."""

    def __init__(self, label: str, *, quiet: bool, every: float = 10.0, unit: str = "examples") -> None:
        self.label = label
        self.unit = unit
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ
        self.quiet = quiet
        self.every = 0.2 if self.live else every
        self.started = self.told = time.monotonic()
        self.shown = self.begun = False
        self.first = 0

    def __call__(self, done: int, total: int) -> None:
        """Tell that `done` of `total` are done."""
        now = time.monotonic()
        if not self.begun:
            # What came before the first example (loading a model) says nothing of how long the rest takes.
            self.begun, self.started, self.first = True, now, done
        if self.quiet or (now - self.told < self.every and not (done >= total and self.shown)):
            return
        self.told = now
        fresh = done - self.first
        left = f", about {(now - self.started) / fresh * (total - done):,.0f} s left" if fresh > 0 and done < total else ""
        text = f"{self.label}: {done:,} of {total:,} {self.unit}{left}"
        sys.stderr.write(f"\r\x1b[2K{text}" if self.live else f"{text}\n")
        if self.live and done >= total:
            sys.stderr.write("\n")
        sys.stderr.flush()
        self.shown = done < total


def watching(*, quiet: bool) -> Callable[[str], Progress]:
    """A progress display for each named piece of work of the engine."""
    return lambda label: Progress(label, quiet=quiet)
