"""What exports of tokens have in common: rows in a chat template, cut off, with a label each; what has no loss token is left out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, UNTRAINABLE, Export, ExportSettings
from instructsel.adapters.exports.contents import Exported, contents
from instructsel.adapters.tokens import MASKED_LABEL, held_by
from instructsel.grading.tulu import TULU_1
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from instructsel.rendering import TEMPLATE_DATE

if TYPE_CHECKING:
    from instructsel.grading.chat import ChatTemplate, Encoded

BATCH: Final = 512
WHOLE: Final = frozenset({"no_prompt", "later_turns"})
"""What tulu-1 takes as it is: it trains on a conversation that is one response, and has all turns of any."""


class Tokens(Export):
    """An export of tokens and masks, for models with the tokenizer that made them."""

    losses: ClassVar[tuple[str, ...]] = (ASSISTANT, COMPLETION, TULU_1)
    refused: ClassVar[frozenset[str]] = frozenset(
        {"odd_tools", "weights", "template_refused", "not_a_prefix", "too_many_turns", "calls_not_rendered"}
    )
    left_out: ClassVar[frozenset[str]] = UNTRAINABLE | {"no_loss_token"}
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "the template is given their JSON text",
        "tools_not_rendered": "the model does not see them",
        "reasoning_not_rendered": "the model is not trained on it",
        "truncated": "their ends are cut off",
    }
    noted: ClassVar[Mapping[str, str]] = {"untrained": f"their labels are {MASKED_LABEL}"}
    whole_folder: ClassVar[bool] = True
    is_tokens: ClassVar[bool] = True

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template

    def decided(self, settings: ExportSettings) -> ExportSettings:
        """The settings with the loss that the export has; the template is the one that examples are trained in under it.

        Raises:
            UsageError: another loss, or tulu-1 of a tokenizer with a template of its own.
        """
        settings = super().decided(settings)
        self.template = self.template.fitted(settings.loss or self.losses[0])
        return settings

    @property
    def stated(self) -> dict[str, Any]:
        """By which tokenizer and chat template the tokens were made."""
        tokenizer = self.template.tokenizer
        return {
            "tokenizer": {
                "name": self.template.name,
                "sha256": _digest(tokenizer.backend_tokenizer.to_str()),
                "chat_template": {
                    "from": "tulu" if self.template.fallback else "the tokenizer",
                    "sha256": _digest(tokenizer.get_chat_template()),
                    "date": self.template.dated.get("template_date"),
                },
            }
        }

    @property
    def origin(self) -> str:
        """What chat template the tokens are in, for people."""
        origin = (
            "the chat format of Tülu, as the tokenizer brings no template: save it with the model, or it is asked in another one"
            if self.template.fallback
            else "the tokenizer's own chat template"
        )
        return origin + (f"; the date in it is {TEMPLATE_DATE}" if self.template.dated else "")

    def turns(self, example: Example, settings: ExportSettings) -> tuple[Message, ...]:
        """The turns of an example that are written."""
        return example.messages if settings.loss == TULU_1 else super().turns(example, settings)

    def held(self, rows: Iterable[Example], settings: ExportSettings) -> Iterator[frozenset[str]]:
        """What conversations hold, and what the template makes of them."""
        carried = WHOLE if settings.loss == TULU_1 else frozenset[str]()
        remaining = iter(rows)
        while batch := list(itertools.islice(remaining, BATCH)):
            for example, encoded in zip(batch, self.encoded(batch, settings), strict=True):
                cut = {"truncated"} if encoded.truncated else set[str]()
                yield (contents(example, self.turns(example, settings)) - carried) | held_by(encoded) | cut

    def encoded_rows(self, listed: Iterable[Exported], settings: ExportSettings) -> Iterator[tuple[Exported, Encoded]]:
        """Each row with its tokens, in order."""
        remaining = iter(listed)
        while batch := list(itertools.islice(remaining, BATCH)):
            yield from zip(batch, self.encoded([exported.example for exported in batch], settings), strict=True)

    def encoded(self, examples: Sequence[Example], settings: ExportSettings) -> Iterator[Encoded]:
        """The tokens of examples, in order."""
        return self.template.encode_all(examples, loss=settings.loss or self.losses[0], max_length=settings.max_length)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["Tokens"]
