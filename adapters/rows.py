"""Hand-off to TRL: examples in its conversational prompt-completion type, and a tokenizer that can write them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from instructsel.adapters.tokens import COLUMNS, labelled, template_of
from instructsel.errors import UsageError
from instructsel.experiments.limits import LONGEST_ROW
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate, messages, tools
from instructsel.grading.tulu import TULU_1
from instructsel.models.load import locate_language_model
from instructsel.pool import exact_json
from instructsel.pool.pool import check_pool
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

TEXT_ALONE: Final = {"role", "content"}
"""What a turn has that is a text alone."""
NAMED: Final = 3
"""Examples that a warning names."""
TRL_LOSSES: Final = ("completion", "assistant", TULU_1)


def to_trl(pool: Pool, *, tokenizer: Any = None, loss: str | None = None, max_length: int | None = None) -> Any:
    """The pool as a `datasets.Dataset` with exactly `prompt` and `completion`, both lists of messages, and `tools` where rows have some.

    TRL guesses a data set's type from its columns, so there are no others; its loss falls on the completion alone. The
    completion is the last response; turns have the calls, results, names and reasoning of their rows. Where they have any, the turns are of
    the feature Json: in columns of structures, every call would get the arguments of all others, as null. Order is that of the pool's ids;
    TRL's trainer shuffles. TRL needs a chat template to write the messages: see `chat_tokenizer`.

    Examples whose response is the first turn are left out, and a warning names them: TRL stops at a prompt without turns.

    With a tokenizer the data set is pre-tokenised, which TRL takes as it is: `input_ids` in the tokenizer's chat template, and `labels`,
    −100 where no loss falls. There a weight of 0 masks its response where all responses are trained on. A weight between 0 and 1 is neither
    a mask nor none, and is refused in both forms. Rows that the template cannot write, or of which it leaves no token to train on, are left
    out, and a warning names the reasons.

    Args:
        pool: the rows.
        tokenizer: of the model that is to be trained: loaded, or its folder, its hub id, or "embedded". One without a chat template is given
            Tülu's.
        loss: completion (on the last response), assistant (on every response of weight other than 0) or tulu-1 (as in the first
            release of Tülu; in its chat format alone). Without a tokenizer it is completion, with one assistant by default.
        max_length: with a tokenizer, tokens of a row: the rest is cut off, and a row without a loss token is left out and named. Give TRL
            the same, or None: it drops such rows without a word.

    Raises:
        MissingExtra: `datasets` is not installed.
        UsageError: it is no pool, rows have weights other than 0 and 1, or a loss on all responses or a length is asked for without a
            tokenizer; tulu-1 with a template of another format.
        ModelUnavailable: no fast tokenizer, or one without an end-of-sequence token.

    >>> data, tokenizer = to_trl(selected), chat_tokenizer("my-org/my-base")  # doctest: +SKIP
    >>> SFTTrainer("my-org/my-base", train_dataset=data, processing_class=tokenizer)  # doctest: +SKIP
    """
    check_pool(pool, "to_trl")
    datasets = require("datasets", needed_by="to_trl")
    if loss not in (None, *TRL_LOSSES):
        raise UsageError.named(str(loss), TRL_LOSSES, noun="loss of to_trl")
    if tokenizer is None and max_length is not None:
        raise UsageError(
            "to_trl writes prompts and completions, and TRL cuts them at its own max_length.",
            fix="Name a tokenizer, to_trl(pool, tokenizer=…, max_length=…): rows that lose their loss tokens are then named.",
        )
    if max_length is not None and not 0 < max_length <= LONGEST_ROW:
        raise UsageError(f"max_length of to_trl is above 0 and at most {LONGEST_ROW:,}, not {max_length!r}.")
    if tokenizer is None and loss in ("assistant", TULU_1):
        raise UsageError(
            "to_trl writes prompts and completions, and their loss falls on the last response.",
            fix=f"Name a tokenizer, to_trl(pool, tokenizer=…, loss='{loss}'): its tokens carry the masks of all responses.",
        )
    refuse_fractions(pool)
    if tokenizer is not None:
        loss = loss or "assistant"
        return _tokenized(datasets, pool, template_of(tokenizer).fitted(loss), loss, max_length)
    promptless = without_prompt(pool)
    if promptless:
        warnings.warn(
            f"to_trl leaves out {counted(len(promptless), 'example')} whose response is the first turn ({_named(pool, promptless)}): TRL stops at a prompt without turns.",
            stacklevel=2,
        )
    listed = [row for row in rows(pool) if row["prompt"]]
    columns = {name: [row[name] for row in listed] for name in ("prompt", "completion", "tools")}
    if not any(columns["tools"]):
        del columns["tools"]
        if all(turn.keys() == TEXT_ALONE for row in listed for turn in (*row["prompt"], *row["completion"])):
            turns = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
            return datasets.Dataset.from_dict(columns, features=datasets.Features(dict.fromkeys(columns, turns)))
    arrays = {name: exact_json.values(column) if name == "tools" else exact_json.lists(column) for name, column in columns.items()}
    feature = exact_json.ExactJson()
    features = {name: feature if name == "tools" else datasets.List(feature) for name in columns}
    table = datasets.table.InMemoryTable.from_pydict(arrays)
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=datasets.Features(features)))


def refuse_fractions(pool: Pool) -> None:
    """Refuse weights that are neither 0 nor 1: TRL has masks, and no weights.

    Raises:
        UsageError: rows have some.
    """
    places = [
        position
        for position, example in enumerate(pool.examples())
        if any(turn.weight not in (None, 0, 1) for turn in example.messages[: example.last_answer + 1])
    ]
    if places:
        named = _named(pool, places[:1])
        raise UsageError(
            f"{counted(len(places), 'example')} {'has' if len(places) == 1 else 'have'} weights other than 0 and 1, which TRL cannot carry (first: {named}).",
            fix="Leave them out, or write 0 (masked) or 1 (trained on) for each.",
        )


def _tokenized(datasets: Any, pool: Pool, template: ChatTemplate, loss: str, max_length: int | None) -> Any:
    """Tokens and labels as a data set; what is left out is warned of."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    skipped: dict[str, list[int]] = {}
    rows = template.encode_all(pool.examples(), loss=loss, max_length=max_length)
    for position, (example, encoded) in enumerate(zip(pool.examples(), rows, strict=True)):
        # The first release of Tülu trains on a response without a prompt as well.
        if (reason := encoded.reason if example.last_answer or loss == TULU_1 else "no_prompt") is not None:
            skipped.setdefault(reason, []).append(position)
            continue
        for name, numbers in labelled(encoded).items():
            columns[name].append(numbers)
    for reason, places in skipped.items():
        warnings.warn(f"to_trl leaves out {counted(len(places), 'example')}: {reason} ({_named(pool, places)}).", stacklevel=3)
    features = datasets.Features({name: datasets.List(datasets.Value("int32")) for name in COLUMNS})
    return datasets.Dataset.from_dict(columns, features=features)


def _named(pool: Pool, positions: Sequence[int]) -> str:
    """FILE:LINE of the first of some examples, and how many more there are."""
    first = ", ".join(f"{Path(file).name}:{lines[0]}" for file, lines in map(pool.locate, positions[:NAMED]))
    return f"{first} and {len(positions) - NAMED:,} more" if len(positions) > NAMED else first


def chat_tokenizer(model: str, *, revision: str | None = None, loss: str | None = None) -> Any:
    """The tokenizer of a model with a chat template, for TRL's `processing_class`: its own, or Tülu's where it has none.

    Most base models bring no template, and TRL fails on conversational rows without one. `TrlTrainer` does the same by itself,
    so that a model is trained and graded in one format; the template is saved with the checkpoint.

    Args:
        model: a local folder, a hub id, or "embedded".
        revision: a hub revision.
        loss: that of `to_trl`. With tulu-1 the template writes a begin of sequence where the tokenizer adds one by default, and nowhere else.

    Raises:
        UsageError: tulu-1 of a model with a template of another format.
        MissingExtra: transformers is not installed.
        ModelUnavailable: no model of that name, no fast tokenizer, or one without an end-of-sequence token.

    Source of Tülu's format: Wang et al. 2023, arXiv:2306.04751.
    """
    template = ChatTemplate.load(locate_language_model(model, revision=revision, needed_by="the chat template").folder)
    return template.fitted(loss or "completion").tokenizer


def rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """One row an example: {"prompt": [...], "completion": [...], "tools": [...] or None}."""
    for example in pool.examples():
        turns = messages(example)
        yield {"prompt": turns[:-1], "completion": turns[-1:], "tools": tools(example)}


def without_prompt(pool: Pool) -> list[int]:
    """The positions of the examples whose response is the first turn; no reading again where the pool's account has none."""
    if not pool.report.first_answers:
        return []
    return [position for position, example in enumerate(pool.examples()) if not example.last_answer]


__all__ = ["chat_tokenizer", "refuse_fractions", "rows", "to_trl", "without_prompt"]
