"""One row as a trainer would see it, with what the checks look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from instructsel.grading.chat import Encoded
from instructsel.pool.example import Example

ROLE_KEYS: Final = ("role", "from")
"""Either of them makes an object of a row a turn."""


@dataclass(frozen=True, eq=False)
class AuditedRow:
    """An example, rendered, tokenized, and cut to the length."""

    example: Example
    raw: tuple[Any, ...]
    """The parsed rows of the file the example stands in."""
    fields: tuple[str, ...]
    """Fields of a row that its format reads."""
    turns: Sequence[Mapping[str, Any]]
    """What is rendered, up to the response: role and content, reasoning and calls."""
    text: str | None
    """The rendered conversation; None where the template refuses it."""
    full: Encoded
    """Its tokens as the trainer reads them, nothing cut off."""
    length: int
    """Tokens of it that are seen; the others are cut off."""
    prompt: tuple[int, ...] | None
    """Tokens of the prompt alone, as a model would answer it; None where the template refuses it."""
    fault: str | None
    """Why instructsel would train nothing on it, whatever the trainer does: `Encoded.reason`."""
    duplicate: bool
    """Whether an earlier row has the same tokens and loss tokens."""

    @property
    def ids(self) -> list[int]:
        """The tokens that are seen."""
        return self.full.ids[: self.length]

    @property
    def loss_mask(self) -> list[bool]:
        """One for each of them: whether the loss falls on it."""
        return self.full.loss_mask[: self.length]

    @cached_property
    def loss_tokens(self) -> int:
        """Tokens the loss is computed on; the first token of a row is never predicted."""
        return sum(self.full.loss_mask[1 : self.length])

    @property
    def truncated(self) -> bool:
        """Whether tokens are cut off."""
        return self.length < len(self.full.ids)

    @property
    def cut_loss_tokens(self) -> int:
        """Loss tokens that are cut off."""
        return sum(self.full.loss_mask[self.length :])

    @property
    def reason(self) -> str | None:
        """Why the loss falls on none of its tokens; None where it does on some."""
        if self.full.reason is not None:
            return self.full.reason
        return None if self.loss_tokens else "no_loss_token"

    @cached_property
    def responses(self) -> tuple[str, ...]:
        """The turns of the model."""
        return tuple(turn["content"] for turn in self.turns if turn["role"] == "assistant")

    def missing(self, role: str) -> list[str]:
        """Contents of a role that are not in the rendered text."""
        if self.text is None:
            return []
        contents = [turn["content"].strip() for turn in self.turns if turn["role"] == role]
        return [content for content in contents if content and content not in self.text]

    def is_rendered(self, text: str) -> bool:
        """Whether a text is in the rendered conversation; so is everything in one that was refused, which is another finding."""
        return self.text is None or text.strip() in self.text

    def unread(self) -> Iterator[tuple[str, Any, bool]]:
        """What the format does not read: (field, value, whether it is a turn's), of the row and of its turns."""
        for row in self.raw:
            if not isinstance(row, Mapping):
                continue
            for name, value in row.items():
                if name not in self.fields:
                    yield name, value, False
                elif isinstance(value, list):
                    for turn in value:
                        if isinstance(turn, Mapping) and any(key in turn for key in ROLE_KEYS):
                            yield from ((field, part, True) for field, part in turn.items())


__all__ = ["AuditedRow"]
