"""The program that renders templates of models and tasks, in a process of its own with limits of memory and processor time.

A chat template comes with a model, a template of a task with a folder, and each is code: it can loop for ever, fill the memory, or
raise anything. Run by `instructsel.rendering`; reads a request a line from standard input and answers each of its jobs with a line.
Imports nothing but the standard library and Jinja.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import re
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

try:
    import resource
except ImportError:  # no such limits on this system
    resource = None  # type: ignore[assignment]

GRACE = 3
"""Seconds of processor time after which the system ends what the interpreter could not interrupt."""
MAX_CAUSE = 200
"""Characters of a cause."""
TUPLE = "\0tuple"
OPAQUE = "\0type"
"""Keys of the marks for values that JSON has no form for."""


class OutOfTime(BaseException):
    """Raised by the timer; no template or filter catches it."""


class Generation(Extension):
    """`{% generation %}` marks what the model writes; its content is rendered as it is, and its place noted as transformers notes it."""

    tags = {"generation"}
    blocks: list[str] = []
    """What a template has written so far, where the places of marks are asked for."""
    places: list[tuple[int, int]] | None = None
    """Where marked text begins and ends; None where nobody asks."""

    def parse(self, parser: Parser) -> Node:
        """The block as a call of `_content`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller: Any) -> str:
        text = str(caller())
        if Generation.places is not None:
            start = sum(map(len, Generation.blocks))
            Generation.places.append((start, start + len(text)))
        return text


def replaced(string: str, pattern: str, repl: str, count: int = 0) -> str:
    """The filter regex_replace of lm-evaluation-harness."""
    return re.sub(pattern, repl, string, count=count)


def found_all(string: str, pattern: str, flags: int = 0) -> list[Any]:
    """All that a pattern matches, for the filters of a task."""
    return re.findall(pattern, string, flags)


def task_environment() -> SandboxedEnvironment:
    """What lm-evaluation-harness gives the templates of its tasks, in a sandbox."""
    sandbox = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    sandbox.filters["regex_replace"] = replaced
    sandbox.filters["regex_findall"] = found_all
    return sandbox


def decoded(entry: dict[str, Any]) -> Any:
    """A value that JSON has no form for, from its mark: a tuple, or what no template may use."""
    if entry.keys() == {TUPLE}:
        return tuple(entry[TUPLE])
    if entry.keys() == {OPAQUE}:
        return StrictUndefined(hint=f"it reads a value of the type {entry[OPAQUE]}; expected text, numbers, lists or mappings")
    return entry


def environment(now: str) -> ImmutableSandboxedEnvironment:
    """What transformers gives a template, at a time that stands still."""
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def raise_exception(message: object) -> None:
        raise TemplateError(str(message))

    def tojson(value: object, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    sandbox.filters["tojson"] = tojson
    sandbox.globals["raise_exception"] = raise_exception
    sandbox.globals["strftime_now"] = datetime.fromisoformat(now).strftime
    return sandbox


@functools.lru_cache(maxsize=32)
def compiled(template: str, now: str | None) -> Template:
    """A template, compiled once: of a model at a time, or of a task where there is none."""
    return (task_environment() if now is None else environment(now)).from_string(template)


def limit_memory(size: int) -> None:
    """Let this process allocate so many bytes more."""
    if resource is None:
        return
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + size, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextlib.contextmanager
def limited_time(seconds: int) -> Any:
    """Raise OutOfTime after so many seconds of processor time; what cannot be interrupted is ended by the system."""
    if resource is None:
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime) + seconds + GRACE
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def out_of_time(number: int, frame: FrameType | None) -> None:
    """The timer's handler."""
    raise OutOfTime


def cause_of(error: BaseException) -> str:
    """An error in a line."""
    try:
        text = str(error).strip().partition("\n")[0][:MAX_CAUSE]
    except Exception:  # an error may be unable to say what it is
        text = ""
    if type(error) is TemplateError and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def rendered(template: Template, arguments: dict[str, Any], *, marks: bool) -> dict[str, Any]:
    """The text, and where marks are asked for, their places in it."""
    if not marks:
        return {"text": template.render(arguments)}
    Generation.blocks, Generation.places = [], []
    try:
        for block in template.generate(arguments):
            Generation.blocks.append(block)
        return {"text": "".join(Generation.blocks), "marks": Generation.places}
    finally:
        Generation.blocks, Generation.places = [], None


def answer(request: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """A job's text, the cause for which the template refuses it, or the limit that it meets."""
    # A template that draws at random draws the same each time.
    random.seed(0)
    try:
        with limited_time(request["seconds"]):
            arguments = request["variables"] | job["arguments"]
            reply = rendered(compiled(request["template"], request["now"]), arguments, marks=job.get("marks", False))
    except OutOfTime:
        return {"limit": "time"}
    except MemoryError:
        return {"limit": "memory"}
    except BaseException as error:  # a template can raise anything
        return {"refused": cause_of(error)}
    return reply if len(reply["text"]) <= job["characters"] else {"limit": "size"}


def main() -> None:
    """Answer requests until there are none."""
    # The parent is told of an interrupt by itself, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if resource is not None:
        signal.signal(signal.SIGPROF, out_of_time)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limited = False
    replies = sys.stdout.buffer
    for line in sys.stdin.buffer:
        request = json.loads(line, object_hook=decoded)
        if not limited:
            limit_memory(request["memory"])
            limited = True
        for job in request["jobs"]:
            try:
                reply = json.dumps(answer(request, job)).encode()
            except MemoryError:
                reply = b'{"limit": "memory"}'
            replies.write(reply + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
