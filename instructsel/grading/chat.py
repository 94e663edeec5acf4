"""How an example is written for a model, and on which of its tokens the loss falls: the same for training and for grading."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from instructsel.errors import ModelUnavailable, TemplateRefused, UsageError
from instructsel.extras import require
from instructsel.grading import tulu
from instructsel.grading.regions import Span, Turns, all_texts, overlaps
from instructsel.grading.responses import Chat, Conversation, Encoded, Header, Jobs, Refusal, Rendered, messages, tools
from instructsel.models.foreign import first_line, refusing
from instructsel.models.load import quiet
from instructsel.pool.example import Example
from instructsel.rendering import TEMPLATE_DATE, Job, Refused, Renderer

LOSSES: Final = ("completion", "assistant", "tulu-1", "all")
"""Where the loss falls: on the last response, on every response, as in the first release of Tülu (see `tulu`), on everything."""

TULU: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\\n' }}{% generation %}{{ message['content'] | trim + eos_token }}{% endgeneration %}"
    "{{ '' if loop.last and not add_generation_prompt else '\\n' }}"
    "{% else %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""The chat format of Tülu (arXiv 2306.04751, open-instruct e44fcf58) for models that bring none: markers are ordinary text, every
response ends in the end-of-sequence token. A beginning-of-sequence token stands first where the tokenizer has one. Unlike the
original, the line break after an earlier response is not trained on, as in today's open-instruct; the loss tulu-1 is the original's."""

BATCH: Final = 512
CUT_AT: Final = 8
"""Beginnings of a conversation that are tokenized at once where it is cut off."""
FEW: Final = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
"""Of what transformers makes of an encoding, the tokens alone."""
MARK: Final = "zqx"
"""A text that no chat template writes, to see what one writes after a response."""
PROBES: Final = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("assistant",),
)
"""Roles of conversations, of which a template takes at least one."""
CONTINUE: Final = "CONTINUE_FINAL_MESSAGE_TAG "
"""What transformers puts behind a message that is to be continued."""


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """A tokenizer and its chat template. Make one with ChatTemplate.load."""

    tokenizer: Any
    """transformers' fast tokenizer; its chat template is set, to Tülu's where it brings none."""
    fallback: bool
    """Whether the template is Tülu's because the tokenizer brings none."""
    name: str = "the model"
    """The model's, for messages."""
    date: str = TEMPLATE_DATE
    """What the template is told that today is, as YYYY-MM-DD: what is trained and graded does not hang on the day."""

    @classmethod
    def load(cls, folder: str | Path, *, date: str = TEMPLATE_DATE) -> ChatTemplate:
        """The chat template of a model's folder.

        Raises:
            ModelUnavailable: no readable fast tokenizer, or one without an end-of-sequence token or with a template that is no text.
            UsageError: a date that is none.
        """
        transformers = require("transformers", needed_by="the chat template")
        try:
            with quiet():
                tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises nothing narrower, and a panic of its is no Exception
            raise ModelUnavailable(
                f"{Path(folder).name} has no tokenizer that transformers can load: {first_line(error)}",
                fix="Name a folder with tokenizer.json and tokenizer_config.json.",
            ) from error
        return cls.of(tokenizer, name=Path(folder).name, date=date)

    @classmethod
    def of(cls, tokenizer: Any, *, name: str = "the model", date: str = TEMPLATE_DATE) -> ChatTemplate:
        """The chat template of a loaded tokenizer, which is given Tülu's template where it has none.

        Raises:
            ModelUnavailable: it is no fast tokenizer, or has no end-of-sequence token, or a template that is no text.
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
        template = cls(tokenizer, fallback, name, date)
        _ = template.renderer
        return template

    @cached_property
    def renderer(self) -> Renderer:
        """What renders conversations, within limits and on the template's date."""
        try:
            template = self.tokenizer.get_chat_template()
        except ValueError:
            template = None
        if not isinstance(template, str):
            raise ModelUnavailable(
                f"{self.name} has no chat template of its own by default, or one that is no text.",
                fix="Write the one to be used to chat_template.jinja in its folder.",
            )
        variables = {
            name: token if isinstance(token, str | list) else str(token) for name, token in self.tokenizer.special_tokens_map.items()
        }
        return Renderer(self.name, template, variables, self.date)

    @cached_property
    def is_tulu(self) -> bool:
        """Whether the template writes Tülu's format, whatever it is called; white space at the end aside."""
        conversations = [[{"role": role, "content": f"{role} {number}"} for number, role in enumerate(roles)] for roles in tulu.PROBES]
        texts = self.renderer.render([*map(Job, conversations), Job(conversations[0], generation=True)])
        end = self.tokenizer.eos_token
        expected = [tulu.rendered(turns, end) for turns in conversations]
        expected.append(tulu.rendered(conversations[0], end, generation=True).strip())
        bos = self.tokenizer.bos_token or ""
        return all(isinstance(text, str) and text.removeprefix(bos).strip() == wanted for text, wanted in zip(texts, expected, strict=True))

    def fitted(self, loss: str) -> ChatTemplate:
        """The chat template that examples are trained in under a loss: itself, or for tulu-1 Tülu's as its code had it.

        The original leaves the beginning-of-sequence token to the tokenizer's default. Where the template differs from that, the tokenizer
        is given Tülu's template with it or without, so that a checkpoint is asked in what it was trained in.

        Raises:
            UsageError: tulu-1 of a tokenizer whose own template is another one.
        """
        if loss != tulu.TULU_1:
            return self
        self._check_tulu()
        bos = self.tokenizer.bos_token
        text = self.renderer.render([Job([{"role": "user", "content": "a"}])])[0]
        has_bos = bool(bos) and isinstance(text, str) and text.startswith(bos)
        adds_bos = bos is not None and self.tokens("a", special=True)[0][:1] == [self.tokenizer.bos_token_id]
        if has_bos == adds_bos:
            return self
        self.tokenizer.chat_template = TULU if adds_bos else TULU.removeprefix("{{ bos_token }}")
        return ChatTemplate(self.tokenizer, self.fallback, self.name, self.date)

    def _check_tulu(self) -> None:
        """Refuse a template of another format than Tülu's.

        Raises:
            UsageError: it is one.
        """
        if not self.is_tulu:
            raise UsageError(
                f"The loss {tulu.TULU_1} is of Tülu's chat format, and {self.name} has a chat template of another one.",
                fix="Write the loss assistant, which trains in that template; or take the template out of a copy of the model.",
            )

    @property
    def dated(self) -> dict[str, str]:
        """What of the date belongs into a fingerprint: `template_date`, or nothing where the template does not write it."""
        return self.renderer.dated

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
            loss: completion: the last response; assistant: every response; tulu-1: as in the first release of Tülu, all turns of
                a conversation and the tokens that the tokenizer adds by default; all: everything.
            max_length: tokens kept, from the beginning; None keeps all.

        Raises:
            UsageError: another `loss`, or tulu-1 in a template that is not Tülu's.
            ModelRefused: a template that does not end or fills the memory, or a tokenizer that fails.
        """
        if loss not in LOSSES:
            raise UsageError.named(loss, LOSSES, noun="loss")
        if loss == tulu.TULU_1:
            self._check_tulu()
            yield from self._encoded_as_tulu_1(examples, max_length)
            return
        remaining = iter(examples)
        while batch := list(itertools.islice(remaining, BATCH)):
            conversations = [Chat.of(example) for example in batch]
            rendered = self._rendered(conversations, loss)
            texts = [rendering.text for rendering in rendered if isinstance(rendering, Rendered)]
            tokenized = iter(self.all_tokens(texts))
            for chat, rendering in zip(conversations, rendered, strict=True):
                control = self._spells_control(chat.everything)
                if isinstance(rendering, Refusal):
                    yield Encoded([], [], 0, truncated=False, reason=rendering.reason, control=control, cause=rendering.cause)
                else:
                    yield self._encoded(*next(tokenized), rendering, max_length, control=control)

    def _encoded_as_tulu_1(self, examples: Iterable[Example], max_length: int | None) -> Iterator[Encoded]:
        """Examples with the mask of the first release of Tülu, in order; special tokens that a text spells out are letters here, too."""
        remaining = iter(examples)
        while batch := list(itertools.islice(remaining, BATCH)):
            conversations: list[tulu.Written | Refusal] = []
            for example in batch:
                try:
                    conversations.append(self._written(example))
                except Refusal as refusal:
                    conversations.append(refusal)
            texts = [conversation.stripped for conversation in conversations if isinstance(conversation, tulu.Written)]
            tokenized = iter(self.all_tokens(texts, special=True))
            for example, conversation in zip(batch, conversations, strict=True):
                control = self._spells_control(Chat.of(example).everything)
                if isinstance(conversation, Refusal):
                    yield Encoded([], [], 0, truncated=False, reason=conversation.reason, control=control, cause=conversation.cause)
                else:
                    yield self._tulu_1(example, conversation, *next(tokenized), max_length, control=control)

    def _written(self, example: Example) -> tulu.Written:
        """All turns of an example in Tülu's format.

        Raises:
            Refusal: it has other roles, calls to be trained on, no response, or more turns than can be tokenized one by one.
        """
        chat = Chat.of(example)
        if chat.empty:
            raise Refusal("no_response")
        if any(turn.is_trained and turn.tool_calls for turn in example.messages):
            raise Refusal("calls_not_rendered")
        try:
            conversation = tulu.written([turn.as_dict() for turn in example.messages], self.tokenizer.eos_token)
        except UsageError as error:
            raise Refusal("template_refused", error.message) from error
        chat.check_times(1 + sum(not turn.is_trained for turn in example.messages))
        return conversation

    def _tulu_1(
        self, example: Example, conversation: tulu.Written, ids: list[int], offsets: list[Span], max_length: int | None, *, control: bool
    ) -> Encoded:
        """The tokens of a conversation in Tülu's format with the mask of its first release.

        Args:
            example: the conversation.
            conversation: it, in the format.
            ids: tokens of the text.
            offsets: where each begins and ends in the text.
            max_length: tokens that stay, from the beginning.
            control: whether a text spells out a special token.
        """
        parts = tulu.masked_parts(conversation, [turn.is_trained for turn in example.messages])
        counts = self._counts(conversation, parts, max_length, control=control)
        if control:
            ids, offsets = self._as_letters(conversation, len(conversation.text), ids, offsets)
        is_cut = max_length is not None and len(ids) > max_length
        if max_length is not None and is_cut:
            # What the tokenizer puts behind any text stays.
            closing = min(self._added_behind, max_length)
            stay = [*range(max_length - closing), *range(len(ids) - closing, len(ids))]
            ids, offsets = [ids[number] for number in stay], [offsets[number] for number in stay]
        mask = tulu.loss_mask(len(ids), parts, counts, max_length)
        closed = conversation.contents[example.last_answer][1]
        end = sum(1 for is_on, (start, stop) in zip(mask, offsets, strict=True) if is_on and closed <= start < stop)
        reason = None if any(mask[1:]) else "no_loss_token"
        left_out = Chat.of(example).left_out(conversation.text)
        return Encoded(list(ids), mask, end, truncated=is_cut, reason=reason, control=control, left_out=left_out)

    def _counts(self, conversation: tulu.Written, parts: Sequence[Span], max_length: int | None, *, control: bool) -> dict[int, int]:
        """Place in the text → tokens of the text up to there, cut off like the whole: for all edges of parts up to the first that is cut off."""
        counts: dict[int, int] = {}
        places = [place for place in dict.fromkeys(place for part in parts for place in part) if place]
        # A long conversation of which little stays is not tokenized over and over.
        room = CUT_AT if max_length is not None else len(places)
        for start in range(0, len(places), max(1, room)):
            listed = places[start : start + room]
            for place, (ids, spans) in zip(
                listed, self.all_tokens([conversation.text[:place] for place in listed], special=True), strict=True
            ):
                n_tokens = len(self._as_letters(conversation, place, ids, spans)[0]) if control else len(ids)
                counts[place] = n_tokens if max_length is None else min(n_tokens, max_length)
            if max_length is not None and counts[listed[-1]] >= max_length:
                # No loss mask looks further; what is beyond is as long as the whole.
                return {**dict.fromkeys(places, max_length), **counts}
        return counts

    def _as_letters(self, conversation: tulu.Written, until: int, ids: list[int], offsets: list[Span]) -> tuple[list[int], list[Span]]:
        """Tokens of a text up to a place, with special tokens that contents spell out as letters."""
        spans = tulu.spelled(conversation, self.control.values(), until)
        return self._respelled(ids, offsets, Rendered(conversation.text, [], 0, spans)) if spans else (ids, offsets)

    @cached_property
    def _added_behind(self) -> int:
        """How many tokens the tokenizer puts behind any text."""
        _, offsets = self.tokens("a", special=True)
        return next((number for number, (start, stop) in enumerate(reversed(offsets)) if start < stop), 0)

    def text(self, example: Example) -> str | None:
        """What a model sees of an example, up to its last response; None where the template takes no such conversation."""
        text = self.renderer.render([Job(messages(example), tools=tools(example))])[0]
        return None if isinstance(text, Refused) else text

    def prompt(self, turns: Sequence[dict[str, Any]]) -> str:
        """What a model responds to: the turns and the header of a response.

        Raises:
            TemplateRefused: the template refuses the turns.
            ModelRefused: it does not end, or fills the memory.
        """
        return self.render(turns, generation=True)

    def render(self, turns: Sequence[dict[str, Any]], *, generation: bool = False, resumed: bool = False) -> str:
        """A conversation as text.

        Args:
            turns: messages.
            generation: whether the header of a response follows.
            resumed: whether the last message is to be continued: nothing is written behind it.

        Raises:
            TemplateRefused: the template refuses the turns.
            ModelRefused: it does not end, or fills the memory.
        """
        if resumed:
            turns = [*turns[:-1], {**turns[-1], "content": turns[-1]["content"] + CONTINUE}]
        text = self.renderer.render([Job(turns, generation)])[0]
        if isinstance(text, Refused):
            raise TemplateRefused(f"The chat template of {self.name} refuses a conversation: {text.cause}", fix="Use another model.")
        if not resumed:
            return text
        place = text.rfind(CONTINUE.strip())
        if place < 0:
            raise TemplateRefused(f"The chat template of {self.name} drops the message to be continued.", fix="Use another model.")
        # Without the space behind the mark the template has stripped the message.
        return text[:place] if text[place:].startswith(CONTINUE) else text[:place].rstrip()

    def _rendered(self, conversations: Sequence[Chat], loss: str) -> list[Rendered | Refusal]:
        """Each conversation with its spans, or why it has none."""
        jobs = Jobs()
        control = tuple(self.control.values())
        requests: list[Conversation | Refusal] = []
        for chat in conversations:
            try:
                requests.append(Refusal("no_response") if chat.empty else Conversation.ask(chat, loss, control, jobs))
            except Refusal as refusal:
                requests.append(refusal)
        jobs.run(self.renderer)
        rendered: list[Rendered | Refusal] = []
        for conversation in requests:
            try:
                if isinstance(conversation, Refusal):
                    raise conversation
                rendering = conversation.rendered(jobs, lambda: self.header, self._shared, lambda: self.closing)
                rendered.append(replace(rendering, spelled=self._spelled(conversation, rendering.text, jobs)))
            except Refusal as refusal:
                rendered.append(refusal)
        return rendered

    def _spelled(self, conversation: Conversation, text: str, jobs: Jobs) -> list[Span]:
        """Where texts of the conversation spell out special tokens that the template passes on as they are."""
        spelled = conversation.spelled
        if spelled is None or conversation.hidden is None:
            return []
        hidden = jobs.optional(conversation.hidden)
        spans = None if hidden is None else spelled.spans(text, hidden)
        if spans is not None:
            return spans
        # The template reads some of them: those are for it, and what it writes for them is its own.
        conversation.chat.check_times(len(spelled.singles))
        renderings = self.renderer.render(conversation.chat.job(spelled.hidden(turn, token)) for turn, token in spelled.singles)
        return [span for rendering in renderings if isinstance(rendering, str) for span in spelled.spans(text, rendering) or ()]

    @cached_property
    def header(self) -> Header | None:
        """What the template writes before a response; None where that cannot be seen."""
        turns = [{"role": "user", "content": "a"}]
        answered = [*turns, {"role": "assistant", "content": MARK}]
        text, prompt, answered_text = self.renderer.render([Job(turns), Job(turns, generation=True), Job(answered)])
        if isinstance(text, Refused) or isinstance(prompt, Refused) or not prompt.startswith(text):
            return None
        before = (
            None
            if isinstance(answered_text, Refused) or not answered_text.startswith(text)
            else answered_text.removeprefix(text).partition(MARK)[0]
        )
        return Header.of(prompt.removeprefix(text), before)

    def _shared(self, prompt: str, text: str, least: int) -> int:
        """How many characters a prompt and a text begin with whose tokens are the same, `least` of which they have in common."""
        if prompt[least : least + 1] != text[least : least + 1]:
            return least
        prompt_tokens, text_tokens = self.tokens(prompt), self.tokens(text)
        for first, second, (start, _) in zip(prompt_tokens[0], *text_tokens, strict=False):
            if first != second:
                return max(least, start)
        return least

    def tokens(self, text: str, *, special: bool = False) -> tuple[list[int], list[Span]]:
        """Tokens of a text, and where each begins and ends in it.

        Args:
            text: with the template's special tokens spelled out.
            special: whether the tokenizer adds those that it writes around any text.

        Raises:
            ModelRefused: the tokenizer fails.
        """
        return self.all_tokens([text], special=special)[0]

    def decoded(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens.

        Raises:
            ModelRefused: the tokenizer fails.
        """
        with self._refusing():
            return str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False))

    def all_tokens(self, texts: Sequence[str], *, special: bool = False) -> list[tuple[list[int], list[Span]]]:
        """The same of several texts at once.

        Raises:
            ModelRefused: the tokenizer fails.
        """
        if not texts:
            return []
        with self._refusing():
            tokens = self.tokenizer(list(texts), add_special_tokens=special, return_offsets_mapping=True, **FEW)
            return list(zip(tokens["input_ids"], tokens["offset_mapping"], strict=True))

    def _refusing(self) -> AbstractContextManager[None]:
        """A block that ends in ModelRefused whatever the tokenizer raises in it: its file is somebody else's."""
        return refusing(f"The tokenizer of {self.name}", "be used", fix="Fetch the model again, or use another one.")

    def _encoded(self, ids: list[int], offsets: list[Span], rendered: Rendered, max_length: int | None, *, control: bool) -> Encoded:
        """The tokens of a rendered conversation with their loss mask.

        Args:
            ids: tokens of the text.
            offsets: where each begins and ends in the text.
            rendered: the text.
            max_length: tokens that stay, from the beginning.
            control: whether a text spells out a special token.
        """
        if rendered.spelled:
            ids, offsets = self._respelled(ids, offsets, rendered)
        trained = [False] * len(ids)
        for begin, finish in rendered.spans:
            trained = [known or (begin <= start and stop <= finish) for known, (start, stop) in zip(trained, offsets, strict=True)]
        end = sum(1 for number, (start, _) in enumerate(offsets) if trained[number] and start >= rendered.end)
        cut = max_length is not None and len(ids) > max_length
        if cut:
            end = max(0, end - sum(trained[max_length:]))
            ids, trained = ids[:max_length], trained[:max_length]
        # The first token has nothing before it to be predicted from.
        reason = None if any(trained[1:]) else "no_loss_token"
        return Encoded(list(ids), trained, end, truncated=cut, reason=reason, control=control, left_out=rendered.left_out)

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
        conversations = [[{"role": role, "content": MARK if role == "assistant" else "a"} for role in roles] for roles in PROBES]
        for text in self.renderer.render(map(Job, conversations)):
            if isinstance(text, Refused) or MARK not in text:
                continue
            before, _, closing = text.rpartition(MARK)
            ids, offsets = self.tokens(text)
            behind = [number for number, (start, stop) in zip(ids, offsets, strict=True) if len(before) + len(MARK) <= start < stop]
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

    def _spells_control(self, turns: Turns) -> bool:
        spelled = "\0".join(text for turn in turns for text in all_texts(turn))
        return any(token in spelled for token in self.control.values())

    def _respelled(self, ids: list[int], offsets: list[Span], rendered: Rendered) -> tuple[list[int], list[Span]]:
        """Tokens in which a special token stands where the template put it and nowhere else.

        A text that spells one out means its letters: read as the token it could end a turn or begin one of another role.
        """
        spelled: list[int] = []
        places: list[Span] = []
        for number, (start, stop) in zip(ids, offsets, strict=True):
            if number in self.control and start < stop and overlaps((start, stop), rendered.spelled):
                letters = self._letters(rendered.text[start:stop])
                spelled += [token for token, _ in letters]
                places += [(start + first, start + last) for _, (first, last) in letters]
            else:
                spelled.append(number)
                places.append((start, stop))
        return spelled, places

    def _letters(self, text: str) -> list[tuple[int, Span]]:
        """A special token's text as the tokens of its letters, with their places in it."""
        backend = self.tokenizer.backend_tokenizer
        before = backend.encode_special_tokens
        backend.encode_special_tokens = True
        try:
            with self._refusing():
                encoding = backend.encode(text, add_special_tokens=False)
        finally:
            backend.encode_special_tokens = before
        for number, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if number in self.control and number != self.tokenizer.unk_token_id and stop > start + 1:
                # A unigram model has its special tokens among its pieces, and finds them in plain text: not in two halves of it.
                behind = [(token, (start + 1 + first, start + 1 + last)) for token, (first, last) in self._letters(text[start + 1 :])]
                return [*self._letters(text[: start + 1]), *behind]
        return list(zip(encoding.ids, encoding.offsets, strict=True))


__all__ = ["LOSSES", "TULU", "ChatTemplate", "Encoded", "Header", "messages", "tools"]
