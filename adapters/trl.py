"""To TRL: examples as the conversational prompt-completion type its SFTTrainer masks by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instructsel.extras import require
from instructsel.pool.example import ANSWERS, Message

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
        at = example.last_answer
        yield {"prompt": [_turn(turn) for turn in example.messages[:at]], "completion": [_turn(example.messages[at])]}


def _turn(turn: Message) -> dict[str, str]:
    return {"role": "assistant" if turn.role in ANSWERS else turn.role, "content": turn.content}
