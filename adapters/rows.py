"""Hand-off to TRL: examples in its conversational prompt-completion type, and a tokenizer that can write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate, messages
from instructsel.models.load import locate_language_model
from instructsel.pool.pool import check_pool

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


def to_trl(pool: Pool) -> Any:
    """The pool as a `datasets.Dataset` with exactly `prompt` and `completion`, both lists of messages.

    TRL guesses a data set's type from its columns, so there are no others; its loss falls on the completion alone. The
    completion is the last response; a call the model wrote becomes an assistant turn. Order is that of the pool's ids; TRL's
    trainer shuffles. TRL needs a chat template to write the messages: see `chat_tokenizer`.

    Raises:
        MissingExtra: `datasets` is not installed.

    >>> data, tokenizer = to_trl(selected), chat_tokenizer("my-org/my-base")  # doctest: +SKIP
    >>> SFTTrainer("my-org/my-base", train_dataset=data, processing_class=tokenizer)  # doctest: +SKIP
    """
    check_pool(pool, "to_trl")
    datasets = require("datasets", needed_by="to_trl")
    return datasets.Dataset.from_list(list(rows(pool)))


def chat_tokenizer(model: str, *, revision: str | None = None) -> Any:
    """The tokenizer of a model with a chat template, for TRL's `processing_class`: its own, or Tülu's where it has none.

    Most base models bring no template, and TRL fails on conversational rows without one. `TrlTrainer` does the same by itself,
    so that a model is trained and graded in one format; the template is saved with the checkpoint.

    Args:
        model: a local folder, a hub id, or "embedded".
        revision: a hub revision.

    Raises:
        MissingExtra: transformers is not installed.
        ModelUnavailable: no model of that name, no fast tokenizer, or one without an end-of-sequence token.

    Source of Tülu's format: Wang et al. 2023, arXiv:2306.04751.
    """
    return ChatTemplate.load(locate_language_model(model, revision=revision, needed_by="the chat template").folder).tokenizer


def rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """One row an example: {"prompt": [...], "completion": [...]}."""
    for example in pool.examples():
        turns = messages(example)
        yield {"prompt": turns[:-1], "completion": turns[-1:]}


__all__ = ["chat_tokenizer", "rows", "to_trl"]
