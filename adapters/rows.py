"""Examples as rows of other people's trainers: TRL's conversational prompt-completion type, or chat messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instructsel.extras import require
from instructsel.pool.example import ANSWERS, Example, Message

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


def to_trl(pool: Pool) -> Any:
    """The pool as a `datasets.Dataset` with exactly `prompt` and `completion`, both lists of messages.

    TRL guesses a data set's type from its columns, so there are no others; its loss falls on the completion alone. The
    completion is the last answer; a call the model wrote becomes an assistant turn. Order is that of the pool's ids; TRL's
    trainer shuffles.

    Raises:
        MissingExtra: `datasets` is not installed.

    >>> SFTTrainer(model=..., train_dataset=to_trl(chosen.of(pool)))  # doctest: +SKIP
    """
    datasets = require("datasets", needed_by="to_trl")
    return datasets.Dataset.from_list(list(rows(pool)))


def rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """One row an example: {"prompt": [...], "completion": [...]}."""
    for example in pool.examples():
        turns = messages(example)
        yield {"prompt": turns[:-1], "completion": turns[-1:]}


def messages(example: Example) -> list[dict[str, str]]:
    """The turns up to the last answer as role and content; a call the model wrote is an assistant turn."""
    return [_turn(turn) for turn in example.messages[: example.last_answer + 1]]


def _turn(turn: Message) -> dict[str, str]:
    return {"role": "assistant" if turn.role in ANSWERS else turn.role, "content": turn.content}


__all__ = ["messages", "rows", "to_trl"]
