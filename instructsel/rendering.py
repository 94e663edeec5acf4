"""Rendering templates of models and tasks within limits of time, memory and size; those of models on a date that stands still.

A template comes with a model or a task and is code. It is rendered in a child process that this module starts once and asks again and again;
see `_rendering_child`. What a template does wrong stays there: the parent has its text, the cause for which it refuses a
conversation, or the limit that it met.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel import _rendering_child
from instructsel.errors import ModelRefused, UsageError
from instructsel.guarded import GuardedChild, pipe_of

TEMPLATE_DATE: Final = "2024-07-26"
"""The date that templates are told unless another is asked for: what Llama 3.1's falls back to."""
SECONDS: Final = 5
"""Seconds of processor time that a template has for a conversation."""
MEMORY: Final = 512 << 20
"""Bytes that a template may use."""
SPARE: Final = 1 << 20
"""Characters that a rendering may have beside RATIO for each of the conversation's."""
RATIO: Final = 16
MAX_BATCH: Final = 4 << 20
"""Characters of conversations that are sent at a time."""
OTHER_DATES: Final = ("2001-02-03T04:05:06", "2098-11-28T23:59:57")
"""Two that differ in all that can be written of a date."""
REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""Names that templates have for the reasoning of a turn, as in transformers."""
ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

Turns = Sequence[Mapping[str, Any]]
"""Messages with role and content."""


@dataclass(frozen=True)
class Job:
    """A conversation to render."""

    turns: Turns
    """Its messages."""
    generation: bool = False
    """Whether the header of a response follows."""
    tools: Sequence[Mapping[str, Any]] | None = None
    """JSON schemas of the tools that the model may call."""

    def arguments(self) -> dict[str, Any]:
        """What the template is given, as transformers gives it: without what is None, reasoning under each of its names."""
        messages: list[dict[str, Any]] = []
        for turn in self.turns:
            message = {key: value for key, value in turn.items() if value is not None}
            reasoning = next((message[key] for key in REASONING if key in message), None)
            if reasoning is not None:
                message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
            messages.append(message)
        return {"messages": messages, "tools": self.tools, "add_generation_prompt": self.generation}


@dataclass(frozen=True)
class Refused:
    """A conversation that a template does not take."""

    cause: str
    """What it raises, in a line."""


@dataclass(frozen=True)
class Marked:
    """A rendered conversation with what its template marks as generated."""

    text: str
    """All of it."""
    spans: tuple[tuple[int, int], ...]
    """Where marked text begins and ends, in characters."""


def checked_date(text: str) -> str:
    """A date as YYYY-MM-DD.

    Raises:
        UsageError: it is none.
    """
    try:
        if not ISO.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"The date of chat templates is {text!r}; it is written as YYYY-MM-DD.", fix=f"For example: {TEMPLATE_DATE}"
        ) from error


@dataclass(frozen=True, eq=False)
class Renderer:
    """A chat template with the special tokens that it writes."""

    name: str
    """The model's, for messages."""
    template: str = field(repr=False)
    """Jinja."""
    variables: Mapping[str, Any]
    """bos_token, eos_token, … as the template names them."""
    date: str = TEMPLATE_DATE
    """What the template is told that today is, as YYYY-MM-DD."""

    def __post_init__(self) -> None:
        checked_date(self.date)

    def render(self, jobs: Iterable[Job]) -> list[str | Refused]:
        """The text of each conversation, or why the template refuses it.

        Raises:
            ModelRefused: the template does not end, or fills the memory: it needs more than SECONDS of processor time, more than
                MEMORY, or writes more than RATIO characters for each of the conversation's and SPARE beside.
            EnvironmentFault: the process that renders cannot be started.
        """
        return self._render(jobs, f"{self.date}T00:00:00")

    def render_marked(self, jobs: Iterable[Job]) -> list[Marked | Refused]:
        """The same, each with what the template marks as generated, by transformers' own count of characters.

        Raises:
            ModelRefused, EnvironmentFault: as of `render`.
        """
        replies = self._replies(jobs, f"{self.date}T00:00:00", marks=True)
        return [
            Marked(reply["text"], tuple((start, stop) for start, stop in reply["marks"])) if "text" in reply else Refused(reply["refused"])
            for reply in replies
        ]

    @cached_property
    def uses_date(self) -> bool:
        """Whether the date changes what is rendered: some conversations are rendered on two dates."""
        contents = {"system": "b", "user": "a", "assistant": "c"}
        conversations = [
            [{"role": role, "content": contents[role]} for role in roles]
            for roles in (
                ("user",),
                ("user", "assistant"),
                ("system", "user", "assistant"),
                ("user", "assistant", "user", "assistant"),
                ("assistant",),
            )
        ]
        tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
        jobs = [Job(turns, generation=turns[-1]["role"] == "user", tools=tools) for turns in conversations for tools in (None, [tool])]
        first, second = (self._render(jobs, now) for now in OTHER_DATES)
        return first != second

    @property
    def dated(self) -> dict[str, str]:
        """What of the date belongs into a fingerprint: nothing where the template does not write it."""
        return {"template_date": self.date} if self.uses_date else {}

    def _render(self, jobs: Iterable[Job], now: str) -> list[str | Refused]:
        return [reply["text"] if "text" in reply else Refused(reply["refused"]) for reply in self._replies(jobs, now)]

    def _replies(self, jobs: Iterable[Job], now: str, *, marks: bool = False) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = []
        batch: list[str] = []
        size = 0
        for job in jobs:
            arguments = json.dumps(job.arguments(), default=_inert)
            asked = ', "marks": true' if marks else ""
            batch.append(f'{{"arguments": {arguments}, "characters": {SPARE + RATIO * len(arguments)}{asked}}}')
            size += len(arguments)
            if size > MAX_BATCH:
                replies += self._answers(batch, now)
                batch, size = [], 0
        return replies + (self._answers(batch, now) if batch else [])

    def _answers(self, batch: list[str], now: str) -> list[dict[str, Any]]:
        request = {
            "template": self.template,
            "variables": {"documents": None, **self.variables},
            "now": now,
            "seconds": SECONDS,
            "memory": MEMORY,
        }
        jobs = ", ".join(batch)
        replies = _Child.mine().ask(f'{json.dumps(request, default=_inert)[:-1]}, "jobs": [{jobs}]}}'.encode(), len(batch))
        met = next((reply["limit"] for reply in replies if "limit" in reply), None)
        if met is not None:
            raise ModelRefused(f"The chat template of {self.name} {_limit(met, 'conversation')}.", fix=FIX)
        return replies


FIX: Final = "Give the model a template that ends, as chat_template.jinja in its folder; or use another model."


def _limit(kind: str, what: str) -> str:
    """The limit that a template meets, in words.

    Args:
        kind: as the process that renders calls it.
        what: it is rendered for.
    """
    limits = {
        "time": f"does not end: it takes more than {SECONDS} s of processor time for a {what}",
        "memory": f"takes more than {MEMORY >> 20} MiB of memory for a {what}",
        "size": f"writes more than {RATIO} times what a {what} says and {SPARE:,} characters beside",
        "crash": "ends the process that renders it",
    }
    return limits[kind]


@dataclass(frozen=True)
class TaskTemplate:
    """A template of a task of lm-evaluation-harness: Jinja over the fields of a row."""

    template: str = field(repr=False)
    """Jinja."""

    name: str | None = None
    """What it is called in messages; by default what it begins with."""

    def render(self, /, **fields: Any) -> str:
        """The text for a row.

        Args:
            fields: of the row. What is neither text, number, list nor mapping may be there, and is no template's to use.

        Raises:
            UsageError: the template refuses the row, does not end, fills the memory or writes without end.
            EnvironmentFault: the process that renders cannot be started.
        """
        try:
            row = json.dumps(_marked(fields))
            template = json.dumps(self.template)
        except (RecursionError, ValueError) as error:
            raise UsageError("A row of a task is nested too deeply for a template.", fix=TASK_FIX) from error
        characters = SPARE + RATIO * (len(row) + len(template))
        request = (
            f'{{"template": {template}, "variables": {{}}, "now": null, "seconds": {SECONDS}, "memory": {MEMORY}, '
            f'"jobs": [{{"arguments": {row}, "characters": {characters}}}]}}'
        )
        (reply,) = _Child.mine().ask(request.encode(), 1)
        if "text" in reply:
            return str(reply["text"])
        why = f"refuses a row: {reply['refused']}" if "refused" in reply else _limit(reply["limit"], "row")
        name = self.name or f"The template {self.template[:60]!r} of a task"
        raise UsageError(f"{name} {why}.", fix=TASK_FIX)


@dataclass(frozen=True)
class TaskPattern:
    """A regular expression of a task, which looks through what a model wrote within the limits of a template."""

    pattern: str
    """As of `re`."""
    flags: int = 0
    """As of `re`."""

    def findall(self, text: str) -> list[Any]:
        """What `re.findall` gives.

        Raises:
            UsageError: it does not end, or fills the memory.
        """
        written = self._rendered("{{ text | regex_findall(pattern, flags) | tojson }}", text)
        return [tuple(match) if isinstance(match, list) else match for match in json.loads(written)]

    def sub(self, replacement: str, text: str) -> str:
        """What `re.sub` gives.

        Raises:
            UsageError: it does not end, or fills the memory.
        """
        return self._rendered("{{ text | regex_replace(pattern, replacement) }}", text, replacement=replacement)

    def _rendered(self, template: str, text: str, **fields: Any) -> str:
        named = TaskTemplate(template, f"The pattern {self.pattern[:60]!r} of a task")
        return named.render(text=str(text), pattern=self.pattern, flags=int(self.flags), **fields)


TASK_FIX: Final = "Mend the task's file."


def _marked(value: Any) -> Any:
    """A value as JSON has it, with marks where JSON has no form for it; see `_rendering_child.decoded`."""
    kind = type(value)
    if value is None or kind in (str, bool, int, float):
        return value
    if kind is list:
        return [_marked(part) for part in value]
    if kind is tuple:
        return {_rendering_child.TUPLE: [_marked(part) for part in value]}
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _marked(part) for key, part in value.items()}
    return {_rendering_child.OPAQUE: kind.__name__}


def _inert(value: object) -> str:
    """What is no plain data, by the name of its type, as in transformers."""
    return f"<{type(value).__name__}>"


class _Child(GuardedChild):
    """The process that renders; restarted when a template has ended it."""

    program: ClassVar[Path] = Path(_rendering_child.__file__)
    does: ClassVar[str] = "renders templates"

    def environment(self) -> Mapping[str, str]:
        """Its own time zone, hash seed and modules: what is rendered hangs on none of this machine's settings."""
        return {**os.environ, "PYTHONHASHSEED": "0", "TZ": "UTC"}

    def ask(self, request: bytes, count: int) -> list[dict[str, Any]]:
        """The replies to the jobs of a request; up to the one that met a limit."""
        with self.lock:
            try:
                return self._replies(request, count)
            except BaseException:
                # Who is interrupted between question and answer leaves answers in the pipe.
                self.close(kill=True)
                raise

    def _replies(self, request: bytes, count: int) -> list[dict[str, Any]]:
        process = self.send(request)
        replies: list[dict[str, Any]] = []
        while len(replies) < count:
            line = pipe_of(process.stdout).readline()
            if not line.endswith(b"\n"):
                replies.append({"limit": self._ended(process)})
                break
            replies.append(json.loads(line))
            if "limit" in replies[-1]:
                # It would go on with the other jobs, each up to the limit.
                self.close(kill=True)
                break
        return replies

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        why = self.why_ended(process)
        self.close()
        return why


__all__ = ["TEMPLATE_DATE", "Job", "Marked", "Refused", "Renderer", "TaskPattern", "TaskTemplate", "checked_date"]
