"""The chat format of Tülu and the label mask of its first release, as the code of arXiv 2306.04751 has them (open-instruct e44fcf58).

The format: each turn is a marker of ordinary text, a line break, the content without white space around it, and a line break; a response
ends in the end-of-sequence token before that line break. The whole is stripped, so nothing stands behind the last response.

    <|user|>
    The capital of France?
    <|assistant|>
    Paris.</s>

The mask of the first release, `tulu-1`: the loss falls on every token but those from the beginning of a turn that is no response to its end,
and on to the end of the header of a response that follows it. So the line break behind an earlier response is trained on, and so is the
header of a response that begins the conversation or follows another response. Where turns begin and end is found by tokenizing the
text up to there anew, cut off like the whole: where a tokenizer joins what stands on both sides, the mask shifts with it.
Today's rule (open-instruct after 2024, and `chat.TULU`) trains on a response and its end-of-sequence token, and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.grading.regions import Span

TULU_1: Final = "tulu-1"
"""The name of the mask."""
ROLES: Final = ("system", "user", "assistant")
"""Those of the format; any other is an error."""
HEADER: Final = "<|assistant|>\n"
"""What stands before a response."""
PROBES: Final = (
    ("user",),
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
)
"""Roles of conversations that show whether a template is of this format."""


@dataclass(frozen=True)
class Written:
    """A conversation in the format."""

    text: str
    """All turns, a line break behind the last one, too."""
    begins: tuple[int, ...]
    """Where in the text each turn begins, and behind them where the last one ends."""
    contents: tuple[Span, ...]
    """Where in the text the content of each turn stands."""

    @property
    def stripped(self) -> str:
        """What is trained on: the text without white space at its ends."""
        return self.text.strip()


def written(turns: Sequence[Mapping[str, Any]], end: str) -> Written:
    """Turns in the format, with the place of each.

    Args:
        turns: role and content.
        end: the end-of-sequence token of the tokenizer.

    Raises:
        UsageError: there are no turns, or one has another role.
    """
    if not turns:
        raise UsageError("A conversation in Tülu's format has at least one turn, and this one has none.", fix="Leave the row out.")
    text, begins, contents = "", [0], []
    for turn in turns:
        role = str(turn["role"])
        if role not in ROLES:
            raise UsageError(
                f"A turn in Tülu's format has one of the roles {', '.join(ROLES)}, not '{role}'.",
                fix="Write it as one of these, or leave it out.",
            )
        content = str(turn["content"]).strip()
        begin = len(text) + len(f"<|{role}|>\n")
        contents.append((begin, begin + len(content)))
        text += f"<|{role}|>\n{content}{end if role == 'assistant' else ''}\n"
        begins.append(len(text))
    return Written(text, tuple(begins), tuple(contents))


def rendered(turns: Sequence[Mapping[str, Any]], end: str, *, generation: bool = False) -> str:
    """A conversation in the format, as it is trained on; or as a prompt.

    Args:
        turns: role and content.
        end: the end-of-sequence token of the tokenizer.
        generation: whether the header of a response follows.

    Raises:
        UsageError: there are no turns, or one has another role.

    >>> rendered([{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yes."}], "</s>")
    '<|user|>\\nHi\\n<|assistant|>\\nYes.</s>'
    >>> rendered([{"role": "user", "content": "Hi"}], "</s>", generation=True)
    '<|user|>\\nHi\\n<|assistant|>\\n'
    """
    conversation = written(turns, end)
    return conversation.text + HEADER if generation else conversation.stripped


def masked_parts(conversation: Written, trained: Sequence[bool]) -> list[Span]:
    """Where in the text no loss falls: each turn that is not trained, with the header of a response that follows it.

    Args:
        conversation: in the format.
        trained: for each turn whether the loss falls on it.
    """
    parts: list[Span] = []
    for number, is_trained in enumerate(trained):
        if is_trained:
            continue
        begin, end = conversation.begins[number : number + 2]
        follows = number + 1 < len(trained) and conversation.text.startswith(HEADER, end)
        parts.append((begin, end + len(HEADER) if follows else end))
    return parts


def loss_mask(n_tokens: int, parts: Iterable[Span], counts: Mapping[int, int], max_length: int | None) -> list[bool]:
    """Whether the loss falls on each token.

    Args:
        n_tokens: of the whole text, cut off at `max_length`.
        parts: where in the text no loss falls, in order.
        counts: place in the text → tokens of the text up to there, cut off like the whole.
        max_length: tokens at which texts are cut off; None cuts nothing.
    """
    mask = [True] * n_tokens
    for begin, end in parts:
        first, last = counts[begin] if begin else 0, counts[end]
        mask[first:last] = [False] * len(mask[first:last])
        if max_length is not None and last >= max_length:
            break
    return mask


def spelled(conversation: Written, tokens: Iterable[str], until: int) -> list[Span]:
    """Where contents spell out special tokens, up to a place in the text.

    Args:
        conversation: in the format.
        tokens: the texts of the tokenizer's special tokens.
        until: the place.
    """
    listed = sorted((re.escape(token) for token in tokens if token), key=len, reverse=True)
    if not listed:
        return []
    pattern = re.compile("|".join(listed))
    return [
        (begin + match.start(), begin + match.end())
        for begin, end in conversation.contents
        if end <= until
        for match in pattern.finditer(conversation.text[begin:end])
    ]


__all__ = ["HEADER", "PROBES", "ROLES", "TULU_1", "Written", "loss_mask", "masked_parts", "rendered", "spelled", "written"]
