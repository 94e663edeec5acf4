"""Conversations as a chat template renders them: where in the text each response stands, on which the loss falls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from instructsel.grading.regions import Span, Spelled, Turns, end_of_mark, unused, with_end_marked
from instructsel.pool.example import Example
from instructsel.pool.message import ANSWERS
from instructsel.rendering import Job, Refused, Renderer

MOST_TURNS: Final = 1 << 19
"""Turns that are rendered to find the responses of one conversation: each response needs those before it once more."""
MOST_TEXT: Final = 1 << 27
"""Characters that are rendered for the same."""
OPENED: Final = re.compile(r"\s*(?:(?:<[^<>\s][^<>]*>|\[[^\[\]\s]+\]|◁[^◁▷]+▷)\s*)+")
"""Marks and white space alone: what a template that has a model think puts at the end of a prompt, be the mark closed again or not."""
Shared = Callable[[str, str, int], int]


def messages(example: Example) -> Turns:
    """The turns up to the response as templates take them: role and content, and where a turn has them reasoning and calls."""
    return [turn.as_dict() for turn in example.messages[: example.last_answer + 1]]


def tools(example: Example) -> list[Any] | None:
    """The tools of an example as templates take them; None where it has none, or a text that is no JSON."""
    value = None if example.tools is None else example.tools.value
    return [value] if isinstance(value, dict) else value if isinstance(value, list) and value else None


@dataclass(frozen=True)
class Header:
    """What a template writes before a response."""

    prompt: str
    """At the end of a prompt."""
    opened: str
    """The end of it that a response without reasoning does not follow: an opened mark of reasoning, as <think>; "" where there is none."""

    @classmethod
    def of(cls, prompt: str, before: str | None) -> Header:
        """From what stands at the end of a prompt, and before a response.

        >>> Header.of("assistant:<think>\\n", "assistant:").opened, Header.of("bot:", "assistant:").opened
        ('<think>\\n', '')
        """
        opened = "" if not before or not before.strip() else prompt.removeprefix(before)
        return cls(prompt, opened if opened != prompt and OPENED.fullmatch(opened) else "")

    def without(self, text: str) -> str:
        """A prompt without the opened mark at its end."""
        return text.removesuffix(self.opened)


@dataclass(frozen=True)
class Chat:
    """What is rendered of an example."""

    turns: Turns
    tools: list[Any] | None
    untrained: frozenset[int]
    """The numbers of responses on which no loss falls."""
    empty: bool
    """Whether the response holds nothing."""

    @classmethod
    def of(cls, example: Example) -> Chat:
        """Of the turns up to the response."""
        answers = [number for number, turn in enumerate(example.messages[: example.last_answer]) if turn.role in ANSWERS]
        untrained = frozenset(number for number in answers if not example.messages[number].is_trained)
        return cls(messages(example), tools(example), untrained, example.messages[example.last_answer].is_empty)

    @property
    def everything(self) -> Turns:
        """The turns, and the tools as one more."""
        return self.turns if self.tools is None else [*self.turns, {"tools": self.tools}]

    def left_out(self, text: str) -> tuple[str, ...]:
        """What of the row is not in its rendering."""
        names = [(tool.get("function") or tool).get("name") for tool in self.tools or () if isinstance(tool, dict)]
        reasoning = str(self.turns[-1].get("reasoning_content") or "").strip()
        calls = [(call.get("function") or call).get("name") for turn in self.turns for call in turn.get("tool_calls") or ()]
        is_in = {
            "calls": all(str(name) in text for name in calls),
            "tools": all(str(name) in text for name in names),
            "reasoning": reasoning in text,
        }
        return tuple(kind for kind, is_there in is_in.items() if not is_there)

    def check_times(self, times: int) -> None:
        """Refuse a conversation that cannot be rendered so many times.

        Raises:
            Refusal: it is too long for that.
        """
        if times > 1 and (times * len(self.turns) > MOST_TURNS or times * sum(len(turn["content"]) for turn in self.turns) > MOST_TEXT):
            raise Refusal("too_many_turns")

    def job(self, everything: Turns) -> Job:
        """The rendering of turns and tools with other texts."""
        return Job(everything) if self.tools is None else Job(everything[:-1], tools=everything[-1]["tools"])


@dataclass(frozen=True)
class Encoded:
    """An example as a model's tokens."""

    ids: list[int]
    """The conversation up to the last response, the template's special tokens included."""
    loss_mask: list[bool]
    """One for each token: whether the loss falls on it."""
    end: int
    """How many of the loss tokens, at the end, close the turn and are no text of the response."""
    truncated: bool
    """Whether tokens were cut off at `max_length`."""
    reason: str | None = None
    """Why nothing can be trained on it: template_refused (it takes no such roles), not_a_prefix (it rewrites earlier turns), too_many_turns,
    calls_not_rendered (it leaves out calls that are to be trained on), no_response (the response is empty), no_loss_token (the prompt alone fills the length)."""
    control: bool = False
    """Whether a text spells out a special token of the tokenizer; it is read as its letters, not as the token, unless the template
    itself reads it, as a template of models that think reads <think> in a response."""
    cause: str | None = None
    """What the template says where it refuses the conversation."""
    left_out: tuple[str, ...] = ()
    """What the row has and the template leaves out: calls, tools, reasoning (of the response)."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as text."""

    text: str
    spans: list[Span]
    """Where in it the loss falls."""
    end: int
    """Where the last response ends; behind it stands what closes the turn."""
    spelled: list[Span]
    """Where texts of the conversation spell out special tokens."""
    left_out: tuple[str, ...] = ()
    """As of `Encoded`."""


class Jobs:
    """Renderings that a batch of conversations needs, each asked for once."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.texts: list[str | Refused] = []

    def add(self, turns: Turns, tools: list[Any] | None = None, *, generation: bool = False) -> int:
        """Ask for a rendering; its number."""
        return self.ask(Job(turns, generation, tools))

    def ask(self, job: Job) -> int:
        """Ask for a rendering; its number."""
        self.jobs.append(job)
        return len(self.jobs) - 1

    def run(self, renderer: Renderer) -> None:
        """Render all that was asked for and is not there yet."""
        self.texts += renderer.render(self.jobs[len(self.texts) :])

    def optional(self, number: int) -> str | None:
        """A rendering; None where the template refuses it."""
        text = self.texts[number]
        return None if isinstance(text, Refused) else text

    def text(self, number: int) -> str:
        """A rendering.

        Raises:
            Refusal: the template refuses it.
        """
        text = self.texts[number]
        if isinstance(text, Refused):
            raise Refusal("template_refused", text.cause)
        return text


class Refusal(Exception):
    """A conversation that has no mask: why, and what the template says."""

    def __init__(self, reason: str, cause: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


@dataclass(frozen=True)
class Response:
    """The renderings that show where a response stands."""

    last: int
    """Number of its turn."""
    before: int | None
    """The turns before it and its header; None for a response that begins the conversation."""
    prefix: int | None
    """The turns up to it; None for the last of the conversation, where it is all."""
    changed: int | None
    """The turns up to it with other content, where the header is not known otherwise."""
    unchanged: int | None
    """The same with its own content."""


@dataclass(frozen=True)
class Conversation:
    """The renderings that an example needs."""

    chat: Chat
    loss: str
    mark: str
    """A character that stands for the end of the last response."""
    text: int
    """Of all turns."""
    marked: int | None
    """Of all turns, with a mark behind the last response; None where it ends in a call."""
    responses: list[Response]
    """Those that the loss falls on; where it falls on everything, those that it does not fall on."""
    spelled: Spelled | None
    hidden: int | None
    """Of all turns, with special tokens that are spelled out behind marks."""

    @classmethod
    def ask(cls, chat: Chat, loss: str, control: Iterable[str], jobs: Jobs) -> Conversation:
        """Ask for all that can be known to be needed.

        Raises:
            Refusal: it would be too much.
        """
        turns = chat.turns
        numbers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant" and number not in chat.untrained]
        wanted = {"completion": numbers[-1:], "assistant": numbers, "all": sorted(chat.untrained)}[loss]
        chat.check_times(len(wanted))
        text = jobs.add(turns, chat.tools)
        mark = unused(chat.everything)
        spelled = Spelled.of(chat.everything, control)
        return cls(
            chat,
            loss,
            mark,
            text,
            None if "tool_calls" in turns[-1] else jobs.add(with_end_marked(turns, mark), chat.tools),
            [cls._response(chat, number, text, jobs) for number in wanted],
            spelled,
            None if spelled is None else jobs.ask(chat.job(spelled.hidden())),
        )

    @staticmethod
    def _response(chat: Chat, number: int, text: int, jobs: Jobs) -> Response:
        turns, tools = chat.turns, chat.tools
        last = number == len(turns) - 1
        prefix = None if last else jobs.add(turns[: number + 1], tools)
        # No template renders a prompt without turns, and some write no header behind a response.
        follows = not number or turns[number - 1]["role"] == "assistant"
        content = "b" if turns[number]["content"].strip().startswith("a") else "a"
        return Response(
            number,
            before=jobs.add(turns[:number], tools, generation=True) if number else None,
            prefix=prefix,
            changed=jobs.add([*turns[:number], {"role": "assistant", "content": content}], tools) if follows else None,
            unchanged=(text if prefix is None else prefix) if follows else None,
        )

    def rendered(self, jobs: Jobs, header: Callable[[], Header | None], shared: Shared, closing: Callable[[], str]) -> Rendered:
        """The text with the spans on which the loss falls, from header to end of turn.

        Args:
            jobs: with their renderings.
            header: gives what a template writes before a response; None where it is not known.
            shared: how many characters two texts begin with whose tokens are the same.
            closing: gives what it writes after one.

        Raises:
            Refusal: there is none.
        """
        text = jobs.text(self.text)
        for number, turn in enumerate(self.chat.turns):
            is_trained = number == len(self.chat.turns) - 1 or (self.loss != "completion" and number not in self.chat.untrained)
            if is_trained and not all((call.get("function") or call)["name"] in text for call in turn.get("tool_calls", ())):
                raise Refusal("calls_not_rendered")
        spans = [self._span(text, response, jobs, header, shared) for response in self.responses]
        if self.loss == "all":
            # Of everything, nothing hangs on the turns before, so a template that rewrites them is not refused.
            edges = [0, *(edge for span in spans for edge in span), len(text)]
            spans = list(zip(edges[::2], edges[1::2], strict=True))
        marked = None if self.marked is None else jobs.optional(self.marked)
        end = None if marked is None else end_of_mark(text, marked, self.mark)
        if self.marked is None:
            end = len(text.removesuffix(closing()))
        elif end is None:
            response = self.chat.turns[-1]["content"].strip()
            place = text.rfind(response)
            end = place + len(response) if place >= 0 else len(text)
        return Rendered(text, spans, end, [], self.chat.left_out(text))

    @staticmethod
    def _span(text: str, response: Response, jobs: Jobs, header: Callable[[], Header | None], shared: Shared) -> Span:
        prefix = text if response.prefix is None else jobs.text(response.prefix)
        if not text.startswith(prefix):
            raise Refusal("not_a_prefix")
        if response.before is not None:
            before = jobs.text(response.before)
            if text.startswith(before):
                return len(before), len(prefix)
            # TRL trains on what follows the tokens that both have in common; the mark stands in the prompt alone.
            known = header()
            if known is not None and known.opened and before.endswith(known.prompt) and text.startswith(known.without(before)):
                return shared(before, text, len(known.without(before))), len(prefix)
        if response.changed is None or response.unchanged is None:
            raise Refusal("not_a_prefix")
        # Where the text of other content goes another way.
        pairs = enumerate(zip(jobs.text(response.unchanged), jobs.text(response.changed), strict=False))
        begin = next((place for place, (own, other) in pairs if own != other), len(prefix))
        if response.before is not None:
            known = header()
            if known is None or not text[:begin].endswith(known.without(known.prompt)):
                raise Refusal("not_a_prefix")
        return begin, len(prefix)


__all__ = ["Chat", "Conversation", "Encoded", "Header", "Jobs", "Refusal", "Rendered", "messages", "tools"]
