"""Counting tokens with bare `tokenizers`: no torch, no transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tokenizers import Tokenizer

from instructsel.errors import ModelRefused, UsageError
from instructsel.pieces import WINDOW, TokenCounts, by_characters
from instructsel.pool.example import Example
from instructsel.rendering import Job, Refused, Renderer


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, no special tokens added, nothing truncated.

    Control tokens spelled out in a text are counted as the text they are, when the tokenizer is set so
    (`encode_special_tokens`, as instructsel loads them).

    Raises:
        ModelRefused: the tokenizer fails.
    """
    return _counts(tokenizer, texts, special=False)


def count_whole(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text with those that the tokenizer puts around it, nothing truncated.

    Raises:
        ModelRefused: the tokenizer fails.
    """
    return _counts(tokenizer, texts, special=True)


def token_counts(tokenizer: Tokenizer) -> TokenCounts:
    """What `count_tokens` gives, for many texts: words that come again are looked up, and a long text is counted in parts."""
    return TokenCounts.of(tokenizer, partial(count_tokens, tokenizer))


def unknown_counts(tokenizer: Tokenizer) -> TokenCounts | None:
    """Of each text the tokens that the tokenizer does not know; None where it has no such token."""
    unknown = next((number for token in UNKNOWN_TOKENS if (number := tokenizer.token_to_id(token)) is not None), None)
    if unknown is None:
        return None

    def count(texts: Sequence[str]) -> list[int]:
        return [encoding.ids.count(unknown) for encoding in _encoded(tokenizer, texts, special=False)]

    return TokenCounts.of(tokenizer, count)


def _counts(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool) -> list[int]:
    """Tokens of each text.

    Raises:
        ModelRefused: the tokenizer fails.
    """
    # Without a list of the ids of each text: only their number is needed.
    return [len(encoding) for encoding in _encoded(tokenizer, texts, special=special)]


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool) -> Iterator[Any]:
    """The encodings of texts, without offsets; WINDOW characters at a time, since an encoding takes a hundred bytes for each.

    Raises:
        ModelRefused: the tokenizer fails.
    """
    try:
        for batch in by_characters(texts, WINDOW):
            yield from tokenizer.encode_batch_fast(batch, add_special_tokens=special)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        cause = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise ModelRefused(f"The tokenizer cannot be used: {cause}", fix="Fetch the model again, or name another one.") from error


UNKNOWN_TOKENS: Final = ("[UNK]", "<unk>", "<UNK>", "<|unk|>")
"""What stands for what a tokenizer does not know; tokenizers of bytes have none that a text becomes."""
UNKNOWN_LIMIT: Final = 0.3
"""Beyond this share of unknown tokens, a tokenizer does not know the language of a text."""


def unread(tokens: TokenCounts, unknown: TokenCounts | None, texts: Sequence[str]) -> list[bool]:
    """Of each text, whether more than UNKNOWN_LIMIT of its tokens are unknown to the tokenizer.

    A text of ASCII alone is in no script that a tokenizer does not know: what is unknown of it are very long words.

    Raises:
        ModelRefused: the tokenizer fails.
    """
    results = [False] * len(texts)
    numbers = [number for number, text in enumerate(texts) if not text.isascii()] if unknown is not None else []
    if unknown is None or not numbers:
        return results
    others = [texts[number] for number in numbers]
    for number, count, total in zip(numbers, unknown.count(others), tokens.count(others), strict=True):
        results[number] = count > UNKNOWN_LIMIT * total
    return results


@dataclass(frozen=True, eq=False)
class ChatTokens:
    """The length of an example in a model's own chat template, prompt and response together."""

    name: str
    """The tokenizer's name."""
    tokenizer: Tokenizer
    renderer: Renderer | None
    """Its chat template; without one, instruction and response are joined by a line break."""

    def render(self, examples: Sequence[Example]) -> list[str]:
        """The texts the model would be trained on.

        Raises:
            UsageError: the template refuses an example.
            ModelRefused: the template does not end, or fills the memory.
        """
        if self.renderer is None:
            return [example.text for example in examples]
        texts: list[str] = []
        for example, text in zip(examples, self.renderer.render(map(_job, examples)), strict=True):
            if isinstance(text, Refused):
                raise UsageError(
                    f"The chat template of {self.name} refuses example {example.id}: {text.cause}.",
                    fix="Name another tokenizer with --tokenizer.",
                )
            texts.append(text)
        return texts

    def count(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each example, control tokens of the template included."""
        return _counts(self.tokenizer, self.render(examples), special=self.renderer is None)


def _job(example: Example) -> Job:
    """Up to the response: what stands behind it is not trained."""
    tools = None if example.tools is None else example.tools.value
    turns = [turn.as_dict() for turn in example.messages[: example.last_answer + 1]]
    return Job(turns, tools=tools if isinstance(tools, list) else None)
