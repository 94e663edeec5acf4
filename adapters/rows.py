"""Examples as rows of other people's trainers: TRL's conversational prompt-completion type, or chat messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instructsel.extras import require
from instructsel.grading.chat import messages

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


__all__ = ["rows", "to_trl"]
