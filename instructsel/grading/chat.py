"""How an example is written for a model, and on which of its tokens the loss falls: the same for training and for grading."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from instructsel.errors import ModelUnavailable, UsageError
from instructsel.extras import require
from instructsel.models.load import quiet
from instructsel.pool.example import ANSWERS, Example, Message

LOSSES: Final = ("completion", "assistant", "all")
"""Where the loss falls: on the last response, on every response, on everything."""

TULU: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\\n' }}{% generation %}{{ message['content'] | trim + eos_token }}{% endgeneration %}"
    "{{ '' if loop.last else '\\n' }}"
    "{% else %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""The chat format of Tülu (arXiv 2306.04751, open-instruct e44fcf58) for models that bring none: markers are ordinary text, every
response ends in the end-of-sequence token. A beginning-of-sequence token stands first where the tokenizer has one. Unlike the
original, the line break after an earlier response is not trained on, as in today's open-instruct."""

BATCH: Final = 512
MARK: Final = "zqx"
"""A text that no chat template writes, to see what one writes after a response."""
PROBES: Final = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("assistant",),
)
"""Roles of conversations, of which a template takes at least one."""


def messages(example: Example) -> list[dict[str, str]]:
    """The turns up to the last response as role and content; a call the model wrote is an assistant turn."""
    return [_turn(turn) for turn in example.messages[: example.last_answer + 1]]


def _turn(turn: Message) -> dict[str, str]:
    return {"role": "assistant" if turn.role in ANSWERS else turn.role, "content": turn.content}


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
    """Why nothing can be trained on it: template_refused (it takes no such roles), not_a_prefix (it rewrites earlier turns),
    no_response (the response is empty), no_loss_token (the prompt alone fills the length)."""
    control: bool = False
    """Whether a text spells out a special token of the tokenizer; it is read as its letters, not as the token."""


@dataclass(frozen=True)
class _Rendered:
    """A conversation as text."""

    text: str
    spans: list[tuple[int, int]]
    """Where in it the loss falls."""
    response: int
    """Where the last response begins."""


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """A tokenizer and its chat template. Make one with ChatTemplate.load."""

    tokenizer: Any
    """transformers' fast tokenizer; its chat template is set, to Tülu's where it brings none."""
    fallback: bool
    """Whether the template is Tülu's because the tokenizer brings none."""

    @classmethod
    def load(cls, folder: str | Path) -> ChatTemplate:
        """The chat template of a model's folder.

        Raises:
            ModelUnavailable: no readable fast tokenizer, or one without an end-of-sequence token.
        """
        transformers = require("transformers", needed_by="the chat template")
        try:
            with quiet():
                tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the library raises nothing narrower
            raise ModelUnavailable(
                f"{Path(folder).name} has no tokenizer that transformers can load: {str(error).splitlines()[0][:200]}",
                fix="Name a folder with tokenizer.json and tokenizer_config.json.",
            ) from error
        return cls.of(tokenizer)

    @classmethod
    def of(cls, tokenizer: Any) -> ChatTemplate:
        """The chat template of a loaded tokenizer, which is given Tülu's template where it has none.

        Raises:
            ModelUnavailable: it is no fast tokenizer, or has no end-of-sequence token.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise ModelUnavailable(
                "The tokenizer is no fast one, so its tokens cannot be located in the text.",
                fix="Save its fast form: AutoTokenizer.from_pretrained(…).save_pretrained(…)",
            )
        if tokenizer.eos_token is None:
            raise ModelUnavailable(
                "The tokenizer has no end-of-sequence token, so no response could end.", fix="Set eos_token in tokenizer_config.json."
            )
        fallback = not tokenizer.chat_template
        if fallback:
            tokenizer.chat_template = TULU if tokenizer.bos_token is not None else TULU.removeprefix("{{ bos_token }}")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(tokenizer, fallback)

    def encode(self, example: Example, *, loss: str = "completion", max_length: int | None = None) -> Encoded:
        """One example; see `encode_all`."""
        return next(iter(self.encode_all([example], loss=loss, max_length=max_length)))

    def encode_all(self, examples: Iterable[Example], *, loss: str = "completion", max_length: int | None = None) -> Iterator[Encoded]:
        """Examples as tokens, in order.

        The whole conversation is rendered and tokenized at once, and the loss falls on a token if it lies within a response.
        What a template writes before a response (its header) belongs to the prompt, what it writes after one (the end of turn) to
        the response. A token that reaches from the prompt into the response belongs to the prompt.

        Args:
            examples: rendered up to their last response.
            loss: completion: the last response; assistant: every response; all: everything.
            max_length: tokens kept, from the beginning; None keeps all.

        Raises:
            UsageError: another `loss`.
        """
        if loss not in LOSSES:
            raise UsageError.named(loss, LOSSES, noun="loss")
        remaining = iter(examples)
        while batch := list(itertools.islice(remaining, BATCH)):
            conversations = [messages(example) for example in batch]
            rendered = [self._render(turns, loss) for turns in conversations]
            texts = [rendering.text for rendering in rendered if isinstance(rendering, _Rendered)]
            tokens = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False) if texts else None
            tokenized = iter(zip(tokens["input_ids"], tokens["offset_mapping"], strict=True) if tokens is not None else ())
            for turns, rendering in zip(conversations, rendered, strict=True):
                if isinstance(rendering, str):
                    yield Encoded([], [], 0, truncated=False, reason=rendering, control=self._spells_control(turns))
                else:
                    yield self._encoded(*next(tokenized), rendering, turns, max_length)

    def text(self, example: Example) -> str | None:
        """What a model sees of an example, up to its last response; None where the template takes no such conversation."""
        jinja2 = require("jinja2", needed_by="the chat template")
        try:
            return str(self.tokenizer.apply_chat_template(messages(example), tokenize=False))
        except (jinja2.TemplateError, TypeError, ValueError):
            return None

    def prompt(self, turns: Sequence[dict[str, str]]) -> str:
        """What a model responds to: the turns and the header of a response.

        Raises:
            jinja2.TemplateError: the template refuses the turns.
        """
        return str(self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True))

    def _render(self, turns: list[dict[str, str]], loss: str) -> _Rendered | str:
        """The text with the spans on which the loss falls, from header to end of turn; or why there is none."""
        jinja2 = require("jinja2", needed_by="the chat template")
        if not turns[-1]["content"].strip():
            return "no_response"
        responses = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
        try:
            text = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
            if loss == "all":
                # Nothing of the mask hangs on the turns before, so a template that rewrites them is not refused.
                return _Rendered(text, [(0, len(text))], self._header(text, turns))
            spans: list[tuple[int, int]] = []
            for number in responses if loss == "assistant" else responses[-1:]:
                begin = self._begin(text, turns[: number + 1])
                prefix = text if number == len(turns) - 1 else str(self.tokenizer.apply_chat_template(turns[: number + 1], tokenize=False))
                if begin is None or not text.startswith(prefix):
                    return "not_a_prefix"
                spans.append((begin, len(prefix)))
        except (jinja2.TemplateError, TypeError, ValueError):
            return "template_refused"
        return _Rendered(text, spans, spans[-1][0])

    def _begin(self, text: str, turns: list[dict[str, str]]) -> int | None:
        """Where in the text the last of the turns begins, behind its header; None where its header is not in the text."""
        if len(turns) == 1:
            # No template renders a prompt without turns.
            return self._header(text, turns)
        before = self.prompt(turns[:-1])
        return len(before) if text.startswith(before) else None

    def _header(self, text: str, turns: list[dict[str, str]]) -> int:
        """Where in the text the content of the last of the turns begins: where the text of other content goes another way."""
        other = {**turns[-1], "content": "b" if turns[-1]["content"].strip().startswith("a") else "a"}
        parted = zip(text, str(self.tokenizer.apply_chat_template([*turns[:-1], other], tokenize=False)), strict=False)
        return next((place for place, (mine, theirs) in enumerate(parted) if mine != theirs), len(text))

    def _encoded(
        self,
        ids: list[int],
        offsets: list[tuple[int, int]],
        rendered: _Rendered,
        turns: list[dict[str, str]],
        max_length: int | None,
    ) -> Encoded:
        """The tokens of a rendered conversation with their loss mask.

        Args:
            ids: tokens of the text.
            offsets: where each begins and ends in the text.
            rendered: the text.
            turns: of the conversation.
            max_length: tokens that stay, from the beginning.
        """
        control = self._spells_control(turns)
        if control:
            ids, offsets = self._respelled(ids, offsets, rendered.text, turns)
        trained = [False] * len(ids)
        for begin, finish in rendered.spans:
            for number, (start, stop) in enumerate(offsets):
                trained[number] |= begin <= start and stop <= finish
        # The end of turn begins where the response's text does not go on.
        response = turns[-1]["content"].strip()
        place = rendered.text.find(response, rendered.response)
        closed = place + len(response) if place >= 0 else len(rendered.text)
        end = sum(1 for number, (start, _) in enumerate(offsets) if trained[number] and start >= closed)
        cut = max_length is not None and len(ids) > max_length
        if cut:
            end = max(0, end - sum(trained[max_length:]))
            ids, trained = ids[:max_length], trained[:max_length]
        # The first token has nothing before it to be predicted from.
        reason = None if any(trained[1:]) else "no_loss_token"
        return Encoded(list(ids), trained, end, truncated=cut, reason=reason, control=control)

    @cached_property
    def closing(self) -> str:
        """What the template writes after the last response of a conversation; empty where it takes none of the probes."""
        return self._closed[0]

    @property
    def end_of_turn(self) -> tuple[int, ...]:
        """The token that says a response is over, as the template is trained: the first special token after it.

        Empty where the end of a turn is ordinary text (then `end_text` has it) or where the template writes none. Added tokens that
        the tokenizer does not call special count where there is no special one.
        """
        return self._closed[1]

    @property
    def end_text(self) -> str:
        """The text of the end of turn: of its token, or of all that is written after a response, without white space at its end."""
        return self._closed[2]

    @cached_property
    def _closed(self) -> tuple[str, tuple[int, ...], str]:
        """Text after a response, tokens of the end of turn, its text: learnt by rendering a response that ends in a mark."""
        jinja2 = require("jinja2", needed_by="the chat template")
        for roles in PROBES:
            turns = [{"role": role, "content": MARK if role == "assistant" else "a"} for role in roles]
            try:
                text = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
            except (jinja2.TemplateError, TypeError, ValueError):
                continue
            before, mark, closing = text.rpartition(MARK)
            if not mark:
                continue
            tokens = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            behind = [
                number
                for number, (start, stop) in zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
                if len(before) + len(MARK) <= start < stop
            ]
            added = {number: token.content for number, token in self.tokenizer.added_tokens_decoder.items() if token.content.strip()}
            for known in (self.control, added):
                end = next((number for number in behind if number in known), None)
                if end is not None:
                    return closing, (end,), known[end]
            return closing, (), closing.rstrip()
        return "", (), ""

    @cached_property
    def control(self) -> dict[int, str]:
        """The tokenizer's special tokens, id → text."""
        added = {number: str(token) for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        return {**added, **dict(zip(self.tokenizer.all_special_ids, self.tokenizer.all_special_tokens, strict=True))}

    def _spells_control(self, turns: Sequence[dict[str, str]]) -> bool:
        return any(token in turn["content"] for turn in turns for token in self.control.values())

    def _respelled(
        self, ids: list[int], offsets: list[tuple[int, int]], text: str, turns: Sequence[dict[str, str]]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens in which a special token stands where the template put it and nowhere else.

        A text that spells one out means its letters: read as the token it could end a turn or begin one of another role.
        """
        regions: list[tuple[int, int]] = []
        cursor = 0
        for turn in turns:
            # A template may strip a turn.
            contents = (turn["content"], turn["content"].strip())
            content = next((content for content in contents if content and text.find(content, cursor) >= 0), None)
            if content is not None:
                place = text.find(content, cursor)
                cursor = place + len(content)
                regions.append((place, cursor))
        spelled: list[int] = []
        places: list[tuple[int, int]] = []
        for number, (start, stop) in zip(ids, offsets, strict=True):
            if number in self.control and start < stop and any(begin <= start and stop <= finish for begin, finish in regions):
                letters = self._letters(text[start:stop])
                spelled += [token for token, _ in letters]
                places += [(start + first, start + last) for _, (first, last) in letters]
            else:
                spelled.append(number)
                places.append((start, stop))
        return spelled, places

    def _letters(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """A special token's text as the tokens of its letters, with their places in it."""
        backend = self.tokenizer.backend_tokenizer
        before = backend.encode_special_tokens
        backend.encode_special_tokens = True
        try:
            encoding = backend.encode(text, add_special_tokens=False)
        finally:
            backend.encode_special_tokens = before
        return list(zip(encoding.ids, encoding.offsets, strict=True))


__all__ = ["LOSSES", "TULU", "ChatTemplate", "Encoded"]
